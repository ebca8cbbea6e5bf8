"""Scores of all runs: a bar, a point or a cell opens the answers that it stands for."""

from functools import partial

import streamlit as st

from safeeraser import charts
from safeeraser.score import metrics, tables
from safeeraser.ui.frame import header, state
from safeeraser.ui.parts import plots
from safeeraser.ui.views import handouts, score_tables, scoring

PAPER = "The paper's numbers"
CHARTS = ("By method", "Forgetting and SARR", "Inside SARR", "By category", "Along training", "Official and clean val")

view = st.session_state["view"]
header.title("Metrics")
if not view.runs or view.judge is None:
    st.info(scoring.why_nothing(view), icon=":material/rocket_launch:")
    if st.button("Launch a run"):
        state.go("launch")
    st.stop()

section = state.select("Show", (*CHARTS, "Tables", PAPER), "section", widget=st.segmented_control, required=True)
if section == PAPER:
    st.header(section)
    score_tables.draw_paper()
    st.stop()

chosen = scoring.choose_runs(view)
rows, absent = scoring.score_rows(view, chosen)
scoring.say_absent(absent, view.judge)
if not rows:
    st.info("None of these runs has scores by this judge: choose other runs or another judge, or score them.")
    st.stop()

st.header(section)
chart = None
match section:
    case "By method":
        with st.container(horizontal=True, vertical_alignment="bottom"):
            metric = state.select(
                "Metric", list(metrics.METRICS), "metric", default="sarr", format_func=scoring.name_of
            )
            clean = metric in scoring.val_metrics() and state.toggle("On clean val", "clean", help=scoring.CLEAN)
        scoring.warn_of_mixed(rows, [metric])
        chart = scoring.add_always_refuse(charts.bars(rows, metric, clean=clean), metric)
        plots.draw(chart, key=metric, choose=partial(scoring.open_items, metric=metric), prompt=scoring.opens(metric))
        st.caption(scoring.stands_on(rows, metric, clean=clean) + scoring.refuse_line(metric))
        st.subheader("Against the trivial baselines")
        st.markdown("\n".join(f"- {sentence}" for sentence in scoring.baselines(rows)))
    case "Forgetting and SARR":
        scoring.warn_of_mixed(rows, ["asr_generality", "sarr"])
        plots.draw(charts.forget_against_sarr(rows), key="tradeoff", choose=scoring.open_pair, prompt="Compare with A")
        st.caption(scoring.stands_on(rows, "asr_generality", "sarr"))
        st.caption("A destroyed model forgets too: look at utility, and at what SARR is made of, as well.")
    case "Inside SARR":
        scoring.warn_of_mixed(rows, metrics.columns(metrics.SARR_SPLIT).values())
        plots.draw(charts.sarr_parts(rows), key="parts", choose=scoring.open_part, prompt="Open these answers")
        st.caption(scoring.stands_on(rows, "sarr"))
    case "By category":
        metric = state.select("Metric", metrics.main(), "by", default="sarr", format_func=scoring.name_of)
        scoring.warn_of_mixed(rows, [metric])
        chart = charts.category_heatmap(rows, metric)
        choose = partial(scoring.open_category, metric=metric)
        plots.draw(chart, key=f"categories-{metric}", choose=choose, prompt=scoring.opens(metric))
        st.caption(f"All categories together. {scoring.stands_on(rows, metric)}")
    case "Along training":
        names = state.several(
            "Metrics", metrics.main(), "along", format_func=scoring.name_of, placeholder="All of them"
        )
        looks, without = scoring.looks(view, chosen)
        scoring.say_without_looks(without, view.judge)
        chart = charts.along_training(looks, names or metrics.main())
        plots.draw(chart, key="along", choose=partial(scoring.open_look, view), prompt="Compare with A")
        st.caption("A look asks a few val records only (`look_records`): n is small, and 95 % intervals are wide.")
    case "Official and clean val":
        metric = state.select("Metric", scoring.val_metrics(), "val", default="sarr", format_func=scoring.name_of)
        scoring.warn_of_mixed(rows, [metric])
        chart = charts.official_against_clean(rows, metric)
        choose = partial(scoring.open_of_val, metric=metric)
        plots.draw(chart, key=f"vals-{metric}", choose=choose, prompt=scoring.opens(metric))
        st.caption(f"Official val. {scoring.stands_on(rows, metric)}")
        st.caption(f"Clean val. {scoring.stands_on(rows, metric, clean=True)} {scoring.CLEAN}")
    case _:
        scoring.warn_of_mixed(rows, [name for title in tables.TITLES for name in metrics.columns(title).values()])
        score_tables.draw_all(rows)
handouts.metrics(view, rows, [chart] if chart else [])
