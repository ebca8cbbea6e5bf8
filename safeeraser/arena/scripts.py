"""The arena's interface for `gradio_client`, which does what the page does, under the same checks."""

import base64
from collections.abc import Iterator, Sequence
from html import escape

import gradio as gr
from gradio.events import api

from safeeraser.arena.matches import Arena
from safeeraser.arena.pictures import SAFE, Shown
from safeeraser.data import images
from safeeraser.errors import SafeEraserError

HERE = "here"  # who votes, where nobody logs in


def session_of(request: gr.Request) -> str:
    return request.session_hash or ""


def who_of(request: gr.Request) -> str:
    return request.username or HERE


def refused(error: SafeEraserError) -> gr.Error:
    """The error in the browser, which would read it as HTML, and for scripts."""
    return gr.Error(escape(str(error), quote=False), print_exception=False)


def add(arena: Arena) -> None:
    """The same three steps for `gradio_client`: what can be asked about, ask, vote."""

    def items(kind: str = SAFE) -> list[dict[str, str]]:
        """What can be asked about: the ids, categories and questions of the held-out items of a kind of picture."""
        if kind not in arena.kinds:
            raise gr.Error(f"kind: must be one of {', '.join(arena.kinds)}")
        found = (item for shown in arena.pictures[kind] for item in shown.items)
        return [{"item": item.id, "category": item.category, "question": item.question} for item in found]

    def ask(
        question: str,
        item: str = "",
        picture: str = "",
        decoding: str = "greedy",
        seed: int | None = None,
        request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    ) -> Iterator[dict[str, str | None]]:
        """The answers as they grow, and with the last the token to vote with.

        item: whose picture it is about, or picture: one of your own, as Base64.
        """
        session = session_of(request)
        try:
            shown = _uploaded(arena, picture, session) if picture else _of_item(arena, item)
            for said in arena.ask(question, shown, session=session, decoding=decoding, seed=seed):
                yield {"left": said.left, "right": said.right, "token": said.token}
        except SafeEraserError as error:
            raise refused(error) from error

    def vote(
        token: str,
        vote: str,
        left_tags: list[str] = [],  # noqa: B006  # Gradio shows it to scripts
        right_tags: list[str] = [],  # noqa: B006
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> dict[str, str | bool]:
        """Vote left, right, both fine or both bad; says which run stood where, and whether this vote counts."""
        try:
            given = arena.vote(
                token, vote, session=session_of(request), who=who_of(request), left=left_tags, right=right_tags
            )
        except SafeEraserError as error:
            raise refused(error) from error
        return vars(given)

    api(items, api_name="items", queue=False)
    api(ask, api_name="ask", concurrency_limit=None)
    api(vote, api_name="vote", queue=False)


def _uploaded(arena: Arena, picture: str, session: str) -> bytes:
    try:
        return arena.upload(base64.b64decode(picture, validate=True), session=session)
    except (ValueError, TypeError) as error:
        raise images.UploadError("picture: must be a picture's bytes as Base64") from error


def _of_item(arena: Arena, item: str) -> Shown:
    every: Sequence[Shown] = [shown for found in arena.pictures.values() for shown in found]
    found = next((shown for shown in every if any(one.id == item for one in shown.items)), None)
    if found is None:
        raise images.UploadError("item: there is no such item; `items` lists them. Or send a picture of your own")
    return found
