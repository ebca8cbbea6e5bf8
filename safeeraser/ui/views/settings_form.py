"""The form of a run's settings, made from the fields of `RunConfig`: a setting added there appears here by itself.

What is typed stays as it is typed, in the address; the core alone says what is wrong. Not covered: what a run of these
settings would take (`launching.py`).
"""

import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import TypeAdapter, ValidationError

from safeeraser.config import BASE, PARTS, PRESETS, ConfigError, RunConfig, preset_settings
from safeeraser.judge import grading
from safeeraser.losses import CONTROLS, METHODS, UNTRAINED
from safeeraser.runs import jobs
from safeeraser.ui.frame import state
from safeeraser.ui.frame.text import escape_markdown

# A setting that no group names is in the group without names.
GROUPS: dict[str, tuple[str, ...]] = {
    "What": ("model", "data", "method", "pd", "pd_weight", "retain_weight", "seed"),
    "Combined with": tuple(field for fields in PARTS.values() for field in fields),
    "Training": (),
    "LoRA": ("lora_rank", "lora_alpha", "lora_dropout", "train_projector"),
    "Answering": (
        *("system_prompt", "temperature", "top_k", "top_p", "samples", "max_new_tokens"),
        *("answer_batch", "engine", "eval_split", "eval_records", "judge"),
    ),
}
OPEN = "What"
PRESETS_HELP = (
    "tuned: the demo's, with what was chosen on dev for the method. plain: the plain world's, whose model is built by "
    "`safeeraser demo build --world plain`. paper: as published, for LLaVA-1.5-7B"
)
CHOICES: dict[str, tuple[str, ...]] = {"method": (*METHODS, *UNTRAINED), "judge": grading.known()}
OPEN_CHOICES = {"judge"}  # those that take what is typed too
WORDS = {"pd": "PD", "lr": "learning rate", "lora": "LoRA"}
BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def draw() -> tuple[RunConfig | None, str]:
    """Draw the form; returns the settings, or None and the core's words for all that is wrong with them."""
    _start_from()
    settings = _values()
    config, errors = _check(settings)
    wrong = _by_field(errors)
    for group, names in _groups().items():
        title = f"{group} ({len(bad)} wrong)" if (bad := [name for name in names if name in wrong]) else group
        with st.expander(title, expanded=group == OPEN or bool(bad)):
            for place, name in enumerate(names):
                if place % 2 == 0:
                    cells = st.columns(2, vertical_alignment="bottom")
                with cells[place % 2]:  # pyright: ignore
                    _field(name, settings[name])
                    if name in wrong:
                        st.caption(f":red[{escape_markdown(wrong[name])}]")
    _say_changes()
    return config, errors


def changes() -> dict[str, Any]:
    """The settings that the address names, as they were typed; they need not be right."""
    try:
        found = json.loads(state.get("settings") or "{}")
    except (json.JSONDecodeError, RecursionError):
        found = None
    if isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values()):
        return found
    st.warning("The settings in this address cannot be read, so those of the preset are shown.")
    state.put(settings=None)
    return {}


def copy(name: str) -> None:
    """Fill the form with the settings of a run, said as what differs from the preset that is nearest."""
    config = next((job.config for job in jobs.every() if job.name == name), None)
    if config is None:
        said = escape_markdown(f"{name!r} is no run whose settings can be read, so those of the preset are shown.")
        st.warning(said)
        state.put(copy=None)
        return
    settings = config.model_dump()
    preset = min(PRESETS, key=lambda preset: len(_differing(settings, preset)))
    state.put(preset=preset, settings=_written(_differing(settings, preset)), copy=None, name=None)


def _check(settings: dict[str, Any]) -> tuple[RunConfig | None, str]:
    try:
        return RunConfig.create(_preset(), **settings), ""
    except ConfigError as error:
        return None, str(error)


def _by_field(errors: str) -> dict[str, str]:
    """The lines of a ConfigError by the field that each names first."""
    found: dict[str, str] = {}
    for line in errors.splitlines():
        flag = line.split(":")[0].split(" ")[0]
        if (name := flag.removeprefix("--").replace("-", "_")) in RunConfig.model_fields:
            found[name] = line.removeprefix(f"{flag}: ")
    return found


def _groups() -> dict[str, tuple[str, ...]]:
    named = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in RunConfig.model_fields if name not in named)
    return {group: names or rest for group, names in GROUPS.items()}


def _start_from() -> None:
    if name := state.get("copy"):
        copy(name)
    preset, run = st.columns(2)
    with preset:
        state.select("Preset", list(PRESETS), "preset", help=PRESETS_HELP)
    with run:
        names = [job.name for job in jobs.every() if job.config]
        st.session_state["copy-of"] = None
        st.selectbox(
            "Start from a run",
            names,
            key="copy-of",
            placeholder="Copy its settings",
            on_change=lambda: copy(st.session_state["copy-of"]),
        )


def _preset() -> str:
    return asked if (asked := state.get("preset")) in PRESETS else next(iter(PRESETS))


def _preset_values(preset: str, settings: dict[str, Any]) -> dict[str, Any]:
    """All settings as the preset has them for the method of these, which need not be one."""
    method = settings.get("method")
    return RunConfig.create().model_dump() | preset_settings(preset, method if method in METHODS else None)


def _values() -> dict[str, Any]:
    settings = changes()
    return _preset_values(_preset(), settings) | settings


def _differing(settings: dict[str, Any], preset: str) -> dict[str, Any]:
    values = _preset_values(preset, settings)
    return {name: value for name, value in settings.items() if name not in values or value != values[name]}


def _written(settings: dict[str, Any]) -> str | None:
    return json.dumps(settings, separators=(",", ":")) if settings else None


def _field(name: str, value: Any) -> None:
    """The widget that a field's type asks for: numbers are typed as text, so that no widget clips them."""
    key = f"setting-{name}"
    label = " ".join(WORDS.get(word, word) for word in name.split("_"))
    how: dict[str, Any] = {"key": key, "help": _help(name), "on_change": _typed, "args": (name,)}
    label = label[:1].upper() + label[1:]
    options = list(_choices(name))
    if options:
        st.session_state[key] = value
        titles = (
            {method: f"{method}: {row.title}" for method, row in METHODS.items()}
            | {name: f"{name}: {words}" for name, words in CONTROLS.items()}
            | {BASE: "base: trains nothing"}
        )
        shown: Callable[[Any], str] = lambda option: titles.get(option, str(option))  # noqa: E731
        how |= {"format_func": shown, "accept_new_options": name in OPEN_CHOICES}
        st.selectbox(label, options if value in options else [*options, value], **how)
    elif isinstance(value, bool):
        st.session_state[key] = value
        st.toggle(label, **how)
    else:
        st.session_state[key] = "" if value is None else str(value)
        st.text_input(label, placeholder=_when_empty(name), **how)


def _choices(name: str) -> tuple[str, ...]:
    annotation = RunConfig.model_fields[name].annotation
    return CHOICES.get(name) or (get_args(annotation) if get_origin(annotation) is Literal else ())


def _optional(name: str) -> bool:
    return NoneType in get_args(RunConfig.model_fields[name].annotation)


def _when_empty(name: str) -> str | None:
    """What an empty setting means, in the words of its description."""
    said = re.search(r"\(default: ([^)]+)\)", RunConfig.model_fields[name].description or "")
    return (said.group(1) if said else "none") if _optional(name) else None


def _help(name: str) -> str:
    field = RunConfig.model_fields[name]
    bounds = [
        f"{words} {limit:g}"
        for rule in field.metadata
        for bound, words in BOUNDS.items()
        if (limit := getattr(rule, bound, None)) is not None
    ]
    empty = "; may be empty" if _optional(name) else ""
    flag = f"--{name.replace('_', '-')}"
    return escape_markdown(f"{field.description}{f' ({chr(32).join(bounds)})' if bounds else ''}{empty}. {flag}")


def _typed(name: str) -> None:
    """A widget changed: keep its value in the address. Emptying a setting that needs a value restores the preset's."""
    value = st.session_state[f"setting-{name}"]
    if isinstance(value, str) and name not in CHOICES:
        value = _read(name, value.strip())
    state.put(settings=_written(_differing(changes() | {name: value}, _preset())))


def _read(name: str, text: str) -> Any:
    """What a text stands for, so that 0.10 is 0.1; what cannot be read stays as it is, for the core to refuse."""
    if not text:
        return None if _optional(name) else _preset_values(_preset(), changes())[name]
    kind: Any = RunConfig.model_fields[name].annotation
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return text


def _say_changes() -> None:
    differing = _differing(changes(), _preset())
    if not differing:
        st.caption(f"All settings are those of the preset `{_preset()}`.")
        return
    values = _preset_values(_preset(), changes())
    told = ", ".join(f"{name} {value} (preset: {values.get(name)})" for name, value in differing.items())
    st.caption(f"Differs from the preset {_preset()}: {escape_markdown(told)}")
    st.button("Back to the preset", on_click=state.put, kwargs={"settings": None}, icon=":material/undo:")
