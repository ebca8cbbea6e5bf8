"""Decoding with shared pictures: a picture is computed once for all its questions, and answers grow side by side.

All questions about a picture are computed in one packed row (`models/packing.py`). What the model has to remember of
them, keys and values, is copied into slots (`slots.py`), one for each answer; in every step each answer grows by a
token. One that ends leaves its slot to the next question. The answers are those of one question at a time, up to
rounding. Not covered: models that see a prompt in another way (`check`); `answering.py` asks these by transformers' own
means.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import DynamicCache

from safeeraser.config import RunConfig
from safeeraser.generate.questions import Question
from safeeraser.generate.sampling import draws, next_tokens
from safeeraser.generate.slots import Slots, Source
from safeeraser.models import attention, families, packing
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder

HALF = "\ufffd"  # what a tokenizer of bytes writes for a letter whose last bytes are still to come
PREFILL_TOKENS = 2048  # in one forward pass, unless one picture has more: about as many as keep a device busy
# What a checkpoint's own settings may change about the next token; of other values only `generate` knows what to do.
NEUTRAL: dict[str, float | None] = {
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "guidance_scale"), 1.0),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), 0),
    **dict.fromkeys(("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "stop_strings")),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty")),
}


@dataclass(frozen=True)
class Shown:
    """A picture with what is asked about it.

    asked: the questions of each distinct prompt. row: the prompts, packed in this order. grid: where the picture's
    tokens are in each, as `Encoder.grid` has it. inputs: the picture as the model takes it.
    """

    asked: list[list[Question]]
    row: packing.Row
    grid: packing.Grid | None
    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Computed:
    """A question whose prompt is computed; logits: [vocabulary], of the answer's first token; grid: as in `Shown`."""

    question: Question
    source: Source
    grid: packing.Grid | None
    logits: Tensor


@dataclass
class Answer:
    """An answer in the making; prompt: how many tokens are before it. grid, draws: as `Shown` and `sampling` say."""

    question: Question
    prompt: int
    grid: packing.Grid | None
    draws: list[float]
    tokens: list[int] = field(default_factory=list)


@torch.inference_mode()
def answers(
    model: Any,
    encoder: Encoder,
    asked: Sequence[Question],
    config: RunConfig,
    *,
    workers: int = 0,
    growing_too: bool = False,
) -> Iterator[tuple[Question, str]]:
    """Each question with its answer, in the order in which the answers end; `config.answer_batch` grow at a time.

    workers: processes that read pictures ahead. growing_too: each answer also as far as it is, after every token but
    its last. Raises ModelError for a model that needs `--engine plain`.
    """
    check(model)
    ends = end_tokens(model, encoder)
    slots = Slots(min(config.answer_batch, len(asked)))
    computed = _compute(model, encoder, _read(encoder, by_picture(asked), workers))
    growing: list[Answer] = []
    logits: list[Tensor] = []
    while True:
        if new := list(islice(computed, slots.size - len(growing))):
            slots.add([one.source for one in new], room=config.max_new_tokens)
            growing += [
                Answer(one.question, len(one.source.columns), one.grid, draws(config, one.question)) for one in new
            ]
            logits.append(torch.stack([one.logits for one in new]))
        if not growing:
            return
        uniform = [answer.draws[len(answer.tokens)] for answer in growing]
        for answer, token in zip(growing, next_tokens(torch.cat(logits), uniform, config).tolist(), strict=True):
            answer.tokens.append(token)
        ended = [place for place, answer in enumerate(growing) if _ended(answer, ends, config)]
        if growing_too:
            unfinished = (answer for place, answer in enumerate(growing) if place not in ended)
            yield from ((answer.question, _text(encoder, answer).rstrip(HALF)) for answer in unfinished)
        yield from ((growing[place].question, _text(encoder, growing[place])) for place in ended)
        for gap, last in slots.drop(ended):
            growing[gap] = growing[last]
        del growing[slots.used :]
        logits = [_step(model, slots, growing)] if growing else []


def _text(encoder: Encoder, answer: Answer) -> str:
    return encoder.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip()


def by_picture(asked: Iterable[Question]) -> list[list[Question]]:
    """The questions of each picture, in order of first appearance; one in words alone is by itself."""
    together: dict[Any, list[Question]] = {}
    for question in asked:
        together.setdefault(question.item.shown or question.item.id, []).append(question)
    return list(together.values())


def check(model: Any) -> None:
    """Raise ModelError if the model would answer otherwise with a mask and positions given to it."""
    network = getattr(model, "get_base_model", lambda: model)()
    family = families.of_config(network.config)
    text = network.config.get_text_config()
    layers = {*(getattr(text, "layer_types", None) or ()), getattr(text, "sliding_window", None) and "sliding window"}
    set_itself = network.generation_config.to_dict()
    reasons = {
        "its positions have several dimensions": family.grid is None
        and any(hasattr(part, "get_rope_index") for part in network.modules()),
        "it sees a picture in both directions": not family.both_ways
        and "token_type_ids" in signature(network.forward).parameters,
        "not all of its layers see all tokens": not family.both_ways and bool(layers - {None, "full_attention"}),
        f"its attention is {text._attn_implementation!r}, not 'sdpa'": text._attn_implementation
        not in ("sdpa", attention.NAME),
    }
    for name, neutral in NEUTRAL.items():
        reasons[f"its generation config sets {name}"] = set_itself.get(name) not in (None, neutral)
    if found := [reason for reason, true in reasons.items() if true]:
        raise ModelError(f"--engine shared cannot run {type(network).__name__}: {found[0]}; choose --engine plain")


def end_tokens(model: Any, encoder: Encoder) -> set[int]:
    """The tokens that end an answer: those that the checkpoint names, and that which ends answers in training."""
    ends = model.generation_config.eos_token_id
    return {encoder.around[1], *(ends if isinstance(ends, list) else () if ends is None else (ends,))}


def _ended(answer: Answer, ends: set[int], config: RunConfig) -> bool:
    return answer.tokens[-1] in ends or len(answer.tokens) == config.max_new_tokens


def _step(model: Any, slots: Slots, growing: list[Answer]) -> Tensor:
    """Every answer's last token goes through the model; the logits of the next, [answers, vocabulary]."""
    columns = [answer.prompt + len(answer.tokens) - 1 for answer in growing]
    tokens = torch.tensor([[answer.tokens[-1]] for answer in growing], device=model.device)
    # Counted in the answer's own prompt: where a picture has a grid they are not the cache's columns.
    positions = packing.axes(torch.tensor(columns, device=model.device)[:, None], [answer.grid for answer in growing])
    mask = slots.aim(columns)
    # Of a slot, the columns are the positions in its prompt.
    seen, seeing = torch.arange(mask.shape[-1], device=model.device)[None], torch.tensor(columns, device=model.device)
    mask = attention.masks(model, mask, seen, seeing[:, None])
    out = model(input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=slots, use_cache=True)
    return out.logits[:, -1]


def _read(encoder: Encoder, pictures: list[list[Question]], workers: int) -> Iterator[Shown]:
    show = partial(_show, encoder)
    if not workers:
        return map(show, pictures)
    # A generator of its own: a loader draws from the global one, which training needs undisturbed.
    own = torch.Generator()
    return iter(DataLoader(pictures, batch_size=None, collate_fn=show, num_workers=workers, generator=own))  # type: ignore[arg-type]


def _show(encoder: Encoder, asked: list[Question]) -> Shown:
    """Read a picture and encode what is asked about it."""
    prompts: dict[tuple[int, ...], list[Question]] = {}
    for question in asked:
        ids, _ = encoder.tokens(question.item.question, None, question.item.shown)
        prompts.setdefault(tuple(ids), []).append(question)
    # Every prompt keeps a token of its own, which predicts its answer's first.
    prefix = packing.shared(list(prompts), min(map(len, prompts)) - 1)
    row, shown = packing.pack(list(prompts), prefix), asked[0].item.shown
    return Shown(list(prompts.values()), row, encoder.grid(row.ids, shown), encoder.pixels(shown))


def _compute(model: Any, encoder: Encoder, shown: Iterable[Shown]) -> Iterator[Computed]:
    """All questions with their prompts computed, some pictures at a time; no more than is asked for."""
    group: list[Shown] = []
    for picture in shown:
        if group and not _fit(group, picture):
            yield from _prefill(model, encoder, group)
            group = []
        group.append(picture)
    if group:
        yield from _prefill(model, encoder, group)


def _fit(group: list[Shown], picture: Shown) -> bool:
    """Whether a picture can be computed with others: not too much, and pictures in tensors of the same shape."""
    longest = max(len(one.row.ids) for one in (*group, picture))
    shapes, others = ({name: tensor.shape for name, tensor in one.inputs.items()} for one in (picture, group[0]))
    return (len(group) + 1) * longest <= PREFILL_TOKENS and shapes == others


def _prefill(model: Any, encoder: Encoder, group: list[Shown]) -> Iterator[Computed]:
    """Compute pictures with all that is asked about them, one row a picture."""
    rows = [picture.row for picture in group]
    length = max(len(row.ids) for row in rows)

    def padded(lists: Iterable[list[int]], filler: int) -> Tensor:
        return torch.tensor([one + [filler] * (length - len(one)) for one in lists], device=model.device)

    ids = padded((row.ids for row in rows), encoder.tokenizer.pad_token_id)
    places = padded((row.positions for row in rows), 0)
    picture_tokens = ids == encoder.picture_token if encoder.family.both_ways else None
    mask = packing.mask(padded((row.segments for row in rows), packing.PADDING), picture_tokens)
    columns = [_columns(row, len(picture.asked)) for picture, row in zip(group, rows, strict=True)]
    last = sorted({own[-1] for each in columns for own in each})
    cache = DynamicCache()
    out = model(
        input_ids=ids,
        position_ids=packing.axes(places, [picture.grid for picture in group]),
        attention_mask=attention.masks(model, mask, places, places),
        **_pictures(model, group),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=torch.tensor(last, device=model.device),
    )
    for row, picture in enumerate(group):
        for asked, own in zip(picture.asked, columns[row], strict=True):
            logits = out.logits[row, last.index(own[-1])]
            yield from (Computed(question, Source(cache, row, own), picture.grid, logits) for question in asked)


def _columns(row: packing.Row, prompts: int) -> list[list[int]]:
    """Of each prompt of a packed row the places of its tokens: the shared prefix and its own."""
    seen = [(packing.PREFIX, segment) for segment in range(1, prompts + 1)]
    return [[place for place, segment in enumerate(row.segments) if segment in each] for each in seen]


def _pictures(model: Any, group: list[Shown]) -> dict[str, Tensor]:
    """The pictures' tensors side by side; pixels in the model's precision."""
    joined = {name: torch.cat([one.inputs[name] for one in group]).to(model.device) for name in group[0].inputs}
    return {name: t.to(model.dtype) if t.is_floating_point() else t for name, t in joined.items()}
