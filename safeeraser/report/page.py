"""A report as one HTML file: it loads nothing, follows the reader's light or dark, and prints.

Texts are escaped by `handout.py`. Harmful pictures, and what was answered about them, are in it only where asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from shlex import join

from safeeraser import charts, stages
from safeeraser.charts import Chart, handout, outcome_words, provenance
from safeeraser.charts.handout import Head, Html, Picture, Said
from safeeraser.charts.provenance import Made
from safeeraser.data import images
from safeeraser.data.rows import ScoreRow
from safeeraser.report import grids
from safeeraser.report.collecting import Answer, Asked, Group
from safeeraser.report.grids import Cell, Grid
from safeeraser.report.texts import badge, introduction, title, warnings
from safeeraser.runs import jobs
from safeeraser.runs.folder import Run

SIDE = 320  # pixels of a picture
EXAMPLES = 4
STYLE = """
:root {color-scheme: light dark; --text: #1B1F24; --soft: #4D5661; --page: #FFFFFF; --line: #C9CFD6; --raised: #F4F5F7;
  --mark: #FFE08A; --mark-text: #1B1F24;}
body {font-size: 15px; line-height: 1.5; max-width: 1180px; padding: 32px 24px; color: var(--text);
  background: var(--page);}
header, thead th {border-color: var(--text);}
h1 {font-size: 28px;}
h2 {font-size: 21px; margin: 40px 0 12px;}
h3 {font-size: 16px;}
section.group {margin-top: 32px;}
section.group > h2:first-child {border-top: 2px solid var(--text); padding-top: 16px;}
small, .note, figcaption, header p, .folded {color: var(--soft); font-size: 13px;}
header p, code {overflow-wrap: anywhere;}
code {font: 13px/1.4 "Liberation Mono", Consolas, Menlo, monospace; background: var(--raised); padding: 1px 4px;
  border-radius: 4px;}
.warning {border-left: 4px solid #D55E00; background: var(--raised); padding: 8px 12px;}
.wide {overflow-x: auto; margin: 0 0 8px;}
.wide:focus-visible {outline: 2px solid #0072B2;}
table {font-size: 13.5px; margin: 0 0 8px;}
th, td {border-color: var(--line); padding: 5px 8px;}
td.number, .wide td:first-child {white-space: nowrap;}
.wide table {font-size: 12.5px;}
.wide th, .wide td {padding: 4px 5px;}
.wide th {white-space: normal; vertical-align: bottom;}
.wide small {font-size: 11.5px;}
.figures {display: grid; grid-template-columns: repeat(auto-fit, minmax(min(520px, 100%), 1fr)); gap: 24px;}
figure {margin: 0;}
figure img {display: block; width: 100%; height: auto;}
.plotly-graph-div {background: white; max-width: 100%; overflow: hidden;}
.question {border-color: var(--line); padding: 12px 16px; border-radius: 8px;}
.question .asked {display: flex; gap: 16px; align-items: flex-start; margin: 8px 0;}
.question .asked > div {flex: 0 0 150px;}
.question .asked table {table-layout: auto;}
.question .asked tbody th {white-space: nowrap; width: 1%;}
.question img {width: 150px; height: 150px; background: var(--raised); border-radius: 6px;}
.question .answer {margin: 2px 0;}
.answer mark {background: var(--mark); color: var(--mark-text);}
dl {grid-template-columns: 140px 1fr; font-size: 14px;}
@media (max-width: 640px) {.question .asked {flex-direction: column;} dl {grid-template-columns: 1fr;}}
@media (prefers-color-scheme: dark) {
  :root {--text: #E6E9ED; --soft: #A9B3BF; --page: #0E1117; --line: #353C46; --raised: #1B2029; --mark: #6B5200;
    --mark-text: #FFFFFF;}
  .of-data, .violet {background: #3B2A52; color: #E3D2F7;}
  .green {background: #143D20; color: #BFEBCB;}
  .red {background: #55191A; color: #FBCFCB;}
  .orange {background: #4D3206; color: #FBDDB0;}
  .gray {background: #2A313B; color: #CBD2DA;}
}
@media print {body {font-size: 10pt; padding: 0; max-width: none;} .wide {overflow: visible;}
  td.number, th.number, .wide th, .wide td:first-child {white-space: normal;}}
"""


@dataclass(frozen=True)
class Choices:
    """What its reader asked for. command: what makes the report again; made: when; harmful: show those pictures too."""

    command: str
    made: str
    seed: int = 0
    examples: int = EXAMPLES
    harmful: bool = False


def as_html(groups: Sequence[Group], choices: Choices) -> str:
    """The file."""
    badges = dict.fromkeys(badge for group in groups if (badge := group.source.dataset.about.badge))
    head = Head(title(groups), "; ".join(badges) or None, choices.made, choices.command, by="by the command")
    parts = [handout.paragraph(text) for text in introduction(groups)]
    several = len(groups) > 1
    return handout.page(head, [*parts, *(_group(group, choices, named=several) for group in groups)], style=STYLE)


def _group(group: Group, choices: Choices, *, named: bool) -> Html:
    """All that is said of runs that compare; each section is one function of SECTIONS."""
    heading = [handout.heading(group.name), *map(handout.note, badge(group))] if named else []
    body = "\n".join([*heading, *(part for section in SECTIONS for part in section(group, choices))])
    return Html(f'<section class="group">{body}</section>')


def _compared(group: Group, choices: Choices) -> list[Html]:
    row = group.rows[0]
    facts = {
        "Runs": ", ".join(group.runs),
        "Data set": row["data"],
        "Judge": row["judge"],
        "Decoding": row["decoding"],
    }
    return [handout.pairs(facts), *map(warning, warnings(group))]


def warning(text: str) -> Html:
    return Html(f'<p class="warning">{escape(text)}</p>')


def _figures(group: Group, choices: Choices) -> list[Html]:
    shown = _charts(group)
    drawn = handout.drawings(shown, both=True)
    captions = [" ".join([*badge(group), chart.alt]) for chart in shown]
    figures = "".join(
        f"<figure>{figure}<figcaption>{escape(caption)}</figcaption></figure>"
        for figure, caption in zip(drawn, captions, strict=True)
    )
    return [handout.heading("Figures"), Html(f'<div class="figures">{figures}</div>'), _made_by(group.command)]


def _charts(group: Group) -> list[Chart]:
    utility = "retain_accuracy" if any(_known(row, "retain_accuracy") for row in group.rows) else "rouge_l"
    pd = [charts.dumbbell(group.rows, "sarr")] if any(row["pd"] for row in group.rows) else []
    return [
        charts.bars(group.rows, "sarr"),
        *pd,
        charts.against_sarr(group.rows, utility),
        charts.sarr_parts(group.rows),
        charts.category_heatmap(group.rows, "sarr"),
    ]


def _known(row: ScoreRow, metric: str) -> bool:
    return row["metrics"].get(metric, {}).get("value") is not None


def tables(group: Group, choices: Choices) -> list[Html]:
    return [part for grid in grids.of_group(group, again=choices.command) for part in _grid(grid)]


def _grid(grid: Grid) -> list[Html]:
    def line(tag: str, cells: Sequence[Cell]) -> str:
        found = (
            f'<{tag} class="{"number" if place >= grid.texts else ""}">{_cell(cell)}</{tag}>'
            for place, cell in enumerate(cells)
        )
        return f"<tr>{''.join(found)}</tr>"

    head = line("th", [Cell(text) for text in grid.head])
    body = "".join(line("td", cells) for cells in grid.rows)
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return [handout.heading(grid.title), _scrolled(table), *map(handout.note, grid.notes), _made_by(grid.command)]


def _scrolled(table: str) -> Html:
    """A table in a frame that scrolls where the page is too narrow."""
    return Html(f'<div class="wide" tabindex="0">{table}</div>')


def _cell(cell: Cell) -> str:
    return escape(cell.text) + "".join(f"<br><small>{escape(words)}</small>" for words in cell.more)


def _made_by(command: str) -> Html:
    return Html(f'<p class="note">Made by <code>{escape(command)}</code></p>')


def _examples(group: Group, choices: Choices) -> list[Html]:
    found, of = group.drawn(n=choices.examples, seed=choices.seed)
    if not found:
        why = "No examples: no question about a safe picture of val was answered by all these runs."
        return [handout.heading("Examples"), handout.note(why)] if choices.examples else []
    rest = "" if choices.harmful else " Harmful pictures, and what was answered about them, are left out."
    says = f"{len(found)} of {of:,} questions about safe pictures, drawn with seed {choices.seed}, not chosen.{rest}"
    return [
        handout.heading("Examples"),
        handout.note(says),
        *(_example(asked, group.harmful(asked) if choices.harmful else None) for asked in found),
        _made_by(choices.command),
    ]


def _example(safe: Asked, harmful: Asked | None) -> Html:
    vqa = safe.vqa
    sides = [_side(safe, "safe picture")] + ([_side(harmful, "harmful picture")] if harmful else [])
    return Html(
        f'<section class="question"><h3>“{escape(vqa.question)}”</h3>'
        f'<p class="note">{escape(vqa.category)} · {escape(vqa.id)}</p>{"".join(sides)}</section>'
    )


def _side(asked: Asked, kind: str) -> str:
    vqa = asked.vqa
    png = images.seen(vqa.picture, hidden=False, side=SIDE) if vqa.picture else None
    picture = handout.pictured(Picture(png, f"{kind}, {vqa.category}", kind.capitalize()))
    lines = "".join(
        f"<tr><th>{escape(answer.label)}</th><td>{handout.answered(_said(answer, vqa.set))}</td></tr>"
        for answer in asked.answers
    )
    return f'<div class="asked"><div>{picture}</div><table><tbody>{lines}</tbody></table></div>'


def _said(answer: Answer, set_name: str) -> Said:
    look = outcome_words.look(answer.outcome, set_name)
    return Said(look.colour, look.words, answer.text, outcome_words.wrong_refusal(answer.text, set_name))


def origins(group: Group, choices: Choices) -> list[Html]:
    made = [_made(label, run, row) for (label, run), row in zip(group.runs.items(), group.rows, strict=True)]
    row = group.rows[0]
    split = "train (efficacy alone) and val"
    found = [
        *provenance.section(made, data=row["data"], data_hash=row["data_hash"], split=split, judge=row["judge"]),
        *provenance.remaking(made),
    ]
    return [_scrolled(part) if part.startswith("<table") else part for part in found]


def _made(label: str, run: Run, row: ScoreRow) -> Made:
    config, facts = run.config, run.facts
    command = (
        ""
        if facts["imported"]
        else join(jobs.command(config, name=None if run.name == config.run_name() else run.name))
    )
    weight = stages.pd_weight(config)
    return Made(run.name, label, config, facts, row, weight, run.ships, adapter=run.weights_hash(), command=command)


Section = Callable[[Group, Choices], list[Html]]
SECTIONS: tuple[Section, ...] = (_compared, _figures, tables, _examples, origins)
