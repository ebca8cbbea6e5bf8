"""The bounded store of tensors: what comes back, what is thrown away, what is survived."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from safeeraser import cli
from safeeraser.store import Store, StoreError, folder_of

KILO = {"row": torch.arange(250, dtype=torch.float32)}  # 1,000 bytes, about 1,120 in a file


def used_long_ago(store: Store, key: str, hours: float) -> None:
    path = store.folder / f"{key}.safetensors"
    os.utime(path, (time.time() - 3600 * hours,) * 2)


def test_tensors_come_back_bit_by_bit_whatever_their_type(tmp_path: Path):
    put = {
        "half": torch.randn(3, 4).to(torch.bfloat16),
        "not a number": torch.tensor([float("nan"), -0.0]),
        "view": torch.randn(4, 5).t()[1],
        "number": torch.tensor(7),
        "nothing": torch.zeros(0, 3),
    }
    Store(tmp_path, 1e6).put("model/picture", put)
    got = Store(tmp_path, 1e6).get("model/picture")
    assert got is not None
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in got.items()} == {
        name: (tensor.dtype, tensor.shape) for name, tensor in put.items()
    }
    for name, tensor in put.items():
        assert got[name].reshape(-1).view(torch.uint8).equal(tensor.contiguous().reshape(-1).view(torch.uint8)), name


def test_a_key_that_was_never_put_is_none(tmp_path: Path):
    assert Store(tmp_path / "not there", 1e6).get("model/picture") is None
    assert Store(tmp_path / "not there", 1e6).size() == (0, 0)


def test_the_least_recently_used_make_room_and_a_hit_counts_as_use(tmp_path: Path):
    store = Store(tmp_path, 20_000)
    for number in range(14):
        store.put(str(number), KILO)
        used_long_ago(store, str(number), hours=100 - number)
    assert store.get("0") is not None
    for number in range(14, 20):
        store.put(str(number), KILO)
    kept = {number for number in range(20) if (tmp_path / f"{number}.safetensors").exists()}
    assert 0 in kept
    assert kept - {0} == set(range(min(kept - {0}), 20))
    assert 12_000 < store.size()[1] <= 20_000


def test_a_store_above_a_lowered_limit_shrinks_at_the_first_writing(tmp_path: Path):
    wide, narrow = Store(tmp_path, 1e6), Store(tmp_path, 10_000)
    for number in range(50):
        wide.put(str(number), KILO)
    assert wide.size()[1] > 50_000
    narrow.put("new", KILO)
    assert narrow.size()[1] <= 10_000
    assert narrow.get("new") is not None


def test_one_entry_that_would_fill_an_eighth_of_the_limit_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match=r"may take 5e-06 GB, and one entry has 1\.\d+e-06; allow at least 9\.\d+e-06"):
        Store(tmp_path, 5000).put("large", KILO)


@pytest.mark.parametrize("damage", ["cut short", "one bit", "all zero", "empty"])
def test_a_damaged_file_is_as_if_it_were_not_there_and_can_be_put_again(tmp_path: Path, damage: str):
    store = Store(tmp_path, 1e6)
    store.put("picture", KILO)
    path = tmp_path / "picture.safetensors"
    whole = path.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:]
    broken = {"cut short": whole[:-9], "one bit": flipped, "all zero": bytes(len(whole)), "empty": b""}
    path.write_bytes(broken[damage])
    assert store.get("picture") is None
    assert not path.exists()
    store.put("picture", KILO)
    assert path.read_bytes() == whole


def test_what_a_kill_left_half_written_goes_after_an_hour(tmp_path: Path):
    store = Store(tmp_path, 1e6)
    fresh, old = tmp_path / ".a.123", tmp_path / ".b.456"
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3700,) * 2)
    store.put("picture", KILO)
    assert fresh.exists()
    assert not old.exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.* cannot be written: .*switch the cache off"):
        Store(tmp_path / "file", 1e6).put("picture", KILO)


MANY = """
import sys, torch
from pathlib import Path
from safeeraser.store import Store
torch.set_num_threads(1)
store = Store(Path(sys.argv[1]), 40_000)
for turn in range(150):
    number = (turn * 7) % 60
    tensors = store.get(f"m/{number}")
    assert tensors is None or tensors["row"].equal(torch.full((250,), float(number))), tensors
    store.put(f"m/{number}", {"row": torch.full((250,), float(number))})
print(store.size()[1])
"""


@pytest.mark.slow
def test_processes_that_use_one_store_at_once_see_whole_entries_and_keep_the_limit(tmp_path: Path):
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sizes = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert all(size <= 40_000 for size in sizes)
    assert list(tmp_path.rglob(".*")) == []


def test_the_cache_command_shows_sizes_and_clear_empties_the_caches_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (folder_of("features").parent / "demo-12345678").mkdir(parents=True)
    drawn = folder_of("features").parent / "demo-12345678" / "all_train.json"
    drawn.write_text("[]")
    store = Store(folder_of("features"), 1e6)
    for number in range(3):
        store.put(f"model/{number}", KILO)
    kept = [("features", 3, store.size()[1]), ("base", 0, 0), ("judge", 0, 0), ("pictures", 0, 0)]
    assert cli.main(["cache", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["cache"], row["files"], row["bytes"]) for row in rows] == kept
    assert rows[0]["folder"] == str(folder_of("features"))
    assert cli.main(["cache"]) == 0
    assert "3.5 kB" in capsys.readouterr().out
    assert cli.main(["cache", "clear", "--json"]) == 0
    freed = json.loads(capsys.readouterr().out)
    assert [(row["cache"], row["files"], row["bytes"]) for row in freed] == kept
    assert store.size() == (0, 0)
    assert drawn.exists()
