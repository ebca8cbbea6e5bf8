"""Answers from an endpoint, asked over HTTP from a server that speaks the OpenAI format on this machine."""

import asyncio
import io
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answering_server import HANG_UP, Answering, Reply, reply, said, sent_for, serving, shown
from PIL import Image
from warm import Started

from safeeraser import cli, stages
from safeeraser.config import RunConfig
from safeeraser.data.records import VQA, DataError, Dataset
from safeeraser.data.source import Source
from safeeraser.generate import answering
from safeeraser.generate.endpoint import Endpoint, EndpointError
from safeeraser.generate.questions import Question, questions
from safeeraser.models import loading
from safeeraser.models.encoder import Encoder
from safeeraser.runs.folder import Run

KEY = "sk-very-secret-0123456789"
ASKED = 68  # as `test_answering.py` counts


@pytest.fixture
def server() -> Iterator[Answering]:
    with serving() as state:
        yield state


@pytest.fixture
def base(config: RunConfig) -> RunConfig:
    return config.base()


@pytest.fixture
def asked(tiny_data: Dataset, base: RunConfig) -> list[Question]:
    """ASKED questions, about 8 pictures and in words alone."""
    return questions(tiny_data, base)


@pytest.fixture
def run(base: RunConfig, runs_folder: Path) -> Run:
    return stages.open_run(base, Source(base.data), name="asked")


def expected(asked: list[Question]) -> dict[tuple[str, int], str]:
    return {q.key: said(sent_for(q.item), q.item.question) for q in asked}


def ask(server: Answering, asked: list[Question], config: RunConfig, **how: Any) -> dict[tuple[str, int], str]:
    engine = Endpoint(server.url, config, pause=0.01, **how)
    return {question.key: text for question, text in engine.answers(asked)}


def test_each_question_gets_the_answer_to_its_own_picture_and_words(
    server: Answering, asked: list[Question], base: RunConfig
):
    server.delay = 0.01
    assert ask(server, asked, base, workers=5) == expected(asked)
    assert len(server.asked) == len(asked) == ASKED
    assert 1 < server.most_at_once <= 5


def test_questions_of_one_picture_are_asked_one_after_the_other(
    server: Answering, asked: list[Question], base: RunConfig
):
    ask(server, asked[::3] + asked[1::3] + asked[2::3], base, workers=1)
    pictures = [shown(body)[0] for body in server.asked]
    changes = sum(a != b for a, b in pairwise(pictures))
    assert changes + 1 == len(set(pictures))


def test_a_request_decodes_as_the_run_says_and_names_the_only_model(
    server: Answering, asked: list[Question], base: RunConfig
):
    engine = Endpoint(server.url + "/", base)
    assert engine.note == f"the-model at {server.url.removeprefix('http://').removesuffix('/v1')}"
    list(engine.answers(asked[:1]))
    sent = server.asked[-1]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("the-model", 0.0, 5)
    assert "top_p" not in sent


def test_samples_have_seeds_of_their_own_that_a_second_asking_repeats(
    server: Answering, asked: list[Question], base: RunConfig
):
    sampled = base.model_copy(update={"temperature": 0.7, "top_p": 0.8})
    samples = [replace(asked[0], sample=k) for k in range(3)]
    for config in (sampled, sampled, sampled.model_copy(update={"seed": 1})):
        list(Endpoint(server.url, config, workers=1).answers(samples))
    seeds = [body["seed"] for body in server.asked]
    assert seeds[:3] == seeds[3:6]
    assert len(set(seeds)) == 6
    assert {(body["temperature"], body["top_p"]) for body in server.asked} == {(0.7, 0.8)}
    assert not any("top_k" in body for body in server.asked)


def test_a_system_prompt_is_a_message_of_its_own_and_top_k_a_field_that_some_servers_refuse(
    server: Answering, asked: list[Question], base: RunConfig
):
    told = {"system_prompt": "Be brief.", "temperature": 1.0, "top_k": 50}
    assert ask(server, asked[:1], base.model_copy(update=told)) == expected(asked[:1])
    (sent,) = server.asked
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["messages"][1]["role"], sent["top_k"]) == ("user", 50)
    decoding = 'sampled, T=1, top_k=50, top_p=0.9, at most 5 tokens, system prompt "Be brief."'
    assert stages.decoding(base.model_copy(update=told), []) == decoding
    ask(server, asked[:1], base.model_copy(update=told | {"temperature": 0.0}))
    assert "top_k" not in server.asked[-1]
    server.before = lambda number: (400, {"error": {"message": "Unrecognized request argument: top_k"}}, {})
    with pytest.raises(EndpointError, match=r"takes no top_k.*--no-top-k; status 400: .*Unrecognized"):
        ask(server, asked[:1], base.model_copy(update=told))


def test_pictures_arrive_byte_by_byte_and_only_a_format_that_endpoints_do_not_read_becomes_png(
    server: Answering, asked: list[Question], base: RunConfig, tmp_path: Path
):
    picture = Image.new("RGB", (9, 7), (200, 30, 60))
    ways = {
        "a.jpg": "JPEG",
        "b.png": "PNG",
        "c.webp": "WEBP",
        "d.gif": "GIF",
        "named wrongly.jpg": "PNG",
        "e.bmp": "BMP",
    }
    items: list[VQA] = []
    for name, form in ways.items():
        picture.save(tmp_path / name, form)
        items.append(replace(asked[0].item, id=name, picture=tmp_path / name))
    list(Endpoint(server.url, base, workers=1).answers([Question(item, 0) for item in items]))
    got = [shown(body)[0] for body in server.asked]
    assert got[:5] == [(tmp_path / name).read_bytes() for name in list(ways)[:5]]
    with Image.open(io.BytesIO(got[5])) as image:
        assert (image.format, image.size, image.getpixel((3, 3))) == ("PNG", (9, 7), (200, 30, 60))


def test_a_picture_that_cannot_be_read_is_named(
    server: Answering, asked: list[Question], base: RunConfig, tmp_path: Path
):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    broken = Question(replace(asked[0].item, picture=tmp_path / "broken.jpg"), 0)
    with pytest.raises(DataError, match=r"broken\.jpg: the picture cannot be read"):
        list(Endpoint(server.url, base).answers([broken]))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_asked_again(server: Answering, asked: list[Question], base: RunConfig, status: int):
    server.before = lambda number: (status, b"busy", {}) if number in (1, 2, 3, 7) else None
    assert ask(server, asked, base, workers=2) == expected(asked)
    assert len(server.asked) == ASKED + 4


def test_the_wait_that_a_server_asks_for_is_kept(
    server: Answering, asked: list[Question], base: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    server.before = lambda number: (429, b"slow down", {"Retry-After": "17"}) if number == 1 else None
    waits, sleep = [], asyncio.sleep
    monkeypatch.setattr("safeeraser.generate.endpoint.asyncio.sleep", lambda wait: (waits.append(wait), sleep(0))[1])
    assert ask(server, asked[:1], base) == expected(asked[:1])
    assert [wait for wait in waits if wait] == [17]


def test_a_connection_that_breaks_is_made_again(server: Answering, asked: list[Question], base: RunConfig):
    server.before = lambda number: (HANG_UP, b"", {}) if number in (2, 3, 30) else None
    assert ask(server, asked, base, workers=2) == expected(asked)
    assert len(server.asked) == ASKED + 3


def test_a_server_that_stays_down_ends_with_its_words_and_how_to_go_on(
    server: Answering, asked: list[Question], base: RunConfig
):
    server.before = lambda number: (503, b"out of memory on GPU 3", {}) if number > 10 else None
    engine, got = Endpoint(server.url, base, workers=1, pause=0.001), []
    message = r"no reply in 6 tries; status 503: out of memory on GPU 3.*the same command goes on"
    with pytest.raises(EndpointError, match=message):
        got.extend(key for key, _ in engine.answers(asked))
    assert len(got) == 10
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1: no reply in 3 tries; ConnectError"):
        Endpoint("http://127.0.0.1:9/v1", base, pause=0.001)


def test_a_wrong_key_is_told_at_once_in_the_servers_words_without_the_key(
    server: Answering, asked: list[Question], base: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.before = lambda number: (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, {})
    with pytest.raises(
        EndpointError, match=r"set OPENAI_API_KEY .*status 401: .*Incorrect API key provided: \*\*\*"
    ) as told:
        list(Endpoint(server.url, base, workers=1).answers(asked))
    assert KEY not in str(told.value)
    assert server.keys == [f"Bearer {KEY}"]


def test_several_models_are_listed_and_one_can_be_chosen(server: Answering, asked: list[Question], base: RunConfig):
    server.models = ("base-model", "unlearned")
    with pytest.raises(EndpointError, match=r"serves 2 models \(base-model, unlearned\); add --endpoint-model"):
        Endpoint(server.url, base)
    assert ask(server, asked[:3], base, model="unlearned") == expected(asked[:3])
    assert {body["model"] for body in server.asked} == {"unlearned"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((200, b"<html>", {}), "the reply is not JSON: <html>"),
        ((200, {"object": "error"}, {}), r'the reply holds no answer: \{"object": "error"\} \(choices: Field required'),
        ((200, {"choices": []}, {}), "the reply holds no answer"),
        ((200, ["choices"], {}), "the reply holds no answer"),
        (
            reply([{"type": "text"}]),
            r"the reply holds no answer: .*\(choices\.0\.message\.content: Input should be",
        ),
        ((400, {"error": {"message": "the prompt is too long"}}, {}), "status 400: .*the prompt is too long"),
        ((302, b"", {"Location": "http://127.0.0.1:9/"}), "status 302"),
        ((429, b"", {"Retry-After": "90000"}), "status 429: ; it asks to come back in 90000 seconds"),
    ],
)
def test_a_reply_that_is_no_answer_names_the_endpoint_and_shows_it(
    server: Answering, asked: list[Question], base: RunConfig, given: Reply, message: str
):
    server.before = lambda number: given
    with pytest.raises(EndpointError, match=f"{server.url}: {message}"):
        ask(server, asked[:1], base)
    assert len(server.asked) == 1


@pytest.mark.parametrize("empty", ["", None, "  \n"])
def test_an_empty_answer_is_an_answer(server: Answering, asked: list[Question], base: RunConfig, empty: str | None):
    server.before = lambda number: reply(empty)
    assert ask(server, asked[:2], base) == {question.key: "" for question in asked[:2]}


def test_it_answers_where_an_event_loop_runs_already(server: Answering, asked: list[Question], base: RunConfig):
    async def notebook() -> dict:
        return ask(server, asked[:2], base)

    with ThreadPoolExecutor() as pool:  # browser tests leave a loop in this thread
        answers = pool.submit(asyncio.run, notebook()).result()
    assert answers.keys() == {question.key for question in asked[:2]}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "expected an address such as http://localhost:8000/v1"),
        ("http://me:secret@host/v1", "leave user and password out"),
        ("http://host/v1?key=1", "expected an address"),
    ],
)
def test_an_address_that_is_none_is_refused(base: RunConfig, url: str, message: str):
    with pytest.raises(EndpointError, match=message) as told:
        Endpoint(url, base, model="m")
    assert "secret" not in str(told.value)


def test_a_run_answered_by_an_endpoint_says_so_in_rows_and_score(server: Answering, run: Run, capsys):
    assert cli.main(["generate", run.name, "--endpoint", server.url]) == 0
    rows = run.rows(run.answers)
    note = f"the-model at 127.0.0.1:{server.url.split(':')[2].removesuffix('/v1')}"
    assert {row["engine"] for row in rows} == {note}
    source = Source(run.config.data)
    wanted = expected(questions(source.dataset, run.config))
    assert {(row["id"], row["sample"]): row["answer"] for row in rows} == wanted
    stages.judge(run, source, "demo")
    assert stages.score(run, source, "demo")["decoding"] == f"greedy, at most 5 tokens, by {note}"
    del rows[0]["engine"]
    assert stages.decoding(run.config, rows) == f"greedy, at most 5 tokens, 67 of 68 by {note}"


def test_an_error_comes_after_the_answers_that_arrived_with_it(
    server: Answering, asked: list[Question], base: RunConfig
):
    server.before = lambda number: (400, b"no", {}) if number == 23 else None
    engine, got = Endpoint(server.url, base, workers=3), []
    with pytest.raises(EndpointError, match="What was answered is kept; the same command goes on"):
        got.extend(key for key, _ in engine.answers(asked))
    assert 20 <= len(got) <= 24


@pytest.mark.slow
def test_a_server_of_the_same_model_gives_the_answers_that_the_run_gives_itself(
    server: Answering, run: Run, tmp_path: Path, capsys
):
    network, processor = loading.load(run.config.model)
    encoder = Encoder(processor, max_length=run.config.max_length)

    def by_the_model(number: int) -> Reply:
        content, words = shown(server.asked[-1])
        picture = tmp_path / f"{number}.jpg" if content else None
        if picture:
            picture.write_bytes(content)
        item = VQA("", "forget", "val", "", picture, words, "", text_only=picture is None)
        ((_, text),) = answering.answers(network.eval(), encoder, [Question(item, 0)], run.config)
        return reply(text)

    server.before = by_the_model
    stages.open_run(run.config, Source(run.config.data), name="itself")
    assert cli.main(["generate", run.name, "--endpoint", server.url]) == cli.main(["generate", "itself"]) == 0
    ours = Run.find("itself")
    asked, itself = ({(row["id"], row["sample"]): row["answer"] for row in r.rows(r.answers)} for r in (run, ours))
    assert asked == itself
    assert len(set(asked.values())) > 3


def test_a_failure_in_the_middle_keeps_the_answers_and_the_same_command_goes_on(server: Answering, run: Run, capsys):
    command = ["generate", run.name, "--endpoint", server.url, "--endpoint-workers", "3"]
    server.before = lambda number: (400, b"no", {}) if number == 30 else None
    assert cli.main(command) == 1
    assert "What was answered is kept; the same command goes on" in capsys.readouterr().err
    kept = len(run.rows(run.answers))
    assert 29 <= kept == len(server.asked) - 1 < ASKED  # what was on its way is waited for
    assert run.state["status"] == "failed"
    server.before = lambda number: None
    before = len(server.asked)
    assert cli.main(command) == 0
    assert len(server.asked) - before == ASKED - kept
    counted = Counter((row["id"], row["sample"]) for row in run.rows(run.answers))
    assert (len(counted), set(counted.values())) == (ASKED, {1})


@pytest.mark.slow
def test_ctrl_c_and_a_kill_in_the_middle_wait_for_no_reply_and_lose_and_repeat_nothing(server: Answering, run: Run):
    command = ["-m", "safeeraser", "generate", run.name, "--endpoint", server.url, "--endpoint-workers", "1"]
    environment, output = os.environ | {"OPENAI_API_KEY": KEY}, run.folder.parent / "said.txt"

    def stopped_by(stop: signal.Signals, after: int) -> Started:
        """Stop it when it got so many answers and waits for the next one, which comes only once it has ended."""
        waiting, ended, last = threading.Event(), threading.Event(), len(server.asked) + after

        def quiet(number: int) -> None:
            if number > last:
                waiting.set()
                ended.wait()

        server.before = quiet
        process = Started(command, output=output, environment=environment)
        assert waiting.wait(timeout=300)
        os.kill(process.pid, stop)
        process.wait()
        ended.set()
        assert len(server.asked) == last + 1  # none after the signal
        return process

    stopped = stopped_by(signal.SIGINT, after=3)
    assert (stopped.poll(), stopped.said().splitlines()[-1]) == (130, "stopped: the same command goes on from here")
    first = run.rows(run.answers)
    assert len(first) == 3
    server.delay = 0.1  # 15 answers take longer than the second after which answers are written
    assert stopped_by(signal.SIGKILL, after=15).poll() == -signal.SIGKILL
    second = run.rows(run.answers)
    unwritten = 3 + 15 - len(second)
    server.delay, server.before = 0, lambda number: None
    assert Started(command, output=output, environment=environment).wait() == 0
    rows = run.rows(run.answers)
    assert len(first) < len(second) < len(rows) == ASKED
    assert (rows[: len(second)], second[: len(first)]) == (second, first)
    assert len(server.asked) == ASKED + 2 + unwritten  # twice only what had no reply yet, or none on the disk
    everything = questions(Source(run.config.data).dataset, run.config)
    assert {(row["id"], row["sample"]): row["answer"] for row in rows} == expected(everything)
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert not [path for path in run.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_flags_for_the_endpoint_need_its_address_and_a_trained_run_its_adapter(
    config: RunConfig, server: Answering, runs_folder: Path, capsys
):
    stages.open_run(config, Source(config.data), name="trained")
    assert cli.main(["generate", "trained", "--endpoint-model", "m"]) == 1
    assert "--endpoint-model: give the address too, --endpoint URL" in capsys.readouterr().err
    assert cli.main(["generate", "trained", "--endpoint", server.url]) == 1
    assert "trained has no adapter yet" in capsys.readouterr().err
    assert cli.main(["generate", "trained", "--endpoint", server.url, "--endpoint-workers", "0"]) == 1
    assert "--endpoint-workers must be at least 1, got 0" in capsys.readouterr().err
    assert server.asked == []
