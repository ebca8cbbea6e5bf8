"""The arena's page without a browser: what of a picture is sent before it is revealed."""

import base64
import random
import re
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from safeeraser.arena.matches import Arena
from safeeraser.arena.page import Table, _Hands, _title
from safeeraser.data.images import PREVIEW
from safeeraser.data.records import About
from safeeraser.generate.ask import Asker

pytestmark = pytest.mark.usefixtures("runs_folder")


@pytest.fixture
def hands() -> _Hands:
    """On a data set that does not say that it is harmless."""
    arena = Arena(rng=random.Random(0), asker=Asker())
    arena.about = About()
    return _Hands(arena)


def sent(changes: list[Any]) -> list[tuple[int, int]]:
    """The sizes of all pictures in what is sent to the page."""
    found = re.findall(r"base64,([^\"']+)", str(changes))
    return [Image.open(BytesIO(base64.b64decode(data))).size for data in found]


def test_a_harmful_picture_is_sent_blurred_until_it_is_revealed_and_not_asked_about(hands: _Hands):
    laid = hands.other("harmful")(None)
    table = next(change for change in laid if isinstance(change, Table))
    assert [max(size) for size in sent(laid)] == [PREVIEW]
    [asked] = hands.ask(table, "What is this?", "greedy", None)  # pyright: ignore[reportArgumentType]
    assert "Reveal the picture first" in asked[0]
    revealed = hands.reveal(table)
    assert [max(size) for size in sent(revealed)] > [PREVIEW]
    assert "hidden" not in str(revealed[1])
    assert "harmful pictures stay hidden" in _title(hands.arena)


def test_a_safe_picture_and_an_upload_are_shown_at_once(hands: _Hands):
    file = BytesIO()
    Image.new("RGB", (90, 60), "teal").save(file, "PNG")
    assert sent(hands._lay(file.getvalue())) == [(90, 60)]
    assert [max(size) for size in sent(hands.other("safe")(None))] > [PREVIEW]


def test_after_a_restart_the_page_says_that_it_must_be_reloaded(hands: _Hands):
    [asked] = hands.ask(None, "What is this?", "greedy", None)  # pyright: ignore[reportArgumentType]
    assert "reload the page" in asked[0]


def test_names_of_runs_and_badges_are_escaped(hands: _Hands):
    hands.arena.labels = {"a": "<script>x</script>"}
    hands.arena.about = About(badge="<b>y</b>")
    assert "<script>" not in _title(hands.arena)
    assert "<b>" not in _title(hands.arena)
