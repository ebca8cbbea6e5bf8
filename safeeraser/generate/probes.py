"""Questions that people asked about pictures of a data set, with what runs answered, in one file beside the runs.

An answer belongs to a run as it was made then; once the run is made anew, the answer is an older one's. Rows are only
ever added: more answers to a probe are another row of it, and a row that is not kept takes it away. Such answers stand
outside every metric.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, StringConstraints
from typing_extensions import TypedDict

from safeeraser.generate.ask import LONGEST_QUESTION
from safeeraser.runs import journal
from safeeraser.runs.folder import root

LATEST = 1e11  # seconds since the epoch: what every calendar can still say


class Row(TypedDict):
    """A line of the file. time: seconds since the epoch; answers: by run; kept: False where the probe was removed.

    who: the name of the person who asked, empty for nobody's; made: when each run was made, as its config.json says.
    """

    __pydantic_config__ = ConfigDict(strict=True)  # pyright: ignore[reportGeneralTypeIssues]
    time: Annotated[float, Field(ge=0, le=LATEST)]
    data: str
    item: str
    question: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUESTION)]
    answers: dict[str, str]
    kept: bool
    who: NotRequired[str]
    made: NotRequired[dict[str, str]]


@dataclass(frozen=True)
class Probe:
    """A question about an item's picture. time, who: of the first asking; answers: the latest of each run, by its name.

    made: when the run that gave each answer was made, as far as that is known.
    """

    data: str
    item: str
    question: str
    time: float
    who: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it from all others, in one text."""
        return json.dumps([self.data, self.item, self.question])


@dataclass(frozen=True)
class Probes:
    """The probes of a data set, the newest first. damage: what is wrong with the file."""

    kept: list[Probe]
    damage: str | None


def file() -> Path:
    """Where the probes of all data sets are; it is made when the first question is asked."""
    return root() / "probes.jsonl"


def of(data: str) -> Probes:
    """The probes of this data set as they are now, as far as the file can be read."""
    found = journal.read(file(), Row)
    kept: dict[tuple[str, str], Probe] = {}
    for row in found.rows:
        key = row["item"], row["question"]
        if row["data"] != data:
            continue
        if row["kept"]:
            probe = kept.setdefault(key, Probe(data, *key, row["time"], row.get("who", "")))
            probe.answers.update(row["answers"])
            probe.made.update(row.get("made", {}))
        else:
            kept.pop(key, None)
    return Probes(sorted(kept.values(), key=lambda probe: probe.time, reverse=True), found.damage)


def keep(
    data: str, item: str, question: str, answers: Mapping[str, str], *, who: str = "", made: Mapping[str, str] = {}
) -> None:
    """Keep what runs answered, together with what others answered to the same question. Raises FileError."""
    row = Row(time=time.time(), data=data, item=item, question=question.strip(), answers=dict(answers), kept=True)
    journal.add(file(), [{**row, "who": who, "made": dict(made)}])


def remove(probe: Probe) -> None:
    """Take a probe away with all its answers. Raises FileError."""
    row = Row(time=time.time(), data=probe.data, item=probe.item, question=probe.question, answers={}, kept=False)
    journal.add(file(), [row])
