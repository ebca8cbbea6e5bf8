"""Charts of attacks: every run's points, the base model beside, and nothing drawn that is unknown."""

from test_charts import check, intervals, points, score

from safeeraser import charts
from safeeraser.charts.attacked import Row


def row(
    name: str, asr: dict | None, retain: dict | None = None, *, on: str | None = None, steps: int | None = None
) -> Row:
    kind = "relearning" if on else "none" if name == "none" else "weights" if name == "projector" else "question"
    metrics = {"asr_generality": asr, "retain_accuracy": retain}
    known = {name: one for name, one in metrics.items() if one is not None}
    return {"attack": name, "title": name.title(), "kind": kind, "on": on, "steps": steps, "metrics": known}


BASE = [
    row("none", score(0.9, 0.8, 1.0), score(1.0)),
    row("paraphrase", score(0.9), score(1.0)),
    row("projector", score(None), score(None)),
    row("relearn-4", score(0.9), score(1.0), on="forget", steps=4),
    row("any", score(1.0)),
]
RUN = [
    row("none", score(0.0, 0.0, 0.1), score(0.95)),
    row("paraphrase", score(0.1), score(0.9)),
    row("projector", score(0.3), score(0.9)),
    row("relearn-4", score(0.6), score(0.8), on="forget", steps=4),
    row("tune-4", score(0.05), score(0.97), on="retain", steps=4),
    row("any", score(0.2)),
]


def test_each_attack_has_a_point_of_every_run_that_has_a_value():
    chart = charts.under_attack({"Base": BASE, "PO": RUN}, "retain_accuracy")
    check(chart)
    found = points(chart.figure)
    assert {key for key in found if key.startswith("Base")} == {"Base|none", "Base|paraphrase", "Base|any"}
    assert {key for key in found if key.startswith("PO")} == {
        f"PO|{n}" for n in ("none", "paraphrase", "projector", "any")
    }
    assert "Base 100.0; PO 20.0" in chart.alt
    table = chart.table
    assert table[(table["Run"] == "Base") & (table["Attack"] == "Projector")]["Value (%)"].isna().all()
    # Runs stand apart, so that none hides another.
    assert found["Base|any"][1] != found["PO|any"][1]
    assert (90.0, 10.0, 10.0) in intervals(chart.figure, along="x")


def test_a_curve_begins_with_the_model_as_it_is_and_the_base_model_has_its_own():
    chart = charts.relearning({"Base": BASE, "PO": RUN}, "retain_accuracy")
    check(chart)
    lines = {trace.name: (trace.x, trace.y, trace.line.dash) for trace in chart.figure.data if trace.showlegend}
    assert lines == {
        "Base, on forget pairs": ((0, 4), (90.0, 90.0), "solid"),
        "PO, on forget pairs": ((0, 4), (0.0, 60.0), "solid"),
        "PO, on retain pairs": ((0, 4), (0.0, 5.0), "dot"),
    }
    below = [trace.y for trace in chart.figure.data if not trace.showlegend]
    assert below == [(100.0, 100.0), (95.0, 80.0), (95.0, 97.0)]
    assert "PO, on forget pairs: 60.0 after 4 steps" in chart.alt


def test_without_attacks_a_chart_says_so():
    for chart in (charts.under_attack({"PO": []}, "rouge_l"), charts.relearning({"PO": RUN[:3]}, "rouge_l")):
        assert "nothing to show" in chart.alt
        assert chart.choices == {}


def test_a_name_is_never_markup():
    chart = charts.under_attack({"<b>PO</b>": RUN}, "retain_accuracy")
    assert [trace.name for trace in chart.figure.data] == ["&lt;b&gt;PO&lt;/b&gt;"] * 2
