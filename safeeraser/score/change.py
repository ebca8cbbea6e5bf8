"""How verdicts changed from the base model's run to another, answer by answer."""

from collections.abc import Iterable, Mapping

from safeeraser.data.records import VQA, SetName, Split
from safeeraser.data.rows import VerdictRow


def paired_change(
    *,
    base: Iterable[VerdictRow],
    run: Iterable[VerdictRow],
    items: Mapping[str, VQA],
    check: str,
    set_name: SetName,
    split: Split,
) -> dict:
    """How one judge's verdicts changed from the base model's run to this one, answer by answer.

    base, run: one judge's verdict rows, joined by (id, sample). Returns the counts n, kept_true, became_true,
    became_false, kept_false and unscored (a verdict is None or missing on either side), and `p`: McNemar's exact test,
    two-sided, which takes the answers as independent. Raises ValueError when two judges are mixed.
    """
    base, run = list(base), list(run)
    graders = {row["judge"] for row in (*base, *run)}
    if len(graders) > 1:
        raise ValueError(f"the verdicts must be one judge's, got those of {', '.join(sorted(graders))}")

    def said(rows: list[VerdictRow]) -> dict[tuple[str, int], bool | None]:
        of_check = (row for row in rows if row["check"] == check and row["id"] in items)
        kept = (row for row in of_check if (items[row["id"]].set, items[row["id"]].split) == (set_name, split))
        return {(row["id"], row["sample"]): row["verdict"] for row in kept}

    before, after = said(base), said(run)
    pairs = [(before.get(key), after.get(key)) for key in before.keys() | after.keys()]
    became_true, became_false = pairs.count((False, True)), pairs.count((True, False))
    counts = {
        "kept_true": pairs.count((True, True)),
        "became_true": became_true,
        "became_false": became_false,
        "kept_false": pairs.count((False, False)),
    }
    n, changed = sum(counts.values()), became_true + became_false
    from scipy.stats import binomtest

    p = float(binomtest(became_true, changed).pvalue) if changed else 1.0
    return {"n": n, **counts, "unscored": len(pairs) - n, "p": p if n else None}


# Where a change from the base model says something: did it learn to refuse, and what did that cost?
CHANGES: tuple[tuple[SetName, str], ...] = (("forget", "refusal"), ("decouple", "normal"), ("retain", "agreement"))


def changes(*, base: Iterable[VerdictRow], run: Iterable[VerdictRow], items: Mapping[str, VQA]) -> dict[str, dict]:
    """`paired_change` on val for every row of CHANGES with a verdict on both sides: {"forget_refusal": {...}, ...}."""
    before, after = list(base), list(run)
    found = {
        f"{set_name}_{check}": paired_change(
            base=before, run=after, items=items, check=check, set_name=set_name, split="val"
        )
        for set_name, check in CHANGES
    }
    return {name: change for name, change in found.items() if change["n"]}
