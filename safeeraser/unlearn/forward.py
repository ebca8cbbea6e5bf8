"""From a micro-batch to each term's loss: the forward passes, the base model's predictions, what a term sees.

Not covered: the tensors (`models/encoder.py`), the losses (`losses.py`), the optimizer (`train.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safeeraser.losses import IGNORED, SETS, Term, View, base_sets, layer
from safeeraser.models import attention, packing, vicinity
from safeeraser.models.encoder import Batch, MicroBatch


@dataclass(frozen=True)
class Answers:
    """The answer tokens of a micro-batch, in order of example, then set, then place in the answer.

    predictions: by name, `logits` [tokens, vocabulary] or hidden states [tokens, width]. labels, example, member:
    [tokens].
    """

    predictions: dict[str, Tensor]
    labels: Tensor
    example: Tensor
    member: Tensor

    def of(self, sets: tuple[str, ...]) -> Tensor:
        """Which tokens belong to these sets: [tokens], bool."""
        wanted = torch.tensor([SETS.index(name) for name in sets], device=self.member.device)
        return torch.isin(self.member, wanted)


# A batch's inputs and the places to predict from ([places], the same in each row) -> by name [rows, places, ...].
Predict = Callable[[dict[str, Any], Tensor], dict[str, Tensor]]


def predictions(model: Any, layer: float | None = None) -> Predict:
    """Predictions as `logits`, and as `hidden` the states behind a layer, the share of all layers, if one is given.

    Only the logits of the places asked for are ever made.
    """

    def predict(inputs: dict[str, Any], places: Tensor) -> dict[str, Tensor]:
        made = model(**attention.masked(model, inputs), logits_to_keep=places, output_hidden_states=layer is not None)
        predicted = {"logits": made.logits}
        return predicted if layer is None else predicted | {"hidden": behind(layer, made.hidden_states)[:, places]}

    return predict


def behind(layer: float, states: Sequence[Tensor]) -> Tensor:
    """The hidden states behind a layer, at least the first; states: of the embeddings, then behind each layer.

    Those behind the last are normed: no layer stands for them.
    """
    number = round(layer * (len(states) - 1))
    return states[min(max(1, number), len(states) - 2)]


def answers(predict: Predict, batches: Sequence[Batch]) -> Answers:
    """What is predicted for every answer token of the batches."""
    parts = [_answers(predict, batch) for batch in batches]
    labels, example, member = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("labels", "example", "member")
    )
    order = (example * len(SETS) + member).argsort(stable=True)
    predicted = {name: torch.cat([part.predictions[name] for part in parts])[order] for name in parts[0].predictions}
    return Answers(predicted, labels[order], example[order], member[order])


def _answers(predict: Predict, batch: Batch) -> Answers:
    # Place i predicts token i + 1.
    labels, example, member = (tensor[:, 1:] for tensor in (batch.labels, batch.example, batch.member))
    places = (labels != IGNORED).any(0).nonzero().flatten()
    inputs = batch.inputs
    if batch.segments is not None:
        # Beside `packs` too: other ways to attend than ours know the mask only.
        inputs = inputs | {"attention_mask": packing.mask(batch.segments, batch.picture)}
    if batch.packs is not None:
        inputs = inputs | {"packs": batch.packs}
    labels = labels[:, places]
    answered = labels != IGNORED
    with vicinity.turning(batch.turns):
        predicted = {name: tensor[answered] for name, tensor in predict(inputs, places).items()}
    return Answers(predicted, labels[answered], example[:, places][answered], member[:, places][answered])


def term_losses(
    model: Any, ask_base: Callable[[MicroBatch], dict[str, Tensor]], micro: MicroBatch, terms: tuple[Term, ...]
) -> dict[str, Tensor]:
    """The unweighted loss of each term that has an answer token in the micro-batch.

    ask_base: what the base model predicts for the answer tokens of `micro.base`, in order and by name as in `Answers`.
    """
    current = answers(predictions(model, layer(terms)), micro.batches)
    base = ask_base(micro) if micro.base else {}
    views = {term: view(current, term, terms, base) for term in terms}
    return {term.name: term.loss(seen) for term, seen in views.items() if seen is not None}


def no_base(micro: MicroBatch) -> dict[str, Tensor]:
    """For terms that need nothing of the base model, which is then never asked."""
    raise AssertionError("a term needs the base model")


def view(current: Answers, term: Term, terms: tuple[Term, ...], base: dict[str, Tensor]) -> View | None:
    """A term's part of the answers; None when there is no token of its sets.

    base: what the base model predicts for the sets that any of the terms needs it for.
    """
    mask = current.of(term.sets)
    if not mask.any():
        return None
    mine = mask[current.of(base_sets(terms))] if base else None
    asked = {name: base[name.removeprefix("base_")][mine] for name in term.needs if name.startswith("base_")}
    if "hidden" in term.needs:
        asked["hidden"] = current.predictions["hidden"][mask]
    return View(
        current.predictions["logits"][mask], current.labels[mask], current.example[mask], current.member[mask], **asked
    )
