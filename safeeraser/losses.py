"""Unlearning methods: a method is a row of terms, a term is one pure loss on some of the sets.

To add one, write a function from `View` to a scalar and a row in `METHODS`; nothing else changes. Not covered: running
the model (`unlearn/train.py`) and making the tensors (`models/encoder.py`). This file must not import torch when it is
imported (tensor methods are enough), so that the command line and the app can list the methods at once.

Source of the losses and weights: the published SafeEraser code (see arXiv 2502.12520), where a loss names no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BASE = "base"  # the method that trains nothing
# Methods that train nothing either, to compare with: what they do to the base model's answers.
CONTROLS = {
    "always-refuse": "refuses every question",
    "refusing-prompt": "is told by its system prompt to refuse what may do harm",
    "keyword-filter": "refuses questions with words that only the harmful questions of train have",
}
UNTRAINED = (BASE, *CONTROLS)
IGNORED = -100  # the label of a token that no loss looks at; transformers' own


@dataclass(frozen=True)
class View:
    """What one term sees of a batch: the answer tokens of its sets, and nothing else.

    logits: [tokens, vocabulary], the current model's prediction of each answer token.
    labels: [tokens], the answer tokens.
    example: [tokens], which example of the batch a token belongs to. An example is a forget pair with its retain and
        its decouple pair; a pair may sit in a row of its own or share a packed row, a loss cannot tell.
    base_logits: [tokens, vocabulary], the base model's prediction; None unless the term asks for it.
    """

    logits: Tensor
    labels: Tensor
    example: Tensor
    base_logits: Tensor | None = None

    def mean(self, per_token: Tensor) -> Tensor:
        """Mean over the tokens of each example, then over the examples: [tokens] -> scalar.

        A batch of 16 gives what 16 batches of one give on average, however long the answers are.
        """
        sums, counts = self.sums(per_token)
        return (sums / counts).mean()

    def sums(self, per_token: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over the tokens of each example, and their number: [tokens] -> ([examples], [examples])."""
        _, index, counts = self.example.unique(return_inverse=True, return_counts=True)
        return per_token.new_zeros(len(counts)).index_add(0, index, per_token), counts


def nll(view: View) -> Tensor:
    """Negative log-likelihood of the answer, mean over its tokens, in nats."""
    return view.mean(-_log_probs(view.logits, view.labels))


def ascent(view: View) -> Tensor:
    """Gradient ascent: minus the negative log-likelihood, in nats; unbounded below."""
    return -nll(view)


def kl(view: View) -> Tensor:
    """KL(base || current) at each answer token, mean over the tokens, in nats; zero when nothing has changed."""
    assert view.base_logits is not None, "the term must say needs=('base_logits',)"
    base = view.base_logits.float().log_softmax(-1)
    current = view.logits.float().log_softmax(-1)
    return view.mean((base.exp() * (base - current)).sum(-1))


def npo(view: View, beta: float = 0.1) -> Tensor:
    """Negative preference: -(2 / beta) log sigmoid(-beta log(p / p_base)) of whole answers, mean over the answers.

    It falls like gradient ascent while an answer is as likely as for the base model, and levels off at 0 once it is
    much less likely. Source: Zhang et al. 2024 (arXiv 2404.05868), eq. 3; the beta is theirs.
    """
    assert view.base_logits is not None, "the term must say needs=('base_logits',)"
    ratio, _ = view.sums(_log_probs(view.logits, view.labels) - _log_probs(view.base_logits, view.labels))
    return (beta * ratio).logaddexp(ratio.new_zeros(())).mean() * 2 / beta


def _log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label: [tokens, vocabulary], [tokens] -> [tokens], in fp32."""
    return logits.float().log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)


@dataclass(frozen=True)
class Term:
    """One loss on some sets: `forget`, `retain`, `decouple`, `refusal` (forget questions with refusal targets).

    Several sets form one concatenation: their tokens are averaged together within an example.
    needs: the optional fields of `View` to fill.
    """

    name: str
    loss: Callable[[View], Tensor]
    sets: tuple[str, ...]
    weight: float = 1.0
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A row of terms. `pd_weight` is the published weight of Prompt Decouple beside them.

    retain_weight_with_pd: what the retain term weighs once Prompt Decouple is added, where that differs.
    """

    title: str
    terms: tuple[Term, ...]
    pd_weight: float
    retain_weight_with_pd: float | None = None


_FORGET = Term("forget", ascent, ("forget",))

METHODS: dict[str, Method] = {
    "ga": Method("Gradient Ascent", (_FORGET,), pd_weight=0.5),
    "gd": Method(
        "Gradient Difference",
        (_FORGET, Term("retain", nll, ("retain",))),
        pd_weight=0.5,
        retain_weight_with_pd=0.5,
    ),
    "kl": Method(
        "KL Minimization",
        (_FORGET, Term("retain", kl, ("retain",), needs=("base_logits",))),
        pd_weight=1.0,
    ),
    "npo": Method(
        "Negative Preference Optimization",
        (Term("forget", npo, ("forget",), needs=("base_logits",)), Term("retain", nll, ("retain",))),
        pd_weight=1.0,
    ),
    "po": Method("Preference Optimization", (Term("prefer", nll, ("refusal", "retain")),), pd_weight=1.0),
}


def place(method: str) -> tuple[int, str]:
    """Where a method stands in tables and charts: the base model, controls, the rows of METHODS, others by name."""
    known = [*UNTRAINED, *METHODS]
    return (known.index(method) if method in known else len(known)), method


def base_sets(terms: Sequence[Term]) -> tuple[str, ...]:
    """The sets of which some term needs the base model's predictions."""
    return tuple(dict.fromkeys(name for term in terms if "base_logits" in term.needs for name in term.sets))


def term_names(method: str) -> set[str]:
    """The names of a method's terms, without Prompt Decouple; none for the base model."""
    return {term.name for term in METHODS[method].terms} if method in METHODS else set()


def terms(
    method: str, *, pd: bool, pd_weight: float | None = None, retain_weight: float | None = None
) -> tuple[Term, ...]:
    """The terms of a method, with Prompt Decouple as one more when `pd`; a weight of None is the published one."""
    row = METHODS[method]
    if retain_weight is None and pd:
        retain_weight = row.retain_weight_with_pd
    chosen = tuple(
        Term(t.name, t.loss, t.sets, retain_weight, t.needs) if t.name == "retain" and retain_weight is not None else t
        for t in row.terms
    )
    if not pd:
        return chosen
    return (*chosen, Term("decouple", nll, ("decouple",), row.pd_weight if pd_weight is None else pd_weight))
