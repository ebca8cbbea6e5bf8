"""What training sees, in which order: the stream of examples, made from the seed alone."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch.utils.data

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Changed, DataError, Dataset, Record
from safeeraser.losses import SETS, Term

Example = dict[str, VQA]


class Examples(torch.utils.data.Dataset[list[tuple[str, VQA]]]):
    """The endless stream of training examples, by position: a forget pair, its refusal, its retain and decouple pair.

    Every pass is a new order of all forget pairs; shuffle: "pairs", or "pictures" to keep the pairs of a picture
    together. The decouple pair of forget pair `x/forget/2` is `x/decouple/2`. vicinal_share: of how many decouple
    pictures of a pass the questions are asked about a picture of nothing too, if a term wants that. vicinal_near: of
    how many harmful ones what is to be forgotten is then asked about a picture near it. variations: of each harmful
    picture; what is to be forgotten is asked about it and them in turn.
    """

    def __init__(
        self,
        data: Dataset,
        terms: tuple[Term, ...],
        seed: int,
        shuffle: str = "pairs",
        *,
        vicinal_share: float = 1.0,
        vicinal_near: float = 0.5,
        variations: int = 0,
    ) -> None:
        self.sets = [name for name in SETS if any(name in term.sets for term in terms)]
        pairs = [example for record in data.train for example in _examples(record)]
        self.pairs = sorted(pairs, key=lambda example: example["forget"].id)  # whatever the file's order
        self.refusals = data.refusals
        self.seed = seed
        self.shuffle = shuffle
        self.vicinal_share = vicinal_share
        self.vicinal_near = vicinal_near if "nothing" in self.sets else 0.0
        self.variations = variations
        self.harmful, self.safe = pictures(data)
        _require(data, self.pairs, self.sets)

    @classmethod
    def of(cls, data: Dataset, config: RunConfig) -> Self:
        """The examples that a run's settings ask for."""
        how = {name: getattr(config, name) for name in ("vicinal_share", "vicinal_near", "variations")}
        return cls(data, config.terms, config.seed, config.shuffle, **how)

    def __getitem__(self, position: int) -> list[tuple[str, VQA]]:
        epoch, index = divmod(position, len(self.pairs))
        example = dict(self.pairs[self.order(epoch)[index]])
        forget, decouple = example["forget"], example.get("decouple")
        example["forget"] = replace(forget, changed=self._beside(epoch, forget))
        if "refusal" in self.sets:
            refusal = random.Random(f"{self.seed}/{epoch}/{forget.id}").choice(self.refusals)
            example["refusal"] = replace(example["forget"], answer=refusal)
        if "nothing" in self.sets and decouple:
            drawn = self._drawn("nothing", epoch, decouple)
            if drawn.random() < self.vicinal_share:
                how, of = drawn.choice((("mixed", [*self.harmful, *self.safe]), ("far", self.harmful)))
                turn = Changed(drawn.choice(of), how, drawn.randrange(2**31))
                example["nothing"] = replace(decouple, changed=turn)
        return [(name, example[name]) for name in self.sets if name in example]

    def _beside(self, epoch: int, forget: VQA) -> Changed | None:
        """What is shown in place of the harmful picture in this pass: one near it, a variation; None: nothing."""
        assert forget.picture is not None  # pairs without one are left out
        drawn = self._drawn("beside", epoch, forget)
        if drawn.random() < self.vicinal_near:
            return Changed(forget.picture, "near", drawn.randrange(2**31))
        variation = drawn.randrange(self.variations + 1)
        return Changed(forget.picture, "varied", variation) if variation else None

    def _drawn(self, what: str, epoch: int, vqa: VQA) -> random.Random:
        """What the pairs of a picture have in common in a pass, so that they can share its tokens."""
        return random.Random(f"{self.seed}/{what}/{epoch}/{vqa.record}")

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


def pictures(data: Dataset) -> tuple[list[Path], list[Path]]:
    """The harmful and the safe pictures of training that are there, each in order of their names."""
    harmful = {record.picture for record in data.train if record.picture}
    safe = {record.safe_picture for record in data.train if record.safe_picture}
    return sorted(harmful), sorted(safe - harmful)


def _require(data: Dataset, pairs: list[Example], sets: list[str]) -> None:
    if not pairs:
        raise DataError(f"{data.root}: no forget pairs in train; run `safeeraser data check {data.root}`")
    if "refusal" in sets and not data.refusals:
        raise DataError(f'{data.root}: the method needs refusal sentences; put {{"idk": [...]}} into prompt.json')
    for name, flag in (("retain", "--method ga"), ("decouple", "--no-pd")):
        if name in sets and not any(name in pair for pair in pairs):
            raise DataError(f"{data.root}: no {name} pairs in train, which the method needs; or choose {flag}")
