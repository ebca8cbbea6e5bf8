"""What people's labels say of a judge: agreement, disputed answers, raw and corrected rates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from safeeraser.score import agreement, intervals, labels
from safeeraser.score.agreement import Agreement, CorrectedRate
from safeeraser.score.labels import Label
from safeeraser.ui.frame import state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import item, labelling
from safeeraser.ui.views import auditing
from safeeraser.ui.views.auditing import Audit, Sample

PER_PAGE = 10
WORDS = {value: word for word, value in labelling.VERDICTS.items()}


def draw(view: View, sample: Sample) -> None:
    """Everything that the labels of the drawn answers say, for everyone and for each labeller."""
    given = [label for label in labels.of_run(sample.run) if label.check == sample.audit.check]
    everyone = _labelled(sample, given)
    if not everyone["labels"].any():
        st.info("No answer of this sample has a label yet. Label some first: agreement and corrected rate follow.")
        _export()
        return
    people = [
        name for name in sorted({label.who for label in given}) if _labelled(sample, _of(given, name))["labels"].any()
    ]
    st.subheader("Agreement and corrected rate")
    _say_raw(view, sample)
    _table(sample, given, people)
    _say_how_complete(everyone)
    whose = state.select(
        "Whose labels",
        ["", *people],
        "whose",
        format_func=lambda name: name or "Everyone, by majority",
        resets=("page",),
    )
    rows = _labelled(sample, _of(given, whose))
    _confusion(view, _measured(rows))
    _disputed(view, sample, rows)
    _export()


def _of(given: Sequence[Label], name: str) -> list[Label]:
    return [label for label in given if name in ("", label.who)]


def _labelled(sample: Sample, given: Sequence[Label]) -> pd.DataFrame:
    return agreement.labelled(sample.drawn, given, check=sample.audit.check)


def _measured(rows: pd.DataFrame) -> Agreement:
    """The agreement on the rows that have a label."""
    rows = rows[rows["labels"] > 0]
    return agreement.agreement(list(zip(rows["verdict"], rows["human"], strict=True)), rows["picture"].tolist())


def _corrected(sample: Sample, rows: pd.DataFrame) -> CorrectedRate | None:
    said = rows["human"].to_dict()  # the drawn rows keep the index of all rows
    human = [said.get(place) for place in sample.rows.index]
    return agreement.corrected_rate(sample.rows["verdict"].tolist(), human, sample.rows["picture"].tolist())


def table(sample: Sample, given: Sequence[Label], people: Sequence[str]) -> pd.DataFrame:
    """One line for everyone together and one for each labeller, rates in percent with their 95 % intervals."""
    return pd.DataFrame(_line(sample, _labelled(sample, _of(given, name)), name) for name in ["", *people])


def _line(sample: Sample, rows: pd.DataFrame, name: str) -> dict[str, str | int]:
    found, corrected = _measured(rows), _corrected(sample, rows)
    low, high = (None, None) if corrected is None else (corrected.low, corrected.high)
    value = None if corrected is None else corrected.value
    return {
        "Labels of": name or "Everyone, by majority",
        "Labelled": int((rows["labels"] > 0).sum()),
        "No verdict": found.unscored,
        "n": found.n,
        "Same verdict (%)": _written(found.observed, found.observed_low, found.observed_high, scale=100),
        "Cohen's kappa": _written(found.kappa, found.kappa_low, found.kappa_high, digits=2),
        f"{sample.audit.rate} corrected (%)": _written(*_turned(sample.audit, value, low, high), scale=100),
    }


def _turned(audit: Audit, value: float | None, low: float | None, high: float | None) -> tuple[float | None, ...]:
    """A rate of the check as the audit's rate, with its interval."""
    if not audit.turned:
        return value, low, high
    return tuple(None if one is None else 1 - one for one in (value, high, low))


def _written(value: float | None, low: float | None, high: float | None, *, scale: float = 1, digits: int = 1) -> str:
    if value is None:
        return "–"
    text = f"{scale * value:.{digits}f}"
    return text if low is None or high is None else f"{text} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def _say_raw(view: View, sample: Sample) -> None:
    scored = sample.rows[sample.rows["verdict"].notna()]
    unscored = len(sample.rows) - len(scored)
    if scored.empty:
        st.warning(
            f"The judge {as_code(str(view.judge))} decided none of these {len(sample.rows):,} answers: "
            "there is no rate."
        )
        return
    verdicts = scored["verdict"].astype(float)
    low, high = intervals.interval(verdicts.tolist(), scored["picture"].tolist())
    raw = _written(*_turned(sample.audit, float(np.mean(verdicts)), low, high), scale=100)
    st.markdown(
        f"**{sample.audit.rate} as the judge {as_code(str(view.judge))} sees it: {raw} %**, on {view.split}, "
        f"n = {len(scored):,} answers, {unscored:,} unscored."
    )


def _table(sample: Sample, given: Sequence[Label], people: Sequence[str]) -> None:
    lines = table(sample, given, people)
    st.dataframe(
        lines, hide_index=True, alt="Agreement with the judge and corrected rate, for everyone and by labeller"
    )
    st.caption(
        "[95 % interval], answers about one picture taken together. n: answers with a verdict of both the judge and "
        "the labeller. Kappa is agreement beyond chance, 1 is perfect; – where one side says one and the same word "
        "only."
    )


def _say_how_complete(everyone: pd.DataFrame) -> None:
    done, drawn = int((everyone["labels"] > 0).sum()), len(everyone)
    if done < drawn:
        st.warning(
            f"{done} of the {drawn} drawn answers are labelled. The corrected rate takes them for a random sample: "
            "label the rest before you report it.",
            icon=":material/warning:",
        )


def _confusion(view: View, found: Agreement) -> None:
    st.subheader("Confusion table")
    counts = pd.DataFrame(
        {
            f"Judge {view.judge}": ["Yes", "No"],
            "Labelled Yes": [found.both_true, found.human_only],
            "Labelled No": [found.judge_only, found.both_false],
        }
    )
    st.dataframe(counts, hide_index=True, width=420, alt="How often judge and labels say yes and no")
    st.caption(f"n = {found.n}; without a verdict on either side: {found.unscored}.")


def _disputed(view: View, sample: Sample, rows: pd.DataFrame) -> None:
    """The answers on which labels and judge contradict each other; to a labeller only those they have labelled."""
    found = agreement.disputed(rows)
    person = (st.session_state.get("who") or "").strip()
    st.subheader(f"Disputed answers: {len(found)}")
    if person:
        mine = auditing.own_labels(sample, person)
        seen = [item.as_key(row) in mine for _, row in found.iterrows()]
        if hidden := len(found) - sum(seen):
            st.info(f"{hidden} of them you have not labelled yet: hidden, so that you stay blind.")
        found = found[np.array(seen, dtype=bool)]
    if rows["labels"].any() and found.empty:
        st.caption("None to show.")
    start = PER_PAGE * state.page_number("page", items=len(found), per_page=PER_PAGE)
    for at, (_, row) in enumerate(found.iloc[start : start + PER_PAGE].iterrows(), start=start):
        with st.container(border=True):
            _dispute(view, sample, row, at)


def _dispute(view: View, sample: Sample, row: pd.Series, at: int) -> None:
    vqa = view.source.items[row["id"]]
    left, right = st.columns([1, 4], gap="medium")
    with left:
        hidden = auditing.draw_picture(vqa, where=f"dispute-{at}")
    with right:
        item.draw_question(vqa)
        auditing.draw_answer(vqa, row["answer"], hidden=hidden, where=f"dispute-{at}")
        reason = f": {escape_markdown(row['reply'])}" if row["reply"] else ""
        st.markdown(f"Judge {as_code(str(view.judge))}: **{WORDS[row['verdict']]}**{reason}")
        note = f" – {escape_markdown(row['note'])}" if row["note"] else ""
        st.markdown(f"{escape_markdown(row['who'])}: **{WORDS[row['human']]}**{note}")
        if st.button("Open in Compare", key=f"open-{at}", icon=":material/compare:"):
            state.go("compare", b=sample.run.name, set=row["set"], item=f"{row['id']}#{row['sample']}")


def _export() -> None:
    if labels.file().exists():
        st.download_button(
            "All labels of all runs: CSV",
            labels.export,
            "labels.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
