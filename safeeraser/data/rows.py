"""The rows that the stages hand on, as they stand in the files of a run; other programs may add keys of their own."""

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from safeeraser.data.records import SetName, Split

_OPEN = ConfigDict(extra="allow", strict=True)


class AnswerRow(TypedDict):
    """One answer of `answers.jsonl`.

    seed: None where it is not known. engine: who answered, where it was not the run's own model in this process.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    id: str
    set: SetName
    split: Split
    category: str
    sample: int
    seed: int | None
    answer: str
    engine: NotRequired[str]


class LookRow(AnswerRow):
    """One answer of `looks.jsonl`, given after so many steps of training."""

    step: int


class VerdictRow(TypedDict):
    """What a judge says of one answer, a row of `verdicts.jsonl`; verdict: None when the judge did not decide."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    id: str
    sample: int
    check: str
    verdict: bool | None
    judge: str
    reply: str


class LookVerdictRow(VerdictRow):
    """What a judge says of a look's answer, a row of `looks-verdicts.jsonl`."""

    step: int


class AttackRow(AnswerRow):
    """One answer of `attacks.jsonl`, given under an attack (`attack/suite.py`).

    asked: the question as the model got it, where the attack put another in the place of the item's.
    """

    attack: str
    asked: NotRequired[str]


class AttackVerdictRow(VerdictRow):
    """What a judge says of an answer under attack, a row of `attacks-verdicts.jsonl`."""

    attack: str


class LogRow(TypedDict):
    """One training step of `log.jsonl`; terms: each term's loss in nats, unweighted; peak_memory: bytes."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    step: int
    loss: float
    terms: dict[str, float]
    tokens: int
    seconds: float
    peak_memory: int | None


class Benchmarked(TypedDict):
    """What lmms-eval measured on one of its tasks.

    value, stderr: of its metric, 0 to 1 for the benchmarks of Specificity, of other tasks as lmms-eval has it; stderr
    is None where lmms-eval has none. limit: how many of the task's questions were asked at most, None for all. weights:
    the SHA-256 of the adapter's, None for the base model. lmms_eval: its version.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    metric: str
    value: float
    stderr: float | None
    n: int
    limit: int | None
    weights: str | None
    lmms_eval: str
    date: str


class Score(TypedDict):
    """A metric's value with its 95 % interval, 0 to 1, None where it is unknown; then `why` says why.

    n: answers that it stands on. unscored: answers without a verdict. unit: what they go together by, `picture`,
    `thing` or `question`; effective: how many independent answers would know the value as well. Scores of an older
    version have neither. tasks: what a Specificity by lmms-eval is the mean of.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    value: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int
    unit: NotRequired[str]
    effective: NotRequired[float | None]
    why: NotRequired[str]
    tasks: NotRequired[dict[str, Benchmarked]]


class Flag(TypedDict):
    """What must be said of a run before its other numbers are read, in two or three words, and why."""

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    name: str
    why: str


class Identity(TypedDict):
    """What a run is, in every row about it.

    pd: the weight of the Prompt Decouple loss. parts: what else the method is combined with; an older row has none.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    run: str
    model: str
    data: str
    data_hash: str
    method: str
    pd: float
    parts: NotRequired[list[str]]
    seed: int


class ScoreRow(Identity):
    """A run's `scores.json`, as `safeeraser score RUN... --json` prints it.

    flags: None are looked for without the base model's run, to compare with.
    settings: the flags of what decides the result and has no column here; a row of an older version lacks them.
    """

    __pydantic_config__ = _OPEN  # pyright: ignore[reportGeneralTypeIssues]
    judge: str
    decoding: str
    settings: NotRequired[str]
    metrics: dict[str, Score]
    metrics_clean_val: NotRequired[dict[str, Score]]
    by_category: NotRequired[dict[str, dict[str, Score]]]
    change_from_base: NotRequired[dict[str, Any] | None]
    flags: NotRequired[list[Flag]]


Status = Literal["created", "running", "ready", "done", "failed", "interrupted"]
Stage = Literal["unlearn", "generate", "judge", "score"]
