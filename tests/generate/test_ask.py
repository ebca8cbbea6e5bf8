"""Questions of one's own on a tiny model: a real worker process, its answers and its limits."""

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image
from waiting import until

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.generate import answerer, answering
from safeeraser.generate.ask import Answer, Asker, AskError
from safeeraser.generate.questions import questions
from safeeraser.models import adapter, checks, loading
from safeeraser.runs import lanes
from safeeraser.runs.folder import Run, RunError


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    shared = Asker()
    yield shared
    shared.stop()


@pytest.fixture
def base(config: RunConfig, runs_folder: Path) -> Run:
    return Run.create(config.base(), data_hash="tiny", name="before")


def a_picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "PNG")
    return file.getvalue()


def unlearned(config: RunConfig, *, name: str, seed: int) -> Run:
    """A run with an adapter and projector of random numbers, large enough to change what the model says."""
    run = Run.create(config, data_hash="tiny", name=name)
    torch.manual_seed(seed)
    model = adapter.attach(loading.load(config.model)[0], config)
    for parameter in adapter.trainable(model):
        torch.nn.init.normal_(parameter, std=0.3)
    adapter.save(model, run.adapter)
    return run


def asked(dataset: Dataset, config: RunConfig) -> dict[str, VQA]:
    return {question.item.id: question.item for question in questions(dataset, config)}


def answers(run: Run, dataset: Dataset) -> dict[str, str]:
    answering.generate(run, dataset)
    return {row["id"]: row["answer"] for row in run.rows(run.answers)}


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_a_warm_worker_gives_the_answers_that_the_runs_gave(
    asker: Asker, base: Run, config: RunConfig, tiny_data: Dataset
):
    runs = [base, *(unlearned(config, name=f"run.{seed}", seed=seed) for seed in range(5))]
    expected = {run.name: answers(run, tiny_data) for run in runs}
    names = list(expected)
    workers = set()
    # A question of one's own is always about a picture.
    shown = [(key, item) for key, item in asked(tiny_data, config).items() if not item.text_only]
    for key, item in shown[::13]:
        assert item.picture
        got = asker.ask(runs=names, picture=item.picture, question=item.question)
        assert [(answer.run, answer.answer) for answer in got] == [(name, expected[name][key]) for name in names]
        workers.add(asker.pid)
    assert len(workers) == 1
    assert asker.warm
    assert len({tuple(texts.values()) for texts in expected.values()}) == len(runs)


@pytest.mark.slow
def test_base_is_the_model_beneath_a_run(asker: Asker, base: Run, config: RunConfig, tiny_data: Dataset):
    unlearned(config, name="after", seed=0)
    key, item = next(iter(asked(tiny_data, config).items()))
    assert item.picture
    got = asker.ask(runs=["after", "base"], picture=item.picture, question=item.question)
    assert [answer.run for answer in got] == ["after", "base"]
    assert got[1].answer == answers(base, tiny_data)[key] != got[0].answer


@pytest.mark.slow
def test_a_run_that_was_trained_anew_is_not_answered_by_its_old_adapter(
    asker: Asker, config: RunConfig, tiny_data: Dataset, runs_folder: Path
):
    item = next(iter(asked(tiny_data, config).values()))
    assert item.picture
    said = []
    for seed in (1, 2):
        unlearned(config, name="again", seed=seed)
        said.append(asker.ask(runs=["again"], picture=item.picture, question=item.question)[0].answer)
    assert said[0] != said[1]


def test_each_run_is_asked_in_its_own_precision_and_quantization(
    config: RunConfig, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def based_on(name: str, **settings: str) -> Run:
        return Run.create(config.base().model_copy(update=settings), data_hash="tiny", name=name)

    shelf = answerer.Shelf()
    full, half = based_on("full"), based_on("half", precision="bf16")
    kinds = [shelf.take(run, adapted=False)[0].dtype for run in (full, half, full)]
    assert kinds == [torch.float32, torch.bfloat16, torch.float32]
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(checks.ModelError, match="4bit"):  # the warm model, which differs in that alone, is not taken
        shelf.take(based_on("small", quantization="4bit"), adapted=False)


@pytest.mark.slow
def test_an_upload_is_answered_like_the_same_picture_of_the_data_set(
    asker: Asker, base: Run, config: RunConfig, tiny_data: Dataset
):
    item = next(iter(asked(tiny_data, config).values()))
    assert item.picture
    from_file = asker.ask(runs=["before"], picture=item.picture, question=item.question)
    from_bytes = asker.ask(runs=["before"], picture=item.picture.read_bytes(), question=item.question)
    assert from_file[0].answer == from_bytes[0].answer


@pytest.mark.slow
def test_two_threads_asking_at_once_each_get_their_own_answers(
    asker: Asker, base: Run, config: RunConfig, tiny_data: Dataset
):
    expected = answers(base, tiny_data)
    items = list(asked(tiny_data, config).values())[:12]

    def ask(item: VQA) -> list[Answer]:
        assert item.picture
        return asker.ask(runs=["before"], picture=item.picture, question=item.question)

    with ThreadPoolExecutor(2) as pool:
        got = [reply[0].answer for reply in pool.map(ask, items)]
    assert got == [expected[item.id] for item in items]
    assert len(set(got)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("token", ["<image>", "</s>", "<pad>"])
def test_a_question_with_a_special_token_is_refused_and_the_worker_lives_on(asker: Asker, base: Run, token: str):
    with pytest.raises(AskError, match=f"contains {token}, which means something else"):
        asker.ask(runs=["before"], picture=a_picture(), question=f"What is this? {token}")
    assert asker.warm


@pytest.mark.parametrize(
    ("question", "why"),
    [("", "1 to 500 characters, this one 0"), ("x" * 501, "this one 501"), ("a\x1bb", "control character"), (" ", "0")],
)
def test_a_question_that_is_none_is_refused_before_a_worker_starts(base: Run, question: str, why: str):
    asker = Asker()
    with pytest.raises(AskError, match=why):
        asker.ask(runs=["before"], picture=a_picture(), question=question)
    assert not asker.warm


def test_a_run_without_a_model_to_ask_is_refused_before_a_worker_starts(config: RunConfig, runs_folder: Path):
    Run.create(config, data_hash="tiny", name="untrained")
    Run.create(config, data_hash="tiny", name="elsewhere", imported="answers.json")
    asker = Asker()
    for names, error, why in (
        (["untrained"], AskError, "untrained has no adapter yet"),
        (["elsewhere"], AskError, "elsewhere was imported"),
        (["nowhere"], RunError, "no run 'nowhere'"),
        (["base"], AskError, "at least one run"),
        ([], AskError, "at least one run"),
    ):
        with pytest.raises(error, match=why):
            asker.ask(runs=names, picture=a_picture(), question="What is this?")
    assert not asker.warm


@pytest.mark.slow
def test_an_adapter_of_another_model_is_an_error_and_the_next_question_is_answered(
    asker: Asker, base: Run, config: RunConfig
):
    unlearned(config.model_copy(update={"train_projector": False}), name="fits", seed=0)
    run = unlearned(config, name="foreign", seed=0)
    weights = run.adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"layers.1.mlp.up_proj", b"layers.7.mlp.up_proj"))
    (run.adapter / adapter.HASHES).unlink()
    with pytest.raises(AskError, match="does not fit this model"):
        asker.ask(runs=["foreign"], picture=a_picture(), question="What is this?")
    assert len(asker.ask(runs=["before", "fits"], picture=a_picture(), question="What is this?")) == 2


@pytest.mark.slow
def test_a_picture_that_is_missing_is_named(asker: Asker, base: Run, tmp_path: Path):
    with pytest.raises(AskError, match=r"no-such\.jpg: the picture is missing"):
        asker.ask(runs=["before"], picture=tmp_path / "no-such.jpg", question="What is this?")


@pytest.mark.slow
def test_a_time_out_kills_the_worker_and_the_next_question_starts_one_that_ends_when_idle(base: Run):
    asker = Asker(idle=0.5)
    try:
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(asker.ask, runs=["before"], picture=a_picture(), question="Why?", seconds=1)
            until(lambda: asker.warm)
            first = asker.pid
            with pytest.raises(AskError, match=r"no answer within 1 s.*ask again with more time"):
                late.result()
        assert first
        until(lambda: gone(first))
        assert len(asker.ask(runs=["before"], picture=a_picture(), question="Why?")) == 1
        assert asker.pid != first
        until(lambda: not asker.warm)
    finally:
        asker.stop()


@pytest.mark.slow
def test_who_waits_too_long_for_a_turn_is_told_so(base: Run):
    asker = Asker()
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(asker.ask, runs=["before"], picture=a_picture(), question="Why?")
            until(lambda: asker.warm)
            with pytest.raises(AskError, match=r"other questions were still being answered after 0\.1 s"):
                asker.ask(runs=["before"], picture=a_picture(), question="Why?", seconds=0.1)
            asker.stop()
            with pytest.raises(AskError, match="was stopped; ask again"):
                first.result()
    finally:
        asker.stop()


@pytest.mark.slow
def test_a_model_that_needs_more_memory_than_allowed_is_an_error_that_says_so(base: Run):
    asker = Asker(memory=0.1)
    with pytest.raises(AskError, match=r"needs more than the 0\.1 GiB of memory it may take"):
        asker.ask(runs=["before"], picture=a_picture(), question="Why?")
    assert not asker.warm


def test_a_gpu_without_room_is_an_error_that_says_what_to_do_and_ends_the_worker(
    base: Run, monkeypatch: pytest.MonkeyPatch
):
    def load(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loading, "load", load)
    requests: queue.Queue[str] = queue.Queue()
    run = {"run": "before", "folder": str(base.folder), "adapted": False}
    requests.put(json.dumps({"id": 7, "question": "Why?", "path": "no.png", "runs": [run]}))
    replies = StringIO()
    answerer.serve(requests, replies, idle=60)
    reply = json.loads(replies.getvalue())
    assert reply["id"] == 7
    assert reply["error"].startswith("out of memory. A training run or another program may hold it: ask again when")


@pytest.mark.slow
def test_a_worker_that_is_killed_is_an_error_that_says_so(base: Run):
    asker = Asker()
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(asker.ask, runs=["before"], picture=a_picture(), question="Why?")
        until(lambda: asker.warm)
        assert asker.pid
        os.kill(asker.pid, signal.SIGKILL)
        with pytest.raises(AskError, match="was killed, perhaps because the machine ran out of memory"):
            reply.result()


ASKING = """
import threading, time
from pathlib import Path
from safeeraser.generate.ask import Asker

asker = Asker()
asking = dict(runs=["before"], picture=Path("no.png"), question="Why?")
threading.Thread(target=asker.ask, kwargs=asking, daemon=True).start()
while not asker.warm:
    time.sleep(0.01)
print(asker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_the_worker_ends_when_the_one_who_asked_is_killed(base: Run):
    with subprocess.Popen([sys.executable, "-c", ASKING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        alive = not gone(worker)
        parent.kill()
    assert alive
    until(lambda: gone(worker))


@pytest.mark.slow
def test_answers_stream_side_by_side_to_what_they_are_alone(asker: Asker, base: Run, config: RunConfig):
    unlearned(config, name="after", seed=0)
    how = {"runs": ["after", "base"], "picture": a_picture(), "question": "What is this?"}
    alone = [answer.answer for answer in asker.ask(**how)]
    grown = list(asker.stream(**how))
    assert grown[-1] == alone
    assert len(grown) >= config.max_new_tokens
    for before, after in pairwise(grown):
        assert all(text.startswith(old) for text, old in zip(after, before, strict=True))
    assert any(grown[1])
    assert grown[1] != alone


@pytest.mark.slow
def test_sampled_answers_are_those_of_their_seed(asker: Asker, base: Run):
    def said(seed: int) -> list[str]:
        how = {"picture": a_picture(), "question": "What is this?", "temperature": 1.0}
        return [*asker.stream(runs=["before"], seed=seed, **how)][-1]

    assert said(1) == said(1) != said(2)


@pytest.mark.slow
def test_who_leaves_in_mid_answer_ends_it_and_frees_the_lane(asker: Asker, base: Run):
    how = {"runs": ["before"], "picture": a_picture(), "question": "What is this?"}
    whole = asker.ask(**how)[0].answer
    pid = asker.pid
    left = asker.stream(**how)
    next(left)
    left.close()
    with lanes.held(lanes.of_questions("cpu"), deadline=time.monotonic()):
        pass
    assert asker.ask(**how)[0].answer == whole
    assert asker.pid == pid


def test_what_nobody_waits_for_any_more_is_not_answered(base: Run, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(a_picture())
    requests: queue.Queue[str] = queue.Queue()
    run = {"run": "before", "folder": str(base.folder), "adapted": False}
    for number in (7, 8):
        request = {"id": number, "question": "Why?", "path": str(tmp_path / "a.png"), "runs": [run], "stream": True}
        requests.put(json.dumps(request))
    replies = StringIO()
    answerer.serve(requests, replies, idle=0.1, given_up={7})
    lines = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [list(line) for line in lines if line["id"] == 7] == [["id", "error"]]
    assert "answers" in lines[-1]


def test_one_process_asks_at_a_time_and_the_arena_waits_for_runs(base: Run):
    how = {"runs": ["before"], "picture": a_picture(), "question": "What is this?", "seconds": 0.2}
    for lock, asks in ((lanes.of_questions("cpu"), Asker()), (lanes.of_runs("cpu"), Asker(beside_runs=False))):
        with lanes.held(lock, deadline=time.monotonic()), pytest.raises(AskError, match="has had cpu"):
            asks.ask(**how)
        assert asks.pid is None  # the device is asked for before a model is
