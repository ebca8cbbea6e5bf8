"""What `python -m build` makes is the whole product, also where there is no checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest
from browser import Server, visit
from playwright.sync_api import Browser

from safeeraser.assets import ROOT
from safeeraser.judge import rubric
from safeeraser.runs.folder import EXAMPLES, Run

EXAMPLE = "demo-po-pd-s0-44136f"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files alone, as an installation would."""
    built, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    ZipFile(wheel).extractall(site)
    return site


@pytest.mark.slow
def test_a_wheel_starts_the_same_app_outside_a_checkout(installed: Path, tmp_path: Path, browser: Browser):
    command = (sys.executable, "-m", "safeeraser", "app")
    environment = {"PYTHONPATH": str(installed)}
    server = Server(tmp_path / "runs", folder=tmp_path, command=command, environment=environment)
    try:
        page = visit(browser, server.start()).open("/", title="Unlearning should forget the harm, not the words")
        page.get_by_role("link", name="Metrics").click()
        page.get_by_role("heading", level=1, name="Metrics", exact=True).wait_for()
        page.get_by_text("SARR: share of safe pictures").first.wait_for()
        assert server.process
        started = psutil.Process(server.process.pid).cmdline()
        assert str(installed / "safeeraser" / "app.py") in started
    finally:
        server.stop()


@pytest.mark.slow
def test_a_wheel_has_the_example_runs_and_scores_them(installed: Path, tmp_path: Path):
    assert {file.name for file in (installed / "safeeraser/judge/rubrics").iterdir()} == set(rubric.NAMES.values())
    environment = os.environ | {"PYTHONPATH": str(installed), "SAFEERASER_RUNS": str(tmp_path / "runs")}
    assert (installed / "safeeraser" / "bundle" / "page" / "index.html").is_file()
    command = [sys.executable, "-m", "safeeraser", "score", EXAMPLE, "--json"]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    (row,) = json.loads(ran.stdout)
    assert row["metrics"]["sarr"] == Run(EXAMPLES / EXAMPLE).scores["metrics"]["sarr"]
