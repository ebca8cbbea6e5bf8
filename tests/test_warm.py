"""The processes that tests start warm."""

import sys
from pathlib import Path

import pytest
from warm import Started


@pytest.mark.slow
def test_a_process_starts_after_a_page_ran_in_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "page.py"), raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    process = Started(["-c", "print('started')"], output=tmp_path / "said.txt")
    assert process.wait() == 0, process.poll()
    assert process.said() == "started\n"
