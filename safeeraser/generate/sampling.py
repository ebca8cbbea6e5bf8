"""The next token of an answer, greedy or sampled; what is drawn depends on seed and question, never on others."""

import hashlib

import torch
from torch import Tensor

from safeeraser.config import RunConfig
from safeeraser.generate.questions import Question


def draws(config: RunConfig, question: Question) -> list[float]:
    """A random number in [0, 1) for each token an answer may get; the run's seed, item and sample decide them."""
    name = "/".join((str(config.seed), str(question.sample), question.item.id))
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1  # torch takes 63 bits
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(config.max_new_tokens, generator=generator).tolist()


def next_tokens(logits: Tensor, uniform: list[float], config: RunConfig) -> Tensor:
    """logits: [answers, vocabulary]; uniform: of each answer the number drawn for this token -> tokens, [answers]."""
    if not config.temperature:
        return logits.argmax(-1)
    where = torch.tensor(uniform, device=logits.device)
    return sample(logits, where, temperature=config.temperature, top_k=config.top_k, top_p=config.top_p)


def sample(
    logits: Tensor, uniform: Tensor, *, temperature: float, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Tokens from the nucleus, the likeliest tokens that together reach `top_p` (Holtzman et al. 2020, section 3.1).

    logits: [answers, vocabulary]. uniform: [answers], in [0, 1): how far into the nucleus, likeliest first, to go.
    top_k: the nucleus is one of the `top_k` likeliest tokens and those as likely as the last of them, as transformers'
    `generate` has it; None for all.
    """
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities, tokens = torch.softmax(logits.float() / temperature, -1).sort(dim=-1, stable=True, descending=True)
    likelier = probabilities.cumsum(-1) - probabilities
    nucleus = probabilities.where(likelier < top_p, 0).cumsum(-1)
    total = nucleus[:, -1:].contiguous()
    place = torch.searchsorted(nucleus, uniform[:, None] * total, right=True)
    # Rounded to the very end, it would be a token after the nucleus.
    place = place.minimum(torch.searchsorted(nucleus, total))
    return tokens.gather(-1, place)[:, 0]
