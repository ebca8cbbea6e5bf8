"""Unlearning methods: a method is a row of terms, a term is one pure loss on some of the sets.

To add one, write a function from `View` to a scalar and a row in `METHODS`; nothing else changes. Not covered: running
the model (`unlearn/train.py`) and making the tensors (`models/encoder.py`). This file must not import torch when it is
imported (tensor methods are enough), so that the command line and the app can list the methods at once.

Source of the losses and weights: the published SafeEraser code (see arXiv 2502.12520), where a loss names no other.
Prompt Decouple was published with GA, GD, KL and PO; its weight beside the other methods, 1, is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
# The sets of pairs that a term may look at. `refusal`: the forget questions with refusals as answers; `nothing`: the
# decouple questions about pictures of nothing (`models/vicinity.py`).
SETS = ("forget", "refusal", "retain", "decouple", "nothing")


@dataclass(frozen=True)
class View:
    """What one term sees of a batch: the answer tokens of its sets, and nothing else.

    logits: [tokens, vocabulary], the current model's prediction of each answer token.
    labels: [tokens], the answer tokens.
    example: [tokens], which example of the batch a token belongs to. An example is a forget pair with its retain and
        its decouple pair; a pair may sit in a row of its own or share a packed row, a loss cannot tell.
    member: [tokens], index into SETS of the pair that a token belongs to.
    base_logits: [tokens, vocabulary], the base model's prediction; None unless the term asks for it.
    hidden, base_hidden: [tokens, width], the hidden state at the term's layer that each answer token is predicted
        behind, of the current and of the base model; None unless the term asks for them.
    """

    logits: Tensor
    labels: Tensor
    example: Tensor
    member: Tensor | None = None
    base_logits: Tensor | None = None
    hidden: Tensor | None = None
    base_hidden: Tensor | None = None

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
    base = _given(view.base_logits).float().log_softmax(-1)
    current = view.logits.float().log_softmax(-1)
    return view.mean((base.exp() * (base - current)).sum(-1))


def npo(view: View, beta: float = 0.1) -> Tensor:
    """Negative preference: -(2 / beta) log sigmoid(-beta log(p / p_base)) of whole answers, mean over the answers.

    It falls like gradient ascent while an answer is as likely as for the base model, and levels off at 0 once it is
    much less likely. Source: Zhang et al. 2024 (arXiv 2404.05868), eq. 3; the beta is theirs.
    """
    ratio, _ = view.sums(_log_probs(view.logits, view.labels) - _log_probs(_given(view.base_logits), view.labels))
    return (beta * ratio).logaddexp(ratio.new_zeros(())).mean() * 2 / beta


def dpo(view: View, beta: float = 0.1) -> Tensor:
    """Refusals preferred to the answers to be forgotten: -(2 / beta) log sigmoid(beta (r_refusal - r_forget)), where r
    is log(p / p_base) of a whole answer; mean over the examples.

    Source: DPO (Rafailov et al. 2023, arXiv 2305.18290) with refusals as in TOFU (arXiv 2401.06121); scale and beta
    are open-unlearning's.
    """
    ratio = _log_probs(view.logits, view.labels) - _log_probs(_given(view.base_logits), view.labels)
    ahead, _ = view.sums(ratio.where(_given(view.member) == SETS.index("refusal"), -ratio))
    return (-beta * ahead).logaddexp(ahead.new_zeros(())).mean() * 2 / beta


def simnpo(view: View, beta: float = 4.5, delta: float = 0.0) -> Tensor:
    """NPO without the base model: -(2 / beta) log sigmoid(beta (NLL - delta)), NLL the mean of an answer's tokens.

    Source: Fan et al. 2024 (arXiv 2410.07163); beta and delta are those of its TOFU experiments.
    """
    sums, counts = view.sums(-_log_probs(view.logits, view.labels))
    ahead = beta * (sums / counts - delta)
    return (-ahead).logaddexp(ahead.new_zeros(())).mean() * 2 / beta


def wga(view: View, beta: float = 1.0) -> Tensor:
    """Weighted gradient ascent: each token's ascent times its probability ** beta, which is not differentiated.

    So what has been forgotten is left alone. Source: Wang et al. 2025 (arXiv 2502.19301); beta is open-unlearning's.
    """
    log_probs = _log_probs(view.logits, view.labels)
    return view.mean((beta * log_probs).exp().detach() * log_probs)


def satimp(view: View, saturation: float = 5.0, importance: float = 1.0) -> Tensor:
    """Ascent weighted by p ** saturation x (1 - p) ** importance, which is not differentiated; p of each token.

    Source: Yang et al. 2025 (arXiv 2505.11953), its combined weight; the exponents are open-unlearning's.
    """
    log_probs = _log_probs(view.logits, view.labels)
    p = log_probs.exp().detach()
    return view.mean(p**saturation * (1 - p) ** importance * log_probs)


def undial(view: View, beta: float = 10.0) -> Tensor:
    """Cross-entropy, in nats, to the base model's own prediction with the answer token's logit lowered by beta.

    Source: Dong et al. 2024 (arXiv 2402.10052); beta is open-unlearning's.
    """
    token, base = view.labels[:, None], _given(view.base_logits).float()
    target = base.scatter_add(-1, token, base.new_full(token.shape, -beta)).softmax(-1)
    return view.mean(-(target * view.logits.float().log_softmax(-1)).sum(-1))


def misdirect(view: View, scale: float = 5.0) -> Tensor:
    """Mean squared distance of the hidden states to one random direction, `scale` times as long as the base model's.

    The direction is the same for all, uniform in the positive orthant as its source has it. Source: RMU (Li et al.
    2024, arXiv 2403.03218), with the length of Adaptive RMU (arXiv 2408.06223), so that one scale serves all models.
    """
    import torch

    hidden, base = _given(view.hidden).float(), _given(view.base_hidden).float()
    direction = torch.rand(hidden.shape[-1], generator=torch.Generator().manual_seed(0)).to(hidden.device)
    target = scale * base.norm(dim=-1, keepdim=True) * direction / direction.norm()
    return view.mean((hidden - target).square().mean(-1))


def stay(view: View) -> Tensor:
    """Mean squared distance of the hidden states to the base model's. Source: RMU (arXiv 2403.03218)."""
    return view.mean((_given(view.hidden).float() - _given(view.base_hidden).float()).square().mean(-1))


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "the term must say in `needs` what its loss reads"
    return tensor


def _log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label: [tokens, vocabulary], [tokens] -> [tokens], in fp32."""
    return logits.float().log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)


@dataclass(frozen=True)
class Term:
    """One loss on some of SETS. Several sets form one concatenation: their tokens are averaged together in an example.

    needs: the optional fields of `View` to fill. layer: which hidden states, as a share of the language model's layers.
    told: the base model is asked otherwise: about the picture under noise, and told that it has unlearned it.
    """

    name: str
    loss: Callable[[View], Tensor]
    sets: tuple[str, ...]
    weight: float = 1.0
    needs: tuple[str, ...] = ()
    layer: float | None = None
    told: bool = False


@dataclass(frozen=True)
class Method:
    """A row of terms. `pd_weight` is the weight of Prompt Decouple beside them.

    retain_weight_with_pd: what the retain term weighs once Prompt Decouple is added, where that differs. short: how
    its authors write its name; None for the row's key in capitals.
    """

    title: str
    terms: tuple[Term, ...]
    pd_weight: float = 1.0
    retain_weight_with_pd: float | None = None
    short: str | None = None


_ASCENT = Term("forget", ascent, ("forget",))
_RETAIN = Term("retain", nll, ("retain",))
_BASE = ("base_logits",)
_HIDDEN = {"needs": ("hidden", "base_hidden"), "layer": 8 / 32}  # `model.layers.7`, the eighth of 32, as published

METHODS: dict[str, Method] = {
    "ga": Method("Gradient Ascent", (_ASCENT,), pd_weight=0.5),
    "gd": Method("Gradient Difference", (_ASCENT, _RETAIN), pd_weight=0.5, retain_weight_with_pd=0.5),
    "kl": Method("KL Minimization", (_ASCENT, Term("retain", kl, ("retain",), needs=_BASE))),
    "npo": Method("Negative Preference Optimization", (Term("forget", npo, ("forget",), needs=_BASE), _RETAIN)),
    "po": Method("Preference Optimization", (Term("prefer", nll, ("refusal", "retain")),)),
    "dpo": Method("DPO of refusals (DPO-IDK)", (Term("prefer", dpo, ("forget", "refusal"), needs=_BASE), _RETAIN)),
    "simnpo": Method(
        "NPO without a base model", (Term("forget", simnpo, ("forget",), weight=0.125), _RETAIN), short="SimNPO"
    ),
    "wga": Method("Weighted Gradient Ascent", (Term("forget", wga, ("forget",)), _RETAIN)),
    "satimp": Method(
        "Ascent by saturation and importance",
        (Term("forget", satimp, ("forget",), weight=0.1), _RETAIN),
        short="SatImp",
    ),
    "undial": Method(
        "Self-distillation with adjusted logits", (Term("forget", undial, ("forget",), needs=_BASE), _RETAIN)
    ),
    # Chen et al. 2026 (arXiv 2606.00105). Its paper was read in its abstract alone: instruction, noise and the retain
    # term are ours.
    "vgid": Method(
        "Visual-noise guided in-context distillation",
        (Term("forget", kl, ("forget",), needs=_BASE, told=True), _RETAIN),
    ),
    "rmu": Method(
        "Representation Misdirection",
        (Term("forget", misdirect, ("forget",), **_HIDDEN), Term("retain", stay, ("retain",), **_HIDDEN)),
    ),
}


def with_parts(method: str, parts: Sequence[str]) -> str:
    """A method with the parts that it is combined with (`RunConfig.parts`), in one word: `po+vicinal`."""
    return "+".join([method, *parts])


def method_name(method: str) -> str:
    """A method's name as people write it; it may be one `with_parts`."""
    method, *parts = method.split("+")
    if method in METHODS:
        return with_parts(METHODS[method].short or method.upper(), parts)
    return method.replace("_", " ").replace("-", " ")


def variant(method: str, *, pd: bool, parts: Sequence[str] = ()) -> str:
    """Method, Prompt Decouple and parts as people write them: `PO`, `PO+PD`, `PO+PD+vicinal`."""
    return with_parts(method_name(method), [*(["PD"] if pd else []), *parts])


def place(method: str) -> tuple[int, str]:
    """Where a method stands in tables and charts: the base model, controls, the rows of METHODS, others by name."""
    known = [*UNTRAINED, *METHODS]
    plain = method.split("+")[0]
    return (known.index(plain) if plain in known else len(known)), method


def base_sets(terms: Sequence[Term]) -> tuple[str, ...]:
    """The sets of which some term needs what the base model makes of them."""
    asked = (term for term in terms if any(name.startswith("base_") for name in term.needs))
    return tuple(dict.fromkeys(name for term in asked for name in term.sets))


def told_sets(terms: Sequence[Term]) -> tuple[str, ...]:
    """The sets of which the base model is asked otherwise; no other term needs what it makes of them."""
    told = {name for term in terms if term.told for name in term.sets}
    plain = base_sets([term for term in terms if not term.told])
    assert not told.intersection(plain), "the base model is asked about a set in one way"
    return tuple(told)


def layer(terms: Sequence[Term]) -> float | None:
    """The layer whose hidden states the terms need, as a share of all; they agree on it. None: no term needs any."""
    asked = {term.layer for term in terms if term.layer is not None}
    assert len(asked) <= 1, "terms of one method look at one layer"
    return next(iter(asked), None)


def term_names(method: str) -> set[str]:
    """The names of a method's terms, without Prompt Decouple; none for the base model."""
    return {term.name for term in METHODS[method].terms} if method in METHODS else set()


def teaches_refusal(method: str) -> bool:
    """Whether a trained method is shown refusals; one that is not has no reason to refuse."""
    return any("refusal" in term.sets for term in METHODS[method].terms)


def terms(
    method: str,
    *,
    pd: bool,
    pd_weight: float | None = None,
    retain_weight: float | None = None,
    vicinal: float | None = None,
) -> tuple[Term, ...]:
    """The terms of a method, with Prompt Decouple as one more when `pd`; a weight of None is the published one.

    vicinal: the weight of Vicinal Prompt Decouple, one more term; None: without it.
    """
    row = METHODS[method]
    if retain_weight is None and pd:
        retain_weight = row.retain_weight_with_pd
    chosen = tuple(
        replace(t, weight=retain_weight) if t.name == "retain" and retain_weight is not None else t for t in row.terms
    )
    if pd:
        weight = row.pd_weight if pd_weight is None else pd_weight
        chosen = (*chosen, Term("decouple", nll, ("decouple",), weight))
    if vicinal is not None:
        chosen = (*chosen, Term("vicinal", kl, ("nothing",), vicinal, needs=_BASE))
    return chosen
