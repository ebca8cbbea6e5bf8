"""From a micro-batch to each term's loss: the forward passes, the base model's predictions, what a term sees.

Not covered: the tensors (`models/encoder.py`), the losses (`losses.py`), the optimizer (`train.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safeeraser.losses import IGNORED, Term, View, base_sets
from safeeraser.models import packing
from safeeraser.models.encoder import SETS, Batch, MicroBatch


@dataclass(frozen=True)
class Answers:
    """The answer tokens of a micro-batch, in order of example, then set, then place in the answer.

    predictions: [tokens, vocabulary] logits, or [tokens, width] hidden states. labels, example, member: [tokens].
    """

    predictions: Tensor
    labels: Tensor
    example: Tensor
    member: Tensor

    def of(self, sets: tuple[str, ...]) -> Tensor:
        """Which tokens belong to these sets: [tokens], bool."""
        wanted = torch.tensor([SETS.index(name) for name in sets], device=self.member.device)
        return torch.isin(self.member, wanted)


# A batch's inputs and the places to predict from ([places], the same in each row) -> [rows, places, ...].
Predict = Callable[[dict[str, Any], Tensor], Tensor]


def logits(model: Any) -> Predict:
    """Predictions as logits; only those of the places asked for are ever made."""
    return lambda inputs, places: model(**inputs, logits_to_keep=places).logits


def answers(predict: Predict, batches: Sequence[Batch]) -> Answers:
    """What is predicted for every answer token of the batches."""
    parts = [_answers(predict, batch) for batch in batches]
    whole = Answers(*(torch.cat([getattr(part, name) for part in parts]) for name in Answers.__dataclass_fields__))
    order = (whole.example * len(SETS) + whole.member).argsort(stable=True)
    return Answers(whole.predictions[order], whole.labels[order], whole.example[order], whole.member[order])


def _answers(predict: Predict, batch: Batch) -> Answers:
    # Place i predicts token i + 1.
    labels, example, member = (tensor[:, 1:] for tensor in (batch.labels, batch.example, batch.member))
    places = (labels != IGNORED).any(0).nonzero().flatten()
    inputs = batch.inputs
    if batch.segments is not None:
        # Beside `packs` too: other ways to attend than ours know the mask only.
        inputs = inputs | {"attention_mask": packing.mask(batch.segments)}
    if batch.packs is not None:
        inputs = inputs | {"packs": batch.packs}
    labels = labels[:, places]
    answered = labels != IGNORED
    predictions = predict(inputs, places)
    return Answers(predictions[answered], labels[answered], example[:, places][answered], member[:, places][answered])


def term_losses(
    model: Any, base_logits: Callable[[MicroBatch], Tensor], micro: MicroBatch, terms: tuple[Term, ...]
) -> dict[str, Tensor]:
    """The unweighted loss of each term that has an answer token in the micro-batch.

    base_logits: the base model's logits of the answer tokens of `micro.base`, in their order.
    """
    current = answers(logits(model), micro.batches)
    base = base_logits(micro) if micro.base else None
    views = {term: view(current, term, terms, base) for term in terms}
    return {term.name: term.loss(seen) for term, seen in views.items() if seen is not None}


def view(current: Answers, term: Term, terms: tuple[Term, ...], base: Tensor | None) -> View | None:
    """A term's part of the answers; None when there is no token of its sets.

    base: the base model's logits of the sets that any of the terms needs them for.
    """
    mask = current.of(term.sets)
    if not mask.any():
        return None
    mine = None
    if base is not None and "base_logits" in term.needs:
        asked = current.of(base_sets(terms))
        mine = base[mask[asked]]
    return View(current.predictions[mask], current.labels[mask], current.example[mask], mine)
