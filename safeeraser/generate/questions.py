"""What an evaluation asks: the questions of a run, in their order."""

import random
from dataclasses import dataclass

from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Dataset, Record


@dataclass(frozen=True)
class Question:
    """One answer to be given: the item and which of its samples."""

    item: VQA
    sample: int

    @property
    def key(self) -> tuple[str, int]:
        return self.item.id, self.sample


def questions(data: Dataset, config: RunConfig) -> list[Question]:
    """What an evaluation asks: forget of train (efficacy) and val (generality); decouple, retain, general of val.

    Pairs whose picture is missing are left out; `safeeraser data check` lists them.
    """
    chosen = [*_some(data.train, config), *_some(data.val, config)]
    items = [vqa for record in chosen for vqa in record.pairs if record.split == "val" or vqa.set == "forget"]
    pictures = {record.safe_picture for record in chosen}
    items += [vqa for vqa in data.general if config.eval_records is None or vqa.picture in pictures]
    return [
        Question(vqa, sample)
        for vqa in items
        if vqa.picture is not None
        for sample in range(config.samples if vqa.set == "forget" else 1)
    ]


def look_questions(data: Dataset, config: RunConfig) -> list[Question]:
    """What a look at training asks: once each, some val records that the evaluation asks about too.

    So the base model's run has the answers before the first step.
    """
    records = _drawn(_some(data.val, config), config.look_records)
    return [Question(vqa, sample=0) for record in records for vqa in record.pairs if vqa.picture is not None]


def _some(records: tuple[Record, ...], config: RunConfig) -> list[Record]:
    """The records to ask about: all, or as many as the config says."""
    in_order = sorted(records, key=lambda record: record.image_id)  # whatever the file's order
    return in_order if config.eval_records is None else _drawn(in_order, config.eval_records)


def _drawn(records: list[Record], count: int) -> list[Record]:
    """So many of the records, drawn by a fixed seed, in their order."""
    if count >= len(records):
        return records
    drawn = random.Random("evaluation records").sample(range(len(records)), count)
    return [records[i] for i in sorted(drawn)]
