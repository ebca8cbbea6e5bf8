"""What training sees, in which order: the stream of examples, made from the seed alone."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch.utils.data

from safeeraser.data.records import VQA, DataError, Dataset, Record
from safeeraser.losses import SETS, Term

Example = dict[str, VQA]


class Examples(torch.utils.data.Dataset[list[tuple[str, VQA]]]):
    """The endless stream of training examples, by position: a forget pair, its refusal, its retain and decouple pair.

    Every pass is a new order of all forget pairs; shuffle: "pairs", or "pictures" to keep the pairs of a picture
    together. The decouple pair of forget pair `x/forget/2` is `x/decouple/2`.
    """

    def __init__(self, data: Dataset, terms: tuple[Term, ...], seed: int, shuffle: str = "pairs") -> None:
        self.sets = [name for name in SETS if any(name in term.sets for term in terms)]
        pairs = [example for record in data.train for example in _examples(record)]
        self.pairs = sorted(pairs, key=lambda example: example["forget"].id)  # whatever the file's order
        self.refusals = data.refusals
        self.seed = seed
        self.shuffle = shuffle
        _require(data, self.pairs, self.sets)

    def __getitem__(self, position: int) -> list[tuple[str, VQA]]:
        epoch, index = divmod(position, len(self.pairs))
        example = self.pairs[self.order(epoch)[index]]
        if "refusal" in self.sets:
            forget = example["forget"]
            refusal = random.Random(f"{self.seed}/{epoch}/{forget.id}").choice(self.refusals)
            example = example | {"refusal": replace(forget, answer=refusal)}
        return [(name, example[name]) for name in self.sets if name in example]

    def order(self, epoch: int) -> list[int]:
        """A shuffle of all examples that depends on seed and epoch alone."""
        if getattr(self, "_epoch", None) != epoch:
            together: dict[Any, list[int]] = {}
            for index, example in enumerate(self.pairs):
                together.setdefault(example["forget"].picture if self.shuffle == "pictures" else index, []).append(
                    index
                )
            groups = list(together.values())
            random.Random(f"{self.seed}/order/{epoch}").shuffle(groups)
            self._epoch, self._order = epoch, [index for group in groups for index in group]
        return self._order


def _examples(record: Record) -> Iterator[Example]:
    """Join the record's pairs by the number in their id; retain pair k rides along with forget pair k.

    Pairs without a picture are left out.
    """
    seen = {name: [vqa for vqa in getattr(record, name) if vqa.picture] for name in ("forget", "retain", "decouple")}
    places = {name: {vqa.k: vqa for vqa in seen[name]} for name in ("retain", "decouple")}
    for forget in seen["forget"]:
        partners = {name: pairs.get(forget.k) for name, pairs in places.items()}
        yield {"forget": forget} | {name: vqa for name, vqa in partners.items() if vqa is not None}


def _require(data: Dataset, pairs: list[Example], sets: list[str]) -> None:
    if not pairs:
        raise DataError(f"{data.root}: no forget pairs in train; run `safeeraser data check {data.root}`")
    if "refusal" in sets and not data.refusals:
        raise DataError(f'{data.root}: the method needs refusal sentences; put {{"idk": [...]}} into prompt.json')
    for name, flag in (("retain", "--method ga"), ("decouple", "--no-pd")):
        if name in sets and not any(name in pair for pair in pairs):
            raise DataError(f"{data.root}: no {name} pairs in train, which the method needs; or choose {flag}")
