"""Asking a run's model under attack, and grading what it says. Resumable: what is on the disk is not asked again.

The run's own answers, verdicts, scores and state stay as they are.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from safeeraser import files
from safeeraser.attack import scoring, weights
from safeeraser.attack.suite import Attack, Tuned
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data import images
from safeeraser.data.records import VQA, Picture
from safeeraser.data.rows import AnswerRow, AttackRow
from safeeraser.data.source import Source
from safeeraser.generate import answering
from safeeraser.generate.questions import Question, questions
from safeeraser.judge import contract, grading
from safeeraser.models import checks
from safeeraser.models.encoder import Encoder
from safeeraser.runs import processes
from safeeraser.runs.folder import Run, RunError
from safeeraser.runs.progress import Reporter

ANSWERING = ("always-refuse", "keyword-filter")  # controls whose answers are not their model's alone
SETS = ("forget", "retain", "decouple")


class Begun(Encoder):
    """An encoder whose questions are followed by the first words of the answer."""

    begins = ""

    def _tokens(self, question: str, answer: str | None, picture: Picture | None) -> tuple[list[int], int]:
        if answer is not None:
            return super()._tokens(question, answer, picture)
        ids, _ = super()._tokens(question, self.begins, picture)
        ids = ids[:-1] if ids[-1] == self.around[1] else ids
        return ids, len(ids)


def begun(processor: Any, config: RunConfig, begins: str) -> Encoder:
    """The encoder that a run's settings ask for, with these first words of every answer."""
    encoder = Begun.of(processor, config)
    assert isinstance(encoder, Begun)
    encoder.begins = begins
    return encoder


def attack(
    run: Run,
    source: Source,
    attacks: Sequence[Attack],
    *,
    records: int,
    judge: str,
    progress: Reporter | None = None,
) -> int:
    """Append the answers and verdicts that the run does not have yet; returns how many questions were asked.

    records: of clean val, whose forget, retain and decouple pairs are asked, once each.
    Raises RunError for a run that has no model here, ConfigError when it was asked about other records before.
    """
    if processes.count() > 1:
        raise RunError("safeeraser attack runs in one process: start it without a launcher")
    if run.config.method in ANSWERING:
        raise RunError(f"{run.name} is a control without a model: attack a run that trained, or its base run")
    if run.answers_imported:
        raise RunError(f"{run.name} has imported answers and no model; import its adapter: `safeeraser adapter import`")
    run.check_trained()
    attacks = [one for one in attacks if one.why_not(run.config) is None]
    asked = items(run, source, records)
    rows = run.rows(run.attacks)
    _check_records(run, rows, asked)
    done = {(row["attack"], row["id"]) for row in rows}
    missing = {one: todo for one in attacks if (todo := [vqa for vqa in asked if (one.name, vqa.id) not in done])}
    grader = grading.get(judge, source.dataset.refusals)
    if missing or _ungraded(run, grader.name):
        with run.lock():
            run.repair(run.attacks)
            _ask(run, source, missing, progress)
            _grade(run, source, grader)
    return sum(map(len, missing.values()))


def items(run: Run, source: Source, records: int) -> list[VQA]:
    """What is asked: the pairs of so many records of val, drawn by a fixed seed, that share nothing with train."""
    config = run.config.model_copy(update={"eval_split": "val", "eval_records": records, "samples": 1})
    asked = [question.item for question in questions(source.readable[0], config)]
    found = [vqa for vqa in asked if vqa.set in SETS and vqa.split == "val" and vqa.id in source.clean]
    if not any(vqa.set == "forget" for vqa in found):
        raise RunError(f"{run.config.data}: val has no harmful question that train does not have: nothing to attack")
    return found


def _check_records(run: Run, rows: Sequence[AttackRow], asked: Sequence[VQA]) -> None:
    """All attacks of a run stand on the same records."""
    if {row["id"] for row in rows} - {vqa.id for vqa in asked}:
        raise ConfigError(
            f"{run.name} was attacked with other --records before: give the same number, or --force to start anew"
        )


def _ask(run: Run, source: Source, missing: Mapping[Attack, list[VQA]], progress: Reporter | None) -> None:
    config = answering.own_config(run)
    task = progress and progress.add_task("attack", total=sum(map(len, missing.values())), completed=0, note="")
    asked = 0
    with checks.explain_memory(f"Lower --answer-batch (now {config.answer_batch})."), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="safeeraser-attack-")))
        for one, model, encoder in _models(run, source, list(missing)):
            known = {vqa.id: vqa for vqa in missing[one]}
            under = [Question(item, sample=0) for item in under_attack(one, missing[one], folder)]
            if one.begins:
                encoder = begun(encoder.processor, config, one.begins)
            with weights.autocast(model, config) if isinstance(one.weights, Tuned) else ExitStack():
                for group in answering.groups(answering.answers(model, encoder, under, config, workers=config.workers)):
                    run.append(run.attacks, [_row(one, question, text, known, run) for question, text in group])
                    asked += len(group)
                    if progress:
                        progress.update(task, completed=asked, note=one.title)


def _row(one: Attack, question: Question, text: str, known: Mapping[str, VQA], run: Run) -> AttackRow:
    row: AnswerRow = answering.answer_row(question, text, run.config)
    asked = question.item.question
    put = {} if asked == known[question.item.id].question else {"asked": asked}
    return {"attack": one.name, **row, **put}  # pyright: ignore[reportReturnType]


def _models(run: Run, source: Source, attacks: list[Attack]) -> Iterator[tuple[Attack, Any, Encoder]]:
    """Each attack with the model that it asks. One model serves all that leave the weights alone."""
    if plain := [one for one in attacks if one.weights is None]:
        model, encoder = answering.own_model(run)
        yield from ((one, model, encoder) for one in plain)
        del model, encoder
    for one in attacks:
        if one.weights is not None and not isinstance(one.weights, Tuned):
            yield one, *weights.changed(run, one.weights)
    curves: dict[str, dict[int, Attack]] = {}
    for one in attacks:
        if isinstance(one.weights, Tuned):
            curves.setdefault(one.weights.on, {})[one.weights.steps] = one
    for on, at in curves.items():
        for step, model, encoder in weights.tuned(run, source.readable[0], on):
            if step in at:
                yield at[step], model, encoder
            if step == max(at):
                break


def under_attack(one: Attack, asked: Sequence[VQA], folder: Path) -> Iterator[VQA]:
    """The items as the attack puts them to the model, with the same ids; changed pictures are written to the folder."""

    @cache
    def drawn(picture: Path, question: str) -> Path:
        assert one.draw is not None
        return _kept(one.draw(images.rgb(picture), question), folder)

    for vqa in asked:
        if one.draw and vqa.picture:
            vqa = replace(vqa, picture=drawn(vqa.picture, vqa.question if one.written else ""))
        if one.unseen:
            vqa = replace(vqa, picture=None, text_only=True)
        yield replace(vqa, question=one.ask(vqa)) if one.ask else vqa


def _kept(picture: Image.Image, folder: Path) -> Path:
    """A file of the picture, lossless; like pictures share one, which a model then computes once."""
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    content = file.getvalue()
    path = folder / f"{hashlib.sha256(content).hexdigest()[:32]}.png"
    if not path.exists():
        files.write(path, content)
    return path


def _ungraded(run: Run, judge: str) -> bool:
    done = _graded(run, judge)
    return any(
        (row["attack"], row["id"], check) not in done
        for row in run.rows(run.attacks)
        for check in contract.CHECKS[row["set"]]
    )


def _graded(run: Run, judge: str) -> set[tuple[str, str, str]]:
    return {(row["attack"], row["id"], row["check"]) for row in scoring.verdicts(run, judge)}


def _grade(run: Run, source: Source, grader: contract.Judge) -> None:
    """Add the verdicts that the judge has not given yet; it sees the data set's own question and picture."""
    run.repair(run.attacks_verdicts)
    done = _graded(run, grader.name)

    def wanted(row: Any, check: str) -> bool:
        return (row["attack"], row["id"], check) not in done

    if _ungraded(run, grader.name):
        rows = grading.grade(grader, source.items, run.rows(run.attacks), wanted=wanted)
        run.append(run.attacks_verdicts, rows)


def forget(run: Run) -> None:
    """Throw away what is known of the run under attack; its own answers and scores stay."""
    with run.lock():
        for path in (run.attacks, run.attacks_verdicts):
            path.unlink(missing_ok=True)
