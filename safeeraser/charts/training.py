"""Along training: metrics of checkpoints, the loss of every term, tokens a second."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from safeeraser.charts.chart import COLOURS, LINE, VERMILLION, Chart, frame, nothing, shown
from safeeraser.charts.intervals import whiskers
from safeeraser.charts.words import hover, numbers, percent, wording, written

PANEL = 170  # pixels of one panel
POINTS = 500  # at most, of one line
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
STEP = "Optimizer step"
MEAN = "{}, running mean"
TOTAL = "total"  # the loss that was trained on: all terms with their weights

Look = Mapping[str, Any]


class Kind(NamedTuple):
    """What decides how a run's line looks: the method its colour and symbol, Prompt Decouple whether it is dashed."""

    method: str
    pd: bool


class Style(NamedTuple):
    """How a run's line looks; the symbol also tells runs of one kind apart."""

    colour: str
    dash: str
    symbol: str


NO_KINDS: Mapping[str, Kind] = MappingProxyType({})


def _styles(runs: Iterable[str], kinds: Mapping[str, Kind]) -> dict[str, Style]:
    """The style of each run; one of which no kind is known has a colour of its own."""
    of_run = {run: kinds.get(run, Kind(run, pd=False)) for run in runs}
    methods = list(dict.fromkeys(kind.method for kind in of_run.values()))
    seen: Counter[Kind] = Counter()
    styles = {}
    for run, kind in of_run.items():
        method = methods.index(kind.method)
        colour, symbol = COLOURS[method % len(COLOURS)], SYMBOLS[(method + seen[kind]) % len(SYMBOLS)]
        styles[run] = Style(colour, "dash" if kind.pd else "solid", symbol)
        seen[kind] += 1
    return styles


def along_training(
    looks: Mapping[str, Sequence[Look]], metric_names: Sequence[str], *, kinds: Mapping[str, Kind] = NO_KINDS
) -> Chart:
    """Metrics at the looks of each run, a panel each; step 0 is the base model; a key is `run|step`.

    looks: {run: [{"step": int, "metrics": {NAME: {"value", "low", "high", "n"}}}]}. kinds: what decides how a run's
    line looks; a run without one has a colour of its own.
    """
    heading = "How the metrics move along training (step 0 is the base model)"
    ordered = {run: sorted(found, key=lambda look: look["step"]) for run, found in looks.items()}
    entries = [_entry(run, look, metric) for metric in metric_names for run in ordered for look in ordered[run]]
    if all(entry["Value (%)"] is None for entry in entries):
        return nothing(title=heading, why="No checkpoint of these runs has been looked at yet.", rows=entries)
    words = [wording(metric) for metric in metric_names]
    figure = _panels([f"{one.name} ({one.better} is better)" if one.better else one.name for one in words])
    choices: dict[str, str] = {}
    told = []
    styles = _styles(ordered, kinds)
    for panel, metric in enumerate(metric_names, start=1):
        for run, found in ordered.items():
            known = [look for look in found if _score(look, metric)["value"] is not None]
            figure.add_trace(_line(run, known, metric, styles[run], legend=panel == 1), row=panel, col=1)
            choices |= {f"{run}, step {look['step']}": f"{run}|{look['step']}" for look in known}
            if known:
                last = written(percent(_score(known[-1], metric)))
                told.append(f"{wording(metric).name} {last} at step {known[-1]['step']} ({run})")
    frame(figure, title=heading, height=146 + PANEL * len(metric_names), legend=True, gap=38)
    figure.update_yaxes(title_text="%", range=[-6, 106], tickvals=[0, 50, 100])
    figure.update_xaxes(title_text=STEP, row=len(metric_names), col=1)
    return Chart(figure, choices, pd.DataFrame(entries), f"{heading}. In percent: {'; '.join(told)}.")


def _score(look: Look, metric: str) -> Mapping[str, Any]:
    return look["metrics"].get(metric) or {"value": None, "why": "not measured at this step"}


def _entry(run: str, look: Look, metric: str) -> dict[str, Any]:
    value, *rest = numbers(metric, _score(look, metric)).items()
    where = {"Run": run, "Step": look["step"], "Metric": wording(metric).name}
    return where | {"Value (%)": value[1]} | dict(rest)


def _line(run: str, looks: Sequence[Look], metric: str, style: Style, *, legend: bool) -> go.Scatter:
    scores = [_score(look, metric) for look in looks]
    return go.Scatter(
        name=shown(run),
        legendgroup=run,
        showlegend=legend,
        mode="lines+markers",
        x=[look["step"] for look in looks],
        y=[percent(score) for score in scores],
        error_y=whiskers(scores) | {"color": style.colour, "thickness": 1},
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker={"color": style.colour, "size": 8, "symbol": style.symbol},
        customdata=[[f"{run}|{look['step']}"] for look in looks],
        hovertext=[
            hover(f"{run}, step {look['step']}", metric, score) for look, score in zip(looks, scores, strict=True)
        ],
        hoverinfo="text",
    )


def losses(log_rows: Iterable[Mapping[str, Any]]) -> Chart:
    """Every term's loss in nats per optimizer step, a panel each: raw points and a running mean.

    log_rows: {"step", "loss", "terms": {name: loss}, ...}. At most 500 steps are drawn, the last always among them.
    """
    heading = "Loss of each term in nats: points are steps, the line is their running mean"
    log = _by_step(log_rows)
    if not log:
        return nothing(title=heading, why="No step has been logged yet.")
    terms = list(dict.fromkeys(name for row in log for name in row["terms"]))
    values = {term: [row["terms"].get(term) for row in log] for term in terms}
    if len(terms) > 1:
        values[TOTAL] = [row["loss"] for row in log]
    drawn = _drawn(len(log))
    table = _table([row["step"] for row in log], values, drawn)
    figure = _panels(list(map(shown, values)))
    for panel, name in enumerate(values, start=1):
        for trace in _points_and_line(table, name, COLOURS[(panel - 1) % len(COLOURS)]):
            figure.add_trace(trace, row=panel, col=1)
    frame(figure, title=heading, height=126 + PANEL * len(values), gap=38)
    figure.update_yaxes(title_text="nats")
    figure.update_xaxes(title_text=STEP, row=len(values), col=1)
    last = ", ".join(f"{name} {_written(table[MEAN.format(name)][-1])}" for name in values)
    told = f"{heading}. At step {log[-1]['step']} the means are {last}.{_left_out(drawn)}"
    return Chart(figure, {}, pd.DataFrame(table), told)


def overlaid_losses(logs: Mapping[str, Sequence[Mapping[str, Any]]], term: str = TOTAL) -> Chart:
    """One loss of several runs in nats per optimizer step: a line each, its running mean; a run without it has none.

    logs: {run: log rows as `losses` takes them}; term: a name of a term, or TOTAL for the sum that was trained on.
    """
    heading = f"Loss of several runs in nats: {term}, running mean"
    tables = {run: _running(_by_step(rows), term) for run, rows in logs.items()}
    known = {run: table for run, table in tables.items() if table["Step"]}
    if not known:
        return nothing(title=heading, why="None of these runs has logged this loss.")
    figure = go.Figure([_run_line(run, table, term, place=place) for place, (run, table) in enumerate(known.items())])
    frame(figure, title=heading, height=380 + LINE * len(known), legend=True)
    figure.update_xaxes(title_text=STEP)
    figure.update_yaxes(title_text="nats")
    rows = [
        {"Run": run, "Step": step, "Loss": loss, "Running mean": running}
        for run, table in known.items()
        for step, loss, running in zip(table["Step"], table[term], table[MEAN.format(term)], strict=True)
    ]
    last = "; ".join(f"{run} {_written(t[MEAN.format(term)][-1])} at step {t['Step'][-1]}" for run, t in known.items())
    without = [run for run in tables if run not in known]
    told = f" Not logged by {', '.join(without)}." if without else ""
    return Chart(figure, {}, pd.DataFrame(rows), f"{heading}. Last: {last}.{told}")


def _running(log: Sequence[Mapping[str, Any]], term: str) -> dict[str, list]:
    """Of the steps that have this loss, those that are drawn, with the loss and its running mean."""
    values = [(row["step"], row["loss"] if term == TOTAL else row["terms"].get(term)) for row in log]
    known = [(step, value) for step, value in values if value is not None]
    return _table([step for step, _ in known], {term: [value for _, value in known]}, _drawn(len(known)))


def _run_line(run: str, table: Mapping[str, list], term: str, *, place: int) -> go.Scatter:
    means = table[MEAN.format(term)]
    colour = COLOURS[place % len(COLOURS)]
    return go.Scatter(
        name=shown(run),
        x=table["Step"],
        y=means,
        mode="lines",
        line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
        hovertext=[
            f"{shown(run)}, step {step}<br>{shown(term)}: {_written(mean)}"
            for step, mean in zip(table["Step"], means, strict=True)
        ],
        hoverinfo="text",
    )


def speed(log_rows: Iterable[Mapping[str, Any]]) -> Chart:
    """Tokens a second per optimizer step, and their median; log_rows: {"step", "tokens", "seconds", ...}."""
    heading = "Training speed: tokens a second (higher is better)"
    name = "Tokens a second"
    log = _by_step(row for row in log_rows if row.get("seconds") and row.get("tokens") is not None)
    if not log:
        return nothing(title=heading, why="No step has been timed yet.")
    values = [round(row["tokens"] / row["seconds"], 1) for row in log]
    drawn = _drawn(len(log))
    table = _table([row["step"] for row in log], {name: values}, drawn)
    figure = go.Figure(_points_and_line(table, name, VERMILLION))
    frame(figure, title=heading, height=300)
    figure.update_xaxes(title_text=STEP)
    figure.update_yaxes(title_text=name, rangemode="tozero")
    told = f"{heading}. Median {median(values):.0f} over {len(log)} steps.{_left_out(drawn)}"
    return Chart(figure, {}, pd.DataFrame(table), told)


def _by_step(log_rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in order; of a step that a resumed run took again, the last."""
    steps = {row["step"]: row for row in log_rows}
    return [steps[step] for step in sorted(steps)]


def _panels(names: Sequence[str]) -> go.Figure:
    figure = make_subplots(
        rows=len(names), cols=1, shared_xaxes=True, vertical_spacing=0.3 / (len(names) + 1), subplot_titles=names
    )
    figure.update_annotations(x=0, xanchor="left", font_size=12)
    return figure


def _drawn(steps: int) -> range:
    """Which of that many steps are drawn: every k-th, counted from the last."""
    every = max(1, -(-steps // POINTS))
    return range((steps - 1) % every, steps, every)


def _left_out(drawn: range) -> str:
    return f" One step in {drawn.step} is drawn." if drawn.step > 1 else ""


def _table(steps: Sequence[int], values: Mapping[str, Sequence[float | None]], drawn: range) -> dict[str, list]:
    """The steps that are drawn, and of each series the values and their running means."""
    half = max(1, len(steps) // 80)  # the mean is over a fortieth of the steps
    table: dict[str, list] = {"Step": [steps[at] for at in drawn]}
    for name, series in values.items():
        table[name] = [series[at] for at in drawn]
        table[MEAN.format(name)] = [_mean(series[max(0, at - half) : at + half + 1]) for at in drawn]
    return table


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _written(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _points_and_line(table: Mapping[str, list], name: str, colour: str) -> list[go.Scatter]:
    hovers = [
        f"step {step}<br>{shown(name)}: {_written(value)}"
        for step, value in zip(table["Step"], table[name], strict=True)
    ]
    points = {"mode": "markers", "marker": {"color": colour, "size": 4}, "opacity": 0.6}
    line = {"mode": "lines", "line": {"color": colour, "width": 2}, "hoverinfo": "skip"}
    mean_name = MEAN.format(name)
    return [
        go.Scatter(name=shown(name), x=table["Step"], y=table[name], hovertext=hovers, hoverinfo="text", **points),
        go.Scatter(name=shown(mean_name), x=table["Step"], y=table[mean_name], **line),
    ]
