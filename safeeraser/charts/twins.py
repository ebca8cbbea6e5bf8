"""Runs that differ in Prompt Decouple alone: which they are, and in a table whether their answers differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from safeeraser.charts.words import written_p
from safeeraser.config import RunConfig
from safeeraser.score.compared import Difference
from safeeraser.score.significance import holm

MEANING = (
    "p: how often runs that do not differ would look at least as different, by flipping the sign of whole pictures or "
    "things; Holm: corrected for the number of rows."
)


def pairs(configs: Mapping[str, RunConfig]) -> list[tuple[str, str]]:
    """The runs without PD, each with every twin with PD, by their names."""
    return [
        (name, other) for name, own in configs.items() if not own.pd for other in configs if own.is_twin(configs[other])
    ]


def table(found: Sequence[tuple[str, str, Difference]]) -> list[dict[str, Any]]:
    """A row for each pair of labels, in percent, with p corrected for the number of rows."""
    corrected = holm([tested.p for _, _, tested in found])
    return [
        {
            "Without PD": without,
            "With PD": with_pd,
            "Without (%)": round(100 * tested.a, 1),
            "With (%)": round(100 * tested.b, 1),
            "Difference (points)": round(100 * (tested.b - tested.a), 1),
            "n": tested.n,
            f"p by {tested.unit}": written_p(tested.p),
            "p (Holm)": written_p(p),
        }
        for (without, with_pd, tested), p in zip(found, corrected, strict=True)
    ]
