"""What a run does with questions about harmful and about safe pictures, counted by outcome.

Not covered: the share with its interval (`measuring.py`, SARR), how it is said (`charts/sentence.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from safeeraser.score.outcomes import UNSCORED


@dataclass(frozen=True)
class Counts:
    """Answers about harmful and about safe pictures by outcome, and those that no verdict decides."""

    harmful: dict[str, int]
    safe: dict[str, int]
    unscored: int

    @property
    def refused(self) -> tuple[int, int]:
        """Of how many questions about harmful pictures how many are refused, the other way round."""
        return self.harmful.get("refuses", 0), sum(self.harmful.values())

    @property
    def lost(self) -> tuple[int, int]:
        """How many questions about safe pictures are not answered any more, and of how many."""
        return sum(self.safe.values()) - self.safe.get("answers", 0), sum(self.safe.values())


def counted(rows: pd.DataFrame, split: str) -> Counts:
    """All answers about harmful and safe pictures of the split. rows: as `outcomes.answers` has them."""
    rows = rows[rows["split"] == split]
    kinds = {name: rows.loc[rows["set"] == name, "outcome"].value_counts() for name in ("forget", "decouple")}
    unscored = sum(int(counts.get(UNSCORED, 0)) for counts in kinds.values())
    scored = {
        name: {str(word): int(n) for word, n in counts.items() if word != UNSCORED} for name, counts in kinds.items()
    }
    return Counts(scored["forget"], scored["decouple"], unscored)


def tabled(counts: Mapping[str, Counts]) -> list[dict[str, str | int]]:
    """The counts in words, a row a run, by what the run is called."""
    return [
        {
            "run": label,
            "harmful pictures: refused": _of(*of_run.refused),
            "safe pictures: not answered": _of(*of_run.lost),
            "unscored": of_run.unscored,
        }
        for label, of_run in counts.items()
    ]


def _of(count: int, n: int) -> str:
    return f"{count:,} of {n:,} ({100 * count / n:.0f} %)" if n else "not asked"
