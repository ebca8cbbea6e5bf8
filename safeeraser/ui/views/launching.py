"""Launch: what a run of the chosen settings would take, starting it, trying it in small, and queueing a sweep."""

import statistics
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd
import streamlit as st

from safeeraser import stages
from safeeraser.config import ConfigError, RunConfig
from safeeraser.errors import SafeEraserError
from safeeraser.losses import METHODS, method_name, with_parts
from safeeraser.plain import packages
from safeeraser.plan import measured
from safeeraser.plan.measured import Estimate, Plan
from safeeraser.runs import jobs
from safeeraser.runs.folder import EXAMPLES, Run, RunError, check_name
from safeeraser.runs.watching import ACTIVE, Job
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.text import escape_markdown
from safeeraser.ui.parts import job_words
from safeeraser.ui.views import run_view

LEAST_BUSY = "least busy"
PD = {"without and with": (False, True), "without": (False,), "with": (True,)}


def refused(error: SafeEraserError | str) -> None:
    """The core's words for what is wrong, one line for each flag that they name."""
    lines = map(escape_markdown, str(error).splitlines())
    st.error("\n\n".join(lines), icon=":material/error:")


def name_and_device(config: RunConfig | None) -> tuple[str | None, str | None]:
    """The user's own name for the run and the device it is to queue on; None leaves both to the core."""
    left, right = st.columns(2)
    with left:
        name = state.text("Name of the run", "name", placeholder="made from the settings", help="\\-\\-name").strip()
        if name:
            try:
                check_name(name)
            except RunError as error:
                st.caption(f":red[{escape_markdown(str(error))}]")
    with right:
        known = jobs.devices() if config is None or config.device != "cpu" else {"cpu": "CPU"}
        words = {LEAST_BUSY: "the least busy"} | {device: f"{device}: {called}" for device, called in known.items()}
        device = state.select(
            "Queue on",
            list(words),
            "device",
            format_func=words.get,
            help="Runs on one device go one after the other, first come first served",
        )
    return name or None, None if device == LEAST_BUSY else device


def preview(config: RunConfig, name: str | None) -> Plan | None:
    """Show what launching would do and take; None when the core would refuse it, with its reason."""
    source = reading.source(config.data)
    try:
        check_model(config.model)
        stages.check_data(config, source)
        told = measured.plan(config, source, name=name)
    except SafeEraserError as error:
        refused(error)
        return None
    st.code(told.command, language=None, wrap_lines=True)
    if another := stages.targets_of_another(config, source):
        st.warning(escape_markdown(another[0].upper() + another[1:]), icon=":material/warning:")
    st.markdown("\n".join(f"- {line}" for line in _what_it_takes(told)))
    if told.status:
        st.info(f"{escape_markdown(told.name)} exists: {told.status}.", icon=job_words.STATES[told.status].icon)
    else:
        st.caption(f"New run: {escape_markdown(told.name)}")
    return told


def check_model(model: str) -> None:
    """Refuse a folder that holds no model, as far as that shows without loading it, and one that is not built yet.

    Raises ConfigError, PackageError. A hub id is not looked up: nothing leaves this machine before the launch.
    """
    if model == "plain":
        packages.built()
    local = Path(model).expanduser()
    if (local.is_absolute() or local.exists() or model.startswith(".")) and not (local / "config.json").is_file():
        raise ConfigError(f"--model {model}: there is no config.json in it; give a folder with a checkpoint, or 'demo'")


def _what_it_takes(told: Plan) -> list[str]:
    """Lines of Markdown: each count and estimate, and where it comes from."""
    asked = ", ".join(f"{count:,} {set_name}" for set_name, count in told.questions.items())
    trained = f"{told.steps:,} optimizer steps, counted" if told.steps else "none: the base model trains nothing"
    lines = [
        f"**Training**: {trained}",
        f"**Questions**: {sum(told.questions.values()):,}, counted ({asked})",
    ]
    if told.base:
        lines.append(f"**Made first**: the base model's run {escape_markdown(told.base)}")
    if told.steps:
        lines.append(_line("Time of training", told.training, job_words.duration))
    lines.append(_line("Time of answering", told.answering, job_words.duration))
    if told.seconds is not None and told.steps:
        lines.append(f"**Both together**: about {job_words.duration(told.seconds)}, without loading and judging")
    lines.append(_line("Disk", told.disk, job_words.size))
    if told.steps:
        lines.append(_line("Memory", told.memory, job_words.size))
    return lines


def _line(what: str, estimate: Estimate, words: Callable[[float], str]) -> str:
    if estimate.value is None:
        return f"**{what}**: unknown, make a dry run"
    return f"**{what}**: about {words(estimate.value)} ({escape_markdown(estimate.basis or '')})"


def start(config: RunConfig, told: Plan, *, name: str | None, device: str | None) -> None:
    """The button that launches. It may be pressed twice: the core starts one run, and what exists is only opened.

    Where an example run has these settings, its answers can be opened instead.
    """
    example = Run(EXAMPLES / told.name)
    if config == _settings(example) and told.status != "done":
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info("An example run with these settings is finished and ships with the project.", width="stretch")
            if st.button("Open its answers", icon=":material/compare:", key="open-example"):
                state.go("compare", data=config.data, b=example.name if config.trains else None)
    label = "Launch" if told.status is None else "Continue this run"
    if told.status in (*ACTIVE, "done"):
        label = "Open this run"
    if st.button(label, type="primary", icon=":material/rocket_launch:", key="launch"):
        try:
            launched = jobs.launch(config, name=name, device=device)
        except SafeEraserError as error:
            refused(error)
        else:
            state.go("runs", run=launched)


def _settings(run: Run) -> RunConfig | None:
    return reading.settings(run) if run.config_file.exists() else None


def dry_run(config: RunConfig, device: str | None) -> None:
    """Try the settings in small; shows, live, what the last such try measured."""
    st.subheader("Dry run")
    st.caption("Two steps and two records of each split: shows that the settings work, and measures time and memory.")
    if st.button("Dry run of two steps", icon=":material/science:", key="dry-run"):
        try:
            measured.launch_dry_run(config, device)
        except SafeEraserError as error:
            refused(error)
    active = (job := _dry(config)) is not None and job.status in ACTIVE

    @st.fragment(run_every=1 if active else None)
    def live() -> None:
        now = _dry(config)
        if active and (now is None or now.status not in ACTIVE):
            st.rerun()  # its measurements change the estimates above
        if now is not None:
            _show_dry(now)

    live()


def _dry(config: RunConfig) -> Job | None:
    return next((job for job in jobs.every() if job.name == measured.dry_run_name(config)), None)


def _show_dry(job: Job) -> None:
    run = jobs.find(job.name)
    rows = run_view.log_rows(run)
    with st.container(border=True):
        job_words.badge(job)
        st.caption(job_words.sentence(job, run))
        if job.message:
            refused(job.message)
        seconds = statistics.median(row["seconds"] for row in rows) if rows else None
        peak = max((row["peak_memory"] for row in rows if row["peak_memory"] is not None), default=None)
        told = [
            f"**A step**: {job_words.duration(seconds)} (median of {len(rows)} steps)",
            f"**Memory**: {job_words.size(peak)} at the peak, of the GPU or else of the process",
            f"**All of it**: {job_words.duration(job_words.took(job))}, with loading the model",
        ]
        st.markdown("\n".join(f"- {line}" for line in told))
        if st.button("Open the dry run", key="open-dry"):
            state.go("runs", run=job.name)


def sweep(config: RunConfig, device: str | None) -> None:
    """Several methods, without and with PD, and seeds: the list of their runs, and a button that queues them."""
    cells = st.columns([3, 2, 2])
    with cells[0]:
        titles = {name: f"{name}: {row.title}" for name, row in METHODS.items()}
        methods = state.several("Methods", list(METHODS), "methods", format_func=titles.get, placeholder="Choose some")
    with cells[1]:
        decouple = state.select("Prompt Decouple", list(PD), "pds")
    with cells[2]:
        seeds = state.text("Seeds", "seeds", placeholder=str(config.seed), help="Several, with spaces: 0 1 2")
    if not methods:
        st.caption(
            "Choose methods: each is launched without and with PD for every seed, with the other settings above."
        )
        return
    configs, errors = _swept(config, methods, PD[decouple], seeds.replace(",", " ").split() or [str(config.seed)])
    for error in errors:
        refused(error)
    known = {job.name: job.status for job in jobs.every() if not job.ships}
    listed = [(one, known.get(one.run_name())) for one in configs]
    st.dataframe(_as_table(listed), hide_index=True, alt="The runs of the sweep and whether they exist")
    missing = [one for one, status in listed if status not in (*ACTIVE, "done")]
    if not missing:
        st.caption("All of them are finished or in the queue.")
    if st.button(f"Queue {len(missing)} runs", icon=":material/queue:", key="queue", disabled=not missing):
        try:
            for one in missing:
                jobs.launch(one, device=device)
        except SafeEraserError as error:
            refused(error)
        else:
            state.go("runs")


def _swept(
    config: RunConfig, methods: list[str], pds: tuple[bool, ...], seeds: list[str]
) -> tuple[list[RunConfig], list[str]]:
    """The settings of a sweep's runs, and what the core says of those that it refuses."""
    configs, errors = [], []
    for seed, method, pd_on in product(dict.fromkeys(seeds), methods, pds):
        try:
            configs.append(RunConfig.create(**config.model_dump() | {"method": method, "pd": pd_on, "seed": seed}))
        except ConfigError as error:
            errors.append(f"{method}{' with PD' if pd_on else ''}, seed {seed}: {error}")
    return configs, errors


def _as_table(listed: list[tuple[RunConfig, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Run": [config.run_name() for config, _ in listed],
            "Method": [method_name(with_parts(config.method, config.parts)) for config, _ in listed],
            "PD": ["with" if config.pd else "without" for config, _ in listed],
            "Seed": [config.seed for config, _ in listed],
            "State": ["new" if status is None else job_words.in_table(status) for _, status in listed],
        }
    )
