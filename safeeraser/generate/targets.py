"""A copy of a data set whose forget, retain and decouple targets are a model's own answers.

Covered: asking, going on after a kill, and writing the copy. The paper's targets are the answers of vanilla LLaVA-1.5;
another model unlearns what it says itself only from answers of its own. Not covered: `extra_val.json` and
`extra_dev.json`, which nothing is trained on and which are copied as they are.
"""

import fcntl
import json
import shlex
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from safeeraser import files
from safeeraser.config import RunConfig
from safeeraser.data import converting, health, official, source
from safeeraser.data.entries import read_entries
from safeeraser.data.notes import Notes
from safeeraser.data.records import NO_TARGETS, VQA, DataError, Dataset, Found, Split, Targets
from safeeraser.generate import answering
from safeeraser.generate.questions import Question
from safeeraser.judge import refusing, senseless
from safeeraser.models import checks
from safeeraser.models.encoder import Encoder
from safeeraser.runs.progress import Reporter

SETS = ("forget", "retain", "decouple")
# What decides an answer; the model and the data are named beside.
_DECIDING = {"precision", "quantization", "system_prompt", "max_new_tokens", "max_length"}
_COPIED = (official.REFUSALS_FILE, official.ABOUT_FILE, *official.EXTRA_FILES.values())


def make(config: RunConfig, out: Path, *, leave_out: Collection[str] = (), progress: Reporter | None = None) -> Targets:
    """Let the model of `config` answer its data set, and write the copy to `out`; greedy, whatever the config says.

    leave_out: the kinds of answers, of NO_TARGETS, that do not become targets. Each answer is on the disk
    when it is given, in a file beside `out`: after a kill the same call goes on. A finished copy is left as it is.
    Raises DataError.
    """
    config = config.model_copy(update={"temperature": 0.0, "samples": 1})
    dataset, _ = health.readable(official.load(source.folder(config.data), unanswered=True))
    facts = _facts(config, dataset, leave_out)
    if (made := official.targets(out)) and facts.items() <= asdict(made).items():
        _beside(out).unlink(missing_ok=True)  # a kill may have come between the two
        return made
    converting.check_free(out)
    pairs = [pair for record in dataset.records for pair in record.pairs]
    if not pairs:
        raise DataError(f"{config.data} asks nothing; run `safeeraser data check {config.data}`")
    out.parent.mkdir(parents=True, exist_ok=True)
    asked = [Question(pair, 0) for pair in pairs if pair.asked]
    answered = {name: facts[name] for name in ("model", "settings", "source_hash")}
    with _kept(_beside(out), answered) as answers:
        _ask(config, asked, answers, _beside(out), progress)
        kinds = {id: kind_of(given) for id, given in answers.items()}
        texts = {id: "" if kinds[id] in leave_out else given.answer for id, given in answers.items()}
        found = {name: _count([p for p in pairs if p.set == name], kinds, leave_out) for name in SETS}
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        made = Targets(**facts, version=version("safeeraser"), date=date, found=found)
        files.write_folder(out, lambda folder: _fill(folder, dataset, texts, made))
        _beside(out).unlink()
    return made


class Given(NamedTuple):
    """An answer; cut: whether it has as many tokens as were allowed."""

    answer: str
    cut: bool


def kind_of(given: Given) -> str | None:
    """What is wrong with an answer as a target, of NO_TARGETS, or None."""
    if refusing.refuses(given.answer):
        return "refusals"
    if senseless.meaningless(given.answer):
        return "nonsense"
    return "unfinished" if given.cut else None


def _facts(config: RunConfig, dataset: Dataset, leave_out: Collection[str]) -> dict[str, Any]:
    """What decides the copy."""
    usual = RunConfig(**config.model_dump(include=_DECIDING))
    return {
        "model": str(Path(config.model).resolve()) if _is_folder(config.model) else config.model,
        "settings": shlex.join(usual.flags()),
        "leave_out": tuple(sorted(leave_out)),
        "source": config.data,
        "source_hash": health.dataset_hash(dataset),
    }


def _is_folder(model: str) -> bool:
    return model != "demo" and Path(model).is_dir()


def _beside(out: Path) -> Path:
    """The answers so far."""
    return out.with_name(f".{out.name}.answers.jsonl")


@contextmanager
def _kept(path: Path, facts: Mapping[str, str]) -> Iterator[dict[str, Given]]:
    """The answers in a file by id, held for this process; facts: its first line, which says what they answer."""
    with files.explained(path):
        file = path.open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{path} is being written by another process; wait for it") from None
        lines = files.lines(path)
        file.truncate(sum(len(line) + 1 for line in lines))  # without what a kill left half-written
        if not lines:
            files.append(path, [json.dumps(facts)])
        answers = _read(path, lines or [json.dumps(facts)], facts)
        try:
            yield answers
        finally:
            if not answers:
                path.unlink()


def _read(path: Path, lines: Sequence[str | bytes], facts: Mapping[str, str]) -> dict[str, Given]:
    """The answers in the lines of a file by id. Raises DataError for those of other data or settings."""
    try:
        said, *rows = map(json.loads, lines)
        answers = {row["id"]: Given(row["answer"], row["cut"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it to answer anew") from error
    if said != facts:
        raise DataError(f"{path} holds answers to other data or by other settings; remove it, or choose another --out")
    return answers


def _ask(
    config: RunConfig, asked: list[Question], answers: dict[str, Given], path: Path, progress: Reporter | None
) -> None:
    """Add the answers that are missing, to `answers` and to the file."""
    missing = [question for question in asked if question.item.id not in answers]
    if not missing:
        return
    task = progress and progress.add_task("answer", total=len(asked), completed=len(answers), note="")
    with checks.explain_memory(f"Lower --answer-batch (now {config.answer_batch})."):
        model, encoder = answering.model_of(config)
        given = answering.answers(model, encoder, missing, config, workers=config.workers)
        for group in answering.groups(given):
            new = {one.item.id: Given(text, _cut(text, encoder, config)) for one, text in group}
            files.append(path, (json.dumps({"id": id, **one._asdict()}) for id, one in new.items()))
            answers |= new
            if progress:
                progress.update(task, completed=len(answers))


def _cut(text: str, encoder: Encoder, config: RunConfig) -> bool:
    """Whether an answer has as many tokens as are allowed; one fewer, as spaces at its ends are gone."""
    return len(encoder.tokenizer(text, add_special_tokens=False)["input_ids"]) >= config.max_new_tokens - 1


def _count(pairs: Iterable[VQA], kinds: Mapping[str, str | None], leave_out: Collection[str]) -> Found:
    ids = [pair.id for pair in pairs]
    found = [kinds[id] for id in ids if id in kinds]
    return Found(
        asked=len(found),
        **{kind: found.count(kind) for kind in NO_TARGETS},
        left_out=sum(kind in leave_out for kind in found),
        without_picture=len(ids) - len(found),
    )


def _fill(folder: Path, dataset: Dataset, texts: Mapping[str, str], made: Targets) -> None:
    """Write the copy: the records with these targets by id ("" for none), the other files and the pictures."""
    for split, name in converting.FILES.items():
        if (dataset.root / name).exists():
            records = [*_records(dataset.root / name, split, texts)]
            files.put(folder / name, json.dumps(records, indent=1, ensure_ascii=False))
    for name in _COPIED:
        if (dataset.root / name).exists():
            shutil.copyfile(dataset.root / name, folder / name)
    for picture in health.pictures(dataset):
        target = folder / picture.relative_to(dataset.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)
    files.put(folder / official.TARGETS_FILE, json.dumps(asdict(made), indent=1, ensure_ascii=False))


def _records(file: Path, split: Split, texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The records of a file, with the targets of their pairs in place of what was there."""
    names = official.Names()
    for entry in read_entries(file, Notes(), inside=file.parent):
        record = f"{split}/{names.take(official.image_id_of(entry))}"
        for k, pair in enumerate(entry.items("unsafe_pairs")):
            pair.fields["model_response"] = texts.get(f"{record}/forget/{k}", "")
            pair.fields["sd_response"] = texts.get(f"{record}/decouple/{k}", "")
        for k, name in enumerate(official.RETAIN_FIELDS):
            if pair := entry.item(name):
                pair.fields["Prediction"] = texts.get(f"{record}/retain/{k}", "")
        yield entry.fields
