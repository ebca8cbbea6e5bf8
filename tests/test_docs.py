"""What README and docs say holds: their commands are run, their links lead somewhere, their tables are printed anew."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from documents import MADE, PAGES, README, ROOT, blocks, commands, name_of, prose, remade, text_of
from markdown_it import MarkdownIt

from safeeraser import cli
from safeeraser.commands import VERBS
from safeeraser.demo import dataset
from safeeraser.runs.folder import EXAMPLES

COMMANDS = [(name_of(page), line) for page in PAGES for line in commands(page)]

# Command lines, by how they start, that another test runs, be it in small: its file and its name.
ELSEWHERE = {
    "streamlit run app.py": "tests/browser.py::Server",
    "safeeraser app": "tests/test_wheel.py::test_a_wheel_starts_the_same_app_outside_a_checkout",
    "safeeraser arena": "tests/arena/test_arena.py"
    "::test_from_a_fresh_start_to_a_counted_vote_by_mouse_with_both_answers_streaming",
    "safeeraser arena results": "tests/commands/test_arena_command.py::test_results_are_a_table_or_csv_or_every_vote",
    "safeeraser arena --host": "tests/arena/test_arena.py::test_a_wrong_password_opens_nothing",
    "safeeraser demo build": "tests/demo/test_base_model.py"
    "::test_the_seed_decides_every_weight_and_the_checkpoint_loads",
    "safeeraser demo build --world plain": "tests/plain/test_published_weights.py"
    "::test_the_world_is_built_without_training_and_a_short_run_on_it_answers_as_the_example_does",
    "safeeraser run --method capped": "tests/unlearn/test_train.py"
    "::test_a_stranger_adds_the_documented_loss_and_method_and_trains_it",
    "safeeraser run --help": "tests/commands/test_cli.py::test_every_documented_command_has_help_with_an_example",
    "safeeraser generate RUN --endpoint": "tests/generate/test_endpoint.py"
    "::test_a_run_answered_by_an_endpoint_says_so_in_rows_and_score",
    "safeeraser adapter import": "tests/models/test_export.py"
    "::test_a_published_checkpoint_becomes_a_run_that_answers_as_its_adapter",
    "safeeraser data import": "tests/commands/test_cli.py::test_a_prediction_file_becomes_a_runs_answers",
    **dict.fromkeys(
        (
            *("safeeraser data convert", "safeeraser data targets"),
            *("safeeraser data check path/to/own", "safeeraser run --data path/to/own --judge rules"),
        ),
        "tests/generate/test_targets.py::test_the_page_about_pairs_leads_from_a_table_to_scores",
    ),
    "safeeraser judge RUN --judge guard:": "tests/judge/test_guard.py"
    "::test_the_command_grades_a_run_beside_its_other_judge",
    "safeeraser judge RUN --judge chat:": "tests/judge/test_chat.py::test_nothing_is_spent_before_it_is_agreed_to",
    "safeeraser specificity": "tests/commands/test_specificity_command.py::test_all_seven_give_specificity",
    "safeeraser plan": "tests/plan/test_plan_command.py::test_the_command_prints_every_table_at_a_hundred_columns",
    "safeeraser report demo-po-s0-6c48dc demo-po-pd-s0-44136f --output report.html": "tests/commands"
    "/test_report_command.py::test_a_report_of_two_runs_holds_the_base_and_the_command_that_made_it",
    "safeeraser report demo-po-s0-6c48dc demo-po-pd-s0-44136f --output tables.tex": "tests/commands"
    "/test_report_command.py::test_tables_are_printed_or_written_in_the_form_of_the_files_name",
    "safeeraser sweep --preset paper": "tests/commands/test_cli.py"
    "::test_a_sweep_runs_the_base_once_and_every_method_without_and_with_pd",
    "safeeraser sweep --on slurm": "tests/runs/test_slurm.py::test_runs_through_submitit_end_with_scores",
    "torchrun": "tests/runs/test_processes.py::test_all_stages_run_in_two_processes_and_are_written_once",
}
# Those that no test can run, and why; what they give to safeeraser is parsed all the same.
UNTRIED = {
    "python3 -m venv .venv": "it installs from the network: `.ci/run` runs the test command, word for word",
    "python3 -m venv lmms-eval": "it downloads forty packages",
    "accelerate launch": "it needs several GPUs; tests/commands/test_cli.py reads its flags",
    "DATA=path/to/SafeEraser sbatch": "it needs Slurm and GPUs; tests/commands/test_cli.py reads the script's flags",
    "safeeraser arena --share": "it needs the internet",
    "hf upload": "it needs an account on the hub",
    "chromium": "tests/bundle/test_bundle_browser.py opens a bundle in it",
}
# What makes a command small enough for a test: flags that come last win.
TINY = "--data DATA --model MODEL --max-steps 1 --batch-size 2 --accumulation 1 --lora-rank 4 --eval-records 1 "
TINY += "--max-new-tokens 5 --samples 1 --precision fp32 --workers 0 --device cpu --no-look-every"
SMALLER = {"run": TINY, "tune": TINY, "attack": "--only noise --records 1"}
RUN = "demo-po-pd-s0-44136f"


def listed(line: str) -> str | None:
    """Where a command line is run if not here, or why nowhere, by its longest start; None for one that is run here."""
    found = [start for start in ELSEWHERE | UNTRIED if line.startswith(start)]
    return (ELSEWHERE | UNTRIED)[max(found, key=len)] if found else None


def test_what_is_not_run_here_is_still_in_the_docs_and_run_where_the_list_says():
    lines = [line for _, line in COMMANDS]
    assert [start for start in ELSEWHERE | UNTRIED if not any(line.startswith(start) for line in lines)] == []
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert re.search(rf"^(def|class) {name}\b", text_of(ROOT / file), re.MULTILINE), place


def test_every_command_line_is_understood():
    lines = [re.search(r"(?:^|-m )safeeraser (.+)$", line) for _, line in COMMANDS]
    given = [shlex.split(line[1]) for line in lines if line and "--help" not in line[1]]
    assert len(given) > 40
    for words in given:
        cli.parser(only=words[0]).parse_args(words)


class Place(NamedTuple):
    """A folder to run commands in: with the example runs as one's own, and a tiny model and data set to name.

    done: what was run in it; a command that several pages have is run once.
    """

    folder: Path
    model: Path
    data: Path
    done: set[tuple[str, ...]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Place:
    folder = tmp_path_factory.mktemp("walk")
    for name in ("assets", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for example in (RUN, "demo-base-s0-e8752e"):
        shutil.copytree(EXAMPLES / example, folder / "runs" / example)
    data = folder / "data"
    dataset.write(data, each={"train": 1, "val": 1, "dev": 1})
    return Place(folder, tiny_model, data, set())


def walked(line: str, place: Place) -> None:
    """Run a command line in small; one that is not of this project by the shell."""
    if not line.startswith("safeeraser "):
        subprocess.run(["bash", "-euo", "pipefail", "-c", line], check=True, capture_output=True, cwd=place.folder)
        return
    (_, verb, *words) = shlex.split(line)
    words += shlex.split(SMALLER.get(verb, ""))
    names = {"RUN": RUN, "MODEL": str(place.model)} | dict.fromkeys(("DATA", "path/to/data"), str(place.data))
    given = (verb, *(names.get(word, word) for word in words))
    assert given in place.done or cli.main(list(given)) == 0, line
    place.done.add(given)


@pytest.mark.slow
@pytest.mark.parametrize("page", list(dict(COMMANDS)))
def test_the_commands_of_a_page_run_one_after_the_other(
    page: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("SAFEERASER_RUNS", str(place.folder / "runs"))
    for line in [line for name, line in COMMANDS if name == page and not listed(line)]:
        walked(line, place)


def test_every_page_starts_with_the_command_that_does_its_task_and_is_on_the_list():
    of_docs = {page for page in PAGES if page != README}
    index = ROOT / "docs" / "README.md"
    for page in of_docs - {index}:
        before, _, _ = text_of(page).partition("\n## ")
        assert "```bash\n" in before, name_of(page)
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of(index)))
    assert linked == {page.name for page in of_docs - {index}}
    assert len(text_of(README).splitlines()) <= 185


def test_python_in_the_docs_is_that_of_pages_whose_own_tests_run_it():
    """`tests/unlearn/test_train.py` trains the method, `tests/arena/test_arena.py` asks and votes."""
    assert [page.stem for page in PAGES if blocks(page, "python")] == ["adding-a-method", "arena"]


@pytest.mark.parametrize("page", [page for page in PAGES if MADE.search(text_of(page))], ids=name_of)
def test_a_table_is_what_its_command_prints(page: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    assert remade(text_of(page)) == text_of(page), "print it anew: `python tests/documents.py`"


# --- words and links


def flags_of(verb: str, capsys: pytest.CaptureFixture) -> set[str]:
    below = {"data": ("import", "convert", "targets"), "adapter": ("import",), "demo": ("build",)}.get(verb)
    for words in [(verb, word) for word in below] if below else [(verb,)]:
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main([*words, "--help"])
    return set(re.findall(r"--[a-z0-9-]*[a-z0-9]", capsys.readouterr().out))


FOREIGN = {"--logdir", "--num_processes", "--cpu", "--machine_rank"}  # of tensorboard and accelerate


def test_every_flag_that_prose_names_is_one_of_some_command(capsys: pytest.CaptureFixture):
    known = set().union(*(flags_of(verb, capsys) for verb in VERBS))
    for page in PAGES:
        named = {
            flag
            for code in re.findall(r"`([^`\n]+)`", prose(page))
            if not code.startswith(("python ", "pip "))
            for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
        }
        assert named - known - FOREIGN == set(), name_of(page)


LINKING = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md")


def anchors(page: Path) -> set[str]:
    """The headings of a page as addresses, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path):
    tokens = MarkdownIt("commonmark").enable("table").parse(text_of(page))
    found = [
        str(child.attrs.get("href") or child.attrs.get("src"))
        for token in tokens
        for child in token.children or ()
        if child.type in ("link_open", "image")
    ]
    for link in (link for link in found if not link.startswith(("https://", "http://"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert ROOT in (target, *target.parents), link
        assert not anchor or anchor in anchors(target), link
