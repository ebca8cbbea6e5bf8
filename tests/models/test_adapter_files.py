"""An adapter that is broken, strange or overwritten is one clear error, before a model is loaded, at every door."""

import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from families import perturbed
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from warm import Started

from safeeraser import cli, stages
from safeeraser.config import RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.models import adapter, loading, published
from safeeraser.models.checks import ModelError
from safeeraser.runs import folder as runs
from safeeraser.runs.folder import Run
from safeeraser.unlearn import checkpoints, train

LORA_A = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"
BIAS = "base_model.model.model.multi_modal_projector.linear_2.bias"


@pytest.fixture(scope="module")
def made(tiny_model: Path, tiny_data_folder: Path) -> tuple[RunConfig, PeftModel]:
    settings = {"max_steps": 2, "batch_size": 2, "lora_rank": 4, "eval_records": 1, "max_new_tokens": 5}
    config = RunConfig.create(model=str(tiny_model), data=str(tiny_data_folder), device="cpu", **settings)
    return config, perturbed(config)


@pytest.fixture
def run(made: tuple[RunConfig, PeftModel], runs_folder: Path) -> Run:
    config, adapted = made
    run = stages.open_run(config, Source(config.data), name="trained")
    adapter.save(adapted, run.adapter)
    return run


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model must not be loaded from here on."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(loading, "load", load)


# --- the tensors, at both doors


def _changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], None]:
    def damage(tensors: dict[str, Tensor]) -> None:
        tensors[name] = change(tensors[name]).contiguous()

    return damage


def _one(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[7] = value
        return tensor

    return change


TENSORS = {
    "integers": (_changed(LORA_A, lambda t: t.int()), r"q_proj\.lora_A\.weight is torch\.int32; must be floating"),
    "complex": (_changed(LORA_A, lambda t: t.to(torch.complex64)), r"q_proj\.lora_A\.weight is torch\.complex64"),
    "eight bits": (_changed(BIAS, lambda t: t.to(torch.float8_e4m3fn)), r"linear_2\.bias is torch\.float8_e4m3fn"),
    "not a number": (_changed(LORA_A, _one(math.nan)), r"q_proj\.lora_A\.weight holds a value that is not finite"),
    "infinite": (_changed(BIAS, _one(-math.inf)), r"linear_2\.bias holds a value that is not finite"),
    "infinite in half": (_changed(BIAS, lambda t: _one(math.inf)(t.half())), r"linear_2\.bias holds a value"),
    "too large for 32 bits": (_changed(BIAS, lambda t: _one(1e300)(t.double())), r"linear_2\.bias holds a value"),
    "a number": (_changed(LORA_A, lambda t: t[0, 0].clone()), r"q_proj\.lora_A\.weight is a single number"),
    "empty": (_changed(LORA_A, lambda t: t[:, :0].clone()), r"lora_A\.weight is empty: its shape is \[4, 0\]"),
    "a row": (_changed(LORA_A, lambda t: t[0].clone()), r"lora_A\.weight is no matrix: its shape is \[32\]"),
    "a block": (_changed(LORA_A, lambda t: t[None].clone()), r"lora_A\.weight is no matrix: its shape is \[1, 4, 32\]"),
    "a wide matrix": (_changed(LORA_A, lambda t: t.repeat(1, 2)), r"lora_A\.weight is \[4, 64\], not \[4, 32\]"),
    "a bias that is a matrix": (_changed(BIAS, lambda t: t[None].clone()), r"linear_2\.bias is \[1, 32\], not \[32\]"),
}


def imported(file: Path, config: RunConfig) -> list[str]:
    given = (f"--{name.replace('_', '-')}={getattr(config, name)}" for name in ("model", "data", "method"))
    return ["adapter", "import", str(file), "--lora-alpha=8", "--eval-records=1", *given]


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_no_adapter_has_is_named_at_both_doors(name: str, run: Run, tmp_path: Path, no_model, capsys):
    damage, message = TENSORS[name]
    weights = run.adapter / adapter.WEIGHTS
    tensors = load_file(weights)
    damage(tensors)
    save_file(tensors, weights)
    (run.adapter / adapter.HASHES).unlink()
    with pytest.raises(ModelError, match=rf"adapter_model\.safetensors: .*{message}"):
        adapter.read_for(run.config, run.adapter)
    torch.save(tensors, tmp_path / "checkpoint.pt")
    assert cli.main(imported(tmp_path / "checkpoint.pt", run.config)) == 1
    error = capsys.readouterr().err
    with pytest.raises(ModelError, match=rf"checkpoint\.pt: .*{message}"):
        published.adapted(published.read(tmp_path / "checkpoint.pt"), run.config, tmp_path / "checkpoint.pt")
    assert error.startswith(f"error: {tmp_path / 'checkpoint.pt'}: ")
    assert [found.name for found in runs.every() if not found.ships] == ["trained"]


STRANGE = {
    "expanded": (lambda: torch.zeros(1).expand(4, 2**40), r"is expanded: 17592186044416 bytes out of 4"),
    "overlapping": (lambda: torch.zeros(67).as_strided((4, 64), (1, 1)), r"is expanded: 1024 bytes out of 268"),
    "without values": (lambda: torch.empty(4, 64, device="meta"), r"is no plain tensor with values .*meta"),
    "sparse": (lambda: torch.eye(4, 64).to_sparse(), r"is no plain tensor with values .*sparse_coo"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "is no plain tensor"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(4, 64), 0.1, 0, torch.qint8), "is torch.qint8"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STRANGE)
def test_a_tensor_that_only_torch_can_save_is_named(name: str, run: Run, tmp_path: Path, no_model):
    make, message = STRANGE[name]
    torch.save(load_file(run.adapter / adapter.WEIGHTS) | {LORA_A: make()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=rf"checkpoint\.pt: .*q_proj\.lora_A\.weight {message}"):
        published.read(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(("key", "kind"), [(7, "int"), (None, "NoneType"), (("a", "b"), "tuple")])
def test_a_key_that_is_no_name_is_told(key: object, kind: str, tmp_path: Path):
    torch.save({key: torch.zeros(2)}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=rf"checkpoint\.pt: the key .* is no name but {kind}"):
        published.read(tmp_path / "checkpoint.pt")


PEAK = """
import sys
from pathlib import Path
from safeeraser.models import published
from safeeraser.models.checks import ModelError

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

before = peak()
try:
    published.read(Path(sys.argv[1]))
except ModelError as error:
    print(peak() - before, error)
"""


def _expanded(file: Path) -> None:
    torch.save({f"layer.{k}.lora_A.weight": torch.zeros(1).expand(4, 2**40) for k in range(9)}, file)


def _compressed(file: Path) -> None:
    """A bomb: 256 MB of zeros in 256 KB."""
    torch.save({"a": torch.zeros(2)}, file.with_suffix(".small"))
    with (
        zipfile.ZipFile(file.with_suffix(".small")) as small,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in small.infolist():
            with bomb.open(part.filename, "w", force_zip64=True) as out:
                some = bytes(2**20) if part.filename.endswith("data/0") else small.read(part)
                for _ in range(256 if part.filename.endswith("data/0") else 1):
                    out.write(some)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "message"), [(_expanded, "is expanded"), (_compressed, "was compressed")])
def test_a_file_is_refused_without_the_memory_that_it_asks_for(make, message: str, tmp_path: Path):
    make(tmp_path / "checkpoint.pt")
    process = Started(["-c", PEAK, str(tmp_path / "checkpoint.pt")], output=tmp_path / "said.txt")
    assert process.wait() == 0
    said = process.said()
    assert message in said
    assert int(said.split()[0]) < 50e6


def test_a_damaged_checkpoint_is_an_error_wherever_it_is_damaged(run: Run, tmp_path: Path):
    file = tmp_path / "checkpoint.pt"
    torch.save({LORA_A: torch.ones(4, 8), LORA_A.replace("_A", "_B"): torch.ones(8, 4)}, file)
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5F]) + whole[place + 1 :])
        with suppress(ModelError):  # only it: a bit of a weight may have turned, which nobody can tell
            published.settings(published.read(file), file)


# --- the files


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "there is no such file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels"),
    "a folder": (Path.mkdir, "must be a file, is a folder"),
    "a pipe": (_pipe, "must be a file, is a named pipe"),
    "a device": (_device, "must be a file, is a device"),
    "empty": (Path.touch, "the file is empty"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_named_at_every_door(name: str, run: Run, tmp_path: Path, no_model):
    put, message = FILES[name]
    put(tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=rf"checkpoint\.pt: {message}"):
        published.read(tmp_path / "checkpoint.pt")
    for file in (adapter.SETTINGS, adapter.WEIGHTS, *([] if "missing" in name or "link" in name else [adapter.HASHES])):
        kept = (run.adapter / file).read_bytes()
        (run.adapter / file).unlink()
        put(run.adapter / file)
        with pytest.raises(ModelError, match=rf"{file}: {message}"):
            adapter.read(run.adapter)
        if (run.adapter / file).is_dir():
            (run.adapter / file).rmdir()
        else:
            (run.adapter / file).unlink(missing_ok=True)
        (run.adapter / file).write_bytes(kept)
    assert adapter.read(run.adapter).settings.r == 4


@pytest.mark.parametrize("size", [1, 7, 8, 100, 5000, -1])
def test_a_cut_file_is_named_at_every_door(size: int, run: Run, tmp_path: Path, no_model):
    torch.save(load_file(run.adapter / adapter.WEIGHTS), tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cut\.pt: not a state dict saved by torch"):
        published.read(tmp_path / "cut.pt")
    weights = run.adapter / adapter.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors: the adapter's weights cannot be read"):
        adapter.read(run.adapter)


SETTINGS = {
    "no JSON": (lambda given: "{'r': 4}", "Invalid JSON"),
    "deep nesting": (lambda given: "[" * 9999, "Invalid JSON: recursion limit"),
    "a list": (lambda given: [given], "Input should be"),
    "null": (lambda given: None, "Input should be"),
    "another type": (lambda given: given | {"peft_type": "IA3"}, "peft_type: Input should be 'LORA'"),
    "no type": (lambda given: {k: v for k, v in given.items() if k != "peft_type"}, "peft_type: Field required"),
    "a rank in words": (lambda given: given | {"r": "four"}, "r: Input should be a valid integer"),
    "no rank": (lambda given: given | {"r": None}, "r: Input should be a valid integer"),
    "another rank": (lambda given: given | {"r": 8}, "r is 8, but the tensors in .* are of rank 4"),
    "a giant rank": (lambda given: given | {"r": 10**12}, "r is 1000000000000, but the tensors"),
    "a scale that is none": (lambda given: given | {"lora_alpha": math.nan}, "lora_alpha: Input should be"),
    "another scale": (lambda given: given | {"use_rslora": True}, "use_rslora: Input should be False"),
    "scales by layer": (lambda given: given | {"alpha_pattern": {"q_proj": 9}}, "alpha_pattern: "),
    "targets by number": (lambda given: given | {"target_modules": 3}, "target_modules"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_none_of_an_adapter_are_named(name: str, run: Run, no_model):
    change, message = SETTINGS[name]
    file = run.adapter / adapter.SETTINGS
    changed = change(json.loads(file.read_text()))
    file.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    (run.adapter / adapter.HASHES).unlink()
    with pytest.raises(ModelError, match=rf"adapter_config\.json: {message}"):
        adapter.read(run.adapter)


def test_no_module_that_the_settings_name_is_imported(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "imported_by_peft.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    file = run.adapter / adapter.SETTINGS
    named = {"megatron_config": {"a": 1}, "megatron_core": "imported_by_peft"}
    file.write_text(json.dumps(json.loads(file.read_text()) | named))
    (run.adapter / adapter.HASHES).unlink()
    network, _ = loading.load(run.config.model)
    adapter.load(network, run.adapter)
    assert "imported_by_peft" not in sys.modules


# --- the hashes


@pytest.mark.parametrize("name", [adapter.WEIGHTS, adapter.SETTINGS])
def test_bytes_that_were_overwritten_are_noticed(name: str, run: Run, no_model, capsys):
    file = run.adapter / name
    content = bytearray(file.read_bytes())
    place = len(content) - 9 if name == adapter.WEIGHTS else content.index(b'"lora_alpha": 32') + len(b'"lora_alpha": ')
    content[place] ^= 1
    file.write_bytes(content)
    message = rf"{name}: the file is not as it was written: its hash differs from the one in sha256\.json"
    with pytest.raises(ModelError, match=message):
        adapter.read(run.adapter)
    for command in (["generate", run.name], ["export", run.name, "--out", str(run.folder.parent / "out")]):
        assert cli.main(command) == 1
        assert "its hash differs" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"adapter_model.safetensors": 7}', "{}"])
def test_hashes_that_are_none_are_told(content: str, run: Run):
    (run.adapter / adapter.HASHES).write_text(content)
    with pytest.raises(ModelError, match=r"sha256\.json"):
        adapter.read(run.adapter)


def test_an_adapter_from_before_there_were_hashes_loads_as_it_did(run: Run):
    with_hashes = adapter.read(run.adapter)
    (run.adapter / adapter.HASHES).unlink()
    before = adapter.read(run.adapter)
    assert all(torch.equal(tensor, before.tensors[name]) for name, tensor in with_hashes.tensors.items())


def test_the_adapters_of_the_example_runs_can_be_read():
    examples = [found for found in runs.every() if found.ships and found.adapter.exists()]
    assert examples
    for example in examples:
        assert adapter.read(example.adapter).settings.r == example.config.lora_rank


# --- checkpoints


@pytest.fixture
def stopped(made: tuple[RunConfig, PeftModel], tiny_data: Dataset, runs_folder: Path) -> Iterator[Run]:
    """A run of two steps that failed after the first."""
    config = made[0].model_copy(update={"checkpoint_every": 1})
    run = stages.open_run(config, Source(config.data), name="stopped")

    def fail(*_: object) -> None:
        raise OSError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "finish", fail)
        with pytest.raises(OSError, match="stopped"):
            train.train(run, tiny_data)
    return run


def test_a_checkpoint_has_hashes_and_one_that_is_broken_is_told_before_a_model_is_loaded(
    stopped: Run, no_model, caplog: pytest.LogCaptureFixture
):
    (last,) = checkpoints.every(stopped)
    assert {file.name for file in last.iterdir()} == {
        adapter.SETTINGS,
        adapter.WEIGHTS,
        adapter.HASHES,
        "trainer.pt",
    }
    state = torch.load(last / "trainer.pt", weights_only=True)
    for content, message in (
        (b"", r"trainer\.pt: the file is empty"),
        (b"PK\x03\x04 cut", r"trainer\.pt: not a state dict"),
        ({"step": 1}, r"trainer\.pt: must hold a trainer's step and state"),
        ([state], r"trainer\.pt: must hold a trainer's step and state"),
    ):
        if isinstance(content, bytes):
            (last / "trainer.pt").write_bytes(content)
        else:
            torch.save(content, last / "trainer.pt")
        assert checkpoints.last(stopped) is None
        assert re.search(message, caplog.records[-1].getMessage())
    torch.save(state, last / "trainer.pt")
    weights = last / adapter.WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert checkpoints.last(stopped) is None
    assert re.search(r"adapter_model\.safetensors: .*its hash differs", caplog.records[-1].getMessage())


def test_no_pickle_runs_in_a_trainers_state(stopped: Run, no_model, capsys, caplog):
    (last,) = checkpoints.every(stopped)
    torch.save({"step": 1, "trainer": Code()}, last / "trainer.pt")
    assert checkpoints.last(stopped) is None
    assert "or more than tensors; it is never opened" in caplog.text
    assert "a pickle ran code" not in capsys.readouterr().out


class Code:
    """What a pickle runs when it is opened carelessly."""

    def __reduce__(self):
        return (print, ("a pickle ran code",))
