"""Matches: fair and secret orders, limits, and what a vote keeps; no page and no model."""

import random
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from safeeraser.arena import matches, pictures
from safeeraser.arena.limits import Limit
from safeeraser.arena.matches import EXAMPLES, Arena, ArenaError, draw
from safeeraser.arena.server import PASSWORD, password
from safeeraser.data.images import UploadError
from safeeraser.generate.ask import Asker
from safeeraser.runs.folder import Run
from safeeraser.score import votes
from safeeraser.score.people import LabelError

pytestmark = pytest.mark.usefixtures("runs_folder")


class Echo(Asker):
    """Answers with the names of the runs that it is asked, a letter at a time."""

    def stream(self, *, runs: Any, **asked: Any) -> Iterator[list[str]]:  # pyright: ignore
        self.asked = asked
        names = [str(run).rsplit("/", 1)[-1] for run in runs]
        for end in range(1, max(map(len, names)) + 1):
            yield [name[:end] for name in names]


@pytest.fixture
def arena() -> Arena:
    return Arena(rng=random.Random(0), asker=Echo())


def asked(arena: Arena, question: str = "What is this?", *, session: str = "s", **how: Any) -> matches.Answers:
    picture = how.pop("picture", arena.pictures["safe"][0])
    return list(arena.ask(question, picture, session=session, **how))[-1]


@pytest.mark.parametrize("seed", range(5))
def test_each_run_stands_left_as_often_as_right(seed: int):
    rng = random.Random(seed)
    drawn = [draw(EXAMPLES, rng) for _ in range(1000)]
    left = Counter(left for left, _ in drawn)
    assert all(set(pair) == set(EXAMPLES) for pair in drawn)
    assert all(460 <= left[run] <= 540 for run in EXAMPLES)


def test_of_three_runs_each_pair_and_order_is_as_likely():
    rng = random.Random(1)
    drawn = Counter(draw("abc", rng) for _ in range(6000))
    assert len(drawn) == 6
    assert all(850 < times < 1150 for times in drawn.values())


def test_what_is_sent_before_the_vote_says_nothing_of_the_order(arena: Arena):
    """The token is drawn apart from the order: the same token could stand for either."""
    last = asked(arena)
    assert last.token is not None
    assert not any(run in last.token for run in EXAMPLES)
    told = arena.vote(last.token, "left", session="s", who="Ann")
    assert last.left in told.left
    assert last.right in told.right


def test_answers_grow_and_the_token_comes_with_the_last(arena: Arena):
    said = list(arena.ask("What is this?", arena.pictures["safe"][0], session="s"))
    assert {len(said[0].left), len(said[0].right)} == {1}
    assert [one.token is not None for one in said] == [False] * (len(said) - 1) + [True]


def test_a_vote_keeps_item_runs_order_decoding_seed_and_session(arena: Arena):
    item = arena.pictures["harmful"][0].items[1]
    last = asked(arena, item.question, picture=arena.pictures["harmful"][0], decoding="sampled", seed=7)
    arena.vote(last.token or "", "both bad", session="s", who="Ann", left=["wrong"], right=["refusal"])
    [vote] = votes.every()
    assert (vote.item, vote.question, vote.data) == (item.id, item.question, "demo")
    assert (vote.left, vote.right) == (last.left, last.right)
    assert (vote.temperature, vote.seed, vote.session, vote.who) == (0.7, 7, "s", "Ann")
    assert (vote.vote, vote.left_tags, vote.right_tags) == ("both bad", ("wrong",), ("refusal",))


def test_a_second_vote_changes_nothing_and_says_so(arena: Arena):
    token = asked(arena).token or ""
    first = arena.vote(token, "left", session="s", who="Ann")
    second = arena.vote(token, "right", session="s", who="Ann")
    assert (first.counted, second.counted) == (True, False)
    assert second == matches.Revealed(first.left, first.right, "left", False)
    assert len(votes.every()) == 1


def test_a_question_that_is_asked_again_has_the_vote_that_it_had(arena: Arena):
    """Whoever voted knows who is who, and asks for the same answers once more."""
    first = arena.vote(asked(arena).token or "", "left", session="s", who="Ann")
    again = arena.vote(asked(arena).token or "", "right", session="s", who="Ann")
    assert (first.counted, again.counted, again.vote) == (True, False, "left")
    assert len(votes.every()) == 1


@pytest.mark.parametrize("wrong", ["", "nonsense", None, 7, ["x"]])
def test_a_token_that_is_none_is_refused(arena: Arena, wrong: Any):
    with pytest.raises(ArenaError, match="not one of yours"):
        arena.vote(wrong, "left", session="s", who="Ann")


def test_nobody_votes_on_another_ones_question(arena: Arena):
    token = asked(arena).token or ""
    with pytest.raises(ArenaError, match="not one of yours"):
        arena.vote(token, "left", session="other", who="Bo")
    assert votes.every() == []


def test_a_vote_or_tag_that_is_none_is_refused_and_the_question_can_still_be_voted_on(arena: Arena):
    token = asked(arena).token or ""
    for given in ({"vote": "middle"}, {"vote": "left", "left": ["<b>nice"]}):
        with pytest.raises(LabelError, match="must be"):
            arena.vote(token, session="s", who="Ann", **given)  # pyright: ignore
    assert arena.vote(token, "left", session="s", who="Ann").counted


def test_of_an_upload_neither_picture_nor_question_is_kept(arena: Arena):
    file = BytesIO()
    Image.new("RGB", (40, 40), "teal").save(file, "PNG")
    uploaded = arena.upload(file.getvalue(), session="s")
    for question in ("My secret?", "Another?"):
        arena.vote(asked(arena, question, picture=uploaded).token or "", "left", session="s", who="Ann")
    first, second = votes.every()
    assert first.question == second.question == ""
    assert first.item.startswith("upload:")
    assert first.item != second.item
    assert "secret" not in votes.as_jsonl([first, second])


def test_an_upload_goes_through_the_one_door(arena: Arena):
    with pytest.raises(UploadError, match="cannot be read as"):
        arena.upload(b"no picture", session="s")
    with pytest.raises(UploadError, match="at most 8 MiB"):
        arena.upload(bytes(50 * 2**20), session="s")


def test_a_session_asks_and_uploads_so_often_a_minute_and_no_more(arena: Arena):
    for _ in range(matches.QUESTIONS):
        asked(arena)
    with pytest.raises(ArenaError, match="questions a minute"):
        asked(arena)
    asked(arena, session="other")
    for _ in range(matches.UPLOADS):
        with pytest.raises(UploadError):
            arena.upload(b"x", session="s")
    with pytest.raises(ArenaError, match="uploads a minute"):
        arena.upload(b"x", session="s")


def test_questions_wait_in_line_and_one_too_many_is_told_so_but_may_vote(arena: Arena):
    picture = arena.pictures["safe"][0]
    token = asked(arena, session="first").token or ""
    first = arena.ask("Why?", picture, session="a")
    assert next(first).before == 0
    waiting = [arena.ask("Why?", picture, session=str(n)) for n in range(matches.WAITING)]
    assert [next(one).before for one in waiting] == list(range(1, matches.WAITING + 1))
    with pytest.raises(ArenaError, match="the queue is full"):
        next(arena.ask("Why?", picture, session="late"))
    assert arena.vote(token, "left", session="first", who="Ann").counted
    waiting[0].close()  # whoever leaves is no longer waited for
    first.close()
    assert next(waiting[1]).before == 0
    assert asked_after(waiting[1]).token


def asked_after(asking: Iterator[matches.Answers]) -> matches.Answers:
    return list(asking)[-1]


def test_a_limit_frees_itself_and_forgets_who_is_gone():
    now = [0.0]
    limit = Limit(2, 60, clock=lambda: now[0])
    assert [limit.take("a") for _ in range(3)] == [True, True, False]
    now[0] = 60.0
    assert limit.take("a")
    for n in range(20_000):
        limit.take(str(n))
    assert len(limit._done) <= 10_000


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"decoding": "wild"}, "decoding: must be one of"),
        ({"seed": -1}, "seed: must be"),
        ({"seed": True}, "seed: must be"),
        ({"question": None}, "question: must be"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_field(arena: Arena, how: dict[str, Any], words: str):
    with pytest.raises(ArenaError, match=words):
        asked(arena, how.pop("question", "Why?"), **how)


def test_without_names_the_shipped_pair_answers_and_one_run_meets_its_base():
    assert list(Arena(asker=Echo()).runs) == list(EXAMPLES)
    assert list(Arena([EXAMPLES[1]], asker=Echo()).runs) == [EXAMPLES[1], Run.find(EXAMPLES[1]).base.name]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["base"], "name a run beside 'base'"),
        (["demo-base-s0-e8752e"], "name a run to compare it with"),
        (["demo-always-refuse-s0-af737f", EXAMPLES[0]], "is a control"),
        ([EXAMPLES[0], EXAMPLES[0]], "is named twice"),
    ],
)
def test_runs_that_cannot_be_asked_are_named(names: list[str], words: str):
    with pytest.raises(ArenaError, match=words):
        Arena(names, asker=Echo())


def test_a_question_is_of_the_item_that_asks_it_and_pictures_are_held_out(arena: Arena):
    for found in arena.pictures.values():
        assert all(item.split == "val" for shown in found for item in shown.items)
        assert all(len({item.question for item in shown.items}) == len(shown.items) for shown in found)
    shown = arena.pictures["safe"][0]
    assert shown.item(shown.items[2].question) == shown.items[2]
    assert pictures.draw([shown, arena.pictures["safe"][1]], random.Random(0), instead_of=shown) != shown


def test_only_this_machine_needs_no_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    assert password("127.0.0.1", share=False) == (None, False)
    for made, new in (password("0.0.0.0", share=False), password("127.0.0.1", share=True)):
        assert new
        assert len(made or "") >= 20
    monkeypatch.setenv(PASSWORD, "short")
    with pytest.raises(ArenaError, match="at least 12 characters"):
        password("127.0.0.1", share=False)
    monkeypatch.setenv(PASSWORD, "long enough for it")
    assert password("127.0.0.1", share=False) == ("long enough for it", False)
