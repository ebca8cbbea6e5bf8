"""A page to hand around: one HTML file that holds all it shows, asks nobody for anything and prints on A4.

Texts come in as they are and are escaped here; `Html` is what is markup already. Not covered: what may be seen (a
caller hands over a preview for a hidden picture, and no text for a folded answer), and how numbers were made
(`provenance.py`).
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from typing import Any, NamedTuple, NewType

import pandas as pd

from safeeraser.charts import exports
from safeeraser.charts.chart import Chart
from safeeraser.charts.words import percent, score_of, wording, written

Html = NewType("Html", str)
Row = Mapping[str, Any]

UNKNOWN = "–"
SHORT = 20  # letters that are kept in one line of a table
WIDTH = 700  # dots of a chart, about as wide as A4 without its margins
FOLDED = "Harmful text, folded away: whoever made this page had not revealed the picture."
SIGNS = {"green": "✓", "red": "✗", "orange": "?", "violet": "≈", "gray": "·"}  # beside the colour, for grey printers
STYLE = """
@page {size: A4; margin: 14mm;}
* {box-sizing: border-box; print-color-adjust: exact; -webkit-print-color-adjust: exact;}
body {font: 10pt/1.4 Arial, "Liberation Sans", Helvetica, sans-serif; color: #1B1F24; background: white;
  max-width: 182mm; margin: 0 auto; padding: 8mm 0;}
@media print {body {padding: 0;}}
h1 {font-size: 20pt; margin: 0; line-height: 1.2;}
h2 {font-size: 13pt; margin: 7mm 0 2mm; break-after: avoid;}
h3 {font-size: 11pt; margin: 0;}
p, figure {margin: 0 0 2mm;}
header {border-bottom: .5mm solid #1B1F24; padding-bottom: 3mm; margin-bottom: 4mm;}
header div {display: flex; justify-content: space-between; align-items: center; gap: 4mm;}
header p {margin: 1mm 0 0;}
small, .note, figcaption, header p {color: #4D5661; font-size: 8.5pt; font-weight: 400;}
p, td, tbody th, dd, h1, h3 {overflow-wrap: anywhere;}
.of-data, .verdict {display: inline-block; border-radius: 1mm; padding: .2mm 1.5mm; font-size: 8.5pt; font-weight: 600;}
.of-data {background: #EFE7F8; color: #54268A;}
.green {background: #DFF3E4; color: #0F4A20;}
.red {background: #FBDDDA; color: #7A120C;}
.orange {background: #FDEBD3; color: #6B3D00;}
.violet {background: #EFE7F8; color: #54268A;}
.gray {background: #ECEEF1; color: #363D45;}
table {border-collapse: collapse; width: 100%; margin: 0 0 3mm; font-size: 8.5pt;}
thead {display: table-header-group;}
tr {break-inside: avoid;}
th, td {border-bottom: .2mm solid #C9CFD6; padding: .8mm 1.2mm; text-align: left; vertical-align: top;}
thead th {border-bottom: .4mm solid #1B1F24; vertical-align: bottom;}
th.number, td.number {text-align: right; font-variant-numeric: tabular-nums;}
.short {white-space: nowrap;}
.scores td, .scores th {padding: .8mm .5mm;}
.scores small {font-size: 7pt; white-space: nowrap;}
.question {break-inside: avoid; border: .2mm solid #C9CFD6; border-radius: 1.5mm; padding: 2.5mm 3mm 1mm;
  margin: 0 0 3.5mm;}
.question table {table-layout: fixed; margin: 0; font-size: 9pt;}
.question tbody tr:last-child > * {border-bottom: 0;}
.question col:first-child {width: 31mm;}
.question img {display: block; width: 28mm; height: 28mm; object-fit: contain; background: #F4F5F7;}
.question .note {margin: .5mm 0 1mm;}
.question .answer, .question .folded {margin: 1mm 0;}
.answer {white-space: pre-wrap;}
.answer mark {background: #FFE08A; color: inherit;}
.folded {font-style: italic; color: #4D5661;}
figure {break-inside: avoid;}
figure > img {display: block; width: 100%;}
dl {display: grid; grid-template-columns: 28mm 1fr; gap: .8mm 3mm; margin: 0 0 4mm; font-size: 9pt;
  break-inside: avoid;}
dt {font-weight: 600;}
dd {margin: 0;}
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


class Ink(NamedTuple):
    """The colour of a figure's letters, 0 to 255 each."""

    red: int
    green: int
    blue: int

    @property
    def ink(self) -> str:
        return f"rgb({self.red}, {self.green}, {self.blue})"

    @property
    def as_svg(self) -> bytes:
        """As a browser writes it."""
        return f"fill: {self.ink}".encode()


LIGHT, DARK = Ink(27, 31, 36), Ink(230, 233, 237)  # on a light and on a dark page


@dataclass(frozen=True)
class Head:
    """What stands above a handout. badge: what must be said of the data set; made: when; address: what it is from."""

    title: str
    badge: str | None
    made: str
    address: str
    by: str = "from the page"


@dataclass(frozen=True)
class Picture:
    """A picture as its reader may see it: PNG bytes, None for a file that cannot be shown; alt names no scene."""

    png: bytes | None
    alt: str
    caption: str


@dataclass(frozen=True)
class Said:
    """One answer: the verdict's colour (a key of SIGNS) and words, and its text, None where it is folded away.

    mark: where a refusal that is wrong begins and ends in it. reply: what the judge says beside its verdict.
    """

    colour: str
    verdict: str
    text: str | None
    mark: tuple[int, int] | None = None
    reply: str = ""


def page(head: Head, parts: Iterable[Html], *, style: str = "") -> str:
    """The file. It may load nothing, and runs a script only where a chart is one. style: more of it."""
    body = "\n".join([_header(head), *parts])
    scripts = "; script-src 'unsafe-inline'" if "<script" in body else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{scripts}"
    return PAGE.format(policy=policy, title=escape(head.title), style=STYLE + style, body=body)


def _header(head: Head) -> Html:
    badge = f'<span class="of-data">{escape(head.badge)}</span>' if head.badge else ""
    return Html(
        f"<header><div><h1>{escape(head.title)}</h1>{badge}</div>"
        f"<p>Made {escape(head.made)} with SafeEraser {escape(head.by)}"
        f"<br>{escape(head.address) or UNKNOWN}</p></header>"
    )


def heading(text: str) -> Html:
    return Html(f"<h2>{escape(text)}</h2>")


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def note(text: str) -> Html:
    return Html(f'<p class="note">{escape(text)}</p>')


def pairs(facts: Mapping[str, object]) -> Html:
    """Names and what they are, one below the other."""
    return Html(f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{_cell(fact)}</dd>' for name, fact in facts.items())}</dl>")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; what is unknown is a dash, numbers stand to the right."""
    lines = list(rows)
    numbers = [any(map(_is_number, cells)) for cells in zip(*lines, strict=True)]
    body = "".join(_line("td", line, numbers) for line in lines)
    return Html(f"<table><thead>{_line('th', columns, numbers)}</thead><tbody>{body}</tbody></table>")


def _line(tag: str, cells: Iterable[object], numbers: Iterable[bool]) -> str:
    """A row of a table. numbers: which columns hold numbers, nothing for a table without rows."""
    found = [
        f'<{tag} class="{"number " if number else ""}{_width(cell)}">{_cell(cell)}</{tag}>'
        for cell, number in zip_longest(cells, numbers)
    ]
    return f"<tr>{''.join(found)}</tr>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _width(cell: object) -> str:
    return "short" if len(str(cell)) <= SHORT else ""


def _cell(value: object) -> str:
    if value is None or value == "" or value != value:  # the last is NaN
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if _is_number(value) else escape(str(value))


def scores(rows: Sequence[Row], names: Sequence[str], columns: Mapping[str, str]) -> Html:
    """One line a run: in percent, each metric's value with its 95 % interval, n and what is unscored.

    rows: score rows, an empty one for a run without. columns: metrics by their titles.
    """
    found = {title: [score_of(row, metric) for row in rows] for title, metric in columns.items()}
    heads = "".join(f"<th>{escape(title)}{_shared(column)}</th>" for title, column in found.items())
    body = ""
    for at, name in enumerate(names):
        cells = "".join(f"<td>{_score(column[at], column)}</td>" for column in found.values())
        body += f'<tr><th class="{_width(name)}">{escape(name)}</th>{cells}</tr>'
    head = f"<thead><tr><th>Run</th>{heads}</tr></thead>"
    said = " ".join(f"{title}: {wording(metric).says}." for title, metric in columns.items())
    words = note(f"In percent, with 95 % intervals. {said}")
    return Html(f'<table class="scores">{head}<tbody>{body}</tbody></table>{words}')


def _counts(scores: Iterable[Mapping]) -> set[int]:
    return {score["n"] for score in scores if score["value"] is not None}


def _shared(scores: Iterable[Mapping]) -> str:
    """The n that all scores of a column stand on, for its head."""
    counts = _counts(scores)
    return f"<br><small>n = {counts.pop():,}</small>" if len(counts) == 1 else ""


def _score(score: Mapping, column: Iterable[Mapping]) -> str:
    if score["value"] is None:
        return UNKNOWN
    known = score["low"] is not None and score["high"] is not None
    interval = f"[{written(percent(score, 'low'))}, {written(percent(score, 'high'))}]" if known else ""
    n = f"n = {score['n']:,}" if len(_counts(column)) > 1 else ""
    unscored = f"{score['unscored']:,} unscored" if score["unscored"] else ""
    more = "".join(f"<br><small>{words}</small>" for words in (interval, n, unscored) if words)
    return f"<b>{written(percent(score))}</b>{more}"


def question(
    text: str, *, note: str, names: Sequence[str], rows: Iterable[tuple[Picture, Sequence[Said | None]]]
) -> Html:
    """A question with what the runs of these names answer about each picture; None: the run was not asked."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><th>{pictured(picture)}</th>{''.join(f'<td>{answered(said)}</td>' for said in answers)}</tr>"
        for picture, answers in rows
    )
    return Html(
        f'<section class="question"><h3>“{escape(text)}”</h3><p class="note">{escape(note)}</p>'
        f"<table><colgroup><col>{'<col>' * len(names)}</colgroup>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></section>"
    )


def pictured(picture: Picture) -> str:
    if picture.png is None:
        return f"<small>{escape(picture.caption)}. The picture cannot be shown.</small>"
    return f"{image(picture.png, 'image/png', picture.alt)}<small>{escape(picture.caption)}</small>"


def image(data: bytes, mime: str, alt: str) -> str:
    return f'<img src="data:{mime};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}">'


def answered(said: Said | None) -> str:
    if said is None:
        return "<small>not asked</small>"
    verdict = f'<span class="verdict {escape(said.colour)}">{SIGNS.get(said.colour, "·")} {escape(said.verdict)}</span>'
    reply = f'<p class="note">Judge: {escape(said.reply)}</p>' if said.reply else ""
    if said.text is None:
        return f'{verdict}<p class="folded">{FOLDED}</p>{reply}'
    return f'{verdict}<p class="answer">{_marked(said.text, said.mark) or "<i>(empty)</i>"}</p>{reply}'


def _marked(text: str, mark: tuple[int, int] | None) -> str:
    if mark is None:
        return escape(text)
    start, end = mark
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"


def figures(charts: Sequence[Chart], *, badge: str | None) -> list[Html]:
    """Each chart with a caption, which begins with the badge, and its numbers.

    As pictures; where no browser can draw them, as Plotly's own, which bring their program along once.
    """
    found = []
    for chart, drawn in zip(charts, drawings(charts), strict=True):
        caption = f"{badge}. {chart.alt}" if badge else chart.alt
        found.append(Html(f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"))
        found.append(numbers(chart.table))
    return found


def drawings(charts: Sequence[Chart], *, both: bool = False) -> list[str]:
    """The charts as pictures, else as Plotly's own; both: for a page that is light or dark, as its reader likes."""
    try:
        if not both:
            return [
                image(svg, "image/svg+xml", chart.alt)
                for svg, chart in zip(exports.svgs(charts, width=WIDTH), charts, strict=True)
            ]
        drawn = exports.svgs(charts, width=WIDTH, ink=LIGHT.ink, ground="rgba(0, 0, 0, 0)")
        return [_either(svg, chart.alt) for svg, chart in zip(drawn, charts, strict=True)]
    except exports.ChartError:
        return [exports.inline(chart, library=place == 0, width=WIDTH) for place, chart in enumerate(charts)]


def _either(svg: bytes, alt: str) -> str:
    """The picture, and another with light letters for readers who like it dark."""
    dark = svg.replace(LIGHT.as_svg, DARK.as_svg)
    source = f"data:image/svg+xml;base64,{base64.b64encode(dark).decode()}"
    light = image(svg, "image/svg+xml", alt)
    return f'<picture><source srcset="{source}" media="(prefers-color-scheme: dark)">{light}</picture>'


def numbers(frame: pd.DataFrame) -> Html:
    """A chart's table, without columns that say nothing; whole numbers stay whole although one of them is unknown."""
    columns = {str(name): _whole(column.tolist()) for name, column in frame.items()}
    told = {name: cells for name, cells in columns.items() if any(_cell(cell) != UNKNOWN for cell in cells)}
    return table(list(told), list(zip(*told.values(), strict=True)))


def _whole(cells: list[Any]) -> list[Any]:
    known = [cell for cell in cells if isinstance(cell, float) and cell == cell]
    return [int(cell) if cell in known else cell for cell in cells] if all(map(float.is_integer, known)) else cells
