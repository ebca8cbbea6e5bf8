"""What a model behind `answering_server` says when it is asked to grade, and runs for it to grade."""

import json
from collections.abc import Callable
from typing import Any

from answering_server import Reply, reply

from safeeraser.judge import chat, rubric

RUBRICS = {text: check for check, text in rubric.read().items()}
CASES = {(case.check, case.item.question, case.answer): case.verdict for case in chat.KNOWN_CASES}
WORDS = {True: "yes", False: "no", None: "unclear"}


def asked_of(body: dict) -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    """The check, the graded texts, and the pictures of a request; fails for one of any other form."""
    system, user = body["messages"]
    assert (system["role"], user["role"], len(body["messages"])) == ("system", "user", 2)
    parts = user["content"] if isinstance(user["content"], list) else [{"type": "text", "text": user["content"]}]
    *pictures, text = parts
    return RUBRICS[system["content"]], json.loads(text["text"]), pictures


def says(truth: Callable[[str, dict[str, str]], bool | None]) -> Callable[[dict], Reply]:
    """What a judge replies that passes its self-test, and otherwise says what is true of the check and the texts."""

    def said(body: dict) -> Reply:
        check, graded, _ = asked_of(body)
        known = CASES.get((check, graded["question"], graded["answer"]))
        return reply(WORDS[truth(check, graded) if known is None else known])

    return said
