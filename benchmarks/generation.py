"""Measures answering: one question at a time by transformers' `generate`, against shared pictures and large batches.

Examples:
    python benchmarks/generation.py --model demo --out benchmarks/generation.json
    python benchmarks/generation.py --model llava-1.5-7b --random-weights --precision bf16 --device cuda

Both ways answer the same questions about the same pictures with the same model, greedily, in turn, for several rounds;
a ratio is of the two times of one round. Both read and encode what they ask within the time, each picture once.
Loading the model and a first round of a few questions, which warms up, are not in it. `identical` counts the answers
that are the same, letter by letter. Random weights never end an answer, so all have the greatest length; in half
precision their likeliest tokens often tie, and rounding decides.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import rows
import torch
from subjects import MODELS, subject

from safeeraser.config import RunConfig
from safeeraser.data.source import load
from safeeraser.generate import answering
from safeeraser.generate.decode import by_picture
from safeeraser.generate.questions import Question, questions
from safeeraser.models.encoder import Encoder


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    model, processor = subject(options.model, precision=options.precision, device=options.device)
    ours = RunConfig.create(
        method="base",
        pd=False,
        precision=options.precision,
        answer_batch=options.answer_batch,
        max_new_tokens=options.max_new_tokens,
    )
    reference = ours.model_copy(update={"engine": "plain", "answer_batch": 1})
    asked = _ask(ours, options.questions)
    ways = {"reference": reference, "ours": ours}
    for config in ways.values():
        _answer(model, processor, asked[:8], config)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, dict] = {}
    peak: dict[str, float | None] = {}
    _peak(model)
    for _ in range(options.rounds):
        for way, config in ways.items():
            answers[way], took = _answer(model, processor, asked, config)
            peak[way] = _peak(model)
            seconds[way].append(round(took, 3))
    identical = sum(answers["ours"][key] == text for key, text in answers["reference"].items())
    tokens = [len(processor.tokenizer(text)["input_ids"]) for text in answers["reference"].values()]
    ratio = rows.spread([slow / fast for slow, fast in zip(*seconds.values(), strict=True)])
    row = {
        "model": options.model,
        "precision": options.precision,
        "questions": len(asked),
        "pictures": len(by_picture(asked)),
        "tokens_an_answer": round(sum(tokens) / len(tokens), 1),
        "answer_batch": options.answer_batch,
        "identical": identical,
        "seconds": seconds,
        "peak_GB": peak,
        "ratio": ratio,
    } | rows.circumstances()
    print(f"{options.model}: {identical} of {len(asked)} answers identical")
    print(f"one at a time {seconds['reference']} s, ours {seconds['ours']} s")
    print(f"{ratio['median']:.1f} x ({ratio['low']:.1f} to {ratio['high']:.1f}), load {row['load']}")
    if options.out:
        rows.add(row, options.out)
    if options.precision == "fp32" and identical < len(asked):
        sys.exit("the answers differ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="demo")
    parser.add_argument("--random-weights", action="store_true", help="required for all but demo: no weights are there")
    parser.add_argument("--questions", type=int, default=480, help="about so many, on whole pictures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answer-batch", type=int, default=128)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="of the CPU; default: as many as there are cores")
    parser.add_argument("--out", type=Path, help="a JSON file to add the row to")
    options = parser.parse_args()
    if options.model not in ("demo", "shapes") and not options.random_weights:
        parser.error(f"--model {options.model} has no trained weights here; add --random-weights")
    return options


def _ask(config: RunConfig, count: int) -> list[Question]:
    """About so many of the demo world's questions: all about every n-th picture, so that all kinds are there."""
    everything = questions(load("demo"), config)
    pictures = by_picture(everything)
    every = max(1, round(len(everything) / count))
    return [question for picture in pictures[::every] for question in picture]


def _answer(model: Any, processor: Any, asked: list[Question], config: RunConfig) -> tuple[dict, float]:
    """The answers and the seconds they took; their texts are on the CPU, so a GPU has finished, too."""
    start = time.perf_counter()
    given = answering.answers(model, Encoder(processor), asked, config)
    answers = {question.key: text for question, text in given}
    return answers, time.perf_counter() - start


def _peak(model: Any) -> float | None:
    """The most GB of GPU memory taken since the last call, None on a CPU."""
    if model.device.type != "cuda":
        return None
    taken = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return round(taken, 2)


if __name__ == "__main__":
    main()
