"""Runs as jobs of a Slurm cluster, through submitit: one job a run, in arrays, the base model's run before the others.

A job runs the command that a user would type, so one that is stopped goes on from its checkpoint when Slurm starts it
again. The folder of runs must be one that all machines of the cluster see. Not covered: runs on this machine
(`jobs.py`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from safeeraser import files
from safeeraser.config import RunConfig
from safeeraser.errors import SafeEraserError
from safeeraser.runs import jobs, watching
from safeeraser.runs.folder import Run, root

FOLDER = ".slurm"  # below the folder of runs: submitit's scripts and logs
JOBS = "sweep-jobs.json"  # in the folder of runs: the last job of each run that was handed over
WARNING = 300  # seconds before its end in which a job is told to stop
GRACE = 240  # of these for the step in hand and a checkpoint
RESTARTS = 100  # times that a job which ran out of time goes on
POLL = 0.5
# States in which Slurm has given a job up for good (`man squeue`, job state codes).
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"),
}


class ClusterError(SafeEraserError):
    """Runs cannot be handed to the cluster; the message says why and what to do."""


@dataclass(frozen=True)
class Resources:
    """What each job asks of Slurm. extra: more parameters of sbatch, by their long names."""

    partition: str | None = None
    account: str | None = None
    gpus: int = 1
    hours: float = 24.0
    extra: dict[str, str] = field(default_factory=dict)


class Command:
    """A command as the work of a job; submitit asks it for a `checkpoint` when the job's time is nearly over.

    folder: where it runs. environment: what it finds there beside the job's own.
    """

    def __init__(self, words: list[str], folder: str, environment: dict[str, str]) -> None:
        self.words = words
        self.folder = folder
        self.environment = environment
        self.process: subprocess.Popen | None = None

    def __call__(self) -> None:
        """Run it to its end; raises ClusterError if it fails."""
        self.process = subprocess.Popen(
            self.words,
            cwd=self.folder,
            env=os.environ | self.environment,
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),  # Slurm's warning goes to all; it is ours
        )
        while self.process.poll() is None:
            time.sleep(POLL)
        if self.process.returncode == watching.STOPPED:
            time.sleep(GRACE)  # all of the job was told to stop: the signal that starts it again is on its way
        if self.process.returncode:
            raise ClusterError(f"exit status {self.process.returncode}: {' '.join(self.words)}")

    def checkpoint(self) -> Any:
        """Let the command write its checkpoint and end; the same command is what goes on."""
        if self.process:
            self.process.terminate()
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(self.process.pid).wait(GRACE)
        return _submitit().helpers.DelayedSubmission(Command(self.words, self.folder, self.environment))


def hand_over(configs: Sequence[RunConfig], resources: Resources, *, cluster: str = "slurm") -> dict[str, str]:
    """Give every run that is neither finished nor in the queue to the cluster; returns what became of each, by name.

    A base model's run is a job of its own, and the runs that need it wait until it has ended well. cluster: submitit's
    name of one. Raises ClusterError without submitit, without Slurm, or if Slurm refuses.
    """
    submitit = _submitit()
    with jobs.launch_lock():
        known, said, bases = _known(), {}, {config.base().run_name(): config.base() for config in configs}
        queued = {name: job for name, job in known.items() if not _ended(submitit, job, cluster)}

        def submit(some: list[RunConfig], after: str | None = None) -> None:
            """Submit those of the runs that need it, as one array."""
            for config in some:
                name = config.run_name()
                said[name] = f"in the queue already: job {queued[name]}" if name in queued else "finished already"
            new = [config for config in some if not _done(config) and config.run_name() not in queued]
            ids = _submit(submitit, [_words(config, resources) for config in new], resources, after, cluster)
            for config, job in zip(new, ids, strict=True):
                known[config.run_name()] = queued[config.run_name()] = job
                said[config.run_name()] = f"job {job}"
            _remember(known)

        for name, base in bases.items():
            submit([base])
            trained = [config for config in configs if config.trains and config.base().run_name() == name]
            submit(trained, after=None if _done(base) else queued[name])
    return said


def _submit(
    submitit: ModuleType, commands: list[list[str]], resources: Resources, after: str | None, cluster: str
) -> list[str]:
    """The ids of the jobs that run these commands; after: a job that must end well before."""
    if not commands:
        return []
    environment = {"SAFEERASER_RUNS": str(root().resolve())}
    work = [Command(words, str(Path.cwd()), environment) for words in commands]
    try:
        executor = submitit.AutoExecutor(root().resolve() / FOLDER, cluster=cluster, slurm_max_num_timeout=RESTARTS)
        executor.update_parameters(
            name="safeeraser",
            timeout_min=round(60 * resources.hours),
            gpus_per_node=resources.gpus or None,
            slurm_partition=resources.partition,
            slurm_account=resources.account,
            slurm_signal_delay_s=WARNING,
            slurm_dependency=after and f"afterok:{after}",
            # A job whose base run failed would wait for ever.
            slurm_additional_parameters={"kill-on-invalid-dep": "yes"} | resources.extra,
        )
        return [job.job_id for job in executor.submit_array(work)]
    except (RuntimeError, submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise ClusterError(f"the runs cannot be submitted: {error} Is this a machine that can submit jobs?") from error


def _words(config: RunConfig, resources: Resources) -> list[str]:
    """The run's command with this Python; on several GPUs as that many processes."""
    several = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(resources.gpus), "-m"]
    return [sys.executable, "-m", *(several if resources.gpus > 1 else []), "safeeraser", *jobs.command(config)[1:]]


def _done(config: RunConfig) -> bool:
    return watching.done(Run.of(config))


def _ended(submitit: ModuleType, job: str, cluster: str) -> bool:
    """Whether the cluster will do no more for a job. One that it does not know yet has not begun."""
    kind = {"slurm": submitit.SlurmJob, "local": submitit.LocalJob}[cluster]
    handle = kind(root().resolve() / FOLDER, job)
    return handle.paths.result_pickle.exists() or handle.state.split(" ")[0] in ENDED


def _known() -> dict[str, str]:
    """The last job of each run that was handed over, by the run's name."""
    try:
        return json.loads((root() / JOBS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ClusterError(f"{root() / JOBS} is not valid JSON: {error}. Delete it if no job is queued.") from error


def _remember(known: dict[str, str]) -> None:
    files.write(root() / JOBS, json.dumps(known, indent=1) + "\n")


def _submitit() -> ModuleType:
    try:
        import submitit
    except ImportError:
        raise ClusterError("--on slurm needs submitit: pip install 'submitit>=1.5'") from None
    return submitit
