"""A run that is killed anywhere goes on where it was."""

import re
from pathlib import Path

import pytest
from warm import Started

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
@pytest.mark.parametrize("first", [1, 4])
def test_a_run_killed_before_any_of_its_file_operations_is_resumed_to_the_same_end(
    first: int, tiny_model: Path, tiny_data_folder: Path, tmp_path: Path
):
    """Every third operation, more than 100 kills in all; nothing is left over, and nothing differs."""
    words = ["run", "--model", str(tiny_model), "--data", str(tiny_data_folder)]
    words += [str(word) for flag in SHORT.items() for word in flag]
    process = Started(["-m", "kills", str(tmp_path), str(first), "6", "--", *words], output=tmp_path / "said.txt")
    assert process.wait() == 0, process.said()
    kills = re.findall(r"^\d+ (?:open|os\.\w+) .*: .*$", process.said(), re.MULTILINE)
    resumed = [kill for kill in kills if kill.endswith(": same")]
    print(f"{len(resumed)} of {len(kills)} resumed identically")
    assert resumed == kills, process.said()
    assert len(kills) >= 50
