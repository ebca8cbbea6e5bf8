"""What repeats in the texts of a data set: forget targets within a category and split, keywords between the splits."""

import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from hashlib import blake2b

from safeeraser.data.overlap import same_text
from safeeraser.data.records import Dataset, Record
from safeeraser.data.report import Keywords, RepeatedTarget


def repeated_targets(dataset: Dataset) -> tuple[RepeatedTarget, ...]:
    """The most repeated target of each category and split, the largest share first."""
    verbatim: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    alike: dict[tuple[str, str], Counter[bytes]] = defaultdict(Counter)
    first: dict[tuple[str, str, str], str] = {}
    for pair in (pair for record in dataset.records for pair in record.forget):
        place = (pair.category, pair.split)
        verbatim[place][pair.answer] += 1
        alike[place][_digest(_words(pair.answer))] += 1
        first.setdefault((*place, pair.answer), pair.id)
    found = []
    for place, counter in verbatim.items():
        (text, pairs), total = counter.most_common(1)[0], counter.total()
        largest = max(alike[place].values())
        if largest > 1:
            words, shares = len(text.split()), (pairs / total, largest / total)
            found.append(RepeatedTarget(*place, pairs, shares[0], words, first[*place, text], largest, shares[1]))
    return tuple(sorted(found, key=lambda target: (-target.share, -target.alike_share)))


def keywords(dataset: Dataset) -> tuple[Keywords, ...]:
    """The keywords and the safe keywords of both splits, compared but for case and spacing."""
    return (
        _compared("keyword", dataset, lambda record: record.keyword),
        _compared("safe keyword", dataset, lambda record: record.safe_keyword or ""),
    )


def _compared(kind: str, dataset: Dataset, word: Callable[[Record], str]) -> Keywords:
    train, val = (Counter(same_text(word(record)) for record in records) for records in (dataset.train, dataset.val))
    train_without, val_without = train.pop("", 0), val.pop("", 0)
    return Keywords(
        kind=kind,
        train=len(train),
        train_without=train_without,
        val=len(val),
        val_without=val_without,
        both=len(train.keys() & val.keys()),
    )


def _words(text: str) -> str:
    """A text's words: what is left without case, spacing, punctuation and symbols."""
    return " ".join(text.casefold().translate(_punctuation()).split())


@cache
def _punctuation() -> dict[int, str]:
    marks = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] in "PS")
    return dict.fromkeys(marks, " ")


def _digest(text: str) -> bytes:
    """Stands for the text: all texts of a large data set would be kept a second time."""
    return blake2b(text.encode(), digest_size=16).digest()
