"""Whether the runs of a chart may stand beside each other, and what else must be said of its numbers, in words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from safeeraser.charts.words import Row, labels, ordered, percent, wording
from safeeraser.judge import measured
from safeeraser.losses import UNTRAINED
from safeeraser.score.metrics import METRICS

PARTS = {
    "judge": "judge",
    "data": "data",
    "data_hash": "version of the data",
    "decoding": "decoding",
    "model": "model",
    "settings": "settings",
}
Fact = str | int | None  # None: it does not concern this row


@dataclass(frozen=True)
class Unlike:
    """The runs that differ from most others in what makes numbers comparable, by name, and a sentence that says so.

    compare: whether they differ in settings alone, such as those that were chosen for a method: then their numbers may
    stand beside the others'.
    """

    runs: tuple[str, ...]
    says: str
    compare: bool


def unlike(rows: Iterable[Row], metrics: Iterable[str]) -> Unlike | None:
    """The odd ones among the rows; None when all compare. metrics: those that are shown.

    The measure is what most runs have in common, of equally many what the runs that were asked most have.
    """
    shown, metrics = ordered(rows), list(metrics)
    facts = [_facts(row, metrics) for row in shown]
    trained = [fact for row, fact in zip(shown, facts, strict=True) if row["method"] not in UNTRAINED] or facts
    if not trained:
        return None
    times = Counter(map(str, trained))
    usual = max(trained, key=lambda fact: (times[str(fact)], sum(fact[name] or 0 for name in metrics)))  # type: ignore
    differing = [_differing(fact, usual) for fact in facts]
    odd = {name: words for name, words in zip(labels(shown), differing, strict=True) if words}
    if not odd:
        return None
    compare = all(words.keys() == {"settings"} for words in odd.values())
    runs = tuple(row["run"] for row, words in zip(shown, differing, strict=True) if words)
    told = "; ".join(f"{name} ({', '.join(words.values())})" for name, words in odd.items())
    many = f"{len(runs)} of {len(shown)} runs {'is' if len(runs) == 1 else 'are'}"
    how = "made with other settings" if compare else "unlike the others, so their numbers do not compare"
    return Unlike(runs, f"{many} {how}: {told}.", compare)


def _facts(row: Row, metrics: Sequence[str]) -> dict[str, Fact]:
    """What makes a row comparable, and on how many answers its metrics stand."""
    made = {part: str(row.get(part) or "defaults") for part in PARTS}
    scores = {name: row["metrics"].get(name, {}) for name in metrics}
    asked = {
        name: score["n"] + score["unscored"] if score.get("value") is not None else None
        for name, score in scores.items()
    }
    # How others train does not concern what trains nothing.
    return made | ({"settings": None} if row["method"] in UNTRAINED else {}) | asked


def _differing(facts: dict[str, Fact], usual: dict[str, Fact]) -> dict[str, str]:
    """In what a row differs from the usual one, each in words; of the metrics, the first is enough."""
    parts = [part for part, there in usual.items() if None not in (facts[part], there) and facts[part] != there]
    made = {part: f"{PARTS[part]} {_short(facts[part])}, not {_short(usual[part])}" for part in parts if part in PARTS}
    asked = next((name for name in parts if name not in PARTS), None)
    words = {} if asked is None else {asked: f"{wording(asked).name} on {facts[asked]} answers, not {usual[asked]}"}
    return made | words


def _short(fact: Fact) -> str:
    return str(fact)[:40]


def caveats(rows: Iterable[Row], metrics: Iterable[str]) -> list[str]:
    """What must be said of numbers that compare: answers without a verdict, and a proxy that is none of the paper's."""
    shown, metrics = ordered(rows), list(metrics)
    proxy = any(row["judge"] == "rules" for row in shown) and any(name.startswith("asr") for name in metrics)
    said = ["ASR by the rules judge is a proxy: answered and meaningful."] if proxy else []
    return [*_unscored(shown, metrics), *said, *_rules(shown, metrics), *_wrong_answers(shown, metrics)]


def _rules(rows: Sequence[Row], metrics: Iterable[str]) -> list[str]:
    """How often the judge `rules` errs on what these metrics count, where it graded."""
    if all(row["judge"] != "rules" for row in rows):
        return []
    counted = {outcome for name in metrics if name in METRICS for outcome in METRICS[name].opens}
    wanted = {"refusal": "refuses", "stall": "stalls", "cannot see": "cannot see", "gibberish": "gibberish"}
    return [said for check, said in measured.of_rules().items() if wanted[check] in counted]


def _wrong_answers(rows: Sequence[Row], metrics: Iterable[str]) -> list[str]:
    """Beside SARR: the runs of which it takes many wrong answers for answers."""
    if not any(name.startswith("sarr") for name in metrics):
        return []
    wrong = {
        label: percent(row["metrics"].get("safe_wrong", {}))
        for row, label in zip(rows, labels(rows), strict=True)
        if any(flag["name"] == "wrong answers" for flag in row.get("flags", ()))
    }
    told = ", ".join(f"{label} {share:.1f} %" for label, share in wrong.items() if share is not None)
    return [f"Not in SARR are wrong answers, of which these give more than the base model: {told}."] if told else []


def _unscored(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for row, label in zip(rows, labels(rows), strict=True):
        metrics: dict[str, list[str]] = {}
        for name in names:
            score = row["metrics"].get(name, {})
            if score.get("value") is not None and score["unscored"]:
                share = f"{score['unscored']} of {score['n'] + score['unscored']}"
                metrics.setdefault(share, []).append(wording(name).name)
        found += [f"{label}: {share} answers unscored ({', '.join(of)})." for share, of in metrics.items()]
    return found
