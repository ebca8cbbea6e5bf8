"""Tables: means and spreads worked out by hand, the paper's order, and a dash for what is unknown."""

import csv
import io
import re

import pytest
from rich.console import Console

from safeeraser.score.metrics import REFUSALS, SCORES
from safeeraser.score.tables import as_csv, as_latex, as_markdown, as_text, summarise, titles


def score_row(method="po", *, pd=0.0, seed=0, judge="demo", data="demo", **values) -> dict:
    """A score row; a metric is its value, or (value, low, high)."""
    scores = {name: value if isinstance(value, tuple) else (value, None, None) for name, value in values.items()}
    return {
        "run": f"{data}-{method}-s{seed}",
        "model": "demo",
        "data": data,
        "method": method,
        "pd": pd,
        "seed": seed,
        "judge": judge,
        "decoding": "greedy",
        "metrics": {
            name: {"value": value, "low": low, "high": high, "n": 9, "unscored": 0}
            for name, (value, low, high) in scores.items()
        },
    }


def markdown_rows(rows: list[dict], table: int = 0) -> list[dict[str, str]]:
    text = as_markdown(rows).split("**")[2 + 2 * table]
    header, _, *body = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]
    return [dict(zip(header, line, strict=True)) for line in body]


def printed(rows: list[dict]) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    for table in as_text(rows):
        console.print(table)
    return console.export_text()


def test_seeds_become_a_mean_and_the_sample_standard_deviation():
    # 0.9, 0.6, 0.6: mean 0.7, squared deviations 0.04 + 0.01 + 0.01 over 2 = 0.03, root 0.173; over 3 it would be 0.141
    (summary,) = summarise([score_row(seed=seed, sarr=sarr) for seed, sarr in enumerate((0.9, 0.6, 0.6))])
    cell = summary.cells["sarr"]
    assert (summary.runs, cell.runs) == (3, 3)
    assert cell.mean == pytest.approx(0.7)
    assert cell.spread == pytest.approx(0.03**0.5)
    assert markdown_rows([score_row(seed=s, sarr=v) for s, v in enumerate((0.9, 0.6, 0.6))])[0]["SARR"] == "70.0 ± 17.3"


def test_rows_stand_in_the_order_of_methods_then_the_rest():
    methods = [("npo", 0), ("po", 1), ("base", 0), ("po", 0), ("kl", 0), ("ga", 0.5), ("gd", 0), ("ga", 0), ("dpo", 0)]
    found = [(s.method, s.pd) for s in summarise(score_row(method, pd=pd) for method, pd in methods)]
    order = [("base", 0), ("ga", 0), ("ga", 0.5), ("gd", 0), ("kl", 0), ("npo", 0), ("po", 0), ("po", 1), ("dpo", 0)]
    assert found == order


def test_what_a_method_is_combined_with_makes_another_row_beside_it():
    rows = [score_row(pd=1, sarr=0.3), score_row(pd=1, sarr=0.1) | {"parts": ["vicinal"]}, score_row(pd=1, sarr=0.5)]
    assert [(row["Method"], row["PD"], row["Runs"], row["SARR"][:4]) for row in markdown_rows(rows)] == [
        ("po", "1", "2", "40.0"),
        ("po+vicinal", "1", "1", "10.0"),
    ]


def test_a_flag_that_not_all_runs_have_says_how_many_do():
    broken = {"flags": [{"name": "broken", "why": ""}, {"name": "did nothing", "why": ""}]}
    rows = [score_row(sarr=0.3) | broken, score_row(seed=1, sarr=0.1) | {"flags": broken["flags"][:1]}]
    assert markdown_rows(rows)[0]["Flags"] == "broken, did nothing (1 of 2)"


def test_what_is_unknown_is_a_dash_and_never_a_zero():
    rows = [score_row("base", sarr=None, rouge_l=0.0), score_row("po", pd=0.5, sarr=0.25)]
    base, po = markdown_rows(rows)
    assert (base["SARR"], base["ROUGE-L"], base["PD"]) == ("–", "0.0", "–")
    assert (po["SARR"], po["ROUGE-L"], po["PD"]) == ("25.0", "–", "0.5")


def test_a_mean_over_fewer_runs_says_so():
    rows = [score_row(seed=0, sarr=0.2), score_row(seed=1, sarr=None), score_row(seed=2, sarr=0.4)]
    assert markdown_rows(rows)[0]["SARR"] == "30.0 ± 14.1 (2 of 3)"


def test_a_table_of_one_run_shows_the_interval_and_a_longer_one_does_not():
    alone = score_row(rr_generality=(0.972, 0.951, 0.984))
    assert markdown_rows([alone])[0]["RR gen."] == "97.2 [95.1, 98.4]"
    assert markdown_rows([alone, score_row("base")])[1]["RR gen."] == "97.2"


def test_other_data_are_never_averaged_and_are_told_apart():
    rows = [score_row(data="demo", sarr=0.1), score_row(data="official", sarr=0.5)]
    found = markdown_rows(rows)
    assert [(r["Data"], r["SARR"]) for r in found] == [("demo", "10.0"), ("official", "50.0")]
    assert "Judge" not in found[0]


def test_the_second_table_says_what_sarr_is_made_of():
    row = score_row(sarr=0.6, sarr_refusal=0.3, sarr_gibberish=0.2, sarr_off_topic=0.1)
    found = markdown_rows([row, score_row("base")], table=1)[1]
    assert [found[name] for name in ("SARR", "Refusal", "Gibberish", "Off topic")] == ["60.0", "30.0", "20.0", "10.0"]


def test_the_asr_of_the_rules_judge_is_called_a_proxy():
    assert "proxy" in as_markdown([score_row(judge="rules", asr_efficacy=0.5)])
    assert "proxy" not in as_markdown([score_row(judge="demo", asr_efficacy=0.5)])


def test_the_terminal_shows_the_same_cells():
    text = printed([score_row(sarr=(0.303, 0.25, 0.361), sarr_refusal=0.1, retain_accuracy=0.98)])
    for part in ("30.3 [25.0, 36.1]", "98.0", "Retain acc.", "What SARR is made of"):
        assert part in text


def test_the_csv_has_bare_percentages_and_empty_unknowns():
    rows = [score_row(seed=0, sarr=0.2), score_row(seed=1, sarr=0.4), score_row("base", sarr=(0.0125, 0.01, 0.02))]
    base, po = csv.DictReader(io.StringIO(as_csv(rows)))
    assert [base[f"SARR {part}"] for part in ("%", "spread", "low", "high")] == ["1.25", "", "1.00", "2.00"]
    assert [po[f"SARR {part}"] for part in ("%", "spread", "low", "high")] == ["30.00", "14.14", "", ""]
    assert (po["runs"], po["judge"], po["ROUGE-L %"]) == ("2", "demo", "")


def latex_cells(text: str) -> list[list[str]]:
    rows = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in rows]


def test_latex_has_the_cells_of_the_markdown():
    rows = [score_row(seed=seed, sarr=sarr) for seed, sarr in enumerate((0.9, 0.6, 0.6))] + [score_row("base", sarr=0)]
    header, base, po = latex_cells(as_latex(rows))[:3]
    assert [dict(zip(header, line, strict=True)) for line in (base, po)] == [
        {name: cell.replace("±", r"$\pm$").replace("–", "--") for name, cell in line.items()}
        for line in markdown_rows(rows)
    ]
    assert po[header.index("SARR")] == r"70.0 $\pm$ 17.3"


def test_latex_escapes_what_latex_reads_as_its_own():
    rows = [score_row("my_method & 50%", sarr=0.1, judge="a#b"), score_row(judge="c~d\\{e}^$", sarr=0.2)]
    text = as_latex(rows)
    assert r"my\_method \& 50\%" in text
    assert r"a\#b" in text
    assert r"c\textasciitilde{}d\textbackslash{}\{e\}\textasciicircum{}\$" in text
    assert {len(line) for line in latex_cells(text)[:3]} == {15}


def test_the_latex_caption_says_how_the_numbers_were_made():
    text = as_latex([score_row(sarr=0.5, sarr_refusal=0.5), score_row(judge="rules", asr_efficacy=0.5)])
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    for part in ("Percent.", "Judge: demo, rules.", "Decoding: greedy.", "n: 9 (ASR eff., SARR).", "proxy"):
        assert part in caption
    assert text.count(r"\toprule") == text.count(r"\end{tabular}") == 2


def test_a_table_of_which_no_run_has_a_number_of_its_own_is_left_out():
    assert titles([score_row(sarr=0.1, rr_generality=0.9)]) == [SCORES]
    assert titles([score_row(sarr=0.1), score_row("po", refused_general=0.0)]) == [SCORES, REFUSALS]
