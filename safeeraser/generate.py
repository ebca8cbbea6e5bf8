"""Answers: ask a run's model every question of the evaluation, in batches, resumable, each batch flushed to disk."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed

from safeeraser import models
from safeeraser.batches import Encoder
from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.progress import Reporter
from safeeraser.questions import Question, questions
from safeeraser.runs import Run, RunError


def generate(run: Run, data: Dataset, progress: Reporter | None = None) -> None:
    """Append the answers that the run does not have yet to its `answers.jsonl`."""
    config = run.config
    if config.trains and not run.adapter.exists():
        raise RunError(f"{run.name} has no adapter yet; run `safeeraser unlearn` or `safeeraser run` first")
    run.repair(run.answers)
    done = {(row["id"], row["sample"]) for row in run.rows(run.answers)}
    asked = questions(data, config)
    batches = [batch for batch in batches_of(asked, config.answer_batch) if any(q.key not in done for q in batch)]
    if not batches:
        return
    task = progress and progress.add_task("answer", total=len(asked), completed=len(done), note="")
    network, processor = models.load(config.model, precision=config.precision)
    model: Any = models.load_adapter(network, run.adapter) if config.trains else network
    encoder = Encoder(processor, max_length=config.max_length)
    for batch in batches:
        with models.explain_memory(f"Lower --answer-batch (now {config.answer_batch})."):
            model.to(PartialState(cpu=config.device == "cpu").device).eval()
            rows = answer_rows(model, encoder, batch, config)
        rows = [row for row in rows if (row["id"], row["sample"]) not in done]
        run.append(run.answers, rows)
        done |= {(row["id"], row["sample"]) for row in rows}
        run.set_state("running", stage="generate", step=len(done), steps=len(asked))
        if progress:
            progress.update(task, completed=len(done))


def batches_of(asked: list[Question], size: int) -> Iterator[list[Question]]:
    """Always the same batches for the same questions, so that a resumed run answers like one that was never stopped."""
    for start in range(0, len(asked), size):
        yield asked[start : start + size]


def answer_rows(model: Any, encoder: Encoder, batch: list[Question], config: RunConfig) -> list[dict[str, Any]]:
    """The answer rows of one batch; sampling starts from a seed that depends on run seed and batch alone."""
    seed = int(hashlib.sha256(f"{config.seed}/{batch[0].key}".encode()).hexdigest()[:8], 16)
    answers = answer(model, encoder, [question.item for question in batch], config, seed=seed)
    return [
        {
            "id": question.item.id,
            "set": question.item.set,
            "split": question.item.split,
            "category": question.item.category,
            "sample": question.sample,
            "seed": config.seed,
            "answer": text,
        }
        for question, text in zip(batch, answers, strict=True)
    ]


@torch.inference_mode()
def answer(model: Any, encoder: Encoder, items: list[VQA], config: RunConfig, *, seed: int) -> list[str]:
    """The model's answers, greedy at temperature 0, else sampled."""
    inputs = {name: tensor.to(model.device) for name, tensor in encoder.prompt_batch(items).items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    set_seed(seed)
    how = (
        {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0}
        if config.temperature
        else {"do_sample": False}
    )
    out = model.generate(
        **inputs, **how, max_new_tokens=config.max_new_tokens, pad_token_id=encoder.tokenizer.pad_token_id
    )
    new = out[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in encoder.tokenizer.batch_decode(new, skip_special_tokens=True)]
