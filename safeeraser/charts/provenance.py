"""How the numbers of a handout were made: data, judge, decoding, and every run with its settings and versions."""

from collections.abc import Sequence
from dataclasses import dataclass

from safeeraser.charts.handout import Html, Row, heading, note, pairs, table
from safeeraser.charts.words import unit
from safeeraser.config import RunConfig
from safeeraser.losses import method_name, with_parts
from safeeraser.runs.contents import Facts

DIGITS = 10  # of a hash, as many as tell two apart


@dataclass(frozen=True)
class Made:
    """A run, as it was made: its name, what stands for it on this page, and config.json.

    row: its score row, an empty one without. pd_weight: 0 for none. adapter: the SHA-256 of its weights. command: what
    makes it again, empty where nothing here does.
    """

    run: str
    label: str
    config: RunConfig
    facts: Facts
    row: Row
    pd_weight: float
    ships: bool
    adapter: str | None = None
    command: str = ""


def section(made: Sequence[Made], *, data: str, data_hash: str, split: str, judge: str | None) -> list[Html]:
    """The last section of a handout."""
    decoding = dict.fromkeys(str(one.row["decoding"]) for one in made if one.row)
    together = f"answers about one {unit([one.row for one in made])} taken together"
    facts = {
        "Data set": data,
        "Data hash": data_hash,
        "Split": f"{split} (held out: nothing of it was trained on)" if split == "val" else split,
        "Judge": judge,
        "Decoding": "; ".join(decoding),
        "Intervals": f"95 %, Wilson's, {together}; exact where all agree",
    }
    return [
        heading("How these numbers were made"),
        pairs(facts),
        table(
            ("Run", "Name", "Made (UTC)", "Method", "PD weight", "Seed", "Settings unlike the defaults"),
            map(_run, made),
        ),
        table(("Runs", "Commit", "Data hash", "Python", "Machine", "Versions"), _origins(made)),
        note("–: unknown, or none. Name: of the run's folder. Defaults: of the preset demo. Commit: of SafeEraser."),
    ]


def remaking(made: Sequence[Made]) -> list[Html]:
    """What makes each run again, and its adapter's weights, so that it is told whether they are the same."""
    rows = ((one.label, one.command or None, one.adapter) for one in made)
    return [
        heading("The commands that make these runs"),
        table(("Run", "Command", "Adapter (SHA-256)"), rows),
        note("Adapter: of its weights, adapter_model.safetensors, as sha256sum prints it; the base model has none."),
    ]


def _run(made: Made) -> tuple[str | None, ...]:
    config, facts = made.config, made.facts
    kind = "example" if made.ships else "imported" if facts["imported"] else ""
    name = f"{made.run} ({kind})" if kind else made.run
    weight = f"{made.pd_weight:g}" if made.pd_weight else None
    when = facts["created"].replace("T", " ").removesuffix("Z")
    settings = config.other_flags() or "none"
    method = method_name(with_parts(config.method, config.parts))
    return made.label, name, when, method, weight, str(config.seed), settings


def _origins(made: Sequence[Made]) -> list[tuple[str, ...]]:
    """What the runs were made with, once for all those that have it in common."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in made:
        facts = one.facts
        versions = ", ".join(f"{library} {number}" for library, number in facts["versions"].items())
        hashes = (facts["commit"] or "")[:DIGITS], facts["data_hash"][:DIGITS]
        groups.setdefault((*hashes, facts["python"], facts["machine"], versions), []).append(one.label)
    return [("all" if len(groups) == 1 else "; ".join(labels), *origin) for origin, labels in groups.items()]
