"""What the loader survived, told in few sentences, however often it happened.

Covered: counting what happened, by file and kind. Not covered: what counts as a quirk (`official.py`, `finding.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

_NAMED = 3  # a note names the first few records, and the first few ways, and counts the others


@dataclass
class _Quirk:
    """One thing that was noted: how often, and where first."""

    times: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, where: str | None) -> None:
        self.times += 1
        if where and len(self.first) < _NAMED:
            self.first.append(where)


@dataclass
class _Kind(_Quirk):
    """Quirks of one kind: the first few by what they say, the others only counted."""

    quirks: dict[str, _Quirk] = field(default_factory=dict)
    more: bool = False


class Notes:
    """What was survived: a sentence for each file and quirk, or one for all quirks of a kind if they are many."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def add(self, file: str, what: str, where: str | None = None, *, kind: str | None = None) -> None:
        """Note `what` about the whole file, or about the record that `where` names.

        kind: what such notes have in common, for a `what` that quotes the data, in words that stand for any of them.
        """
        noted = self._kinds.setdefault((file, kind or what), _Kind())
        noted.add(where)
        if what in noted.quirks or len(noted.quirks) < _NAMED:
            noted.quirks.setdefault(what, _Quirk()).add(where)
        else:
            noted.more = True

    def sentences(self) -> tuple[str, ...]:
        return tuple(sentence for (file, kind), noted in self._kinds.items() for sentence in _told(file, kind, noted))


def _told(file: str, kind: str, noted: _Kind) -> Iterable[str]:
    told = [f"{what}{_named(quirk)}" for what, quirk in noted.quirks.items()]
    if not noted.more:
        return [f"{file}: {one}." for one in told]
    return [f"{file}: {kind} ({noted.times:,} times): {'; '.join(told)}; and so on."]


def _named(quirk: _Quirk) -> str:
    others = quirk.times - len(quirk.first)
    more = f" and {others:,} more" if others > 0 else ""
    return f": {', '.join(quirk.first)}{more}" if quirk.first else ""
