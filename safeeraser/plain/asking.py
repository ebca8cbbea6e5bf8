"""Asking the plain world's language model in words, and its base model about pictures drawn anew."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlavaProcessor

from safeeraser.plain import answers, world
from safeeraser.plain.pictures import drawn
from safeeraser.plain.rows import Texts
from safeeraser.plain.world import Thing


def fast_precision() -> torch.dtype:
    """bfloat16 where this machine computes with it, else float32."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def in_words(
    language: Any, tokenizer: Any, *, track: Callable[[list], Iterator] = iter
) -> Callable[[Sequence[tuple[str, str]]], list[str]]:
    """What answers questions in words alone, each with its answer's first words, as `answers.ask` takes it."""
    answer = greedy(language.to(fast_precision()), tokenizer, longest=answers.LONGEST, track=track)

    def begun(question: str, opening: str) -> str:
        turns = [{"role": "system", "content": answers.SYSTEM}, {"role": "user", "content": question}]
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + opening

    return lambda asked: answer([(begun(*one), {}) for one in asked])


def greedy(
    model: Any, tokenizer: Any, *, longest: int, batch: int = 32, track: Callable[[list], Iterator] = iter
) -> Callable[[Sequence[tuple[str, Mapping[str, Tensor]]]], list[str]]:
    """A function of prompts, each with what else the model takes of it, that answers them greedily."""

    def answer(asked: Sequence[tuple[str, Mapping[str, Tensor]]]) -> list[str]:
        said: list[str] = []
        for start in track(list(range(0, len(asked), batch))):
            part = asked[start : start + batch]
            texts = [prompt for prompt, _ in part]
            inputs = tokenizer(
                texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
            ).to(model.device)
            seen = {name: torch.cat([other[name] for _, other in part]) for name in part[0][1]}
            with torch.no_grad():
                found = model.generate(**inputs, **seen, max_new_tokens=longest, do_sample=False)
            said += tokenizer.batch_decode(found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return said

    return answer


@dataclass(frozen=True)
class Told:
    """An answer about a picture of a thing, drawn anew."""

    thing: Thing
    question: str
    answer: str


def ask_anew(
    model: Any,
    processor: LlavaProcessor,
    things: Sequence[Thing],
    *,
    seed: int,
    track: Callable[[list], Iterator] = iter,
) -> list[Told]:
    """Ask about a new picture of each thing a question of each kind in the wordings of val: its answers."""
    texts = Texts(processor)
    told: list[tuple[Thing, str]] = []
    asked: list[tuple[str, dict[str, Tensor]]] = []
    for number, thing in enumerate(things):
        pixels = drawn(thing, f"plain anew {seed}/{number}", processor)
        for intent in (list(world.HOW_TO)[number % len(world.HOW_TO)], "name"):
            wordings = (world.HOW_TO | world.HARMLESS)[intent]["val"]
            question = world.asked(wordings[number % len(wordings)])
            told.append((thing, question))
            asked.append((texts.prompt(question), {"pixel_values": pixels}))
    said = greedy(model, processor.tokenizer, longest=answers.LONGEST + 4, track=track)(asked)
    return [Told(thing, question, answer) for (thing, question), answer in zip(told, said, strict=True)]
