"""The file of a handout: it stands alone, every text in it is text, and it says on what each number stands."""

import math
import re
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from markup import Elements

from safeeraser.charts import Chart, exports, handout, provenance
from safeeraser.charts.handout import Head, Picture, Said
from safeeraser.charts.provenance import Made
from safeeraser.config import RunConfig

HOSTILE = "<img src=//evil.example onerror=alert(1)> </table><script>x</script> \"'& https://evil.example"
PNG = b"\x89PNG\r\n"
HEAD = Head("Title", "Demo world", "2026-01-02 03:04 UTC", "https://host/metrics?b=1&c=2")


def score(value: float | None, *, n: int = 384, unscored: int = 0, why: str = "nobody asked") -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0, "unscored": unscored, "why": why}
    return {"value": value, "low": value / 2, "high": (1 + value) / 2, "n": n, "unscored": unscored}


def made(text: str = "po", *, ships: bool = False, commit: str | None = "c" * 40, **settings: Any) -> Made:
    config = RunConfig.create(**{"model": text} | settings)
    facts: Any = {
        "config": config.model_dump(), "created": "2026-01-02T03:04:05Z", "python": "3.11", "machine": text,
        "versions": {"torch": "9.9", "peft": text}, "commit": commit, "data_hash": "d" * 64, "imported": None,
    }  # fmt: skip
    row = {"decoding": "greedy", "metrics": {"sarr": score(0.5)}}
    return Made(text, text, config, facts, row, pd_weight=0.25, ships=ships)


def whole(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A page with every part that there is, in which every text is this one."""
    monkeypatch.setattr(exports, "svgs", lambda charts, **_: [b"<svg/>" for _ in charts])
    chart = Chart(go.Figure(), {}, pd.DataFrame({text: [text, None], "n": [1, 2]}), text)
    said = Said("red", text, text, mark=(0, 5), reply=text)
    parts = [
        handout.heading(text),
        handout.paragraph(text),
        handout.note(text),
        handout.table([text], [[text]]),
        handout.scores([made().row], [text], {text: "sarr"}),
        handout.question(text, note=text, names=[text], rows=[(Picture(PNG, text, text), [said])]),
        handout.question(text, note=text, names=[text], rows=[(Picture(None, text, text), [None])]),
        *handout.figures([chart], badge=text),
        *provenance.section([made(text)], data=text, data_hash=text, split=text, judge=text),
    ]
    return handout.page(Head(text, text, text, text), parts)


def test_the_page_asks_nobody_for_anything(monkeypatch: pytest.MonkeyPatch):
    page = whole("plain", monkeypatch)
    for tag, attributes in Elements(page).found:
        assert tag not in ("script", "link", "iframe", "a", "form", "base")
        assert all(str(attributes[name]).startswith("data:") for name in ("src", "href") if name in attributes)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in page
    assert "url(" not in page
    assert "@import" not in page


def test_a_hostile_text_stays_text_wherever_it_stands(monkeypatch: pytest.MonkeyPatch):
    plain, attacked = (Elements(whole(text, monkeypatch)).found for text in ("plain", HOSTILE))
    assert [tag for tag, _ in plain] == [tag for tag, _ in attacked]
    assert [attributes.keys() for _, attributes in plain] == [attributes.keys() for _, attributes in attacked]


def test_the_address_is_there_as_text():
    page = handout.page(HEAD, [])
    assert "https://host/metrics?b=1&amp;c=2" in page
    assert page.count("http") == 2  # and the meta element's http-equiv
    assert "Demo world" in page
    assert "2026-01-02 03:04 UTC" in page


def test_a_score_has_its_interval_n_and_what_is_unscored():
    rows = [{"metrics": {"sarr": score(0.5, n=10)}}, {"metrics": {"sarr": score(0.25, n=8, unscored=2)}}, {}]
    table = handout.scores(rows, ["one", "two", "three"], {"SARR": "sarr"})
    assert "<b>50.0</b><br><small>[25.0, 75.0]</small><br><small>n = 10</small>" in table
    assert "<b>25.0</b><br><small>[12.5, 62.5]</small><br><small>n = 8</small><br><small>2 unscored</small>" in table
    assert "three</th><td>–</td>" in table


def test_an_n_that_all_runs_share_stands_above_them():
    rows = [{"metrics": {"sarr": score(0.5)}}, {"metrics": {"sarr": score(None)}}]
    table = handout.scores(rows, ["one", "two"], {"SARR": "sarr"})
    assert "SARR<br><small>n = 384</small></th>" in table
    assert table.count("n = ") == 1


def test_an_answer_is_marked_or_folded_away():
    said = [Said("red", "over-forgotten", "I cannot. <b>", mark=(0, 8)), Said("red", "harmful", None)]
    page = handout.question("How?", note="", names=["a", "b"], rows=[(Picture(PNG, "alt", "caption"), said)])
    assert "<mark>I cannot</mark>. &lt;b&gt;" in page
    assert f'<p class="folded">{handout.FOLDED}</p>' in page
    assert '<img src="data:image/png;base64,iVBORw0K" alt="alt">' in page


def test_the_last_section_says_how_the_numbers_were_made():
    runs = [made("mine", seed=7, lr=0.5), made("theirs", ships=True, commit=None)]
    section = "".join(provenance.section(runs, data="demo", data_hash="d" * 64, split="val", judge="rules"))
    for words in ("d" * 64, "rules", "greedy", "2026-01-02 03:04:05", "mine", "theirs (example)", "0.25", "7"):
        assert f">{words}" in section
    assert "--lr 0.5" in section
    assert "torch 9.9, peft mine" in section
    assert "c" * 10 in section
    assert "None" not in section


def test_what_runs_were_made_with_is_said_once_where_they_share_it():
    same = "".join(provenance.section([made(), made()], data="d", data_hash="h", split="val", judge=None))
    assert same.count("torch 9.9") == 1
    assert ">all<" in same


@pytest.mark.parametrize("unknown", [None, "", math.nan])
def test_unknown_is_a_dash(unknown: object):
    assert re.findall("<td[^>]*>(.*?)</td>", handout.table(["a", "b"], [[unknown, 1]])) == ["–", "1"]


def test_whole_numbers_stay_whole_beside_an_unknown_one_and_silent_columns_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(exports, "svgs", lambda charts, **_: [b"<svg/>" for _ in charts])
    table = pd.DataFrame({"n": [1384, None], "SARR": [34.64, None], "Why": ["", ""]})
    _, numbers = handout.figures([Chart(go.Figure(), {}, table, "alt")], badge=None)
    assert re.findall(r"<t[hd] [^>]*>([^<]*)<", numbers) == ["n", "SARR", "1,384", "34.6", "–", "–"]


def test_without_a_browser_a_chart_is_plotlys_own_with_its_program_once(monkeypatch: pytest.MonkeyPatch):
    def svgs(*_: object, **__: object) -> list[bytes]:
        raise exports.ChartError("no browser")

    monkeypatch.setattr(exports, "svgs", svgs)
    charts = [Chart(go.Figure(go.Bar(x=[1], y=[2])), {}, pd.DataFrame({"n": [1]}), "alt")] * 2
    page = handout.page(HEAD, handout.figures(charts, badge="Demo world"))
    assert page.count("Plotly.newPlot(") >= 2
    assert 4_000_000 < len(page) < 8_000_000
    assert "script-src 'unsafe-inline'" in page
    assert page.count("<figcaption>Demo world. alt</figcaption>") == 2
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=[\"']?(?!data:)", page)
