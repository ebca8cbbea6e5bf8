"""A run leaves as a checkpoint of its own, and a published adapter comes in as a run."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from families import FAMILIES, perturbed, read_json
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from safeeraser import cli, stages
from safeeraser.assets import ASSETS
from safeeraser.config import ConfigError, RunConfig
from safeeraser.data.records import Dataset
from safeeraser.data.source import Source
from safeeraser.models import adapter, loading, published
from safeeraser.models import families as rows
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder
from safeeraser.models.export import card, export
from safeeraser.runs.folder import Run, RunError

pytestmark = pytest.mark.usefixtures("runs_folder")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in FAMILIES.items()}


@pytest.fixture(scope="module")
def source(tiny_data_folder: Path) -> Source:
    return Source(str(tiny_data_folder))


def trained_run(config: RunConfig, source: Source) -> Run:
    """A run whose adapter changes what the model answers."""
    run = stages.open_run(config, source)
    adapter.save(perturbed(config), run.adapter)
    return run


def answers(network, inputs: dict[str, Tensor]) -> Tensor:
    return network.generate(**inputs, do_sample=False, max_new_tokens=6, pad_token_id=3)


def precise(network, inputs: dict[str, Tensor]) -> Tensor:
    """The logits in float64, which processors round alike."""
    wide = {name: given.double() if given.is_floating_point() else given for name, given in inputs.items()}
    return copy.deepcopy(network).double()(**wide).logits


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_exported_model_answers_as_the_adapter_does(family, checkpoints, source, config, tiny_data, tmp_path):
    run = trained_run(config.model_copy(update={"model": str(checkpoints[family])}), source)
    export(run, tmp_path / "out")
    network, processor = loading.load(run.config.model)
    inputs = Encoder(processor).prompt_batch([record.forget[0] for record in tiny_data.train[:3]])
    with torch.no_grad():
        base = network(**inputs).logits
        adapted = adapter.load(network, run.adapter)
        expected, said = adapted(**inputs).logits, answers(adapted, inputs)
        exported = AutoModelForImageTextToText.from_pretrained(tmp_path / "out").eval()
        torch.testing.assert_close(precise(exported, inputs), precise(adapted, inputs), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(base, expected, atol=1e-2)
    assert torch.equal(answers(exported, inputs), said)
    again = (rows.FAMILIES[family].reader or AutoProcessor).from_pretrained(tmp_path / "out", backend="pil")
    assert torch.equal(
        Encoder(again).prompt_batch([tiny_data.train[0].forget[0]])["input_ids"],
        Encoder(processor).prompt_batch([tiny_data.train[0].forget[0]])["input_ids"],
    )


def test_the_exported_tensors_have_the_names_of_the_base_checkpoint(checkpoints, source, config, tmp_path):
    run = trained_run(config.model_copy(update={"model": str(checkpoints["llava"]), "precision": "bf16"}), source)
    export(run, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        names = set(file.keys())
        assert {file.get_tensor(name).dtype for name in names} == {torch.bfloat16}
    assert names == set(read_json(checkpoints["llava"] / "model.safetensors.index.json")["weight_map"])
    assert "language_model.model.layers.0.self_attn.q_proj.weight" in names
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"generation_config.json", "preprocessor_config.json", "tokenizer.json", "chat_template.jinja"} <= written


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_written_under_published_names_whatever_names_the_base_model_has(
    family, checkpoints, source, config, tmp_path
):
    """Of transformers 4, which looks for the CLIP tower's tensors below `vision_tower.vision_model`."""
    published = set(read_json(checkpoints[family] / "model.safetensors.index.json")["weight_map"])
    network, processor = loading.load(str(checkpoints[family]))
    network._weight_conversions = None  # as of a model that was made and not read
    network.save_pretrained(tmp_path / "made")
    processor.save_pretrained(tmp_path / "made")
    run = trained_run(config.model_copy(update={"model": str(tmp_path / "made")}), source)
    export(run, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == published


def test_an_export_is_read_by_the_processor_of_its_family_with_its_settings_for_videos(
    checkpoints, source, config, tmp_path
):
    """Also of a family whose processor is read by the class of another here."""
    model = shutil.copytree(checkpoints["smolvlm"], tmp_path / "model")
    (model / "video_preprocessor_config.json").write_text('{"fps": 1}')
    export(trained_run(config.model_copy(update={"model": str(model)}), source), tmp_path / "out")
    assert read_json(tmp_path / "out" / "processor_config.json")["processor_class"] == "SmolVLMProcessor"
    assert read_json(tmp_path / "out" / "tokenizer_config.json")["processor_class"] == "SmolVLMProcessor"
    assert (tmp_path / "out" / "video_preprocessor_config.json").read_text() == '{"fps": 1}'


def test_the_demo_model_has_the_names_of_a_published_llava():
    with safe_open(ASSETS / "demo" / "model" / "model.safetensors", "pt") as file:
        tower = [name for name in file.keys() if name.startswith("vision_tower.")]  # noqa: SIM118
    assert len(tower) == 71
    assert all(name.startswith("vision_tower.vision_model.") for name in tower)


def test_the_tokenizers_settings_are_understood_by_transformers_4(config, source, tmp_path):
    """Version 4.57 knows no class TokenizersBackend, and fails at a list of extra tokens, whose names it asks for."""
    export(trained_run(config, source), tmp_path / "out")
    for folder in (tmp_path / "out", ASSETS / "demo" / "model"):
        settings = read_json(folder / "tokenizer_config.json")
        assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert not {"extra_special_tokens", "backend", "is_local"} & settings.keys()


def test_the_card_holds_how_it_was_made_and_the_scores_with_n_intervals_and_judge(source, config):
    config = config.model_copy(update={"quantization": "4bit"})
    run = stages.open_run(config, source)
    score = {"value": 0.3182, "low": 0.2271, "high": 0.4109, "n": 384, "unscored": 7}
    none = {"value": None, "low": None, "high": None, "n": 0, "unscored": 0, "why": "no judge for it"}
    run.save_scores(
        {
            "run": run.name,
            "model": config.model,
            "method": config.method,
            "pd": 1.0,
            "seed": config.seed,
            "data": config.data,
            "data_hash": "0a895af83b0be9c7c31cc2b6",
            "judge": "demo",
            "decoding": "greedy, at most 5 tokens",
            "metrics": {"sarr": score, "gpt_eval": none},
        }
    )
    text = card(run, "out")
    header = yaml.safe_load(text.split("---")[1])
    assert header["library_name"] == "transformers"
    assert header["tags"] == ["machine-unlearning", "safeeraser", "po"]
    assert "license" not in header
    assert "base_model" not in header  # a folder of this machine
    assert "| `sarr` | 0.318 | 0.227 to 0.411 | 384 | 7 |" in text
    assert "gpt_eval" not in text
    assert "graded by the judge `demo`; answers greedy, at most 5 tokens" in text
    assert "hash `0a895af83b0be9c7`" in text
    assert "| max_steps | 4 |" in text
    assert "| pd_weight | 1.0 |" in text
    assert "unlearned on base weights in 4 bits" in text
    assert str(Path(config.model).parent) not in text


def test_the_card_names_a_base_model_from_the_hub(source, config):
    run = stages.open_run(config.model_copy(update={"model": "llava-hf/llava-1.5-7b-hf"}), source)
    assert yaml.safe_load(card(run, "out").split("---")[1])["base_model"] == "llava-hf/llava-1.5-7b-hf"
    assert "Not scored yet." in card(run, "out")


def test_an_export_that_is_killed_leaves_nothing_and_the_next_is_whole(source, config, tmp_path, monkeypatch):
    run = trained_run(config, source)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("safeeraser.models.export.card", killed)
        with pytest.raises(KeyboardInterrupt):
            export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(run, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith("out")] == ["out"]


def test_a_folder_that_holds_something_is_left_alone(source, config, tmp_path):
    run = trained_run(config, source)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="out is not an empty folder; choose another or empty it"):
        export(run, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_run_without_an_adapter_of_its_own_is_not_exported(source, config, tmp_path):
    base = stages.open_run(config.base(), source)
    untrained = stages.open_run(config, source)
    imported = stages.open_run(config, source, name="theirs", imported="predictions.json")
    for run, message in (
        (base, "is the base model: there is nothing to merge"),
        (untrained, "has no adapter yet; run `safeeraser unlearn`"),
        (imported, "has imported answers and no model"),
    ):
        with pytest.raises(RunError, match=message):
            export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_into_exports_unless_told(source, config, tmp_path, monkeypatch, capsys):
    run = trained_run(config, source)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", run.name]) == 0
    assert (tmp_path / "exports" / run.name / "model.safetensors").exists()
    assert f"vllm serve exports/{run.name}" in capsys.readouterr().out
    assert cli.main(["export", run.name]) == 1
    assert "is not an empty folder" in capsys.readouterr().err


def llava_code(name: str) -> str:
    """As LLaVA's own classes name it."""
    name = name.replace("model.model.language_model.", "model.model.")
    for new, old in (
        ("multi_modal_projector.linear_1", "mm_projector.0"),
        ("multi_modal_projector.linear_2", "mm_projector.2"),
    ):
        name = name.replace(new, old)
    return _in_training(name)


def old_transformers(name: str) -> str:
    """As transformers before 4.52 names it."""
    name = name.replace("model.model.language_model.", "model.language_model.model.")
    return _in_training(name.replace("model.model.multi_modal_projector.", "model.multi_modal_projector."))


def today_wrapped(name: str) -> str:
    """As today's model in DistributedDataParallel names it while it trains."""
    return "module." + _in_training(name.replace("projector.linear", "projector.modules_to_save.default.linear"))


def without_peft(name: str) -> str:
    return old_transformers(name).removeprefix("base_model.model.")


def _in_training(name: str) -> str:
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


LAYOUTS = (llava_code, old_transformers, today_wrapped, without_peft)


@pytest.fixture(scope="module")
def llava_config(checkpoints, tiny_data_folder) -> RunConfig:
    return RunConfig.create(
        model=str(checkpoints["llava"]),
        data=str(tiny_data_folder),
        lora_rank=4,
        lora_alpha=8,
        eval_records=1,
        max_new_tokens=5,
        device="cpu",
    )


@pytest.fixture(scope="module")
def adapted(llava_config: RunConfig) -> PeftModel:
    return perturbed(llava_config)


@pytest.fixture
def tensors(adapted: PeftModel, tmp_path: Path) -> dict[str, Tensor]:
    """An adapter's tensors under today's names."""
    adapter.save(adapted, tmp_path / "adapter")
    return load_file(tmp_path / "adapter" / "adapter_model.safetensors")


def write(tensors: dict, layout: Callable[[str], str], file: Path) -> Path:
    torch.save({layout(name): tensor for name, tensor in tensors.items()}, file)
    return file


def flags(config: RunConfig) -> Iterator[str]:
    for name in ("model", "data", "method", "lora_alpha", "eval_records", "max_new_tokens", "device"):
        yield from (f"--{name.replace('_', '-')}", str(getattr(config, name)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_checkpoint_becomes_a_run_that_answers_as_its_adapter(
    layout, tensors, adapted, llava_config, tiny_data: Dataset, tmp_path
):
    file = write(tensors, layout, tmp_path / "checkpoint.pt")
    assert cli.main(["adapter", "import", str(file), *flags(llava_config), "--name", "theirs"]) == 0
    run = Run.find("theirs")
    assert run.facts["imported"] == "checkpoint.pt"
    assert (run.config.lora_rank, run.config.lora_alpha, run.config.train_projector) == (4, 8, True)
    network, processor = loading.load(llava_config.model)
    inputs = Encoder(processor).prompt_batch([tiny_data.val[0].forget[0]])
    with torch.no_grad():
        assert torch.equal(adapter.load(network, run.adapter)(**inputs).logits, adapted(**inputs).logits)


@pytest.mark.slow
def test_an_imported_adapter_is_answered_judged_and_scored_like_a_trained_one(tensors, llava_config, tmp_path, capsys):
    file = write(tensors, llava_code, tmp_path / "checkpoint.pt")
    assert cli.main(["adapter", "import", str(file), *flags(llava_config), "--name", "theirs"]) == 0
    assert cli.main(["adapter", "import", str(file), *flags(llava_config), "--name", "theirs"]) == 1
    assert "has an adapter already" in capsys.readouterr().err
    for command in ("generate", "judge", "score"):
        assert cli.main([command, "theirs"]) == 0, command
    run = Run.find("theirs")
    assert run.scores is not None
    assert run.scores["decoding"].startswith("greedy")
    own = trained_run(llava_config, Source(llava_config.data))
    assert cli.main(["generate", own.name]) == 0
    assert [row["answer"] for row in run.rows(run.answers)] == [row["answer"] for row in own.rows(own.answers)]
    export(run, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "The adapter was not trained here: it was imported from `checkpoint.pt`." in text
    assert "| epochs |" not in text


def _half_a_pair(tensors: dict) -> None:
    del tensors["base_model.model.model.language_model.layers.1.mlp.up_proj.lora_B.weight"]


def _no_layer(tensors: dict) -> None:
    for half in "AB":
        del tensors[f"base_model.model.model.language_model.layers.1.mlp.up_proj.lora_{half}.weight"]


def _half_a_projector(tensors: dict) -> None:
    del tensors["base_model.model.model.multi_modal_projector.linear_2.bias"]


def _stranger(tensors: dict) -> None:
    tensors["base_model.model.model.vision_resampler.weight"] = torch.zeros(2)


def _other_width(tensors: dict) -> None:
    name = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"
    tensors[name] = torch.zeros(4, 48)


def _several_ranks(tensors: dict) -> None:
    for half, shape in (("A", (2, 64)), ("B", (64, 2))):
        name = f"base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_{half}.weight"
        tensors[name] = torch.zeros(shape)


def _number(tensors: dict) -> None:
    tensors["step"] = 7


WRONG = (
    (_half_a_pair, r"language_model.layers.1.mlp.up_proj has lora_A alone; a LoRA pair must be whole"),
    (_no_layer, r"2 keys differ, such as .*layers.1.mlp.up_proj.lora_A"),
    (_half_a_projector, r"1 keys differ, such as .*multi_modal_projector.linear_2.bias"),
    (_stranger, r"1 keys differ, such as .*vision_resampler.weight"),
    (_other_width, r"q_proj.lora_A.weight is \[4, 48\], not \[4, 64\]"),
    (_several_ranks, r"LoRA of several ranks \(2, 4\)"),
    (_number, r"step is no tensor but int"),
)


def loaded(file: Path, config: RunConfig) -> PeftModel:
    tensors = published.read(file)
    return published.adapted(tensors, config.model_copy(update=published.settings(tensors, file)), file)


@pytest.mark.parametrize(("damage", "message"), WRONG)
def test_a_published_checkpoint_that_does_not_fit_is_named_and_makes_no_run(
    damage, message, tensors, llava_config, tmp_path, runs_folder
):
    damage(tensors)
    file = write(tensors, old_transformers, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match=message):
        loaded(file, llava_config)
    assert cli.main(["adapter", "import", str(file), *flags(llava_config)]) == 1
    assert not runs_folder.exists()


class Code:
    """What a pickle runs when it is opened carelessly."""

    def __reduce__(self):
        return (print, ("a pickle ran code",))


def test_a_file_that_holds_more_than_tensors_is_not_opened(tmp_path, capsys):
    torch.save({"a": Code()}, tmp_path / "code.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    for name, message in (
        ("code.pt", "or more than tensors"),
        ("text.pt", "not a state dict saved by torch"),
        ("list.pt", "must hold tensors by name, holds list"),
        ("gone.pt", "there is no such file"),
    ):
        with pytest.raises(ModelError, match=message):
            published.read(tmp_path / name)
    assert "a pickle ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"), [(["--lora-alpha", "8"], "--method"), (["--method", "po"], "--lora-alpha")]
)
def test_what_the_file_cannot_say_must_be_given(given, message, tmp_path, capsys):
    assert cli.main(["adapter", "import", str(tmp_path / "checkpoint.pt"), *given]) == 1
    assert f"{message}: the file does not say it" in capsys.readouterr().err
