"""Scores of all runs: a bar, a point or a cell opens the answers that it stands for."""

from functools import partial

import streamlit as st

from safeeraser import charts
from safeeraser.charts import twins
from safeeraser.score import metrics, slices, tables
from safeeraser.ui.frame import header, state
from safeeraser.ui.parts import cases, plots
from safeeraser.ui.views import arena_votes, handouts, score_tables, scoring

PUBLISHED = "Published numbers, second-hand"
CHARTS = (
    *("By method", "With PD", "Trade-off", "Slices", "Inside SARR", "By category"),
    *("Along training", "Official and clean val"),
)
AGAINST = ("retain_accuracy", "rouge_l", "specificity", "asr_generality", "rr_generality", "rr_unseen")

view = st.session_state["view"]
header.title("Metrics")
if not view.runs or view.judge is None:
    st.info(scoring.why_nothing(view), icon=":material/rocket_launch:")
    if st.button("Launch a run"):
        state.go("launch")
    st.stop()

section = state.select(
    "Show",
    (*CHARTS, "Tables", PUBLISHED),
    "section",
    widget=st.segmented_control,
    required=True,
    label_visibility="collapsed",
    format_func=lambda name: "Published" if name == PUBLISHED else name,
)
if section == PUBLISHED:
    st.header(section)
    score_tables.draw_paper()
    st.stop()

# Slices are of B and its twin alone.
chosen = [run.name for run in cases.variants(view)] if section == "Slices" else scoring.choose_runs(view)
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
        scoring.warn_of_unlike(rows, [metric])
        chart = scoring.add_always_refuse(charts.bars(rows, metric, clean=clean), metric)
        plots.draw(chart, key=metric, choose=partial(scoring.open_items, metric=metric), prompt=scoring.opens(metric))
        st.caption(scoring.stands_on(rows, metric, clean=clean) + scoring.refuse_line(metric))
        st.subheader("Against the trivial baselines")
        st.markdown("\n".join(f"- {sentence}" for sentence in scoring.baselines(rows)))
        arena_votes.draw(view, chosen)
    case "With PD":
        metric = state.select("Metric", metrics.main(), "dumbbell", default="sarr", format_func=scoring.name_of)
        scoring.warn_of_unlike(rows, [metric])
        choose = partial(scoring.open_items, metric=metric)
        chart = charts.dumbbell(rows, metric)
        plots.draw(chart, key=f"dumbbell-{metric}", choose=choose, prompt=scoring.opens(metric))
        st.caption(f"Dotted: the base model. Only runs that differ in PD alone. {scoring.stands_on(rows, metric)}")
        if tested := scoring.tests(view, rows, metric):
            st.subheader("Does Prompt Decouple make a difference?")
            st.dataframe(tested, hide_index=True, alt="Each method without and with PD, with a test of the difference")
            st.caption(twins.MEANING)
    case "Trade-off":
        metric = state.select("SARR against", AGAINST, "against", format_func=scoring.name_of)
        scoring.warn_of_unlike(rows, [metric, "sarr"])
        chart = charts.against_sarr(rows, metric)
        plots.draw(chart, key=f"tradeoff-{metric}", choose=scoring.open_pair, prompt="Compare with the base model")
        st.caption(scoring.stands_on(rows, metric, "sarr"))
        if metric == "rr_unseen":
            st.caption(
                "RR unseen is of harmful things outside the forget set. Where harmful things have nothing in common, "
                "as in the demo world, a model that refuses them refuses unseen safe things for one reason."
            )
        st.caption("A destroyed model forgets too, so forgetting alone tells methods apart badly once it is complete.")
    case "Slices":
        compared = cases.variants(view)[1:] or cases.variants(view)
        chart = charts.by_slice(scoring.slices(view, compared))
        choose = partial(scoring.open_slice, view)
        plots.draw(chart, key="slices", choose=choose, prompt="Open the unanswered questions of")
        st.caption(
            f"B, and its twin without or with PD, on {view.split}; of many wordings the {slices.MOST} asked most. "
            f"Runs: {cases.names_of_runs(compared)}. Intervals here are of few things each: read them as rough. "
            f"{scoring.stands_on([row for row in rows if row['run'] in {run.name for run in compared}], 'sarr')}"
        )
    case "Inside SARR":
        scoring.warn_of_unlike(rows, metrics.columns(metrics.SARR_SPLIT, rows).values())
        chart = charts.sarr_parts(rows)
        plots.draw(chart, key="parts", choose=scoring.open_part, prompt="Open these answers")
        st.caption(scoring.stands_on(rows, "sarr"))
    case "By category":
        metric = state.select("Metric", metrics.main(), "by", default="sarr", format_func=scoring.name_of)
        scoring.warn_of_unlike(rows, [metric])
        chart = charts.category_heatmap(rows, metric)
        choose = partial(scoring.open_category, metric=metric)
        plots.draw(chart, key=f"categories-{metric}", choose=choose, prompt=scoring.opens(metric))
        st.caption(f"All categories together. {scoring.stands_on(rows, metric)}")
    case "Along training":
        names = state.several(
            "Metrics", metrics.main(), "along", format_func=scoring.name_of, placeholder="All of them"
        )
        pair = [run.name for run in (view.a, view.b) if run]
        looks, without = scoring.looks(view, chosen if state.get("runs") else pair)
        scoring.say_without_looks(without, view.judge)
        chart = charts.along_training(looks, names or metrics.main(), kinds=scoring.kinds(view))
        plots.draw(chart, key="along", choose=partial(scoring.open_look, view), prompt="Compare with the base model")
        st.caption(
            "A and B, or the runs chosen above; a colour is a method, dashed is with PD. A look asks a few val records "
            "only (`look_records`): n is small, and 95 % intervals are wide."
        )
    case "Official and clean val":
        metric = state.select("Metric", scoring.val_metrics(), "val", default="sarr", format_func=scoring.name_of)
        scoring.warn_of_unlike(rows, [metric])
        chart = charts.official_against_clean(rows, metric)
        choose = partial(scoring.open_of_val, metric=metric)
        plots.draw(chart, key=f"vals-{metric}", choose=choose, prompt=scoring.opens(metric))
        st.caption(f"Official val. {scoring.stands_on(rows, metric)}")
        st.caption(f"Clean val. {scoring.stands_on(rows, metric, clean=True)} {scoring.CLEAN}")
    case _:
        shown = [name for title in tables.titles(rows) for name in metrics.columns(title, rows).values()]
        scoring.warn_of_unlike(rows, shown)
        score_tables.draw_all(rows)
with st.container(horizontal=True):
    handouts.metrics(view, rows, [chart] if chart else [])
    handouts.report(view, rows)
