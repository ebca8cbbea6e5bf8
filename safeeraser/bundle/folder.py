"""A bundle as a folder: its page, data, pictures and checksums, written whole; and the header of a static space.

    index.html  page/  data/index.js  data/answers-000.js ...  pictures/00000.webp ...  bundle.json  SHA256SUMS

A browser reads no JSON file from the disk, so data are scripts that hand JSON to the page.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeeraser import __version__, files
from safeeraser.bundle import pictures
from safeeraser.bundle.contents import Contents, last
from safeeraser.charts import handout
from safeeraser.charts.handout import Html
from safeeraser.data.source import Source
from safeeraser.errors import SafeEraserError
from safeeraser.report import page as report
from safeeraser.report import texts
from safeeraser.report.collecting import Group
from safeeraser.runs.folder import Run
from safeeraser.score import counted
from safeeraser.score.escapes import markdown

PAGE = Path(__file__).parent / "page"
FORMAT = 1
MARK, SUMS, HEADER = "bundle.json", "SHA256SUMS", "README.md"
SPACE = """---
title: {quoted}
emoji: 🧽
colorFrom: blue
colorTo: green
sdk: static
app_file: index.html
pinned: false
---

# {title}

{about}
"""


class BundleError(SafeEraserError):
    """A bundle cannot be made of these runs or in this place; the message says what to do."""


@dataclass(frozen=True)
class Choices:
    """What its maker asked for.

    command: what makes it again; made: when; seed: of the cases' order; originals: harmful pictures and texts are in it
    as they are; space: with the header of a static space.
    """

    command: str
    made: str
    seed: int = 0
    originals: bool = False
    space: bool = False


def hides(source: Source, *, originals: bool) -> bool:
    """Whether harmful pictures and texts of this data set are hidden in a bundle."""
    return not (source.dataset.about.harmless or originals)


def check_place(target: Path, *, replace: bool) -> None:
    """Raise BundleError unless the folder is free, or a bundle and nothing else that may be replaced."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BundleError(f"--out {target} is no folder; choose another one")
    if not target.exists() or not any(target.iterdir()):
        return
    if not replace:
        raise BundleError(f"--out {target} is not empty; choose another folder, or add --force to replace a bundle")
    listed = _listed(target)
    foreign = next((name for name in _names(target) if name not in listed), None)
    if foreign is not None:
        raise BundleError(f"--out {target} is no bundle or holds more than one: {foreign}; choose another folder")


def _listed(target: Path) -> set[str]:
    """The files of a bundle by its own list; empty for a folder that is none."""
    if not (target / MARK).is_file():
        return set()
    lines = (line.decode("utf-8", "replace").split("  ", 1) for line in files.lines(target / SUMS))
    return {SUMS, *(line[1] for line in lines if len(line) == 2)}


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def only(groups: list[Group]) -> Group:
    """The one group of runs that compare. Raises BundleError where there are several."""
    if len(groups) == 1:
        return groups[0]
    told = "; ".join(f"{', '.join(run.name for run in group.runs.values())} on {group.name}" for group in groups)
    raise BundleError(
        f"these runs differ in data, judge or decoding, so they do not compare: {told}; bundle each apart"
    )


def write(group: Group, target: Path, choices: Choices, *, track: Callable[[list], Iterator] = iter) -> None:
    """Write the bundle in place of what is there; `track` wraps the drawing of its pictures in a progress bar."""
    contents = Contents(group, hides(group.source, originals=choices.originals), choices.seed)

    def fill(folder: Path) -> None:
        names = pictures.write(folder, contents.items, hides=contents.hides, track=track)
        for file in sorted(PAGE.glob("*.[cj]s*")):
            files.put(folder / "page" / file.name, file.read_bytes())
        files.put(folder / "data" / "index.js", _script("index", contents.index(names)))
        for place, chunk in enumerate(contents.chunks()):
            files.put(folder / "data" / f"answers-{place:03}.js", _script(str(place), chunk))
        files.put(folder / "index.html", _page(contents, choices))
        files.put(folder / MARK, json.dumps(_facts(contents, choices), indent=1) + "\n")
        if choices.space:
            files.put(folder / HEADER, _header(contents))
        files.put(folder / SUMS, _sums(folder))

    files.write_folder(target, fill)


def _script(name: str, content: Any) -> str:
    """JSON as a script that hands it to the page; nothing in it can end the script or a line of it."""
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return f'receive("{name}",{text});\n'


def _page(contents: Contents, choices: Choices) -> str:
    """The page: what is the same for every reader is in it, the rest is drawn by its scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    group, about = contents.group, contents.group.source.dataset.about
    asked = report.Choices(choices.command, choices.made, choices.seed)
    counts = counted.tabled(contents.counts)
    loader = FileSystemLoader(PAGE)
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("index.html").render(
        title=texts.title([group]),
        badge=about.badge,
        hides=contents.hides,
        originals=choices.originals and not about.harmless,
        made=choices.made,
        version=__version__,
        split=contents.split,
        seed=choices.seed,
        facts=contents.facts(),
        scripts=[file.name for file in sorted(PAGE.glob("*.js"), key=lambda file: (file.name == "app.js", file.name))],
        warnings=texts.warnings(group),
        counts=Markup(_counted(counts)),
        tables=[Markup(_named(part, group)) for part in report.tables(group, asked)],
        origins=[Markup(_named(part, group)) for part in report.origins(group, asked)],
        command=choices.command,
    )


def _named(part: Html, group: Group) -> Html:
    """A part of a report with the names of folders in place of where on this machine they lie."""
    from markupsafe import escape

    for name in {getattr(run.config, field) for run in group.runs.values() for field in ("data", "model")}:
        part = Html(part.replace(escape(name), escape(last(name))))
    return part


def _counted(counts: list[dict[str, str | int]]) -> Html:
    return handout.table([name.capitalize() for name in counts[0]], [list(row.values()) for row in counts])


def _facts(contents: Contents, choices: Choices) -> dict[str, Any]:
    """bundle.json: what the folder is, for a program."""
    row = contents.group.rows[0]
    return {
        "bundle": FORMAT,
        "version": __version__,
        "made": choices.made,
        "command": choices.command,
        "data": contents.data,
        "data_hash": row["data_hash"],
        "judge": row["judge"],
        "decoding": row["decoding"],
        "hides": contents.hides,
        "runs": {label: _told(run) for label, run in contents.group.runs.items()},
        "scores": [{**of_run, "data": contents.data} for of_run in contents.group.rows],
    }


def _told(run: Run) -> dict[str, Any]:
    """Where a run comes from; of folders of this machine their names."""
    config = run.facts["config"]
    return run.facts | {"run": run.name, "config": config | {name: last(config[name]) for name in ("model", "data")}}


def _header(contents: Contents) -> str:
    """README.md of a static space: its header in YAML, whose strings JSON's are, and what it is."""
    badge = contents.group.source.dataset.about.badge
    facts = [f"- {name}: {markdown(fact)}" for name, fact in contents.facts().items()]
    lines = [
        "Made by `safeeraser bundle`; `sha256sum -c SHA256SUMS` checks it.",
        *([f"**{markdown(badge)}**"] if badge else []),
    ]
    title = texts.title([contents.group])
    return SPACE.format(title=title, quoted=json.dumps(title), about="\n\n".join([*lines, "\n".join(facts)]))


def _sums(folder: Path) -> str:
    """As `sha256sum` writes it."""
    names = [name for name in _names(folder) if name != SUMS]
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
