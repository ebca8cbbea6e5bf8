"""Whether the runs of a chart may stand beside each other, in words."""

from collections.abc import Iterable, Sequence

from safeeraser.charts.words import Row, labels, ordered, wording
from safeeraser.losses import BASE

PARTS = {
    "judge": "Different judges",
    "data": "Different data",
    "data_hash": "Different versions of the data",
    "decoding": "Different decoding",
    "model": "Different models",
    "settings": "Different settings",
}


def mixed(rows: Iterable[Row], metrics: Iterable[str] | None = None) -> list[str]:
    """Why the numbers of these rows may not compare: one sentence each, none when they do.

    metrics: those that are shown; all by default.
    """
    shown = ordered(rows)
    names = list(metrics) if metrics is not None else list(dict.fromkeys(n for row in shown for n in row["metrics"]))
    parts = [text for part, title in PARTS.items() if (text := _difference(shown, part, title))]
    proxy = any(row["judge"] == "rules" for row in shown) and any(name.startswith("asr") for name in names)
    return [
        *parts,
        *(text for name in names if (text := _questions(shown, name))),
        *_unscored(shown, names),
        *(["ASR by the rules judge is a proxy: answered and meaningful."] if proxy else []),
    ]


def _difference(rows: Sequence[Row], part: str, title: str) -> str:
    if part == "settings":  # how others train does not concern the base model
        rows = [row for row in rows if row["method"] != BASE]
    values = [str(row.get(part) or ("defaults" if part == "settings" else "unknown")) for row in rows]
    if len(set(values)) < 2:
        return ""
    short = {value: value[:12] if part == "data_hash" else value for value in dict.fromkeys(values)}
    found = ", ".join(f"{short[value]} ({_runs(values.count(value))})" for value in short)
    return f"{title}: {found}; their numbers do not compare."


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _questions(rows: Sequence[Row], metric: str) -> str:
    scores = [row["metrics"].get(metric, {}) for row in rows]
    asked = {score["n"] + score["unscored"] for score in scores if score.get("value") is not None}
    if len(asked) < 2:
        return ""
    return f"{wording(metric).name}: asked on {' or '.join(map(str, sorted(asked)))} answers, not on the same number."


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
