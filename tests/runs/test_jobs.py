"""Runs as processes of their own: launched, queued, watched, cancelled and resumed."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import until
from warm import Started
from written import log_row

from safeeraser import cli, files
from safeeraser.commands import flags
from safeeraser.config import RunConfig
from safeeraser.data.source import Source
from safeeraser.runs import jobs, watching
from safeeraser.runs.folder import EXAMPLES, Run, identity
from safeeraser.runs.jobs import JobError, StillActiveError

EXAMPLE = EXAMPLES / "demo-po-pd-s0-44136f"


@pytest.fixture
def folder(runs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs; whatever a test leaves running there is killed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs_folder.mkdir()
    yield runs_folder
    left = [process for _, facts in watching.lined_up() if (process := watching.alive(facts["process"]))]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=60)


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """A process that does nothing, in a group of its own."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def in_step(name: str, step: int) -> bool:
    job = jobs.watch(name)
    assert job.status in jobs.ACTIVE, (job, job.log.read_text())
    return job.stage == "unlearn" and (job.step or 0) >= step


def over(name: str) -> bool:
    return jobs.watch(name).status not in jobs.ACTIVE


def workers(name: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [
        process for process in found if (process.info["cmdline"] or [])[-2:] == ["safeeraser.commands.worker", name]
    ]


def changed(config: RunConfig, **settings: Any) -> RunConfig:
    return RunConfig(**config.model_dump() | settings)


def made(name: str, config: RunConfig, status: str, **state: Any) -> Run:
    """A run as a command would have left it, by this process unless the state says otherwise."""
    run = Run.create(config, data_hash="a", name=name)
    run.set_state(status, stage="unlearn", **state)
    return run


@pytest.mark.slow
def test_a_killed_run_lets_the_next_one_start_and_ends_as_if_undisturbed(
    folder: Path, config: RunConfig, capsys: pytest.CaptureFixture
):
    long = changed(config, max_steps=30)
    name = long.run_name()
    # A server that launches twice, as two clicks do, and is killed: its run goes on.
    script = (
        "import sys, time; from safeeraser.runs import jobs; from safeeraser.config import RunConfig\n"
        "config = RunConfig(**__import__('json').loads(sys.argv[1]))\n"
        "print(jobs.launch(config)); print(jobs.launch(config), flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(long.model_dump())], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert [server.stdout.readline().strip() for _ in range(2)] == [name, name]
        server.kill()
    first = jobs.watch(name).pid
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(jobs.launch, [config] * 8)) == {config.run_name()}
    assert [len(workers(run)) for run in (name, config.run_name())] == [1, 1]
    assert os.getsid(first or 0) == first != os.getsid(0)
    until(lambda: in_step(name, 5))
    waiting, running = jobs.watch(config.run_name()), jobs.watch(name)
    assert (waiting.status, waiting.place, waiting.device) == ("queued", 1, "cpu")
    assert (running.status, running.place, running.pid, running.steps) == ("running", None, first, 30)
    assert running.seconds_left is not None
    assert 0 < running.seconds_left < 600
    assert running.tokens_per_second is not None

    os.kill(running.pid or 0, signal.SIGKILL)
    until(lambda: jobs.watch(name).status == "interrupted")
    until(lambda: over(config.run_name()))
    assert jobs.watch(config.run_name()).status == "done"

    assert jobs.resume(name) == name
    until(lambda: over(name))
    assert jobs.watch(name).status == "done"
    assert cli.main(["run", *jobs.command(long)[2:], "--name", "undisturbed"]) == 0
    ours, theirs = Run.find(name), Run.find("undisturbed")
    assert [row["step"] for row in ours.rows(ours.log)] == list(range(1, 31))
    assert (ours.scores or {}) | {"run": ""} == (theirs.scores or {}) | {"run": ""}
    adapters = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (ours, theirs)]
    assert adapters[0] == adapters[1]
    for refused, message in ((jobs.resume, "nothing to resume"), (jobs.cancel, "nothing to cancel")):
        with pytest.raises(JobError, match=f"is done.*{message}"):
            refused(name)
    assert jobs.launch(long) == name
    assert jobs.watch(name).status == "done"


@pytest.mark.slow
def test_cancel_writes_a_checkpoint_and_empties_the_queue(folder: Path, config: RunConfig, capsys):
    long = changed(config, max_steps=5000, checkpoint_every=1000)
    name, queued = jobs.launch(long), jobs.launch(config, name="second")
    until(lambda: in_step(name, 2))
    assert cli.main(["jobs", "--json"]) == 0
    listed = {job["name"]: job for job in json.loads(capsys.readouterr().out)}
    assert (listed[name]["status"], listed[name]["stage"], listed[name]["steps"]) == ("running", "unlearn", 5000)
    assert (listed[queued]["status"], listed[queued]["place"]) == ("queued", 1)
    assert listed[queued]["config"]["max_steps"] == 4
    with pytest.raises(StillActiveError, match="is running"):
        jobs.launch(long, force=True)

    third = psutil.Process(jobs.watch(jobs.launch(config, name="third")).pid)
    assert jobs.watch("third").place == 2
    until(lambda: str(folder / ".device-cpu.lock") in [file.path for file in third.open_files()])
    shutil.rmtree(folder / "third")  # a user who tidies up
    until(lambda: third.status() == psutil.STATUS_ZOMBIE)
    assert not (folder / "third").exists()
    assert cli.main(["jobs", "cancel", queued]) == 0
    until(lambda: over(queued))
    assert jobs.watch(queued).status == "cancelled"
    assert cli.main(["jobs", "cancel", name]) == 0
    until(lambda: over(name))
    job = jobs.watch(name)
    assert (job.status, job.pid) == ("cancelled", None)
    assert "the same command goes on" in (job.message or "")
    assert len(list(Run(folder / name).checkpoints.iterdir())) == 1
    capsys.readouterr()
    assert cli.main(["jobs", "cancel", name]) == 1
    assert f"{name} is cancelled, not active" in capsys.readouterr().err

    assert cli.main(["jobs", "resume", name]) == 0
    assert jobs.watch(name).status in jobs.ACTIVE
    jobs.cancel(name, force=True)
    until(lambda: over(name))
    assert jobs.watch(name).status == "cancelled"
    assert cli.main(["jobs"]) == 0
    assert "cancelled" in capsys.readouterr().out


@pytest.mark.slow
def test_cancel_ends_a_run_that_is_answering(folder: Path, config: RunConfig):
    name = jobs.launch(changed(config.base(), eval_records=20, answer_batch=1))
    run = Run(folder / name)
    until(lambda: len(run.rows(run.answers)) > 3)
    assert jobs.watch(name).stage == "generate"
    jobs.cancel(name)
    until(lambda: over(name))
    job = jobs.watch(name)
    assert (job.status, job.stage) == ("cancelled", "generate")
    assert (run.state["status"], (run.launched or {})["exit"]) == ("interrupted", 130)


@pytest.mark.slow
def test_two_devices_make_one_base_run_between_them(
    folder: Path, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "0, NVIDIA H100 80GB"\necho "1, NVIDIA A100"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs._gpus.cache_clear()
    assert jobs.devices() == {"cuda:0": "NVIDIA H100 80GB", "cuda:1": "NVIDIA A100", "cpu": "CPU"}
    with pytest.raises(JobError, match="--device cuda:7: there is no such device; known: cuda:0, cuda:1, cpu"):
        jobs.launch(config, device="cuda:7")
    free = changed(config, device="auto")
    names = [jobs.launch(changed(free, seed=seed)) for seed in (0, 1)]
    assert [jobs.watch(name).device for name in names] == ["cuda:0", "cuda:1"]
    environments = [psutil.Process(jobs.watch(name).pid).environ() for name in names]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["0", "1"]
    seen = set()
    while not all(over(name) for name in names):
        seen |= {(jobs.watch(name).stage or "").split(":")[0] for name in names}
        time.sleep(0.02)
    assert [jobs.watch(name).status for name in names] == ["done", "done"], jobs.watch(names[1]).log.read_text()
    assert "base model" in seen
    commands = "".join(jobs.watch(name).log.read_text() for name in names)
    assert commands.count("--method base") == 1
    jobs._gpus.cache_clear()


@pytest.mark.slow
def test_a_run_waits_while_another_process_makes_its_base_run(folder: Path, config: RunConfig, sleeper: psutil.Process):
    base = Run.create(config.base(), data_hash=Source(config.data).hash)
    with (folder / f".{base.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a run on another device would
        name = jobs.launch(config)
        process = psutil.Process(jobs.watch(name).pid)
        until(lambda: lock.name in [file.path for file in process.open_files()])
        time.sleep(1.2)
        assert "$ safeeraser" not in jobs.watch(name).log.read_text()
        base.set_state("running", stage="generate", **identity(sleeper))  # as a command in a terminal would
    time.sleep(1.2)
    assert jobs.watch(name).stage == "base model: generate"
    assert "$ safeeraser" not in jobs.watch(name).log.read_text()
    sleeper.kill()
    until(lambda: over(name))
    assert jobs.watch(name).status == "done"


@pytest.mark.slow
def test_a_launch_that_fails_before_its_run_is_made_says_why(folder: Path, config: RunConfig):
    name = jobs.launch(changed(config, data="no/such/folder"))
    until(lambda: over(name))
    job = jobs.watch(name)
    assert job.status == "failed"
    assert "no/such/folder" in (job.message or "")
    assert not (job.log.parent / "config.json").exists()
    assert next(one.name for one in jobs.every()) == name
    (folder / "thesis").mkdir()
    (folder / "thesis" / "thesis.txt").write_text("years of work")
    for wrong, message in (("thesis", "is not a run and not empty"), ("../up", "must be a plain name")):
        with pytest.raises(jobs.SafeEraserError, match=message):
            jobs.launch(config, name=wrong, force=True)
    assert (folder / "thesis" / "thesis.txt").exists()


def test_only_the_very_process_that_worked_on_a_run_is_alive(folder: Path, config: RunConfig, sleeper: psutil.Process):
    who = identity(sleeper)
    for change, status in (
        ({}, "running"),
        ({"born": who["born"] - 5}, "interrupted"),  # its pid was given to another process
        ({"boot": who["boot"] - 3600, "born": who["born"] - 3600}, "interrupted"),  # before a reboot
        ({"boot": who["boot"] - 20, "born": who["born"] - 20}, "running"),  # the clock was set
        ({"host": "elsewhere"}, "interrupted"),
    ):
        run = made("mine", config, "running", **who | change)
        assert jobs.watch("mine").status == status, change
    with pytest.raises(JobError, match="is interrupted, not active"):
        jobs.cancel("mine", force=True)
    assert sleeper.is_running()
    sleeper.kill()  # nobody waits for it: a zombie now
    run.set_state("running", **who)
    until(lambda: jobs.watch("mine").status == "interrupted")


def test_a_run_of_the_command_line_is_watched_and_cancelled_too(
    folder: Path, config: RunConfig, sleeper: psutil.Process
):
    run = made("mine", config, "running", **identity(sleeper), step=3, steps=4)
    run.append(run.log, [log_row(seconds=0.5)] * 30 + [log_row(seconds=4.0)] * 9)
    job = jobs.watch("mine")
    assert (job.status, job.stage, job.step, job.steps) == ("running", "unlearn", 3, 4)
    # Of the last 20 steps 11 took 0.5 s and 9 took 4 s: median 0.5, 2000 tokens in 41.5 s.
    assert (job.seconds_left, job.tokens_per_second) == (0.5, pytest.approx(2000 / 41.5))
    assert jobs.launch(config, name="mine") == "mine"
    assert run.launched is None
    for path in [run.folder, *run.folder.iterdir()]:
        os.utime(path, (time.time() - 200,) * 2)
    assert jobs.watch("mine").status == "stalled"
    jobs.cancel("mine")
    until(lambda: jobs.watch("mine").status == "cancelled")


def test_status_of_a_run_that_nobody_works_on(folder: Path, config: RunConfig, sleeper: psutil.Process):
    dead = identity(sleeper) | {"pid": 2**22 + 1}
    for said, status in (
        ("created", "interrupted"),
        ("running", "interrupted"),
        ("ready", "ready"),
        ("failed", "failed"),
        ("done", "done"),
    ):
        made(said, config, said, **dead, message="out of memory")
        assert jobs.watch(said).status == status
    assert jobs.watch("failed").message == "out of memory"
    (folder / "ready" / "cancel").touch()
    assert jobs.watch("ready").status == "cancelled"
    (folder / "done" / "cancel").touch()
    assert jobs.watch("done").status == "done"
    with pytest.raises(JobError, match="settings; choose another --name"):
        jobs.launch(changed(config, seed=9), name="failed")
    with pytest.raises(JobError, match="ships with the project"):
        jobs.resume(EXAMPLE.name)
    with pytest.raises(JobError, match=r"no run 'nothing'; known: .*created, done, failed"):
        jobs.watch("nothing")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (RunConfig.create(), ""),
        (RunConfig.create(method="gd", pd=False, lr=1e-5), "--method gd --no-pd --lr 1e-05"),
        (RunConfig.create(train_projector=False, look_every=None), "--no-train-projector --no-look-every"),
        (RunConfig.create("paper", data="my data"), None),
        (RunConfig.create().base(), "--method base --no-pd"),
    ],
)
def test_the_command_is_what_a_user_would_type_for_these_settings(config: RunConfig, words: str | None):
    command = jobs.command(config, name="mine", force=True)
    assert words is None or command == ["safeeraser", "run", *words.split(), "--name", "mine", "--force"]
    typed = flags.config(cli.parser(only=command[1]).parse_args(command[1:]))
    assert typed.model_dump() == config.model_dump()


def test_listing_fifty_runs_reads_small_files_and_the_ends_of_logs(folder: Path, sleeper: psutil.Process):
    for seed in range(50):
        run = made(f"run-{seed}", RunConfig.create(seed=seed), "running", **identity(sleeper), step=5, steps=10)
        run.log.write_text(f"{json.dumps(log_row())}\n" * 20_000)
    before = read_and_opened()
    found = jobs.every()
    read, opened = (now - then for now, then in zip(read_and_opened(), before, strict=True))
    assert [job.seconds_left for job in found if not job.ships] == [2.5] * 50
    assert sum(job.ships for job in found) == sum(path.is_dir() for path in EXAMPLES.iterdir())
    assert read < 1.5 * 50 * files.END  # bytes, of 50 logs of 2 MB each
    assert opened < 10 * len(found)


OPENED = Counter[str]()
sys.addaudithook(lambda event, _: OPENED.update([event]) if event == "open" else None)


def read_and_opened() -> tuple[int, int]:
    """Bytes that this process has read so far, from files and pipes, and how many files it has opened."""
    return psutil.Process().io_counters().read_chars, OPENED["open"]


SWALLOWED = """
import os, signal, time
from safeeraser.commands import worker

worker.AGAIN = 0.2
with worker.stopping():
    try:  # as a library does that tries whether something can be had
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    except BaseException:
        pass
    try:
        while True:
            time.sleep(0.01)
    finally:
        time.sleep(1)  # what is tidied up is not disturbed
        print("tidy", flush=True)
"""


@pytest.mark.slow
def test_a_stop_that_a_library_swallows_is_said_again_until_it_is_heard(tmp_path: Path):
    process = Started(["-c", SWALLOWED], output=tmp_path / "said.txt")
    assert process.wait() == 1
    assert process.said().startswith("tidy\n")
    assert "KeyboardInterrupt" in process.said()
