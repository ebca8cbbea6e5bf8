"""Answers: ask a run's model, or another engine, all that an evaluation asks; resumable, on one device or many."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.rows import AnswerRow
from safeeraser.generate import decode, sampling
from safeeraser.generate.controls import PROMPT, AlwaysRefuse, Engine, KeywordFilter
from safeeraser.generate.questions import Question, questions
from safeeraser.models import adapter, checks, families, features, gate, loading, tower
from safeeraser.models.encoder import Encoder
from safeeraser.runs import processes
from safeeraser.runs.folder import Run
from safeeraser.runs.progress import Reporter, note

# Rows go to the disk together: this many, or those of this many seconds.
ROWS, SECONDS = 64, 1.0


class OwnModel:
    """The engine that is the run's own model, loaded when the first question is asked."""

    def __init__(self, run: Run, progress: Reporter | None = None) -> None:
        run.check_trained()
        self.run = run
        self.progress = progress

    def answers(self, asked: list[Question]) -> Iterator[tuple[Question, str]]:
        config = own_config(self.run)
        with checks.explain_memory(f"Lower --answer-batch (now {config.answer_batch})."):
            model, encoder = own_model(self.run)
            note(self.progress, families.alone(model.config.model_type) if config.engine == "shared" else None)
            note(self.progress, tower.misread(model))
            yield from answers(model, encoder, asked, config, workers=config.workers)


def own_config(run: Run) -> RunConfig:
    """The run's settings, with the system prompt where it is the control that has one."""
    return run.config.model_copy(update={"system_prompt": PROMPT} if run.config.method == "refusing-prompt" else {})


def own_model(run: Run) -> tuple[Any, Encoder]:
    """The run's model, with its adapter if it has one, on its device and in eval mode, and what makes its batches."""
    config = own_config(run)
    return model_of(config, adapter.read_for(config, run.adapter) if config.trains else None)


def model_of(config: RunConfig, saved: Any = None) -> tuple[Any, Encoder]:
    """The model of these settings on its device and in eval mode, and what makes its batches; saved: its adapter."""
    device = processes.state(cpu=config.device == "cpu").device  # first: 4-bit weights are made on it
    how = {"precision": config.precision, "quantization": config.quantization, "device": config.device}
    network, processor = loading.load(config.model, **how)
    model: Any = adapter.put(network, saved) if saved else network
    model.to(device).eval()
    if config.feature_cache:
        features.cache(model, limit=config.feature_cache)
    return model, Encoder.of(processor, config)


def generate(run: Run, data: Dataset, progress: Reporter | None = None, engine: Engine | None = None) -> None:
    """Append the answers that the run does not have yet to its `answers.jsonl`.

    Several processes share the pictures, and each writes a file of its own; at the end the first one joins them.
    """
    engine = engine or _own(run, data, progress)
    asked = questions(data, run.config)
    order = [question.key for question in asked]
    run.join_answers(order)  # a stopped run of several processes left parts
    done = {(row["id"], row["sample"]) for row in run.rows(run.answers)}
    missing = [question for question in asked if question.key not in done]
    if not missing:
        return
    task = progress and progress.add_task("answer", total=len(asked), completed=len(done), note="")
    mine = share(missing, process=processes.rank(), count=processes.count())
    for group in groups(engine.answers(mine)) if mine else ():
        run.append_answers(answer_row(question, text, run.config, engine) for question, text in group)
        answered = run.answered()
        run.set_state("running", stage="generate", step=answered, steps=len(asked))
        if progress:
            progress.update(task, completed=answered)
    run.join_answers(order)


def _own(run: Run, data: Dataset, progress: Reporter | None) -> Engine:
    """Who answers for a run: its own model, or the control that it is."""
    match run.config.method:
        case "always-refuse":
            return AlwaysRefuse(data)
        case "keyword-filter":
            known = {(row["id"], row["sample"]): row["answer"] for row in run.base.rows(run.base.answers)}
            return KeywordFilter(data, known, OwnModel(run, progress))
        case _:
            return OwnModel(run, progress)


def answers(
    model: Any,
    encoder: Encoder,
    asked: Sequence[Question],
    config: RunConfig,
    *,
    workers: int = 0,
    growing_too: bool = False,
) -> Iterator[tuple[Question, str]]:
    """A model's answers as they end, greedy at temperature 0, else sampled; the model is on its device, in eval mode.

    A question gets the same answer whatever is asked with it (up to rounding, which another batch may do another way).
    Where the adapter is behind a gate, questions without a picture within it are asked of the base model, apart.
    growing_too: also the answers as far as they are, as `decode.answers` has it; the plain engine has only whole ones.
    """
    border = gate.of(model)
    if border is None:
        yield from _asked(model, encoder, asked, config, workers, growing_too)
        return
    shown = (question.item.shown for question in asked)
    within = gate.within(border, model, encoder, filter(None, shown))
    yield from _asked(model, encoder, [one for one in asked if one.item.shown in within], config, workers, growing_too)
    with model.disable_adapter():
        others = [one for one in asked if one.item.shown not in within]
        yield from _asked(model, encoder, others, config, workers, growing_too)


def _asked(
    model: Any, encoder: Encoder, asked: Sequence[Question], config: RunConfig, workers: int, growing_too: bool
) -> Iterator[tuple[Question, str]]:
    if config.engine == "plain" or not encoder.family.packs:
        return _plain(model, encoder, asked, config)
    return decode.answers(model, encoder, asked, config, workers=workers, growing_too=growing_too)


def answer_row(question: Question, text: str, config: RunConfig, engine: Any = None) -> AnswerRow:
    """A row of `answers.jsonl`."""
    item, note = question.item, getattr(engine, "note", "")
    row: AnswerRow = {
        "id": item.id,
        "set": item.set,
        "split": item.split,
        "category": item.category,
        "sample": question.sample,
        "seed": config.seed,
        "answer": text,
    }
    return {**row, "engine": note} if note else row


def share(asked: Sequence[Question], *, process: int, count: int) -> list[Question]:
    """The questions of one of several processes: those of every so-manieth picture, so that none computes it twice."""
    return [question for picture in decode.by_picture(asked)[process::count] for question in picture]


def groups(found: Iterator[tuple[Question, str]]) -> Iterator[list[tuple[Question, str]]]:
    """Answers a few at a time; also the last ones before an error or Ctrl+C."""
    group: list[tuple[Question, str]] = []
    since = time.monotonic()
    try:
        for answer in found:
            group.append(answer)
            if len(group) == ROWS or time.monotonic() - since >= SECONDS:
                yield group
                group, since = [], time.monotonic()
    except (Exception, KeyboardInterrupt):
        if group:
            yield group
        raise
    if group:
        yield group


@torch.inference_mode()
def _plain(
    model: Any, encoder: Encoder, asked: Sequence[Question], config: RunConfig
) -> Iterator[tuple[Question, str]]:
    """The answers by transformers' own `generate`, batch by batch, padded on the left."""
    for start in range(0, len(asked), config.answer_batch):
        batch = asked[start : start + config.answer_batch]
        inputs = {
            name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
            for name, tensor in encoder.prompt_batch([question.item for question in batch]).items()
        }
        prompt = inputs["input_ids"].shape[1]
        out = model.generate(
            **inputs,
            do_sample=False,
            logits_processor=[_draw(batch, config, prompt)] if config.temperature else [],
            max_new_tokens=config.max_new_tokens,
            eos_token_id=sorted(decode.end_tokens(model, encoder)),
            pad_token_id=encoder.tokenizer.pad_token_id,
        )
        for question, tokens in zip(batch, out[:, prompt:], strict=True):
            yield question, encoder.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def _draw(batch: Sequence[Question], config: RunConfig, prompt: int) -> Any:
    """For greedy decoding, scores that leave only the token that was drawn: so both engines draw the same."""
    uniform = [sampling.draws(config, question) for question in batch]

    def only_drawn(ids: Tensor, scores: Tensor) -> Tensor:
        tokens = sampling.next_tokens(scores, [draws[ids.shape[1] - prompt] for draws in uniform], config)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0)

    return only_drawn
