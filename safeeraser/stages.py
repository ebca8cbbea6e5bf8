"""The stages of a run in their order: unlearn, generate, judge, score. Each can be redone or resumed alone.

Not covered: what a stage computes (`unlearn/train.py`, `generate/answering.py`, `judge/`, `score/measuring.py`). Model
libraries are imported only by the stages that need them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from safeeraser import losses
from safeeraser.config import BASE, RunConfig
from safeeraser.data.rows import (
    AnswerRow,
    Flag,
    Identity,
    LookRow,
    LookVerdictRow,
    Score,
    ScoreRow,
    Stage,
    Status,
    VerdictRow,
)
from safeeraser.data.source import Source
from safeeraser.generate.questions import questions
from safeeraser.judge import contract, demo, grading
from safeeraser.runs import processes, trackers
from safeeraser.runs.folder import Run, RunError
from safeeraser.runs.progress import Reporter
from safeeraser.score import change, flags, measuring, metrics, specificity

Look = TypeVar("Look", LookRow, LookVerdictRow)


def open_run(
    config: RunConfig, source: Source, *, name: str | None = None, force: bool = False, imported: str | None = None
) -> Run:
    """The run of this config, new or found."""
    check_data(config, source)
    trackers.check(config)
    return Run.create(config, data_hash=source.hash, name=name, force=force, imported=imported)


def check_run(config: RunConfig, source: Source, *, name: str | None = None, force: bool = False) -> None:
    """Raise what `open_run` would raise, and for a model that cannot be trained; write nothing.

    Before hours of work that comes first.
    """
    check_data(config, source)
    trackers.check(config)
    run = Run.of(config, name=name)
    if not force:
        run.check(config, data_hash=source.hash)
    if config.trains and (force or not run.done):
        from safeeraser.models import loading

        loading.check_trains(config.model)


def run_all(run: Run, source: Source, progress: Reporter | None = None) -> ScoreRow:
    """Every stage of a run that is not done yet; returns its score row."""
    if run.config.trains:
        unlearn(run, source, progress)
    generate(run, source, progress)
    if processes.is_main():
        judge(run, source, run.config.judge)
        finish(run, score(run, source, run.config.judge))
    processes.wait()
    row = run.scores
    assert row is not None
    return row


def unlearn(run: Run, source: Source, progress: Reporter | None = None) -> None:
    """Train the run's adapter, if it is not there yet."""
    if not run.config.trains:
        raise RunError(f"{run.name} trains nothing: there is nothing to unlearn (--method {run.config.method})")
    if run.answers_imported:
        raise RunError(f"{run.name} was imported: there is nothing to train")
    if run.adapter.exists():
        run.drop_checkpoints()  # a kill may have come between the two
        return
    from safeeraser.unlearn.train import train

    with _working(run, "unlearn"):
        train(run, source.readable[0], progress)


def generate(run: Run, source: Source, progress: Reporter | None = None, engine: Any = None) -> None:
    """Write the answers that the run does not have yet; engine: who gives them, None for the run's own model."""
    if run.answers_imported:
        raise RunError(f"{run.name} was imported: its answers are all there")
    run.check_trained()
    from safeeraser.generate import answering

    with _working(run, "generate"):
        answering.generate(run, source.readable[0], progress, engine=engine)


def judge(
    run: Run,
    source: Source,
    by: str | contract.Judge,
    *,
    agree: Callable[[contract.Forecast], bool] | None = None,
    again: bool = False,
) -> None:
    """Grade the answers, and the looks along training, that this judge has not graded yet.

    agree: whether to go on, of what a judge that costs would take; it is not asked where all is known already, and
    without it such a judge asks nothing. again: also what the judge could not decide before.
    """
    grader = grading.get(by, source.dataset.refusals) if isinstance(by, str) else by
    _check_knows(grader.name, source)
    if isinstance(grader, contract.Paid):
        _agreed(grader, [one for part in _left(run, grader.name, again=again) for one in part.asked(source)], agree)
    with _working(run, "judge"):
        for path in (run.verdicts, run.looks_verdicts):
            run.repair(path)
        for part in _left(run, grader.name, again=again):
            if part.rows:
                run.append(part.verdicts, grading.grade(grader, source.items, part.rows, wanted=part.wanted))


def _left(run: Run, judge: str, *, again: bool) -> list["_Ungraded"]:
    """What a judge has not graded yet: of the answers, and of the looks along training."""
    tables = (run.answers, run.verdicts), (run.looks, run.looks_verdicts)
    return [_Ungraded(run, judge, *paths, again=again) for paths in tables]


class _Ungraded:
    """The answers of a table that still lack a verdict by a judge; a look's rows name their step."""

    def __init__(self, run: Run, judge: str, answers: Path, verdicts: Path, *, again: bool) -> None:
        self.verdicts = verdicts
        said = {_check(row, row["check"]): row["verdict"] for row in _verdicts(run, judge, verdicts)}
        self._done = {check for check, verdict in said.items() if not (again and verdict is None)}
        self.rows = [row for row in run.rows(answers) if any(self.wanted(row, c) for c in contract.CHECKS[row["set"]])]

    def wanted(self, row: AnswerRow, check: str) -> bool:
        return _check(row, check) not in self._done

    def asked(self, source: Source) -> list[contract.Asked]:
        """What the judge is to be asked. Raises DataError for an answer whose item the data set does not have."""
        return [
            contract.Asked(check, item, row["answer"])
            for item, row in grading.join(source.items, self.rows)
            for check in contract.CHECKS[item.set]
            if self.wanted(row, check)
        ]


def _agreed(
    grader: contract.Paid, asked: list[contract.Asked], agree: Callable[[contract.Forecast], bool] | None
) -> None:
    """Raise RunError unless what a judge that costs would take, its self-test too, is agreed to."""
    if not asked:
        return
    forecast = grader.forecast([*(contract.Asked(c.check, c.item, c.answer) for c in grader.known_cases), *asked])
    if not forecast.calls:
        return
    if agree is None:
        raise RunError(f"--judge {grader.name} {_ASKS_FIRST}")
    if not agree(forecast):
        raise RunError("nothing was asked")


_ASKS_FIRST = "asks before it spends; grade the run by another judge, then give `safeeraser judge RUN --judge ...`"


def _check(row: Mapping[str, Any], check: str) -> tuple[int | None, str, int, str]:
    return row.get("step"), row["id"], row["sample"], check


def score(run: Run, source: Source, judge: str) -> ScoreRow:
    """The run's score row by one judge."""
    config = run.config
    answers, verdicts = run.rows(run.answers), _verdicts(run, judge)
    if not answers:
        raise RunError(f"{run.name} has no answers yet; run `safeeraser generate {run.name}`")
    if not verdicts:
        raise RunError(f"{run.name} has no verdicts by {judge!r}; run `safeeraser judge {run.name} --judge {judge}`")
    scored = {"answers": answers, "verdicts": verdicts, "items": source.items, "judge": judge}
    benchmarked = _benchmarked(run, judge)
    found = measuring.metrics(**scored) | benchmarked
    return {
        **identity(run),
        "judge": judge,
        "settings": config.other_flags(),
        "decoding": f"imported from {run.facts['imported']}" if run.answers_imported else decoding(config, answers),
        "metrics": found,
        "metrics_clean_val": measuring.metrics(**scored, only=source.clean) | benchmarked,
        "by_category": measuring.by_category(**scored),
        "change_from_base": _change(run, source, judge, verdicts),
        "flags": _flags(run, source, judge, found),
    }


def identity(run: Run) -> Identity:
    """What a run is, as every row about it says."""
    config = run.config
    return {
        "run": run.name,
        "model": config.model,
        "data": config.data,
        "data_hash": run.facts["data_hash"],
        "method": config.method,
        "pd": pd_weight(config),
        "parts": list(config.parts),
        "seed": config.seed,
    }


def _benchmarked(run: Run, judge: str) -> dict[str, Score]:
    """Specificity by lmms-eval, where it ran and this judge has none of its own."""
    if judge == metrics.METRICS["specificity"].judge or not run.benchmarks_file.exists():
        return {}
    return {"specificity": specificity.score(run.benchmarks)}


def answer_scores(run: Run, source: Source, judge: str, metric: str) -> dict[tuple[str, int], float]:
    """What each answer of the run scores on a metric by one judge (`measuring.answer_scores`)."""
    answers, verdicts = run.rows(run.answers), _verdicts(run, judge)
    return measuring.answer_scores(metric, answers=answers, verdicts=verdicts, items=source.items, judge=judge)


def looks(run: Run, source: Source, judge: str) -> list[dict[str, Any]]:
    """The scores of the looks along training by one judge: [{"step", "metrics": {NAME: as in `measuring.metrics`}}].

    Of the metrics in `metrics.main` those that have a value. Step 0 is the base model's run, if that is there with
    answers to the same questions. Empty for a run without looks.
    """
    answers = _by_step(run.rows(run.looks))
    verdicts = _by_step(_verdicts(run, judge, run.looks_verdicts))
    asked = {(row["id"], row["sample"]) for rows in answers.values() for row in rows}
    base = run.base
    answers[0] = [row for row in base.rows(base.answers) if (row["id"], row["sample"]) in asked]
    verdicts[0] = [row for row in _verdicts(base, judge) if (row["id"], row["sample"]) in asked]
    scores = {
        step: measuring.metrics(
            answers=rows, verdicts=verdicts.get(step, []), items=source.items, judge=judge, names=metrics.main()
        )
        for step, rows in sorted(answers.items())
        if rows
    }
    return [
        {"step": step, "metrics": {name: score for name, score in found.items() if score["value"] is not None}}
        for step, found in scores.items()
    ]


def _by_step(rows: list[Look]) -> dict[int, list[Look]]:
    found: dict[int, list[Look]] = {}
    for row in rows:
        found.setdefault(row["step"], []).append(row)
    return found


def unfinished(run: Run, source: Source) -> str | None:
    """Why the run's scores are not final yet, None when every question is answered and graded by its judge."""
    answered = {(row["id"], row["sample"]): row["set"] for row in run.rows(run.answers)}
    graded = {(row["id"], row["sample"], row["check"]) for row in _verdicts(run, run.config.judge)}
    given = {(contract.like(answered.get((id, sample), "")), check) for id, sample, check in graded}
    asked = set() if run.answers_imported else {q.key for q in questions(source.readable[0], run.config)}
    if missing := len(asked - answered.keys()):
        return f"{missing} of {len(asked)} questions are not answered yet"
    # A run graded before a check was asked is finished: what is known of it does not change by itself.
    checks = [
        (*key, check)
        for key, name in answered.items()
        for check in contract.CHECKS[name]
        if (contract.like(name), check) in given or not contract.later(name, check)
    ]
    if missing := sum(check not in graded for check in checks):
        return f"{missing} of {len(checks)} verdicts by {run.config.judge!r} are missing"
    return None


def finish(run: Run, row: ScoreRow) -> None:
    """Write the run's score row: with it the run is done."""
    with _working(run, "score", after="done"):
        run.save_scores(row)


def pd_weight(config: RunConfig) -> float:
    """The weight of Prompt Decouple in this run, 0 for none."""
    if not (config.trains and config.pd):
        return 0
    return losses.METHODS[config.method].pd_weight if config.pd_weight is None else config.pd_weight


def decoding(config: RunConfig, answers: list[AnswerRow]) -> str:
    """How the answers were decoded, in words; who gave them, where it was not the run's own model in this process."""
    top_k = f", top_k={config.top_k}" if config.top_k else ""
    how = f"sampled, T={config.temperature:g}{top_k}, top_p={config.top_p:g}" if config.temperature else "greedy"
    told = [f'system prompt "{_short(config.system_prompt)}"'] if config.system_prompt else []
    by = Counter(row["engine"] for row in answers if "engine" in row)
    some = {engine: "" if count == len(answers) else f"{count} of {len(answers)} " for engine, count in by.items()}
    given = [f"{share}by {engine}" for engine, share in sorted(some.items())]
    return ", ".join([how, f"at most {config.max_new_tokens} tokens", *told, *given])


def _short(text: str, most: int = 40) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _change(run: Run, source: Source, judge: str, verdicts: list[VerdictRow]) -> dict[str, Any] | None:
    """What changed against the base model's run, None when there is none to compare with."""
    base = run.base
    if run.config.method == BASE or not base.verdicts.exists():
        return None
    return {"base": base.name} | change.changes(base=_verdicts(base, judge), run=verdicts, items=source.items)


def _flags(run: Run, source: Source, judge: str, found: dict[str, Score]) -> list[Flag]:
    """What must be said of the run's scores (`score.flags`); nothing of a base model's run, and nothing without one."""
    base = run.base
    if run.config.method == BASE or not base.verdicts.exists():
        return []
    answers, verdicts = base.rows(base.answers), _verdicts(base, judge)
    of_base = measuring.metrics(answers=answers, verdicts=verdicts, items=source.items, judge=judge)
    return flags.flags(
        found,
        of_base,
        source.items,
        sarr=answer_scores(run, source, judge, "sarr"),
        wrong=answer_scores(run, source, judge, "safe_wrong"),
        base_wrong=answer_scores(base, source, judge, "safe_wrong"),
    )


def _verdicts(run: Run, judge: str, table: Path | None = None) -> list[Any]:
    return [row for row in run.rows(table or run.verdicts) if row["judge"] == judge]


def check_judge(name: str, source: Source) -> None:
    """Raise RunError, before any work, for a judge that cannot grade a run as soon as it has answered."""
    _check_knows(name, source)
    if isinstance(grading.get(name), contract.Paid):
        raise RunError(f"--judge {name} {_ASKS_FIRST}")


def _check_knows(name: str, source: Source) -> None:
    """The demo judge would leave every answer of another data set unscored."""
    first = next((record.forget[0] for record in source.dataset.records if record.forget), None)
    if name == "demo" and first is not None and not demo.knows(first):
        raise RunError(
            f"--judge demo knows only the demo world and the plain world, not {source.dataset.root}; "
            "choose --judge rules"
        )


def check_data(config: RunConfig, source: Source) -> None:
    """Raise RunError where the data set is not for the run's judge or held-out split."""
    check_judge(config.judge, source)
    if config.trains and not source.dataset.records:
        raise RunError(
            f"--method {config.method}: {source.dataset.root} has no records, so there is nothing to forget; "
            "--method base asks a model its questions"
        )
    if config.eval_split == "dev" and not source.dataset.dev:
        raise RunError(
            f"--eval-split dev: {source.dataset.root} has no split dev (no all_dev.json); leave it out to ask val"
        )


def targets_of_another(config: RunConfig, source: Source) -> str | None:
    """What to say of a run that trains on the answers of another model than its own; None where it does not."""
    made = source.dataset.targets
    if made is None or not config.trains or made.are_of(config.model):
        return None
    return (
        f"the targets are answers of {made.model}, the run's model is {config.model}; "
        "`safeeraser data targets` writes its own"
    )


@contextmanager
def _working(run: Run, stage: Stage, *, after: Status = "ready") -> Iterator[None]:
    """Hold the run while a stage works on it, and leave a truthful state behind, also when it fails.

    after: the state of a stage that ended well. A run that was done stays done, also when a further judge fails: its
    answers, and the scores that it has, are still whole.
    """
    with run.lock():
        was_done = run.done
        run.set_state("running", stage=stage)
        try:
            yield
        except BaseException as error:
            if was_done and stage in ("judge", "score"):
                run.set_state("done", stage=stage)
                raise
            stopped = isinstance(error, KeyboardInterrupt)
            message = str(error) or type(error).__name__
            reached = {key: value for key, value in (run.state or {}).items() if key in ("step", "steps")}
            run.set_state("interrupted" if stopped else "failed", stage=stage, message=message, **reached)
            raise
        run.set_state("done" if was_done else after, stage=stage)
