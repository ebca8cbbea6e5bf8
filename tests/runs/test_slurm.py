"""A sweep on a Slurm cluster: through submitit's local executor with real runs, and through a pretended Slurm."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

# Here, not in a test: it sets up logging, and absl's handler then closes what pytest captures into within a test.
import submitit
from submitit.core.utils import DelayedSubmission
from waiting import until

from safeeraser import cli
from safeeraser.config import RunConfig
from safeeraser.runs import jobs, watching
from safeeraser.runs import slurm as cluster
from safeeraser.runs.folder import Run
from safeeraser.runs.slurm import ClusterError, Resources

# Each prints what the real one prints; sbatch keeps the scripts it gets, sacct says what the test wants.
SBATCH = """#!/bin/sh
id=$((40 + $(ls "$SLURM_STATE" | grep -c script) + 1))
cp "$1" "$SLURM_STATE/script-$id"
echo "Submitted batch job $id"
"""
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
cat "$SLURM_STATE/sacct" 2>/dev/null
exit 0
"""
REFUSING = "#!/bin/sh\necho 'sbatch: error: invalid partition specified: nowhere' >&2\nexit 1\n"


@pytest.fixture
def folder(runs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs_folder.mkdir()
    return runs_folder


@pytest.fixture
def slurm(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands on the path; returns the folder in which they keep what they get."""
    commands, state = tmp_path / "bin", tmp_path / "state"
    commands.mkdir()
    state.mkdir()
    for name, text in {"sbatch": SBATCH, "sacct": SACCT, "srun": "#!/bin/sh\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STATE", str(state))
    return state


def sweep_of(config: RunConfig, *more: str) -> list[str]:
    flags = ["--model", config.model, "--data", config.data, "--device", "cpu", "--max-steps", "2", "--lora-rank", "2"]
    return ["sweep", *flags, "--eval-records", "1", "--max-new-tokens", "3", *more]


def script(slurm: Path, job: int) -> str:
    return (slurm / f"script-{job}").read_text()


def parameters(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", text, flags=re.MULTILINE))


def done(config: RunConfig) -> bool:
    return watching.state_of(Run(jobs.root() / config.run_name())).get("status") == "done"


def test_a_sweep_is_one_array_behind_the_base_models_job(
    slurm: Path, folder: Path, config: RunConfig, capsys: pytest.CaptureFixture
):
    asked = ["--slurm-partition", "long", "--slurm-account", "group", "--gpus", "4", "--hours", "1.5"]
    more = ["--slurm-parameter", "constraint=a100", "--slurm-parameter", "cpus-per-task=8"]
    assert cli.main(sweep_of(config, "--on", "slurm", *asked, *more)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(": job " in line for line in lines) == 9
    assert sorted(path.name for path in slurm.iterdir()) == ["script-41", "script-42"]
    base, array = (parameters(script(slurm, job)) for job in (41, 42))
    expected = {"partition": "long", "account": "group", "gpus-per-node": "4", "time": "90", "constraint": "a100"}
    for found in (base, array):
        assert found.items() >= (expected | {"cpus-per-task": "8", "kill-on-invalid-dep": "yes"}).items()
    assert "array" not in base
    assert "dependency" not in base
    assert array["array"] == "0-7%8"
    assert array["dependency"] == "afterok:41"
    known = json.loads((folder / "sweep-jobs.json").read_text())
    assert sorted(known.values()) == ["41", *(f"42_{n}" for n in range(8))]


def test_a_job_runs_the_runs_own_command(slurm: Path, folder: Path, config: RunConfig):
    several = cluster.hand_over([config], Resources(gpus=2))
    assert several == {config.base().run_name(): "job 41", config.run_name(): "job 42"}
    path = submitit.SlurmJob(folder.resolve() / ".slurm", "42").paths.submitted_pickle
    command = DelayedSubmission.load(path).function
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "-m",
        "safeeraser",
    ]
    assert command.words == [*launch, *jobs.command(config)[1:]]
    assert command.environment == {"SAFEERASER_RUNS": str(folder.resolve())}
    assert command.folder == str(Path.cwd())


def test_what_is_in_the_queue_or_finished_is_not_submitted_again(slurm: Path, folder: Path, config: RunConfig):
    other = RunConfig(**config.model_dump() | {"seed": 1})
    assert cluster.hand_over([config], Resources())[config.run_name()] == "job 42"
    # Slurm does not list a new job at once.
    again = cluster.hand_over([config, other], Resources())
    assert again[config.run_name()] == "in the queue already: job 42"
    assert again[other.run_name()] == "job 43"
    assert parameters(script(slurm, 43))["dependency"] == "afterok:41"
    (slurm / "sacct").write_text("41|COMPLETED|n1\n42|CANCELLED by 1000|n1\n43|RUNNING|n1\n")
    Run.create(config.base(), data_hash="a").set_state("done")
    submitit.SlurmJob.watcher.clear()
    third = cluster.hand_over([config, other], Resources())
    assert third == {
        config.base().run_name(): "finished already",
        config.run_name(): "job 44",
        other.run_name(): "in the queue already: job 43",
    }
    assert "dependency" not in parameters(script(slurm, 44))


@pytest.mark.slow
def test_runs_through_submitit_end_with_scores(folder: Path, config: RunConfig, capsys: pytest.CaptureFixture):
    assert cli.main(jobs.command(config.base())[1:]) == 0
    configs = [config, RunConfig(**config.model_dump() | {"method": "gd", "pd": False})]
    said = cluster.hand_over(configs, Resources(gpus=0, hours=0.1), cluster="local")
    assert said[config.base().run_name()] == "finished already"
    until(lambda: all(map(done, configs)))
    for one in configs:
        assert (Run.find(one.run_name()).scores or {})["metrics"]
    until(lambda: len(list((folder / ".slurm").glob("*_result.pkl"))) == 2)
    again = cluster.hand_over(configs, Resources(gpus=0), cluster="local")
    assert set(again.values()) == {"finished already"}


@pytest.mark.slow
def test_a_job_whose_time_is_over_is_started_again_and_goes_on(folder: Path, config: RunConfig):
    base, long = config.base(), RunConfig(**config.model_dump() | {"max_steps": 60, "checkpoint_every": 1000})
    assert cli.main(jobs.command(base)[1:]) == 0
    cluster.hand_over([long], Resources(gpus=0, hours=0.1), cluster="local")
    run = Run(jobs.root() / long.run_name())
    until(lambda: watching.state_of(run).get("step", 0) >= 5)
    before = watching.state_of(run)["pid"]
    alive = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    [work] = [p for p in alive if "submitit.core._submit" in p.cmdline()]
    for process in [work, *work.children(recursive=True)]:  # as Slurm does, to all of the job
        os.kill(process.pid, signal.SIGUSR2)
    until(lambda: done(long))
    assert watching.state_of(run)["pid"] != before
    assert [row["step"] for row in run.rows(run.log)] == list(range(1, 61))
    [log] = (folder / ".slurm").glob("*_0_log.err")
    assert "Requeued job" in log.read_text() + log.with_suffix(".out").read_text()
    [output] = [path.read_text() for path in (folder / ".slurm").glob("*_0_log.*") if "stopped" in path.read_text()]
    assert "of 60; the same command goes on from here" in output


def test_a_command_that_fails_fails_its_job(tmp_path: Path):
    command = cluster.Command([sys.executable, "-c", "raise SystemExit(3)"], str(tmp_path), {})
    with pytest.raises(ClusterError, match="exit status 3"):
        command()


def test_what_slurm_refuses_is_said(slurm: Path, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bin" / "sbatch").write_text(REFUSING)
    with pytest.raises(ClusterError, match="invalid partition specified: nowhere"):
        cluster.hand_over([config], Resources(partition="nowhere"))
    (tmp_path / "bin" / "srun").unlink()
    with pytest.raises(ClusterError, match=r"srun.*Is this a machine that can submit jobs\?"):
        cluster.hand_over([config], Resources())


def test_without_submitit_the_error_says_what_to_install(
    folder: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert cli.main(sweep_of(config, "--on", "slurm")) == 1
    assert "pip install 'submitit>=1.5'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gpus", "2"], "--gpus has no effect without --on slurm"),
        (["--on", "queue", "--slurm-parameter", "a=b"], "--slurm-parameter has no effect without --on slurm"),
        (["--on", "queue", "--format", "csv"], "no effect with --on queue, which prints no table"),
        (["--on", "queue", "--short"], "no effect with --on queue, which prints no table"),
    ],
)
def test_flags_without_effect_are_named(
    folder: Path, config: RunConfig, flags: list[str], message: str, capsys: pytest.CaptureFixture
):
    assert cli.main(sweep_of(config, *flags)) == 1
    assert message in capsys.readouterr().err


def test_a_sweep_on_the_queue_launches_every_run(
    folder: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    launched: list[RunConfig] = []

    def launch(one: RunConfig) -> str:
        launched.append(one)
        Run.create(one, data_hash="a")
        return one.run_name()

    monkeypatch.setattr(jobs, "launch", launch)
    assert cli.main(sweep_of(config, "--on", "queue", "--seeds", "0", "1")) == 0
    out = capsys.readouterr().out
    assert len({one.run_name() for one in launched}) == 16
    assert all(f"{one.run_name()}: " in out for one in launched)
