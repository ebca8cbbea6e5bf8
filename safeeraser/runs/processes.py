"""Several processes on one run, as `accelerate launch` or `torchrun` starts them: who writes, and when all wait.

Light: torch and accelerate are imported only when there is more than one process. Not covered: splitting the work
(`unlearn/train.py`, `generate/answering.py`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

# How long the others wait while one process works alone, such as on grading. A process that dies ends them all at once.
PATIENCE = timedelta(hours=12)


def count() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def wait() -> None:
    """Wait until all processes have come to this point."""
    if count() > 1:
        state().wait_for_everyone()


def leave() -> None:
    """Leave the group of processes once the work is done; torch's own threads can abort a process that just ends."""
    if count() > 1:
        import torch.distributed

        if torch.distributed.is_initialized():
            wait()
            torch.distributed.destroy_process_group()


@contextmanager
def main_first() -> Iterator[None]:
    """The main process goes ahead, the others follow when it is through: for work whose result is kept on disk."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def state(*, cpu: bool = False) -> Any:
    """accelerate's PartialState of this process; cpu: without GPUs, as also ACCELERATE_USE_CPU and having none say."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    cpu = cpu or parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    return PartialState(cpu=cpu, timeout=PATIENCE) if count() > 1 else PartialState(cpu=cpu)
