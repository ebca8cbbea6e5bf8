"""What people's labels say of a judge: agreement, disputed answers, raw and corrected rates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from safeeraser.runs.folder import Run
from safeeraser.score import agreement, intervals, labels
from safeeraser.score.agreement import Agreement, CorrectedRate
from safeeraser.score.labels import Label
from safeeraser.ui.frame import reading, state
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import as_code, escape_markdown
from safeeraser.ui.parts import item, labelling
from safeeraser.ui.views import auditing
from safeeraser.ui.views.auditing import Audit, Sample

PER_PAGE = 10
WORDS = {value: word for word, value in labelling.VERDICTS.items()}
JUDGED = WORDS | {None: "No verdict"}
INTERVALS = "[95 % interval], answers about one picture (in the demo world: one thing) taken together."


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
    _other_judges(view, sample, given)
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
    return agreement.agreement(list(zip(rows["verdict"], rows["human"], strict=True)), rows["unit"].tolist())


def _corrected(sample: Sample, rows: pd.DataFrame) -> CorrectedRate | None:
    said = rows["human"].to_dict()  # the drawn rows keep the index of all rows
    human = [said.get(place) for place in sample.rows.index]
    return agreement.corrected_rate(sample.rows["verdict"].tolist(), human, sample.rows["unit"].tolist())


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
        **agreement.cells(found),
        f"{sample.audit.rate} corrected (%)": agreement.written(*_turned(sample.audit, value, low, high), scale=100),
    }


def _turned(audit: Audit, value: float | None, low: float | None, high: float | None) -> tuple[float | None, ...]:
    """A rate of the check as the audit's rate, with its interval."""
    if not audit.turned:
        return value, low, high
    return tuple(None if one is None else 1 - one for one in (value, high, low))


def by_judge(view: View, sample: Sample, given: Sequence[Label]) -> pd.DataFrame:
    """One line for each judge that graded the run: its own rate, and what everyone's labels of the sample make of it.

    The sample was drawn by seed, id and sample alone, so it is as random for another judge as for the header's.
    """
    keys = {item.as_key(row) for _, row in sample.drawn.iterrows()}
    lines = []
    for judge in reading.judges(sample.run):
        rows = sample.rows if judge == view.judge else auditing.graded(view, sample.run, sample.audit, judge)
        drawn = rows[[key in keys for key in zip(rows["id"], rows["sample"], strict=True)]]
        of_judge = Sample(sample.run, sample.audit, rows, drawn)
        line = _line(of_judge, _labelled(of_judge, given), "")
        del line["Labels of"]
        lines.append({"Judge": judge, f"{sample.audit.rate} raw (%)": _raw(of_judge), **line})
    return pd.DataFrame(lines)


def _other_judges(view: View, sample: Sample, given: Sequence[Label]) -> None:
    lines = by_judge(view, sample, given)
    if len(lines) > 1:
        st.markdown("**Every judge of this run, by the same labels**")
        st.dataframe(lines, hide_index=True, alt="Raw and corrected rate of each judge, by the same labels")


def _raw(sample: Sample) -> str:
    """The audit's rate as the judge sees it, in percent with its interval; a dash where it decided nothing."""
    scored = sample.rows[sample.rows["verdict"].notna()]
    if scored.empty:
        return agreement.UNKNOWN
    verdicts = scored["verdict"].astype(float)
    low, high = intervals.interval(verdicts.tolist(), scored["unit"].tolist())
    return agreement.written(*_turned(sample.audit, float(np.mean(verdicts)), low, high), scale=100)


def _say_raw(view: View, sample: Sample) -> None:
    scored = int(sample.rows["verdict"].notna().sum())
    unscored = len(sample.rows) - scored
    if not scored:
        st.warning(
            f"The judge {as_code(str(view.judge))} decided none of these {len(sample.rows):,} answers: "
            "there is no rate."
        )
        return
    st.markdown(
        f"**{sample.audit.rate} as the judge {as_code(str(view.judge))} sees it: {_raw(sample)} %**, on {view.split}, "
        f"n = {scored:,} answers, {unscored:,} unscored."
    )


def _table(sample: Sample, given: Sequence[Label], people: Sequence[str]) -> None:
    lines = table(sample, given, people)
    st.dataframe(
        lines, hide_index=True, alt="Agreement with the judge and corrected rate, for everyone and by labeller"
    )
    st.caption(
        f"{INTERVALS} n: answers with a verdict of both the judge and the labeller. Kappa is agreement beyond chance, "
        "1 is perfect; – where one side says one and the same word only."
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
            "Labelled Yes": [found.both_true, found.second_only],
            "Labelled No": [found.first_only, found.both_false],
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
    note = f" – {escape_markdown(row['note'])}" if row["note"] else ""
    person = f"{escape_markdown(row['who'])}: **{WORDS[row['human']]}**{note}"
    draw_dispute(view, sample.run, row, at, [verdict(view.judge, row["verdict"], row["reply"]), person])


def verdict(judge: str | None, said: bool | None, reply: str) -> str:
    """What a judge said of an answer and why, as Markdown."""
    reason = f": {escape_markdown(reply)}" if reply else ""
    return f"Judge {as_code(str(judge))}: **{JUDGED[said]}**{reason}"


def draw_dispute(view: View, run: Run, row: pd.Series, at: int, said: Sequence[str]) -> None:
    """An answer with what each side said of it, and the way to Compare."""
    vqa = view.source.items[row["id"]]
    left, right = st.columns([1, 4], gap="medium")
    with left:
        hidden = auditing.draw_picture(vqa, where=f"dispute-{at}")
    with right:
        item.draw_question(vqa)
        auditing.draw_answer(vqa, row["answer"], hidden=hidden, where=f"dispute-{at}")
        for line in said:
            st.markdown(line)
        if st.button("Open in Compare", key=f"open-{at}", icon=":material/compare:"):
            state.go("compare", b=run.name, set=row["set"], item=f"{row['id']}#{row['sample']}")


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
