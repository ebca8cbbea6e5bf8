"""The arena's page, in Gradio. Not covered: the interface for scripts (`scripts.py`).

What a model, a data set or a person says is never read as Markdown or HTML: it goes into text boxes and, elsewhere,
through `escape`. A picture is drawn into the page itself, so that Gradio keeps no copy of it.
"""

import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Default

from safeeraser.arena import pictures, scripts
from safeeraser.arena.matches import DECODINGS, UPLOADS, Arena
from safeeraser.arena.pictures import HARMFUL, SAFE, Shown
from safeeraser.data import images
from safeeraser.errors import SafeEraserError
from safeeraser.generate.ask import LONGEST_QUESTION
from safeeraser.score.votes import TAGS

TITLE = "Which answer is better?"
HOW = "Ask, read both answers, then vote. Which model stood where is told after the vote."
MOST_EVENTS = 500  # presses of buttons that wait at Gradio; questions wait in `matches.py`
GONE = "The arena was started anew, or has not drawn a picture yet: reload the page."
KIND_NAMES = {SAFE: "Another safe picture", HARMFUL: "Another harmful picture"}
DECODING_NAMES = {"greedy": "Likeliest words", "sampled": "Sampled"}
BUTTONS = {"left": "Left is better", "right": "Right is better", "both fine": "Both fine", "both bad": "Both bad"}
# What Gradio's own looks get wrong: contrast of small grey text, and a picture that fills the screen.
CSS = """
.gradio-container {max-width: 1240px !important; margin: 0 auto !important; padding-top: .5rem !important}
.gradio-container .gap {gap: .6rem}
#title h1 {margin: 0 0 .25rem; font-size: 1.6rem}
#title p {margin: 0}
.badge {display: inline-block; padding: .1rem .6rem; margin-left: .6rem; border-radius: 1rem; font-size: .8rem;
  font-weight: 600; vertical-align: middle; background: var(--secondary-100); color: var(--secondary-900)}
.card {text-align: center}
.card img {display: block; margin: 0 auto; width: 100%; max-width: 240px; max-height: 240px; object-fit: contain;
  border-radius: 8px; background: var(--background-fill-secondary)}
.card p, .status {margin: .2rem 0 0; color: var(--body-text-color)}
.status {min-height: 1.6rem}
.gradio-container input:disabled, .gradio-container textarea:disabled {color: var(--body-text-color) !important;
  -webkit-text-fill-color: var(--body-text-color) !important; opacity: 1 !important}
footer {display: none !important}
"""


def theme() -> gr.Theme:
    """Looks without a font that a browser would fetch, and with buttons whose words can be read."""
    fonts: dict[str, Any] = {"font": ("system-ui", "sans-serif"), "font_mono": ("monospace",)}
    looks = Default(primary_hue="blue", neutral_hue="slate", spacing_size="sm", **fonts)
    dark = {f"button_primary_background_fill{where}": "*primary_700" for where in ("", "_dark")}
    darker = {f"button_primary_background_fill_hover{where}": "*primary_800" for where in ("", "_dark")}
    return looks.set(**dark, **darker)


@dataclass(frozen=True)
class Table:
    """What lies before one person. picture: of the data set, or an upload's PNG; token: of the match to vote on."""

    picture: Shown | bytes
    revealed: bool = False
    token: str | None = None


def build(arena: Arena) -> gr.Blocks:
    """The page; `server.py` starts it."""
    with gr.Blocks(title=f"{TITLE} SafeEraser", analytics_enabled=False, delete_cache=(60, 120)) as page:
        scripts.add(arena)  # first: the page's own events are named after functions too
        table = gr.State()
        gr.HTML(_title(arena), elem_id="title")
        with gr.Row():
            with gr.Column(scale=2, min_width=260):
                card = gr.HTML()
                reveal = gr.Button("Reveal", visible=False)
                with gr.Row():
                    others = {kind: gr.Button(KIND_NAMES[kind], size="sm", min_width=100) for kind in arena.kinds}
                with gr.Accordion("A picture of your own", open=False):
                    upload = gr.File(label=_upload_words(), height=110)
            with gr.Column(scale=5, min_width=320):
                suggested = gr.Dropdown(label="Ask what the data set asks about it", elem_id="suggested")
                question = gr.Textbox(
                    label="or a question of your own",
                    max_length=LONGEST_QUESTION,
                    lines=1,
                    max_lines=3,
                    elem_id="question",
                )
                with gr.Row(equal_height=True):
                    names = [(DECODING_NAMES[name], name) for name in DECODINGS]
                    decoding = gr.Radio(names, value="greedy", label="Decoding", scale=2, min_width=220)
                    ask = gr.Button("Ask both", variant="primary", elem_id="ask", scale=1, min_width=140)
                status = gr.HTML(_status(HOW))
        with gr.Row():
            left, left_tags = _side("left")
            right, right_tags = _side("right")
        with gr.Row():
            votes = {vote: gr.Button(words, interactive=False, min_width=120) for vote, words in BUTTONS.items()}

        said = [left, right, left_tags, right_tags, *votes.values(), ask]
        shown = [status, table, card, reveal, suggested, question, *said]
        hands = _Hands(arena)
        asking = gr.on(
            [ask.click, question.submit],
            hands.ask,
            [table, question, decoding],
            [status, table, *said],
            trigger_mode="once",
            api_visibility="private",
            show_progress_on=status,
            concurrency_limit=None,
        )
        at_once: dict[str, Any] = {"api_visibility": "private", "queue": False}
        anew: dict[str, Any] = {**at_once, "cancels": asking}  # what was asked about the last picture is given up
        page.load(hands.first, outputs=shown, **at_once)
        for kind, button in others.items():
            button.click(hands.other(kind), table, shown, **anew)
        upload.upload(hands.upload, upload, [upload, *shown], **anew)
        reveal.click(hands.reveal, table, [table, card, reveal], **at_once)
        suggested.input(lambda words: words, suggested, question, **at_once)
        for vote, button in votes.items():
            given = [table, left_tags, right_tags]
            button.click(hands.vote(vote), given, [status, *votes.values()], trigger_mode="once", **at_once)
    page.queue(max_size=MOST_EVENTS, default_concurrency_limit=4)
    return page


def _title(arena: Arena) -> str:
    badge = f'<span class="badge">{escape(arena.about.badge)}</span>' if arena.about.badge else ""
    runs = ", ".join(map(escape, arena.labels.values()))
    words = f"Two of these answer, in an order that is drawn for each question: {runs}."
    if not arena.about.harmless:
        words += " Pictures and answers may disturb: harmful pictures stay hidden until you reveal them."
    return f"<h1>{TITLE}{badge}</h1><p>{words}</p>"


def _upload_words() -> str:
    return f"At most {images.MAX_BYTES // 2**20} MiB, {UPLOADS} a minute; never kept"


def _side(name: str) -> tuple[gr.Textbox, gr.CheckboxGroup]:
    with gr.Column(min_width=280):
        answer = gr.Textbox(
            label=f"Answer on the {name}", lines=3, max_lines=12, interactive=False, elem_id=f"answer-{name}"
        )
        tags = gr.CheckboxGroup(TAGS, label=f"Tags, if you like: the {name} one is", elem_id=f"tags-{name}")
    return answer, tags


def _status(words: str) -> str:
    return f'<p class="status" role="status">{escape(words)}</p>'


class _Hands:
    """What the page's buttons do."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena

    def first(self) -> list[Any]:
        return self._lay(pictures.draw(self.arena.pictures[self.arena.kinds[0]], self.arena.rng))

    def other(self, kind: str) -> Any:
        def another(table: Table | None) -> list[Any]:
            before = table.picture if table and isinstance(table.picture, Shown) else None
            return self._lay(pictures.draw(self.arena.pictures[kind], self.arena.rng, instead_of=before))

        return another

    def reveal(self, table: Table | None) -> list[Any]:
        if table is None:
            return [gr.skip()] * 3
        table = replace(table, revealed=True)
        return [table, self._card(table), gr.update(visible=False)]

    def upload(self, path: str, request: gr.Request) -> list[Any]:
        """The upload in the place of the picture; Gradio's file of it is deleted at once."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(images.MAX_BYTES + 1)
            return [None, *self._lay(self.arena.upload(content, session=scripts.session_of(request)))]
        except SafeEraserError as error:
            return [None, _status(f"Not taken: {error}"), *(gr.skip() for _ in self.first()[1:])]
        finally:
            with suppress(OSError):
                Path(path).unlink()

    def ask(self, table: Table | None, question: str, decoding: str, request: gr.Request) -> Iterator[list[Any]]:
        """Both answers as they grow; the votes can be pressed once they are whole."""
        if table is None:
            yield [_status(GONE), *(gr.skip() for _ in _asked("", Table(b""), "", "")[1:])]
            return
        if self._hides(table):
            words = "Reveal the picture first: what is answered about it may be harmful."
            yield _asked(words, table, "", "", busy=False)
            return
        empty = gr.update(value=[])
        yield _asked("Both answer soon. The first question also loads the model.", table, "", "", tags=empty)
        try:
            for said in self.arena.ask(question, table.picture, session=scripts.session_of(request), decoding=decoding):
                table = replace(table, token=said.token)
                words = "Which is better?" if said.token else "Both answer."
                words = f"Others come first: {said.before}." if said.before else words
                yield _asked(words, table, said.left, said.right, busy=said.token is None)
        except SafeEraserError as error:
            yield _asked(f"No answer: {error}", table, "", "", busy=False)

    def vote(self, vote: str) -> Any:
        def given(table: Table | None, left: list[str], right: list[str], request: gr.Request) -> list[Any]:
            try:
                who, session = scripts.who_of(request), scripts.session_of(request)
                token = table.token if table else None
                told = self.arena.vote(token or "", vote, session=session, who=who, left=left, right=right)
            except SafeEraserError as error:
                return [_status(f"Not counted: {error}"), *(gr.skip() for _ in BUTTONS)]
            words = "Thank you" if told.counted else f"Your first vote counts ({BUTTONS[told.vote].lower()})"
            status = _status(
                f"{words}. Left was {told.left}, right was {told.right}. Take another picture or question."
            )
            return [status, *_votes(open=False)]

        return given

    def _lay(self, picture: Shown | bytes) -> list[Any]:
        """A picture on the table, with what can be asked about it, and everything else cleared."""
        table = Table(picture)
        questions = [item.question for item in picture.items] if isinstance(picture, Shown) else []
        first = questions[0] if questions else ""
        suggested = gr.update(choices=questions, value=first or None, visible=bool(questions))
        tags = gr.update(value=[])
        lying = [table, self._card(table), gr.update(visible=self._hides(table)), suggested, first]
        return [_status(HOW), *lying, "", "", tags, tags, *_votes(open=False), gr.update(interactive=True)]

    def _hides(self, table: Table) -> bool:
        return isinstance(table.picture, Shown) and self.arena.hides(table.picture) and not table.revealed

    def _card(self, table: Table) -> str:
        """The picture, or its blurred form, which is made here; its words name the category, never the scene."""
        hidden = self._hides(table)
        if isinstance(table.picture, bytes):
            content, words = table.picture, "your picture"
        else:
            content = images.seen(table.picture.path, hidden=hidden)
            kind = HARMFUL if table.picture.harmful else SAFE
            category = f", {table.picture.category}" if table.picture.harmful else ""  # a safe picture shows none
            words = f"{kind} picture{category}{', hidden' if hidden else ''}"
        if content is None:
            return f'<div class="card"><p>The file of this {escape(words)} cannot be read.</p></div>'
        data = base64.b64encode(content).decode()
        image = f'<img src="data:image/png;base64,{data}" alt="{escape(words)}">'
        return f'<div class="card">{image}<p>{escape(words[0].upper() + words[1:])}</p></div>'


def _asked(words: str, table: Table, left: str, right: str, *, busy: bool = True, tags: Any = None) -> list[Any]:
    """What a question changes on the page; busy: it is still being answered."""
    tags = gr.skip() if tags is None else tags
    votes = _votes(open=table.token is not None)
    return [_status(words), table, left, right, tags, tags, *votes, gr.update(interactive=not busy)]


def _votes(*, open: bool) -> list[Any]:
    return [gr.update(interactive=open) for _ in BUTTONS]
