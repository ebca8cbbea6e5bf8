"""Charts: what a figure shows is what the rows say, its keys are its choices, and what is unknown is never drawn."""

import re
import shutil

import pandas as pd
import plotly.graph_objects as go
import pytest

from safeeraser import charts
from safeeraser.charts.chart import COLOURS
from safeeraser.score import slices
from safeeraser.score.paper import paper_table

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chrome or Chromium on this machine")


def score(value, low=None, high=None, n=16, unscored=0) -> dict:
    found = {"value": value, "low": low, "high": high, "n": n, "unscored": unscored}
    return found if value is not None else found | {"n": 0, "why": "the judge slept"}


def row(method="po", *, pd=0.0, seed=0, judge="demo", clean=None, by_category=None, **scores) -> dict:
    """A score row; a metric is its value, a score, or (value, low, high)."""

    def whole(found):
        return found if isinstance(found, dict) else score(*(found if isinstance(found, tuple) else (found,)))

    return {
        "run": f"demo-{method}{'-pd' if pd else ''}-s{seed}",
        "model": "demo",
        "data": "demo",
        "data_hash": "0a895af83b0be9c7",
        "method": method,
        "pd": pd,
        "seed": seed,
        "judge": judge,
        "decoding": "greedy",
        "metrics": {name: whole(found) for name, found in scores.items()},
        "metrics_clean_val": {name: whole(found) for name, found in (clean or {}).items()},
        **({"by_category": by_category} if by_category else {}),
    }


BASE = row("base", sarr=(0.0, 0.0, 0.04), asr_generality=(0.98, 0.96, 1.0))
PO = row(sarr=(1.0, 0.96, 1.0), asr_generality=(0.0, 0.0, 0.04))
POPD = row(pd=1, sarr=(0.3, 0.21, 0.41), asr_generality=(0.02, 0.01, 0.05))
ROWS = [POPD, PO, BASE]


def points(figure: go.Figure) -> dict[str, tuple]:
    """What can be clicked: key -> (x, y, hover text)."""
    return {
        key[0]: (x, y, text)
        for trace in figure.data
        if trace.customdata is not None
        for key, x, y, text in zip(trace.customdata, trace.x, trace.y, trace.hovertext, strict=True)
    }


def intervals(figure: go.Figure, along: str = "y") -> list[tuple]:
    """(value, up, down) of every error bar, once."""
    across = "x" if along == "y" else "y"
    found = {
        (place, value, up, down)
        for trace in figure.data
        if (ends := trace[f"error_{along}"]).array is not None
        for place, value, up, down in zip(trace[across], trace[along], ends.array, ends.arrayminus, strict=True)
    }
    return [(value, up, down) for _, value, up, down in sorted(found)]


def written(figure: go.Figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def check(chart: charts.Chart) -> None:
    """What holds for every chart."""
    assert set(points(chart.figure)) == set(chart.choices.values())
    assert chart.figure.layout.paper_bgcolor == chart.figure.layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert chart.figure.layout.font.color is None, "the theme of the app gives the font its colour"
    assert max(map(len, chart.figure.layout.title.text.split("<br>"))) <= 52, "a phone cuts the title"
    assert chart.alt.endswith(".")


LOOKS = {
    "demo-po-s0": [
        {"step": 20, "metrics": {"sarr": score(0.5, 0.4, 0.65)}},
        {"step": 0, "metrics": {"sarr": score(0.0)}},
    ]
}
LOG = [{"step": s, "loss": 1.5, "terms": {"a": 1.0, "b": s / 2}, "tokens": 30, "seconds": 0.5} for s in (1, 2, 3)]
EVERY = {
    "bars": lambda: charts.bars(ROWS, "sarr"),
    "bars of means": lambda: charts.bars([row(seed=s, sarr=s / 100) for s in range(20)], "sarr"),
    "trade-off": lambda: charts.against_sarr(ROWS, "asr_generality"),
    "parts": lambda: charts.sarr_parts([row(sarr=0.5, sarr_refusal=0.3, sarr_gibberish=0.2, sarr_off_topic=0.0)]),
    "heat map": lambda: charts.category_heatmap([row(by_category={"sarr": {"Sex": score(0.5)}})], "sarr"),
    "along training": lambda: charts.along_training(LOOKS, ["sarr"]),
    "losses": lambda: charts.losses(LOG),
    "overlaid losses": lambda: charts.overlaid_losses({"demo-po-s0": LOG, "demo-base-s0": []}),
    "no overlaid losses": lambda: charts.overlaid_losses({"demo-po-s0": LOG}, "c"),
    "speed": lambda: charts.speed(LOG),
    "counts": lambda: charts.counts({"Sex": 3, "": 1}, what="records by category"),
    "official and clean": lambda: charts.official_against_clean([row(sarr=0.5, clean={"sarr": 0.25})], "sarr"),
    "no rows": lambda: charts.bars([], "sarr"),
    "no points": lambda: charts.against_sarr([row(sarr=None)]),
    "no parts": lambda: charts.sarr_parts([]),
    "no log": lambda: charts.losses([]),
    "no looks": lambda: charts.along_training({"demo-po-s0": []}, ["sarr"]),
    "no counts": lambda: charts.counts({}, what="records by category"),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_chart_has_keys_that_are_its_choices_and_suits_both_themes(name: str):
    check(EVERY[name]())


def test_colours_have_a_contrast_of_three_to_one_on_white_and_on_the_dark_ground():
    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        for ground in ("#FFFFFF", "#0E1117"):
            low, high = sorted((luminance(colour), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 3, (colour, ground)


def test_bars_show_the_rows_values_and_intervals_in_the_papers_order():
    chart = charts.bars(ROWS, "sarr")
    found = points(chart.figure)
    assert {key: y for key, (_, y, _) in found.items()} == {"demo-base-s0": 0, "demo-po-s0": 100, "demo-po-pd-s0": 30}
    assert [key for key, _ in sorted(found.items(), key=lambda one: one[1][0])] == [
        "demo-base-s0",
        "demo-po-s0",
        "demo-po-pd-s0",
    ]
    assert intervals(chart.figure) == [(0, 4, 0), (100, 0, 4), (30, 11, 9)]
    assert "n = 16" in found["demo-po-pd-s0"][2]
    assert "[21.0, 41.0]" in found["demo-po-pd-s0"][2]
    assert chart.choices == {"base": "demo-base-s0", "PO": "demo-po-s0", "PO+PD": "demo-po-pd-s0"}
    assert written(chart.figure) == ["0", "100", "30"]
    assert "(lower is better)" in chart.figure.layout.title.text


def test_prompt_decouple_is_told_by_a_pattern_and_not_by_colour_alone():
    traces = {trace.name: trace for trace in charts.bars(ROWS, "sarr").figure.data if trace.name}
    assert traces["with PD"].marker.pattern.shape
    assert not traces["without PD"].marker.pattern.shape
    symbols = {trace.name: trace.marker.symbol for trace in charts.against_sarr(ROWS, "asr_generality").figure.data}
    assert len(set(symbols.values())) == 3


def test_a_value_of_none_makes_no_bar_and_is_named_in_the_table():
    chart = charts.bars([BASE, row(sarr=None)], "sarr")
    assert set(points(chart.figure)) == {"demo-base-s0"}
    assert written(chart.figure) == ["0", "–"]
    table = chart.table.set_index("Method")
    assert pd.isna(table.loc["PO", "SARR (%)"])
    assert table.loc["PO", "Why no value"] == "the judge slept"
    assert chart.alt.endswith("base 0.0; no value for PO.")


def test_a_score_without_an_interval_has_no_error_bar():
    assert intervals(charts.bars([row(sarr=0.5)], "sarr").figure) == [(50, None, None)]


def test_a_metric_that_no_run_has_gives_the_reason_in_place_of_bars():
    chart = charts.bars([row(sarr=None)], "sarr")
    assert not chart.figure.data
    assert written(chart.figure) == ["the judge slept"]
    assert list(chart.table["Run"]) == ["demo-po-s0"]


def test_clean_val_is_taken_from_its_own_scores():
    rows = [row(sarr=0.9, clean={"sarr": 0.25}), row("gd", sarr=0.9)]
    chart = charts.bars(rows, "sarr", clean=True)
    assert points(chart.figure)["demo-po-s0"][1] == 25
    assert "on clean val" in chart.figure.layout.title.text
    assert chart.table.set_index("Method").loc["GD", "Why no value"] == "this run has no SARR on clean val"


def test_few_seeds_get_a_bar_each_and_are_told_apart():
    chart = charts.bars([row(seed=0, sarr=0.2), row(seed=1, sarr=0.4), BASE], "sarr")
    assert chart.choices == {"base": "demo-base-s0", "PO, seed 0": "demo-po-s0", "PO, seed 1": "demo-po-s1"}
    assert [trace.type for trace in chart.figure.data if trace.customdata is not None] == ["bar", "bar"]


def test_many_seeds_become_a_mean_with_a_point_for_each():
    # PO: 0.2, 0.4 and 0.9, mean 50; eight runs of GD at 0.1 make them many
    rows = [row(seed=s, sarr=v) for s, v in enumerate((0.2, 0.4, 0.9))] + [
        row("gd", seed=s, sarr=0.1) for s in range(8)
    ]
    chart = charts.bars(rows, "sarr")
    (bar,) = [trace for trace in chart.figure.data if trace.type == "bar"]
    assert list(bar.y) == [10, 50]
    assert bar.customdata is None
    assert bar.hoverinfo == "skip"
    found = points(chart.figure)
    assert len(found) == 11
    # squared deviations 9, 1 and 16 hundred over 2 = 1300, root 36.06
    assert "mean of 3 runs: 50.0 ± 36.1 %" in found["demo-po-s2"][2]
    assert "GD 10.0 (mean of 8 runs), PO 50.0 (mean of 3 runs)" in chart.alt


def test_runs_of_other_judges_stand_apart_and_are_warned_of():
    rows = [PO, row(judge="rules", sarr=0.5, seed=1)]
    chart = charts.bars(rows, "sarr")
    assert chart.figure.layout.xaxis.ticktext == ("PO<br>demo", "PO<br>rules")
    assert list(chart.choices) == ["PO (demo)", "PO (rules)"]
    odd = charts.unlike(rows, ["sarr"])
    assert odd is not None
    assert odd.says.startswith("1 of 2 runs is unlike the others, so their numbers do not compare: PO (")
    assert "judge rules, not demo" in odd.says


def test_a_run_that_two_judges_graded_keeps_two_choices():
    rows = [row(sarr=0.5), row(judge="rules", sarr=0.25)]
    assert charts.bars(rows, "sarr").choices == {"PO (demo)": "demo-po-s0", "PO (rules)": "demo-po-s0"}


def test_a_combination_has_a_name_of_its_own_below_its_bar():
    chart = charts.bars([POPD, row(seed=1, pd=1, sarr=0.1) | {"parts": ["vicinal"]}], "sarr")
    assert chart.figure.layout.xaxis.ticktext == ("PO", "PO+vicinal")


def test_beside_sarr_stands_who_gives_wrong_answers():
    flag = {"name": "wrong answers", "why": "x"}
    liar = row("simnpo", pd=1, sarr=0.1, safe_wrong=0.25) | {"flags": [flag]}
    (said,) = charts.caveats([POPD, liar], ["sarr"])
    assert said == "Not in SARR are wrong answers, of which these give more than the base model: SimNPO+PD 25.0 %."
    assert charts.caveats([POPD, liar], ["rr_generality"]) == charts.caveats([POPD], ["sarr"]) == []


def test_rows_that_compare_give_no_warning():
    assert charts.unlike(ROWS, ["sarr", "asr_generality"]) is None
    assert charts.caveats(ROWS, ["sarr"]) == []


def test_how_others_train_does_not_make_the_base_unlike():
    rows = [row("base", sarr=0.0), *(row("po", seed=s, sarr=0.5) | {"settings": "--lr 0.1"} for s in range(3))]
    assert charts.unlike(rows, ["sarr"]) is None


def test_of_as_many_alike_the_measure_is_what_was_asked_most():
    trial = row("po", seed=1, sarr=score(0.5, n=4)) | {"settings": "--eval-records 1"}
    odd = charts.unlike([row("po", sarr=score(0.5, n=16)), trial], ["sarr"])
    assert odd is not None
    assert odd.runs == (trial["run"],)
    assert "settings --eval-records 1, not defaults" in odd.says
    assert "SARR on 4 answers, not 16" in odd.says


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_hash": "ff"}, "version of the data ff, not "),
        ({"decoding": "sampled"}, "decoding sampled, not greedy"),
        ({"model": "llava"}, "model llava, not demo"),
        ({"settings": "--lr 0.1"}, "settings --lr 0.1, not defaults"),
        ({"metrics": {"sarr": score(0.5, n=9)}}, "SARR on 9 answers, not 16"),
    ],
)
def test_what_makes_numbers_incomparable_is_said(change: dict, words: str):
    odd = charts.unlike([PO, row(seed=2, sarr=0.5), row(seed=1, sarr=0.5) | change], ["sarr"])
    assert odd is not None
    assert words in odd.says
    assert odd.runs == (row(seed=1)["run"],)
    assert odd.compare is ("do not compare" not in odd.says) is ("settings" in change)


def test_what_must_be_said_of_numbers_keeps_to_the_metrics_that_are_shown():
    rows = [row(sarr=0.5, rouge_l=score(0.5, n=4, unscored=12))]
    assert charts.caveats(rows, ["sarr"]) == []
    assert charts.caveats(rows, ["rouge_l"]) == ["PO: 12 of 16 answers unscored (ROUGE-L)."]
    rules = [row(judge="rules", asr_generality=0.5)]
    assert charts.caveats(rules, ["asr_generality"]) == ["ASR by the rules judge is a proxy: answered and meaningful."]


def test_a_dumbbell_joins_twins_only():
    rows = [PO, row("po", pd=1.0, sarr=0.25), row("gd", sarr=1.0), row("kl", sarr=1.0), row("kl", pd=1.0, sarr=0.5)]
    rows[-1] |= {"settings": "--lr 0.1"}
    chart = charts.dumbbell(rows, "sarr")
    assert chart.figure.layout.yaxis.ticktext == ("PO",)
    assert sorted(chart.table["PD"]) == ["with PD", "without PD"]
    assert set(chart.choices.values()) == {rows[0]["run"], rows[1]["run"]}
    assert "No method has" in charts.dumbbell([PO], "sarr").alt


def test_slices_tell_a_rate_apart_and_open_what_they_count():
    parts = [slices.Slice("Safe thing", "never seen", score(0.66)), slices.Slice("Safe thing", "seen", score(0.01))]
    chart = charts.by_slice({"PO + PD": parts})
    assert list(chart.figure.data[0].x) == [66, 1]
    assert chart.choices["PO + PD: never seen"] == "PO + PD|Safe thing|never seen"
    assert "never seen: 66.0" in chart.alt


def test_what_must_be_said_of_the_data_is_on_the_chart_that_is_sent():
    chart = charts.bars(ROWS, "sarr")
    stamped = charts.stamped(chart, "Made <up>")
    assert stamped.figure.layout.title.text.endswith("Made &lt;up&gt;</span>")
    assert stamped.figure.layout.height > chart.figure.layout.height
    assert stamped.alt.startswith("Made <up>. ")
    assert (
        charts.title_of(chart) == "SARR: share of safe pictures whose question is no longer answered (lower is better)"
    )
    assert charts.without_title(chart).layout.title.text is None


def test_forgetting_is_one_hundred_minus_asr_with_its_interval_turned_round():
    chart = charts.against_sarr(ROWS, "asr_generality")
    x, y, text = points(chart.figure)["demo-po-pd-s0"]
    assert (x, y) == (98, 30)
    # ASR 2 [1, 5] is forgetting 98 [95, 99]
    assert (98, 1, 3) in intervals(chart.figure, "x")
    assert (30, 11, 9) in intervals(chart.figure)
    assert "n = 16" in text
    assert "good corner" in written(chart.figure)


def test_an_arrow_leads_from_a_method_to_the_same_seed_with_prompt_decouple():
    other_seed = row("gd", pd=0.5, seed=7, sarr=0.5, asr_generality=0.0)
    figure = charts.against_sarr([*ROWS, row("gd", sarr=1.0, asr_generality=0.0), other_seed], "asr_generality").figure
    arrows = [(a.ax, a.ay, a.x, a.y) for a in figure.layout.annotations if a.showarrow is not False]
    assert arrows == [(100, 100, 98, 30)]


def test_points_that_coincide_are_rings_under_one_name():
    figure = charts.against_sarr([PO, row("gd", sarr=1.0, asr_generality=0.0)], "asr_generality").figure
    (trace,) = figure.data
    assert len(set(trace.marker.size)) == 2
    assert "GD, PO" in written(figure)


def test_the_parts_of_sarr_are_stacked_with_the_interval_of_the_whole():
    parts = {"sarr_refusal": (0.3, 0.2, 0.4), "sarr_gibberish": 0.2, "sarr_off_topic": None}
    chart = charts.sarr_parts([row(sarr=(0.5, 0.4, 0.65), **parts)])
    found = points(chart.figure)
    assert {key: x for key, (x, _, _) in found.items()} == {
        "demo-po-s0|sarr_refusal": 30,
        "demo-po-s0|sarr_gibberish": 20,
    }
    assert chart.figure.layout.barmode == "stack"
    assert set(intervals(chart.figure, "x")) == {(50, 15, 10)}
    assert chart.choices["PO: refusal"] == "demo-po-s0|sarr_refusal"
    assert pd.isna(chart.table.loc[0, "Off topic (%)"])


def test_the_heat_map_prints_values_and_leaves_out_what_is_unknown():
    categories = {"sarr": {"Sex": score(0.5, 0.3, 0.7), "Weapon": score(None)}}
    chart = charts.category_heatmap([row(by_category=categories), row("gd", sarr=0.5)], "sarr")
    heat = chart.figure.data[0]
    assert list(map(list, heat.z)) == [[None, None], [50, None]]
    assert heat.text[1][0] == "50"
    assert chart.choices == {"PO, Sex": "demo-po-s0|Sex"}
    assert "n = 16" in points(chart.figure)["demo-po-s0|Sex"][2]
    assert written(chart.figure).count("–") == 3
    assert "Without scores by category: GD; score them again." in chart.alt
    table = chart.table.set_index(["Method", "Category"])
    assert table.loc[("PO", "Weapon"), "Why no value"] == "the judge slept"


def test_official_and_clean_val_stand_side_by_side():
    rows = [row(sarr=(0.5, 0.4, 0.65), clean={"sarr": (0.25, 0.2, 0.3)}), row("gd", sarr=0.75)]
    chart = charts.official_against_clean(rows, "sarr")
    assert {key: x for key, (x, _, _) in points(chart.figure).items()} == {
        "demo-gd-s0|official": 75,
        "demo-po-s0|official": 50,
        "demo-po-s0|clean": 25,
    }
    assert {(50, 15, 10), (25, 5, 5)} <= set(intervals(chart.figure, "x"))
    assert chart.choices["PO, clean val"] == "demo-po-s0|clean"
    assert "–" in written(chart.figure)


def test_looks_stand_in_order_of_their_step_and_the_first_is_the_base():
    chart = charts.along_training(LOOKS | {"other": [{"step": 5, "metrics": {}}]}, ["sarr"])
    line = chart.figure.data[0]
    assert (list(line.x), list(line.y)) == ([0, 20], [0, 50])
    assert (50, 15, 10) in intervals(chart.figure)
    assert chart.choices == {"demo-po-s0, step 0": "demo-po-s0|0", "demo-po-s0, step 20": "demo-po-s0|20"}
    assert "SARR 50.0 at step 20" in chart.alt
    assert chart.table.set_index("Run").loc["other", "Why no value"] == "not measured at this step"


def test_along_training_a_colour_is_a_method_and_dashed_is_with_pd():
    kinds = {"po": ("po", False), "po+pd": ("po", True), "po again": ("po", False), "ga": ("ga", False)}
    looks = dict.fromkeys(kinds, LOOKS["demo-po-s0"])
    chart = charts.along_training(looks, ["sarr"], kinds={run: charts.Kind(*kind) for run, kind in kinds.items()})
    lines = {trace.name: trace for trace in chart.figure.data}
    colours, dashes = ({run: getattr(line.line, what) for run, line in lines.items()} for what in ("color", "dash"))
    assert colours["po"] == colours["po+pd"] == colours["po again"] != colours["ga"]
    assert dashes == {"po": "solid", "po+pd": "dash", "po again": "solid", "ga": "solid"}
    assert len({lines[run].marker.symbol for run in ("po", "po again")}) == 2


def test_losses_have_raw_points_and_a_running_mean_for_each_term_and_the_total():
    chart = charts.losses(LOG)
    lines = {trace.name: list(trace.y) for trace in chart.figure.data}
    assert lines["b"] == [0.5, 1.0, 1.5]
    # the mean of each step and its two neighbours
    assert lines["b, running mean"] == pytest.approx([0.75, 1.0, 1.25])
    assert lines["total"] == [1.5, 1.5, 1.5]
    assert "At step 3 the means are a 1, b 1.25, total 1.5." in chart.alt


def test_losses_of_several_runs_are_a_line_each_told_apart_by_more_than_colour():
    short = [row for row in LOG if row["step"] < 3]
    chart = charts.overlaid_losses({"one": LOG, "<b>two</b>": short, "none": [{**LOG[0], "terms": {}}]}, "b")
    one, two = chart.figure.data
    assert (list(one.x), list(one.y)) == ([1, 2, 3], pytest.approx([0.75, 1.0, 1.25]))
    assert (list(two.x), list(two.y), two.name) == ([1, 2], pytest.approx([0.75, 0.75]), "&lt;b&gt;two&lt;/b&gt;")
    assert one.line.dash != two.line.dash
    assert one.line.color != two.line.color
    assert chart.table.values.tolist()[0] == ["one", 1, 0.5, 0.75]
    assert "one 1.25 at step 3; <b>two</b> 0.75 at step 2. Not logged by none." in chart.alt
    assert list(charts.overlaid_losses({"one": LOG}).figure.data[0].y) == [1.5, 1.5, 1.5]


def test_a_long_log_is_thinned_and_keeps_its_last_step():
    log = [{"step": s, "loss": 0.0, "terms": {"a": float(s)}, "tokens": 9, "seconds": 1.0} for s in range(1, 1202)]
    for chart in (charts.losses(log), charts.speed(log)):
        steps = list(chart.figure.data[0].x)
        assert len(steps) <= 500
        assert steps[-1] == 1201
        assert "One step in 3 is drawn." in chart.alt


def test_a_step_that_a_resumed_run_took_again_counts_once():
    again = {"step": 2, "loss": 9.0, "terms": {"a": 9.0, "b": 9.0}, "tokens": 50, "seconds": 0.5}
    assert list(charts.losses([*LOG, again]).figure.data[0].y) == [1.0, 9.0, 1.0]


def test_speed_is_tokens_a_second():
    chart = charts.speed([*LOG, {"step": 4, "tokens": 10, "seconds": None}])
    assert list(chart.figure.data[0].y) == [60, 60, 60]
    assert "Median 60 over 3 steps" in chart.alt


def test_counts_are_sorted_and_their_names_are_no_markup():
    chart = charts.counts({"Sex": 1, "<b>Bold</b>": 3, "": 2}, what="records by category")
    assert list(points(chart.figure)) == ["<b>Bold</b>", "", "Sex"]
    assert list(chart.figure.data[0].x) == [3, 2, 1]
    assert chart.figure.data[0].y[0] == "&lt;b&gt;Bold&lt;/b&gt;"
    assert chart.choices["(no name)"] == ""
    assert chart.figure.layout.title.text == "Records by category: 6 in all"


def test_the_papers_numbers_are_in_a_table_of_their_own_with_source_and_model():
    table = paper_table().set_index(["Model", "Method"])
    assert table.loc[("LLaVA-1.5 7B", "PO"), "SARR (%)"] == 100
    assert table.loc[("LLaVA-1.5 7B", "PO+PD"), "SARR (%)"] == 30.3
    assert table.loc[("LLaVA-1.5 13B", "SineProject (PO+PD)"), "ASR generality (%)"] == 0.8
    assert table["Source"].str.startswith("[N]").all()
    assert len(table) == 7


def test_html_stands_alone():
    page = charts.export(charts.bars(ROWS, "sarr"), "html").decode()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    assert "PO+PD 30.0" in page
    assert "Plotly.newPlot" in page


def test_an_unknown_form_lists_the_known_ones():
    with pytest.raises(charts.ChartError, match="known: png, svg, html"):
        charts.export(charts.bars(ROWS, "sarr"), "gif")  # type: ignore[arg-type]


@pytest.fixture
def browser_settings(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A machine without a browser; what the browser would have been started with."""
    from kaleido.errors import ChromeNotFoundError

    settings: dict = {}

    def missing(_: object, **asked: object) -> None:
        settings.update(asked)
        raise ChromeNotFoundError

    monkeypatch.setattr("kaleido.Kaleido.__init__", missing)
    return settings


def test_without_a_browser_the_error_says_what_to_install_and_that_html_works(browser_settings: dict):
    with pytest.raises(charts.ChartError, match=r"SVG needs Chrome or Chromium.*install chromium.*HTML works"):
        charts.export(charts.bars(ROWS, "sarr"), "svg")
    # neither a script from the internet nor the browser's own requests
    assert browser_settings["mathjax"] is False
    assert browser_settings["proxy_server"].startswith("http://127.0.0.1:")


@pytest.mark.slow
@needs_browser
def test_svg_and_png_are_drawn_on_white_in_the_size_asked_for():
    chart = charts.bars(ROWS, "sarr")
    svg = charts.export(chart, "svg", width=420, height=400).decode()
    assert 'width="420"' in svg
    assert "PO" in svg
    assert "rgb(255, 255, 255)" in svg
    png = charts.export(chart, "png", width=420, height=400)
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (840, 800)
