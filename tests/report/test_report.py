"""A report stands alone, says on what numbers stand, shows nothing harmful unasked, and takes no text for markup."""

import hashlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hostile import HOSTILE, World
from markdown_it import MarkdownIt
from markup import Elements

from app import BASE, PO, PO_PD
from safeeraser import stages
from safeeraser.charts import exports
from safeeraser.data.source import Source
from safeeraser.report import collecting, grids, page, texts
from safeeraser.report.collecting import Group
from safeeraser.report.page import Choices
from safeeraser.runs.folder import EXAMPLES, Run, RunError
from safeeraser.score.metrics import METRICS

CHOICES = Choices("safeeraser report some runs", "2026-01-02 03:04 UTC")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures without a browser that draws them."""
    ink = f'<svg><text style="fill: {page.handout.LIGHT.ink}"/></svg>'.encode()
    monkeypatch.setattr(exports, "svgs", lambda charts, **_: [ink for _ in charts])


@pytest.fixture(scope="module")
def demo() -> Source:
    return Source("demo")


@pytest.fixture(scope="module")
def groups(demo: Source) -> list[Group]:
    """PO and PO+PD; nobody asked for their base model."""
    return collecting.collect([Run.find(PO), Run.find(PO_PD)], {"demo": demo})


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Group]]:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAFEERASER_RUNS", str(folder / "runs"))
        world = World(folder)
        runs = [world.base, world.plain, world.decoupled]
        yield collecting.collect(runs, {str(world.data): Source(str(world.data))}, judge=HOSTILE)


def grid(group: Group, title: str) -> dict[str, dict[str, grids.Cell]]:
    """A table by the first cell of its lines, then by column."""
    found = next(one for one in grids.of_group(group, again="") if one.title == title)
    return {line[0].text: dict(zip(found.head, line, strict=True)) for line in found.rows}


def test_the_base_run_is_a_row_although_nobody_named_it(groups: list[Group]):
    (group,) = groups
    assert {label: run.name for label, run in group.runs.items()} == {"base": BASE, "PO": PO, "PO+PD": PO_PD}


def test_every_metric_is_there_with_interval_n_and_unit(groups: list[Group]):
    lines = grid(groups[0], grids.ALL)
    assert list(lines) == [metric.name for metric in METRICS.values()]
    sarr = lines["SARR"]
    assert (sarr["n"].text, sarr["Unit"].text) == ("384", "thing")
    assert (sarr["PO+PD"].text, sarr["PO+PD"].more) == ("28.9", ("[18.9, 41.6]",))


def test_what_is_unknown_is_a_dash_with_its_reason_below(groups: list[Group]):
    found = next(one for one in grids.of_group(groups[0], again="") if one.title == grids.ALL)
    line = next(line for line in found.rows if line[0].text == "GPT-Eval")
    assert [cell.text for cell in line[1:]] == ["—"] * 5
    assert any(note.startswith("— GPT-Eval") and "needs an outside judge" in note for note in found.notes)


def test_prompt_decouple_is_tested_against_its_twin(groups: list[Group]):
    line = grid(groups[0], grids.TESTS)["SARR"]
    assert (line["Without PD"].text, line["With PD"].text) == ("PO", "PO+PD")
    assert (line["Difference (points)"].text, line["p (Holm)"].text) == ("-71.1", "< 0.001")


def test_a_run_that_only_refuses_is_flagged_with_the_reason_above_the_tables(groups: list[Group]):
    scores = grids.of_group(groups[0], again="")[0]
    assert scores.head[-1] == "Flags"
    flags = [line[-1].text for line in scores.rows]
    assert [bool(flag) for flag in flags] == [False, True, False]
    assert f'<p class="warning">PO {flags[1]}: ' in page.as_html(groups, CHOICES)
    assert f"PO {flags[1]}: " in texts.as_latex(groups, "")


def test_runs_by_other_judges_are_never_in_one_table(demo: Source, groups: list[Group]):
    row = stages.score(Run.find(PO_PD), demo, "demo") | {"judge": "rules"}
    both = collecting.collect([Run.find(PO), Run.find(PO_PD)], {"demo": demo}, rows={PO_PD: row})
    assert [list(group.runs) for group in both] == [["base", "PO"], ["PO+PD"]]
    for text in (page.as_html(both, CHOICES), texts.as_markdown(both, ""), texts.as_latex(both, "")):
        assert "their numbers do not compare" in text
    assert "do not compare" not in texts.as_latex(groups, "")


def test_a_run_that_the_judge_did_not_grade_is_named(demo: Source):
    with pytest.raises(RunError, match=rf"{PO} has no verdicts by 'rules'; run `safeeraser judge"):
        collecting.collect([Run.find(PO)], {"demo": demo}, judge="rules")


def test_the_page_asks_nobody_and_shows_dark_letters_on_light_and_light_on_dark(groups: list[Group]):
    text = page.as_html(groups, CHOICES)
    found = Elements(text).found
    assert not {"script", "link", "iframe", "a", "form", "base"} & {tag for tag, _ in found}
    addresses = [str(value) for _, of in found for name, value in of.items() if name in ("src", "href", "srcset")]
    assert len(addresses) > 10
    assert all(address.startswith("data:image/") for address in addresses)
    assert "script-src" not in text
    sources = [of["srcset"] for tag, of in found if tag == "source"]
    after = [dict(of)["src"] for (tag, _), (_, of) in pairwise(found) if tag == "source"]
    assert len(sources) == 5
    assert all(dark != light for dark, light in zip(sources, after, strict=True))


def test_the_page_says_how_its_numbers_are_made_again(groups: list[Group]):
    text = page.as_html(groups, CHOICES)
    run = Run.find(PO_PD)
    assert f"<code>safeeraser score {BASE} {PO} {PO_PD} --judge demo --json</code>" in text
    assert "safeeraser run --no-pd" in text
    assert run.facts["data_hash"] in text
    assert hashlib.sha256((EXAMPLES / PO_PD / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest() in text
    assert "None" not in text


def test_examples_are_drawn_by_seed_and_show_safe_pictures_alone(groups: list[Group]):
    def asked(text: str) -> list[str]:
        return re.findall(r'<p class="note">\w+ · (val/[^<]+)</p>', text)

    first, again = page.as_html(groups, CHOICES), page.as_html(groups, CHOICES)
    other = page.as_html(groups, Choices("", "", seed=1))
    assert asked(first) == asked(again) != asked(other)
    assert len(asked(first)) == 4
    assert all("/decouple/" in id for id in asked(first))
    answers = {row["id"]: row["answer"] for row in Run.find(BASE).rows(Run.find(BASE).answers)}
    harmful = [answers[id.replace("/decouple/", "/forget/")] for id in asked(first)]
    assert not any(answer in first for answer in harmful)
    assert 'alt="harmful picture, ' not in first
    shown = page.as_html(groups, Choices("", "", harmful=True))
    assert all(answer in shown for answer in harmful)
    assert shown.count('alt="harmful picture, ') == 4


def test_no_examples_are_asked_for_and_none_can_be_drawn(groups: list[Group], demo: Source):
    assert "Examples</h2>" not in page.as_html(groups, Choices("", "", examples=0))
    assert groups[0].drawn(n=9, seed=0)[1] == 384


def test_seeds_are_averaged_and_other_settings_are_not(groups: list[Group]):
    group = groups[0]
    again = {**group.rows[-1], "seed": 1, "run": "x"}
    other = {**group.rows[-1], "settings": "--lr 0.5", "run": "y"}
    rows = [*group.rows, again, other]
    runs = {**group.runs, "PO+PD, seed 1": Run.find(PO_PD), "PO+PD, other": Run.find(PO_PD)}
    found = next(one for one in grids.of_group(Group(group.source, runs, rows), again=""))  # type: ignore
    at = found.head.index("SARR")
    told = {(line[0].text, line[found.texts + 1].text, line[at].text) for line in found.rows}
    assert {("defaults", "2", "28.9 ± 0.0"), ("--lr 0.5", "1", "28.9")} <= told
    text = texts.as_markdown([Group(group.source, runs, rows)], "")  # type: ignore
    assert "is made with other settings" in text


def test_what_lmms_eval_measured_is_a_table_with_a_dash_where_it_did_not_run(groups: list[Group]):
    group = groups[0]
    one = {"metric": "pope_accuracy", "value": 0.86, "stderr": 0.003, "n": 9000, "limit": None}
    made = {"weights": None, "lmms_eval": "0.7.3", "date": ""}
    score = {"value": None, "low": None, "high": None, "n": 0, "unscored": 0, "why": "x", "tasks": {"pope": one | made}}
    rows = [*group.rows[:-1], group.rows[-1] | {"metrics": group.rows[-1]["metrics"] | {"specificity": score}}]
    found = grid(Group(group.source, group.runs, rows), grids.BENCHMARKS)["pope"]  # type: ignore
    assert (found["PO+PD"].text, found["PO+PD"].more) == ("86.00", ("[0.30]", "n = 9,000"))
    assert found["base"].text == "—"
    assert all(one.title != grids.BENCHMARKS for one in grids.of_group(group, again=""))


def test_hostile_text_is_text_in_html(hostile: list[Group], groups: list[Group]):
    found = Elements(page.as_html(hostile, CHOICES)).found
    known = {tag for tag, _ in Elements(page.as_html(groups, CHOICES)).found}
    assert {tag for tag, _ in found} <= known
    assert all(str(of[name]).startswith("data:") for _, of in found for name in ("src", "srcset") if name in of)
    assert not {name for _, of in found for name in of if name.startswith("on") or name == "href"}


def test_hostile_text_is_text_in_markdown(hostile: list[Group]):
    tokens = MarkdownIt("commonmark").enable("table").parse(texts.as_markdown(hostile, HOSTILE))
    inner = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inner} <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}
    strong = [after.content for one, after in pairwise(inner) if one.type == "strong_open"]
    assert all("**b**" not in text for text in strong)
    assert {token.type for token in tokens} & {"html_block", "bullet_list_open", "code_block"} == set()
    plain = "\n".join(line for line in texts.as_markdown(hostile, "").splitlines() if "Made by" not in line)
    assert not re.search(r"[^\\]://|www\.|[^\\]@", plain)


def test_hostile_text_is_text_in_latex(hostile: list[Group]):
    text = texts.as_latex(hostile, f"{HOSTILE}\n\\input{{x}}")
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    commands = set(re.findall(r"\\[a-zA-Z]+", re.sub(r"\\\\", "", "\n".join(lines))))
    ours = {"begin", "end", "caption", "centering", "footnotesize", "setlength", "tabcolsep", "tiny", "pm"}
    rules = {"toprule", "midrule", "bottomrule"}
    signs = {"textbackslash", "textasciitilde", "textasciigrave", "textless", "textgreater", "textbar", "textquotedbl"}
    assert commands <= {f"\\{name}" for name in ours | rules | signs}
    for table in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end{tabular}", text, re.DOTALL):
        columns, body = table
        for line in body.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
                assert not line.startswith(("[", "*"))
    bare = re.sub(r"\\[&%$#_{}\\]|\$\\pm\$", "", "\n".join(lines))
    assert not re.search(r"[%$#_~^]", bare)
    assert bare.count("{") == bare.count("}")


def test_latex_has_every_run_in_tables_that_fit_a_page(groups: list[Group]):
    group = groups[0]
    runs = {f"{label} {number}": run for number in range(2) for label, run in group.runs.items()}
    text = texts.as_latex([Group(group.source, runs, [*group.rows, *group.rows])], "")
    heads = re.findall(r"\\toprule\nMetric & Unit & n & (.*?) \\\\", text)
    assert [head.count("&") + 1 for head in heads] == [4, 2]
    assert text.count(r"\bottomrule") == text.count(r"\begin{table*}") == len(grids.of_group(group, again="")) + 1
    assert r"28.9 {\tiny {[}18.9, 41.6{]}}" in text


def test_a_run_outside_the_folder_of_runs_is_told_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAFEERASER_RUNS", str(tmp_path / "runs"))
    assert collecting.word(Run.find(PO)) == PO
    away = Run(tmp_path / "away")
    assert collecting.word(away) == str(tmp_path / "away")
