"""`safeeraser tune`: runs of one method with different settings, asked on dev; the best by one number, and its command.

Every method gets a fair choice when each is given the same budget: so many runs, the one with the usual settings among
them. What is chosen is then run on val, which no choice saw.
"""

import argparse
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from shlex import join
from typing import Any

from safeeraser import stages
from safeeraser.commands import flags, running
from safeeraser.commands.console import err, out, printable, say, table
from safeeraser.config import ConfigError, RunConfig, optional, tunable
from safeeraser.data.rows import ScoreRow
from safeeraser.runs import tunes
from safeeraser.runs.tunes import Tried, Tune
from safeeraser.score import choosing

OFF = "none"  # of a setting that can be off


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.describe(parser, do, "safeeraser tune --method po --over lr=1e-3,1.5e-3,3e-3 --over epochs=4,6 --budget 4")
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="SETTING=VALUE,...",
        help=f"values of a setting to try, {OFF} for off; several settings are combined. What the other flags say is "
        "tried too, and first",
    )
    parser.add_argument(
        "--budget",
        type=flags.positive,
        metavar="N",
        help="at most so many runs, drawn from all combinations by --seed (default: all)",
    )
    goals = "; ".join(f"{name}: {goal.says}" for name, goal in choosing.GOALS.items())
    parser.add_argument(
        "--goal",
        choices=choosing.GOALS,
        default=choosing.DEFAULT,
        help=f"what is best (default: {choosing.DEFAULT}). {goals}",
    )
    parser.add_argument("--eval-split", default="dev", metavar="dev", help="held-out split that is asked: always dev")
    parser.add_argument(
        "--show",
        metavar="FILE",
        help=f"run nothing: print a choice again, by its file or name, or `{tunes.LAST}`; or all choices of a folder",
    )
    parser.add_argument("--format", choices=("text", "markdown"), help="with --show: of the table (default: text)")
    flags.add_json(parser, "the choice")
    flags.add_settings(parser, leave_out=("eval_split",))


def do(options: argparse.Namespace) -> int:
    if options.show:
        if options.over:
            raise ConfigError("--over has no effect with --show, which runs nothing; leave one out")
        _show_kept(options.show, options.format or "text", as_json=options.json)
        return 0
    if options.format:
        raise ConfigError("--format has no effect without --show; leave it out")
    _check_split(options.eval_split)
    over = _over(options.over)
    grid = _grid(options, over)
    configs = _drawn(grid, options.budget)
    source = running.source(options)
    err.print(f"tune: {len(configs)} runs on dev, of {len(grid)} combinations")
    running.finish(stages.open_run(grid[0].base(), source), source)  # tells what did nothing and what is broken
    rows, errors = running.finish_all(configs, source)
    tried = [_tried(config, rows, errors, over, options.goal) for config in configs]
    tune = _tune(options, grid, over, tried, data_hash=source.hash)
    path = tunes.file([row["run"] for row in tried], options.goal)
    tunes.save(path, tune)
    _show(tune, as_json=options.json)
    err.print(f"kept: {path}")
    return 1 if errors else 0


def _check_split(split: str) -> None:
    if split == "val":
        raise ConfigError(
            "--eval-split val: settings are chosen on dev, so that no reported number stands on what a choice was made "
            "on; leave it out, and give the command that is printed at the end for val"
        )
    if split != "dev":
        raise ConfigError(f"--eval-split must be dev, got {split!r}; leave it out")


def _over(given: Sequence[str]) -> dict[str, list[str]]:
    """The values to try, as they were typed, by setting. Raises ConfigError saying what is wrong with one."""
    if not given:
        raise ConfigError("there is nothing to choose from: add --over SETTING=VALUE,..., such as --over lr=1e-3,3e-3")
    over: dict[str, list[str]] = {}
    for text in given:
        key, _, values = text.partition("=")
        name = key.strip().lstrip("-").replace("-", "_")
        if name not in tunable():
            why = "is not chosen on dev" if name in RunConfig.model_fields else "is no setting"
            raise ConfigError(f"--over {text}: {name!r} {why}; those of training are: {', '.join(tunable())}")
        if name in over:
            raise ConfigError(f"--over {text}: {name!r} is named twice; give all its values once")
        over[name] = [value for part in values.split(",") if (value := part.strip())]
        if not over[name]:
            raise ConfigError(f"--over {text}: no values; write --over {key}=VALUE,VALUE")
    return over


def _grid(options: argparse.Namespace, over: Mapping[str, Sequence[str]]) -> list[RunConfig]:
    """Every combination once, the one that the other flags say first. Raises ConfigError for one that cannot be."""
    usual = flags.config(options)
    if not usual.trains:
        raise ConfigError(f"--method {usual.method} trains nothing: there are no settings to choose")
    found = [usual]
    for values in product(*over.values()):
        typed = dict(zip(over, values, strict=True))
        settings = {name: None if value == OFF and _can_be_off(name) else value for name, value in typed.items()}
        try:
            found.append(flags.config(options, **settings))
        except ConfigError as error:
            words = " ".join(f"--over {name}={value}" for name, value in typed.items())
            raise ConfigError(f"{words}: {error}") from None
    return list(dict.fromkeys(found))


def _can_be_off(name: str) -> bool:
    return optional(name) or RunConfig.model_fields[name].default is None


def _drawn(grid: Sequence[RunConfig], budget: int | None) -> list[RunConfig]:
    """The configurations to run, in the order of the grid: its first, and others drawn by the seed of the runs."""
    others = grid[1:]
    if budget is None or budget >= len(grid):
        return list(grid)
    picked = random.Random(f"tune {grid[0].seed}").sample(range(len(others)), budget - 1)
    return [grid[0], *(others[place] for place in sorted(picked))]


def _tried(
    config: RunConfig,
    rows: Mapping[str, ScoreRow],
    errors: Mapping[str, str],
    over: Mapping[str, Sequence[str]],
    goal: str,
) -> Tried:
    """What came of a configuration; a run that failed has an error instead of scores."""
    run = config.run_name()
    row = rows.get(run)
    return {
        "run": run,
        "settings": {name: getattr(config, name) for name in over},
        "metrics": {name: row["metrics"][name] for name in choosing.LOOKED_AT} if row else {},
        "flags": row.get("flags", []) if row else [],
        "objective": choosing.objective(row, goal) if row else None,
        "error": errors.get(run),
    }


def _tune(
    options: argparse.Namespace,
    grid: Sequence[RunConfig],
    over: Mapping[str, Sequence[str]],
    tried: Sequence[Tried],
    *,
    data_hash: str,
) -> Tune:
    """The choice among what was tried, with all that is needed to make it again and to report it."""
    usual, best = grid[0], choosing.chosen(tried)
    asked = [word for name, values in over.items() for word in ("--over", f"{name}={','.join(values)}")]
    asked += ["--budget", str(options.budget)] if options.budget else []
    words = [*usual.flags(leave_out={"eval_split"}), *asked, "--goal", options.goal]
    by_name = {config.run_name(): config for config in grid}
    return {
        "command": join(["safeeraser", "tune", *words]),
        "method": usual.method,
        "pd": usual.pd,
        "data": usual.data,
        "data_hash": data_hash,
        "split": usual.eval_split,
        "judge": usual.judge,
        "seed": usual.seed,
        "goal": options.goal,
        "says": choosing.GOALS[options.goal].says,
        "over": {name: list(values) for name, values in over.items()},
        "combinations": len(grid),
        "budget": options.budget,
        "rows": list(tried),
        "chosen": best and best["run"],
        "report": best and join(["safeeraser", "run", *by_name[best["run"]].flags(leave_out={"eval_split"})]),
        **tunes.origin(),
    }


def _show_kept(name: str, form: str, *, as_json: bool) -> None:
    """Print what is kept: one choice with all that is said of it, or one table of all choices in a folder."""
    paths = tunes.within(Path(name)) if Path(name).is_dir() else [tunes.find(name)]
    kept = [tunes.read(path) for path in paths]
    if as_json:
        print(json.dumps(kept if Path(name).is_dir() else kept[0], indent=1))
    elif form == "markdown":
        print(printable(_as_markdown(kept)))
    elif Path(name).is_dir():
        for tune in kept:
            _print_table(tune)
    else:
        _show(kept[0], as_json=False)


def _as_markdown(kept: Sequence[Tune]) -> str:
    """One table: a line a configuration, by choice and then the best first; what was chosen is bold."""
    names = _metrics(row for tune in kept for row in tune["rows"])
    header = ["Runs", "Setting", *_titles(names), "Objective", "Flags"]
    lines = [header, ["---", "---", *["---:"] * (len(names) + 1), "---"]]
    for tune in kept:
        for row in choosing.ranked(tune["rows"]):
            setting = ", ".join(f"{name} {_setting(value)}" for name, value in row["settings"].items())
            setting = f"**{setting}**" if row["run"] == tune["chosen"] else setting
            lines.append([_flags_of(tune), setting, *_cells(row, names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{_caption(kept)}"


def _flags_of(tune: Tune) -> str:
    """What was typed for all runs of a choice, without what is no part of the settings."""
    words = tune["command"].split(" --over ")[0].removeprefix("safeeraser tune").replace(" --no-look-every", "").strip()
    return f"`{words or '--method po'}`"


def _caption(kept: Sequence[Tune]) -> str:
    splits, goals = ({tune[name] for tune in kept} for name in ("split", "goal"))
    said = " ".join(f"Objective ({tune['goal']}): {tune['says']}." for tune in kept[:1] if len(goals) == 1)
    return f"Percent, on {', '.join(sorted(splits))}; bold is chosen. {said}".strip()


def _show(tune: Tune, *, as_json: bool) -> None:
    """Print a choice: a line a configuration, the best first, and how the chosen one is reported."""
    if as_json:
        print(json.dumps(tune, indent=1))
        return
    _print_table(tune)
    say(f"tried: {len(tune['rows'])} of {tune['combinations']} combinations (budget: {tune['budget'] or 'all'})")
    if tune["chosen"] is None:
        say("chosen: none, as no objective is known")
        return
    say(f"chosen: {tune['chosen']}")
    if found := choosing.unwanted(choosing.ranked(tune["rows"])[0]):
        say(f"note: it is flagged ({', '.join(found)}), as all others are; try other values")
    known = [row["objective"] for row in tune["rows"] if row["objective"] is not None]
    if len(known) > 1 and len(set(known)) == 1:
        say("note: the objective is the same for all, so the first tried stays; another --goal may tell them apart")
    say(f"on val: {tune['report']}")


def _print_table(tune: Tune) -> None:
    names = _metrics(tune["rows"])
    made = table("", *(name.replace("_", "-") for name in tune["over"]), *_titles(names), "Objective", "Flags", "Run")
    for row in choosing.ranked(tune["rows"]):
        made.add_row(
            "*" if row["run"] == tune["chosen"] else "",
            *(_setting(row["settings"].get(name)) for name in tune["over"]),
            *_cells(row, names),
            row["run"],
        )
    made.caption = f"Percent, on {tune['split']}. * is chosen. Objective ({tune['goal']}): {tune['says']}"
    out.print(made)


def _metrics(rows: Iterable[Tried]) -> list[str]:
    """Those of the metrics that a choice looks at of which some row has a value."""
    rows = list(rows)
    return [name for name in choosing.LOOKED_AT if any(_known(row, name) for row in rows)]


def _titles(names: Iterable[str]) -> list[str]:
    from safeeraser.score.metrics import METRICS  # large

    return [METRICS[name].column or METRICS[name].name for name in names]


def _cells(row: Tried, names: Iterable[str]) -> list[str]:
    """The metrics, the objective and the flags of a configuration, as text."""
    return [
        *(_percent(row["metrics"].get(name, {}).get("value")) for name in names),
        _percent(row["objective"]),
        "failed" if row["error"] else ", ".join(flag["name"] for flag in row["flags"]),
    ]


def _known(row: Tried, name: str) -> bool:
    return row["metrics"].get(name, {}).get("value") is not None


def _setting(value: Any) -> str:
    return OFF if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
