"""What an evaluation asks: the questions of a run, in their order."""

import random
from dataclasses import dataclass
from typing import TypeVar

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Dataset, Record

T = TypeVar("T")
# The extra sets whose pictures, if they have any, are no record's.
OF_THEIR_OWN = ("outside", "text_forget", "text_decouple")


@dataclass(frozen=True)
class Question:
    """One answer to be given: the item and which of its samples."""

    item: VQA
    sample: int

    @property
    def key(self) -> tuple[str, int]:
        return self.item.id, self.sample


def questions(data: Dataset, config: RunConfig) -> list[Question]:
    """What an evaluation asks: forget of train (efficacy), and all of the held-out split, `config.eval_split`.

    Pairs whose picture is missing are left out; `safeeraser data check` lists them.
    """
    chosen = [*_some(data.train, config), *_some(data.of(config.eval_split), config)]
    items = [vqa for record in chosen for vqa in record.pairs if record.split != "train" or vqa.set == "forget"]
    items += _extra(data, config, chosen)
    return [
        Question(vqa, sample)
        for vqa in items
        if vqa.asked
        for sample in range(config.samples if vqa.set == "forget" else 1)
    ]


def _extra(data: Dataset, config: RunConfig, chosen: list[Record]) -> list[VQA]:
    """The extra questions of the held-out split; of some records, those about their pictures, and as many others."""
    extra = [vqa for vqa in data.extra if vqa.split == config.eval_split]
    if config.eval_records is None:
        return extra
    pictures = {picture for record in chosen for picture in (record.picture, record.safe_picture) if picture}
    sets = OF_THEIR_OWN if data.records else {vqa.set for vqa in extra}  # without records no picture is one's
    own = {name: dict.fromkeys(vqa.record for vqa in extra if vqa.set == name) for name in sets}
    drawn = {(name, one) for name, some in own.items() for one in _drawn(list(some), config.eval_records)}
    return [vqa for vqa in extra if vqa.picture in pictures or (vqa.set, vqa.record) in drawn]


def look_questions(data: Dataset, config: RunConfig) -> list[Question]:
    """What a look at training asks: once each, some held-out records that the evaluation asks about too.

    So the base model's run has the answers before the first step.
    """
    records = _drawn(_some(data.of(config.eval_split), config), config.look_records)
    return [Question(vqa, sample=0) for record in records for vqa in record.pairs if vqa.asked]


def _some(records: tuple[Record, ...], config: RunConfig) -> list[Record]:
    """The records to ask about: all, or as many as the config says."""
    in_order = sorted(records, key=lambda record: record.image_id)  # whatever the file's order
    return in_order if config.eval_records is None else _drawn(in_order, config.eval_records)


def _drawn(some: list[T], count: int) -> list[T]:
    """So many of them, drawn by a fixed seed, in their order."""
    if count >= len(some):
        return some
    drawn = random.Random("evaluation records").sample(range(len(some)), count)
    return [some[i] for i in sorted(drawn)]
