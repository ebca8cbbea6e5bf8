"""The published settings on the published formats: all stages as processes, killed in the middle and continued."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import families
import pytest
from official import picture, record, write
from warm import Started

from safeeraser.runs.folder import Run

pytestmark = pytest.mark.slow

FOLDER = "pdset/image/HateSpeech", "pdset/image/Hatespeech"  # as written, as on the disk
PAPER = (
    *("--preset", "paper", "--max-steps", "4", "--checkpoint-every", "1"),
    *("--max-new-tokens", "24", "--answer-batch", "8"),
)
CASES = {
    "po": ("--method", "po", "--samples", "2"),
    # After a kill an answer is in another batch, which rounds another way. Greedy and in fp32 that changes no token:
    # the likeliest is ahead by 1e-4 or more in the logits here, and rounding moves these by 1e-6. Sampled it may change
    # one: of two tokens that are equally likely but for rounding, this decides which comes first in the nucleus.
    "kl": (
        *("--method", "kl", "--precision", "fp32", "--temperature", "0", "--samples", "1"),
        *("--feature-cache", "1", "--base-cache", "1"),
    ),
}
TRAIN, VAL = 4, 5  # records, one of train with a broken picture


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist have in common, so that what takes long is made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "full-size"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def once(made: Path) -> Iterator[bool]:
    """Whether this worker is the first and makes it, while others wait; fails where another could not make it."""
    with made.with_name(f"{made.name}.once").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        said = lock.read()
        assert said != "begun", f"another worker could not make {made.name}"
        if not said:
            lock.write("begun")
            lock.flush()
        yield not said
        lock.truncate(0)
        lock.write("made")


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    """LLaVA-1.5 as published, small and random."""
    folder = shared / "llava-1.5-7b-hf"
    with once(folder) as first:
        return families.llava(folder) if first else folder


@pytest.fixture(scope="module")
def data_folder(shared: Path) -> Path:
    """The official layout with its quirks."""
    folder = shared / "SafeEraser"
    with once(folder) as first:
        return written(folder) if first else folder


def written(folder: Path) -> Path:
    splits = {
        split: [record(f"img/HateSpeech/{split}{n}.jpg", safe=f"{FOLDER[0]}/{split}/{n}.jpg") for n in range(count)]
        for split, count in (("train", TRAIN), ("val", VAL))
    }
    records = [*splits["train"], *splits["val"]]
    pictures = [entry["image_path"] for entry in records]
    pictures += [entry["SDImage_path"].replace(*FOLDER) for entry in records]
    without_category, with_prefix, *_ = splits["train"]
    without_category["category"] = ""
    with_prefix |= {name: f"dataset/{with_prefix[name]}" for name in ("image_id", "image_path")}
    write(folder, **splits)
    for number, path in enumerate(pictures):
        picture(folder / path, (10 * number, 128, 255 - 10 * number))
    (folder / pictures[TRAIN - 1]).write_bytes(b"no picture")
    return folder


# `safeeraser run` that is killed as soon as a table of its run has so many rows on the disk.
KILLED = """
import os, signal, sys
from pathlib import Path
from safeeraser import cli
from safeeraser.generate import answering
from safeeraser.runs.folder import Run

table, rows = Path(sys.argv[1]), int(sys.argv[2])

def and_die(write):
    def written(*given):
        write(*given)
        if table.exists() and len(table.read_text().splitlines()) >= rows:
            os.kill(os.getpid(), signal.SIGKILL)
    return written

Run.append, Run.append_answers = and_die(Run.append), and_die(Run.append_answers)
answering.ROWS = 8  # some answers on the disk, and not yet all
cli.main(sys.argv[3:])
"""


@dataclass
class Start:
    """Starts `safeeraser run` with these flags in this folder of runs."""

    folder: Path
    flags: list[str]

    def __call__(self, name: str, *, table: str = "", rows: int = 0) -> tuple[int, Run, Path]:
        """Start it under a name, with caches of its own, or the same to be killed once a table has so many rows.

        Returns how it ended, which run it is and where it printed.
        """
        environment = os.environ | {
            "SAFEERASER_RUNS": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / f"cache-{name}"),
        }
        program = ["-c", KILLED, str(self.folder / name / table), str(rows)] if table else ["-m", "safeeraser"]
        words = [*program, "run", *self.flags, "--name", name]
        process = Started(words, output=self.folder / f"{name}.txt", environment=environment)
        return process.wait(), Run(self.folder / name), process.output


@pytest.fixture(scope="module", params=CASES)
def start(request: pytest.FixtureRequest, checkpoint: Path, data_folder: Path, shared: Path) -> Start:
    folder = shared / f"runs-{request.param}"
    folder.mkdir(exist_ok=True)
    return Start(folder, ["--model", str(checkpoint), "--data", str(data_folder), *PAPER, *CASES[request.param]])


@pytest.fixture(scope="module")
def whole(start: Start) -> tuple[Run, str]:
    """An uninterrupted run and what it printed."""
    with once(start.folder / "whole") as first:
        if first:
            finished(start, "whole")
    return Run(start.folder / "whole"), (start.folder / "whole.txt").read_text()


@pytest.fixture(scope="module")
def continued(start: Start, whole: tuple[Run, str]) -> Run:
    """A run that was killed in the middle of training, then in the middle of answering, and then ended."""
    with once(start.folder / "killed") as first:
        if first:
            kill_and_finish(start, whole[0])
    return Run(start.folder / "killed")


def kill_and_finish(start: Start, whole: Run) -> None:
    steps = killed(start, "killed", table="log.jsonl", rows=2)
    assert len(steps) == 2
    some = killed(start, "killed", table="answers.jsonl", rows=1)
    assert 0 < len(some) < whole.answered()
    run, _ = finished(start, "killed")
    assert run.rows(run.log)[0] == steps[0]  # a step that was not done again: its seconds are the same
    rows = run.rows(run.answers)
    assert all(row in rows for row in some)  # what was on the disk is not asked again


def finished(start: Start, name: str) -> tuple[Run, str]:
    status, run, printed = start(name)
    assert status == 0, printed.read_text()
    return run, printed.read_text()


def killed(start: Start, name: str, *, table: str, rows: int) -> list[dict]:
    """Start the run and kill it once a table has so many rows; returns those it had."""
    status, run, printed = start(name, table=table, rows=rows)
    assert status == -signal.SIGKILL, printed.read_text()
    assert run.scores is None
    return run.rows(run.folder / table)


@pytest.mark.parametrize("start", ["po"], indirect=True)
def test_the_published_settings_run_every_stage_on_the_published_formats(whole: tuple[Run, str]):
    run, printed = whole
    names = {path.name for path in run.folder.iterdir()}
    stages = {"log.jsonl", "adapter", "answers.jsonl", "verdicts.jsonl", "scores.json"}
    assert names == {"config.json", "state.json", ".lock", *stages}
    config = run.config
    assert (config.precision, config.judge, config.shuffle, config.workers) == ("bf16", "rules", "pictures", 4)
    assert run.state["status"] == "done"
    assert [row["step"] for row in run.rows(run.log)] == [1, 2, 3, 4]
    assert run.rows(run.log)[0]["epoch"] == 32 / (4 * (TRAIN - 1))
    assert "1 picture cannot be read" in printed
    answered = run.rows(run.answers)
    assert len(answered) == len({(row["id"], row["sample"]) for row in answered})
    assert {row["category"] for row in answered} == {"HateSpeech"}
    assert len({row["answer"] for row in answered}) > len(answered) / 2
    assert run.scores is not None
    measured = {
        name: run.scores["metrics"][name]["n"] for name in ("asr_efficacy", "asr_generality", "sarr", "rouge_l")
    }
    efficacy, generality = (TRAIN - 1) * 4 * config.samples, VAL * 4 * config.samples
    assert measured == {"asr_efficacy": efficacy, "asr_generality": generality, "sarr": VAL * 4, "rouge_l": VAL * 4}
    assert len(answered) == efficacy + generality + VAL * 8
    assert run.scores["change_from_base"]["base"] == config.base().run_name()


def test_killed_in_training_and_in_answering_the_same_command_ends_with_the_same_adapter(
    whole: tuple[Run, str], continued: Run
):
    ours, theirs = (run.adapter / "adapter_model.safetensors" for run in (continued, whole[0]))
    assert ours.read_bytes() == theirs.read_bytes()
    assert answers(continued).keys() == answers(whole[0]).keys()
    assert continued.scores is not None


@pytest.mark.parametrize("start", ["kl"], indirect=True)
def test_killed_in_training_and_in_answering_the_same_command_ends_with_the_same_answers(
    whole: tuple[Run, str], continued: Run
):
    assert answers(continued) == answers(whole[0])
    ours, theirs = continued.scores, whole[0].scores
    assert ours is not None
    assert theirs is not None
    assert ours | {"run": ""} == theirs | {"run": ""}


@pytest.mark.parametrize("start", ["kl"], indirect=True)
def test_each_picture_and_each_retain_pair_is_cached_once(whole: tuple[Run, str], continued: Run):
    for run in (whole[0], continued):
        stores = run.folder.parent / f"cache-{run.name}" / "safeeraser"
        count = {kind: len(list((stores / kind).rglob("*.safetensors"))) for kind in ("features", "base")}
        assert count == {"features": 2 * (TRAIN - 1 + VAL), "base": 4 * (TRAIN - 1)}


def answers(run: Run) -> dict[tuple[str, int], str]:
    return {(row["id"], row["sample"]): row["answer"] for row in run.rows(run.answers)}
