"""Looks: what the model in training answers to a fixed few val questions, so that curves show when it forgets what.

A look changes nothing: training ends with the same adapter as without it, and a resumed run has the same looks.
"""

from peft import PeftModel

from safeeraser.config import RunConfig
from safeeraser.generate.answering import answer_row, answers
from safeeraser.generate.questions import Question
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run


def due(config: RunConfig, *, step: int, steps: int) -> bool:
    """Whether to look after this step: every `look_every` steps and after the last, where curves end."""
    return config.look_every is not None and (step % config.look_every == 0 or step == steps)


def look(run: Run, step: int, model: PeftModel, encoder: Encoder, asked: list[Question]) -> None:
    """Add the answers of the model after this step to the run's looks.

    Call it before the step's checkpoint is written: then a checkpoint has every look up to its step, also after a kill.
    """
    config = run.config
    model.eval()
    texts = dict(answers(model, encoder, asked, config))
    model.train()
    run.append(run.looks, [{"step": step} | answer_row(question, texts[question], config) for question in asked])


def rewind(run: Run, step: int) -> None:
    """Drop the looks after a step, from which training goes on; their verdicts are graded anew."""
    run.repair(run.looks, keep=sum(row["step"] <= step for row in run.rows(run.looks)))
    run.looks_verdicts.unlink(missing_ok=True)
