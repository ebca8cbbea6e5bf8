"""What a run is doing, in words: its state with an icon, what happened, what to do, times and sizes."""

import time
from typing import Any, Literal, NamedTuple

import streamlit as st

from safeeraser.runs.folder import Run
from safeeraser.runs.watching import ACTIVE, STALLED_AFTER, Job
from safeeraser.ui.frame.text import as_code, escape_markdown

Colour = Literal["red", "orange", "green", "blue", "violet", "gray"]


class Look(NamedTuple):
    """How a state is shown; the letter stands in tables, where no icon can."""

    letter: str
    icon: str
    colour: Colour


STATES: dict[str, Look] = {
    "running": Look("▶", ":material/play_circle:", "blue"),
    "stalled": Look("▲", ":material/hourglass_disabled:", "orange"),
    "queued": Look("…", ":material/schedule:", "blue"),
    "interrupted": Look("◐", ":material/power_off:", "orange"),
    "failed": Look("✕", ":material/error:", "red"),
    "broken": Look("!", ":material/broken_image:", "red"),
    "cancelled": Look("■", ":material/stop_circle:", "gray"),
    "ready": Look("○", ":material/pending:", "violet"),
    "done": Look("✓", ":material/check_circle:", "green"),
}
STAGES = {
    "unlearn": "Training",
    "generate": "Answering the questions",
    "judge": "Judging the answers",
    "score": "Scoring",
}
NEXT = {None: "unlearn", "unlearn": "generate", "generate": "judge", "judge": "score"}


def badge(job: Job) -> None:
    look = STATES[job.status]
    st.badge(job.status, icon=look.icon, color=look.colour)


def in_table(status: str) -> str:
    return f"{STATES[status].letter} {status}"


def doing(job: Job) -> str:
    """The stage in words; a run may be working on the base model's run that it needs first."""
    if job.stage is None:
        return "Starting"
    if job.stage.startswith("base model: "):
        part = STAGES.get(job.stage.removeprefix("base model: "), "starting")
        return f"Making the base model's run first ({part.lower()})"
    return STAGES.get(job.stage, job.stage)


def sentence(job: Job, run: Run) -> str:
    """What a run is doing or what happened to it, and what to do; in Markdown."""
    at = f" at step {job.step:,} of {job.steps:,}" if job.step is not None and job.steps else ""
    match job.status:
        case "queued":
            device = escape_markdown(str(job.device))
            return f"Waits for the device {device}, at place {job.place} of its queue. It starts by itself."
        case "running":
            return f"{escape_markdown(doing(job))}{at}{_pace(job)}."
        case "stalled":
            return (
                f"{escape_markdown(doing(job))}{at}: its process lives (pid {job.pid}) but has written nothing for "
                f"more than {duration(STALLED_AFTER)}. Large models can take that long to load; if the log below says "
                "nothing new, cancel it, stop it by force, and resume it."
            )
        case "done":
            return f"Done{_when(job.ended)}."
        case "broken":
            return "A file of it is damaged; what to do is said below. Nothing else of it is lost."
        case "ready":
            stage = NEXT.get(job.stage)
            command = f" {as_code(f'safeeraser {stage} {run.name}')} is next on the command line." if stage else ""
            return f"Made stage by stage and not finished.{command}"
        case "interrupted":
            happened = f"Its process ended before its end{at}: killed, out of memory, or the machine was restarted."
        case "cancelled":
            happened = f"Cancelled{at}{_when(job.ended)}."
        case _:
            happened = f"Failed{at}{_when(job.ended)}. The reason is below."
    return f"{happened} {'' if run.ships else _goes_on(run, failed=job.status == 'failed')}"


def _pace(job: Job) -> str:
    left = f", about {duration(job.seconds_left)} of training left" if job.seconds_left is not None else ""
    speed = f", {job.tokens_per_second:,.0f} tokens a second" if job.tokens_per_second is not None else ""
    return left + speed


def _goes_on(run: Run, *, failed: bool) -> str:
    steps = run.saved_steps()
    first = "Put the reason right, then resume" if failed else "Resume"
    if run.adapter.exists():
        return f"{first}: training is complete, it goes on with what is missing."
    return f"{first}: it goes on from {f'the checkpoint of step {max(steps):,}' if steps else 'the start'}."


def cancelling(job: Job, run: Run) -> bool:
    """Whether an active run was asked to stop; a file from before its start was for an earlier process."""
    if job.status not in ACTIVE or not run.cancel.exists():
        return False
    return run.cancel.stat().st_mtime >= (job.started or 0)


def took(job: Job) -> float | None:
    """Seconds from start to end of a launched run; the process of a command may have made other runs before it."""
    known = job.started is not None and job.ended is not None and job.device is not None
    return job.ended - job.started if known else None  # pyright: ignore


def _when(seconds: float | None) -> str:
    return f" on {moment(seconds)}" if seconds else ""


def moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "–"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float | None) -> str:
    """Bytes in binary units."""
    if count is None:
        return "–"
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def setting(value: Any) -> str:
    """A setting's value as people write it."""
    return {"None": "–", "True": "on", "False": "off"}.get(str(value), str(value))
