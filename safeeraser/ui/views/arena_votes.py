"""How people voted between runs in the arena, beside the metrics; nothing where nobody voted."""

from collections.abc import Sequence

import streamlit as st

from safeeraser.errors import SafeEraserError
from safeeraser.files import stamp
from safeeraser.score import people, votes
from safeeraser.score.agreement import written
from safeeraser.score.preference import Standing, groups, standings
from safeeraser.ui.frame.header import View
from safeeraser.ui.frame.text import escape_markdown


def draw(view: View, names: Sequence[str]) -> None:
    """A table of the runs' standings, of the votes between them on the header's data set."""
    try:
        found = _standings(view.data, tuple(names), *map(stamp, people.parts()))
    except SafeEraserError as error:
        st.warning(escape_markdown(f"No votes: {error}"), icon=":material/broken_image:")
        return
    if not found:
        return
    st.subheader("What people prefer, in the arena")
    for of_group in found:  # of each, runs that met each other
        st.dataframe([_row(view, one) for one in of_group], hide_index=True, alt="Votes on each run in the arena")
    st.caption(
        "Blind votes on questions that people asked: outside all metrics. Won: a tie is half a win. Preferred: to each "
        "of the others, in the mean, by Bradley-Terry; both with 95 % intervals, votes on one question together. "
        "`safeeraser arena` collects votes."
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _standings(data: str, names: tuple[str, ...], *stamps: object) -> list[list[Standing]]:
    return [standings(group) for group in groups(votes.every(data=data, runs=names))]


def _row(view: View, one: Standing) -> dict[str, str | int]:
    return {
        "Run": view.labels.get(one.run, one.run),
        "Won (%)": written(one.share, one.low, one.high, scale=100),
        "Preferred (%)": written(one.rating, one.rating_low, one.rating_high, scale=100),
        "Votes": one.n,
        "Won": one.won,
        "Lost": one.lost,
        "Both fine": one.both_fine,
        "Both bad": one.both_bad,
        "Tags": ", ".join(f"{tag} {times}" for tag, times in one.tags.items()),
    }
