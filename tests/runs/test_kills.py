"""A run that is killed anywhere goes on where it was."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).with_name("kills.py")
SHORT = {
    "--max-steps": 2,
    "--batch-size": 3,
    "--checkpoint-every": 1,
    "--lora-rank": 4,
    "--eval-records": 1,
    "--max-new-tokens": 3,
    "--look-every": 1,
    "--look-records": 1,
    "--device": "cpu",
}


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 2])
def test_a_run_killed_before_any_of_its_file_operations_is_resumed_to_the_same_end(
    first: int, tiny_model: Path, tiny_data_folder: Path, tmp_path: Path
):
    """Every fifth operation twice over, more than 100 kills in all; nothing is left over, and nothing differs."""
    words = ["run", "--model", str(tiny_model), "--data", str(tiny_data_folder)]
    words += [str(word) for flag in SHORT.items() for word in flag]
    command = [sys.executable, str(KILLS), str(tmp_path), str(first), "5", "--", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    kills = re.findall(r"^\d+ (?:open|os\.\w+) .*: .*$", ran.stdout, re.MULTILINE)
    resumed = [kill for kill in kills if kill.endswith(": same")]
    print(f"{len(resumed)} of {len(kills)} resumed identically")
    assert resumed == kills, ran.stderr
    assert len(kills) >= 50
