"""Loading checkpoints of every family as they are published, what is said when one cannot be loaded, and adapters."""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from families import FAMILIES, INDEX, PATCH, SIDE, perturbed, read_json, rename_weights, smolvlm, write_json
from huggingface_hub import errors as hub
from huggingface_hub.utils import httpx
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig
from transformers.models.smolvlm import processing_smolvlm
from transformers.quantizers.quantizers_utils import should_convert_module

from safeeraser import cli
from safeeraser.config import VICUNA, RunConfig
from safeeraser.data.records import VQA, Dataset
from safeeraser.models import adapter, families, loading
from safeeraser.models.checks import ModelError
from safeeraser.models.encoder import Encoder
from safeeraser.plan import model_sizes


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in FAMILIES.items()}


@pytest.fixture
def published(checkpoints: dict[str, Path], tmp_path: Path) -> Path:
    """A LLaVA-1.5 checkpoint to break."""
    return shutil.copytree(checkpoints["llava"], tmp_path / "llava")


@pytest.fixture
def items(tiny_data: Dataset, tmp_path: Path) -> list[VQA]:
    """Questions about a tall and a wide picture, which LLaVA-NeXT and Idefics3 cut differently."""
    pictures = {"tall": (40, 90), "wide": (60, 30)}
    for name, size in pictures.items():
        Image.effect_noise(size, 60).convert("RGB").save(tmp_path / f"{name}.png")
    asked = tiny_data.train[0].forget[0]
    texts = {"tall": ("Where is it?", "It sits."), "wide": ("What is this?", "It sits at the centre.")}
    return [
        replace(asked, question=question, answer=answer, picture=tmp_path / f"{name}.png")
        for name, (question, answer) in texts.items()
    ]


def config_for(folder: Path, **settings) -> RunConfig:
    return RunConfig.create(model=str(folder), lora_rank=4, device="cpu", **settings)


def encoder_of(folder: Path) -> Encoder:
    return Encoder(loading.load(str(folder))[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_token_ids_and_pixels_are_the_processors_own(family, checkpoints, items):
    encoder = encoder_of(checkpoints[family])
    encoder.processor.tokenizer.padding_side = "left"
    theirs = encoder.processor(
        images=[[Image.open(item.picture).convert("RGB")] for item in items]
        if family in ("idefics3", "smolvlm", "gemma3")
        else [Image.open(item.picture).convert("RGB") for item in items],
        text=[encoder.prompt(item.question) for item in items],
        padding=True,
        return_tensors="pt",
    )
    ours = encoder.prompt_batch(items)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name]), name


def test_smolvlms_pictures_are_written_as_its_own_processor_does(checkpoints, items, monkeypatch):
    """That one cannot be made here as users make it, but without its part for videos."""
    encoder = encoder_of(checkpoints["smolvlm"])
    encoder.processor.tokenizer.padding_side = "left"
    monkeypatch.setattr(processing_smolvlm, "num2words", str)
    parts = ["image_processor", "tokenizer"]
    own, read = processing_smolvlm.SmolVLMProcessor, encoder.processor
    monkeypatch.setattr(own, "get_attributes", classmethod(lambda cls: parts))
    made = own(*(getattr(read, part) for part in parts), None, image_seq_len=read.image_seq_len)
    theirs = made(
        images=[[Image.open(item.picture).convert("RGB")] for item in items],
        text=[encoder.prompt(item.question) for item in items],
        padding=True,
        return_tensors="pt",
    )
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in encoder.prompt_batch(items).items())


def test_a_system_prompt_stands_where_the_chat_format_has_it(checkpoints):
    llava, idefics3, gemma3 = (
        Encoder(loading.load(str(checkpoints[name]))[1], system_prompt=VICUNA)
        for name in ("llava", "idefics3", "gemma3")
    )
    # As LLaVA's conversation `vicuna_v1` has it, but for the picture's mark, which transformers fills in.
    assert llava.prompt("Where?") == f"{VICUNA} USER: <image>\nWhere? ASSISTANT:"
    assert idefics3.prompt("Where?").startswith(f"<|im_start|>System: {VICUNA}<end_of_utterance>\nUser:<image>Where?")
    assert gemma3.prompt("Where?").startswith(
        f"<s><start_of_turn>user\n{VICUNA}\n\n<start_of_image>Where?<end_of_turn>"
    )


NEXT = (
    "{% for message in messages %}{% if message['role'] == 'system' %}<<SYS>>\n{{ message['content'][0]['text'] }}\n"
    "<</SYS>>\n\n{% elif message['role'] == 'user' %}[INST] <image>\n{{ message['content'][1]['text'] }} [/INST]"
    "{% endif %}{% endfor %}"
)
REFUSING = NEXT.replace("<<SYS>>", "{{ raise_exception('System role not supported') }}")
STUMBLING = NEXT.replace("['content'][0]['text'] }}\n", "['content'] + '' }}\n")


def test_a_chat_format_without_a_system_prompt_refuses_one(checkpoints):
    _, processor = loading.load(str(checkpoints["llava_next"]))
    with pytest.raises(ModelError, match=r"has no place for one; leave it out \(--no-system-prompt\)"):
        Encoder(processor, system_prompt="Be brief.")
    processor.chat_template = NEXT
    assert Encoder(processor, system_prompt="Be brief.").prompt("Where?") == (
        "<<SYS>>\nBe brief.\n<</SYS>>\n\n[INST] <image>\nWhere? [/INST]"
    )
    for template, why in ((REFUSING, "System role not supported"), (STUMBLING, "can only concatenate list")):
        processor.chat_template = template
        with pytest.raises(ModelError, match=f"the model's chat format takes none .*{why}.*leave it out"):
            Encoder(processor, system_prompt="Be brief.")


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_other_shapes_answer_the_same_in_one_batch_as_alone(family, checkpoints, items):
    network, processor = loading.load(str(checkpoints[family]))
    encoder = Encoder(processor)
    how = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": processor.tokenizer.pad_token_id}
    together = network.generate(**encoder.prompt_batch(items), **how)[:, -6:]
    alone = [network.generate(**encoder.prompt_batch([item]), **how)[:, -6:] for item in items]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(
    ("family", "prompt", "end"),
    [
        ("llava", "USER: <image>\nWhere is it? ASSISTANT:", "</s>"),
        ("llava_next", "[INST] <image>\nWhere is it? [/INST]", "</s>"),
        ("idefics3", "<|im_start|>User:<image>Where is it?<end_of_utterance>\nAssistant:", "<end_of_utterance>"),
        ("smolvlm", "<|im_start|>User:<image>Where is it?<end_of_utterance>\nAssistant:", "<end_of_utterance>"),
        (
            "qwen2_5_vl",
            "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Where is it?<|im_end|>\n"
            "<|im_start|>assistant\n",
            "<|im_end|>",
        ),
        (
            "qwen3_vl",
            "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Where is it?<|im_end|>\n"
            "<|im_start|>assistant\n",
            "<|im_end|>",
        ),
        (
            "internvl",
            "<|im_start|>user\n<IMG_CONTEXT>\nWhere is it?<|im_end|>\n<|im_start|>assistant\n",
            "<|im_end|>",
        ),
        (
            "llava_onevision",
            "<|im_start|>user\n<image>\nWhere is it?<|im_end|>\n<|im_start|>assistant\n",
            "<|im_end|>",
        ),
        (
            "gemma3",
            "<s><start_of_turn>user\n<start_of_image>Where is it?<end_of_turn>\n<start_of_turn>model\n",
            "<end_of_turn>",
        ),
    ],
)
def test_each_family_is_asked_in_its_own_chat_format(family, prompt, end, checkpoints, items):
    encoder = encoder_of(checkpoints[family])
    assert encoder.prompt("Where is it?") == prompt
    ids, length = encoder.tokens(items[0].question, items[0].answer, items[0].picture)
    assert encoder.tokenizer.decode(ids[length:]).strip() == "It sits." + end


def test_a_text_begins_with_one_start_token_whoever_writes_it(checkpoints, items):
    for family, start in (("llava", "<s>"), ("idefics3", "<|im_start|>")):
        encoder = encoder_of(checkpoints[family])
        ids, _ = encoder.tokens(items[0].question, None, items[0].picture)
        assert ids.count(encoder.tokenizer.convert_tokens_to_ids(start)) == 1


def test_an_incomplete_processor_is_completed_from_the_model(checkpoints, items):
    assert not (checkpoints["llava"] / "processor_config.json").exists()
    encoder = encoder_of(checkpoints["llava"])
    ids, _ = encoder.tokens(items[0].question, None, items[0].picture)
    assert ids.count(encoder.processor.image_token_id) == (SIDE // PATCH) ** 2


def test_the_old_names_of_a_sharded_checkpoint_find_their_places(checkpoints):
    folder = checkpoints["llava"]
    places = read_json(folder / INDEX)["weight_map"]
    assert len(set(places.values())) > 3
    network, _ = loading.load(str(folder))
    loaded = network.state_dict()
    for old, new in {
        "language_model.model.layers.1.mlp.up_proj.weight": "model.language_model.layers.1.mlp.up_proj.weight",
        "language_model.lm_head.weight": "lm_head.weight",
        "multi_modal_projector.linear_2.bias": "model.multi_modal_projector.linear_2.bias",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight": (
            "model.vision_tower.encoder.layers.0.mlp.fc1.weight"
        ),
    }.items():
        assert torch.equal(load_file(folder / places[old])[old], loaded[new])


@pytest.mark.parametrize("precision", loading.DTYPES)
def test_a_model_is_loaded_in_its_precision(precision, checkpoints):
    network, _ = loading.load(str(checkpoints["llava"]), precision=precision)
    assert {parameter.dtype for parameter in network.parameters()} == {loading.DTYPES[precision]}


def rename(folder: Path, old: str, new: str) -> None:
    rename_weights(folder, old=old, new=new)


def reconfigure(folder: Path, **settings) -> None:
    write_json(folder / "config.json", read_json(folder / "config.json") | settings)


def drop_tensor(folder: Path, name: str) -> None:
    shard = folder / read_json(folder / INDEX)["weight_map"][name]
    save_file({key: t for key, t in load_file(shard).items() if key != name}, shard, metadata={"format": "pt"})


def add_tensor(folder: Path, name: str) -> None:
    index = read_json(folder / INDEX)
    shard = next(iter(index["weight_map"].values()))
    save_file(load_file(folder / shard) | {name: torch.ones(2)}, folder / shard, metadata={"format": "pt"})
    write_json(folder / INDEX, index | {"weight_map": index["weight_map"] | {name: shard}})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


SHARD = "model-00002-of-00006.safetensors"
BIAS = "multi_modal_projector.linear_1.bias"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a shard": (lambda folder: (folder / SHARD).unlink(), rf"lacks {SHARD} \(named in {INDEX}\)"),
    "config": (lambda folder: (folder / "config.json").unlink(), "holds no checkpoint: there is no config.json"),
    "tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "lacks tokenizer.json or tokenizer.model"),
    "end token": (lambda folder: write_json(folder / "tokenizer_config.json", {}), "names no end token"),
    "processor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "lacks processor_config.json or prep"),
    "template": (lambda folder: (folder / "chat_template.json").unlink(), "has no chat template"),
    "weights": (lambda folder: [file.unlink() for file in folder.glob("model*")], "no file named model.safetensors"),
    "cut short": (lambda folder: cut(folder / SHARD), "a weights file is cut short or broken; download it again"),
    "a tensor": (lambda folder: drop_tensor(folder, BIAS), rf"model.{BIAS} is missing in the checkpoint \(1 such"),
    "a tensor more": (lambda folder: add_tensor(folder, "extra.weight"), "extra.weight is left over"),
    "another name": (lambda folder: rename(folder, BIAS, "multi_modal_projector.bias"), f"model.{BIAS} is missing"),
    "another shape": (
        lambda folder: reconfigure(
            folder, text_config=read_json(folder / "config.json")["text_config"] | {"vocab_size": 9}
        ),
        r"lm_head.weight has another shape than the model \(2 such tensors\)",
    ),
    "broken config": (lambda folder: (folder / "config.json").write_text("{"), "config.json' is not a valid JSON file"),
    "no object": (lambda folder: (folder / "config.json").write_text("null"), "config.json holds no object"),
    "a setting of another kind": (
        lambda folder: reconfigure(folder, vision_feature_layer="last"),
        "Validation error for field 'vision_feature_layer'",
    ),
    "a type that nobody knows": (
        lambda folder: reconfigure(folder, model_type="foo"),
        r"transformers [\d.]+ does not know the model_type in its config.json; .*another model$",
    ),
    "code of its own": (
        lambda folder: reconfigure(folder, model_type="foo", auto_map={"AutoConfig": "configuration_foo.FooConfig"}),
        "is code that comes with the checkpoint, and that is not run here",
    ),
    "text only": (
        lambda folder: write_json(folder / "config.json", read_json(folder / "config.json")["text_config"]),
        "a model of type 'llama' does not answer questions about pictures",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_checkpoint_lacks_is_named(what, published):
    damage, message = BROKEN[what]
    damage(published)
    with pytest.raises(ModelError, match=message) as caught:
        loading.load(str(published))
    assert f"--model {published}: " in str(caught.value)


@pytest.mark.parametrize(
    "what", ["no object", "a setting of another kind", "a type that nobody knows", "code of its own", "text only"]
)
def test_a_plan_says_the_same_of_a_configuration(what, published):
    damage, message = BROKEN[what]
    damage(published)
    with pytest.raises(ModelError, match=message):
        model_sizes.read(config_for(published))


def test_code_that_comes_with_a_checkpoint_is_not_run_and_nobody_is_asked_to(published, monkeypatch):
    monkeypatch.setattr("builtins.input", None)
    (published / "configuration_foo.py").write_text("raise SystemExit")
    reconfigure(published, model_type="foo", auto_map={"AutoConfig": "configuration_foo.FooConfig"})
    with pytest.raises(ModelError, match="not run here"):
        loading.check_trains(str(published))


@pytest.mark.parametrize(
    ("family", "file", "settings", "message"),
    [
        (
            "gemma3",
            "processor_config.json",
            {"image_seq_length": 9},
            "writes 9 tokens for a picture, the model takes 4",
        ),
        ("internvl", "processor_config.json", {"image_seq_length": 7}, "writes 7 tokens .* the model takes 4"),
        ("idefics3", "processor_config.json", {"image_seq_len": 5}, "writes 5 tokens .* the model takes 4"),
        ("llava_onevision", "processor_config.json", {"num_image_tokens": 4}, "writes 4 tokens .* the model takes 16"),
        ("qwen2_5_vl", "preprocessor_config.json", {"patch_size": 14}, "patches of 14 pixels, the model takes 8"),
    ],
)
def test_a_processor_of_another_checkpoint_is_an_error_of_loading(
    family, file, settings, message, checkpoints, tmp_path
):
    folder = shutil.copytree(checkpoints[family], tmp_path / "model")
    write_json(folder / file, read_json(folder / file) | settings)
    with pytest.raises(ModelError, match=f"--model {folder}: the processor .*{message}.*same checkpoint"):
        loading.load(str(folder))


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/org/model"))


HUB = {
    "gated": (hub.GatedRepoError("gated", response=answer(403)), "accept it and run `hf auth login`"),
    "unknown": (
        hub.RepositoryNotFoundError("none", response=answer(404)),
        "the hub has no such model, or it is private",
    ),
    "unreachable": (hub.LocalEntryNotFoundError("offline"), "the hub cannot be reached .* give its folder"),
}


@pytest.mark.parametrize("what", HUB)
def test_what_the_hub_refuses_is_said_with_what_to_do(what, monkeypatch):
    error, message = HUB[what]

    def refuse(*_, **__):
        raise OSError("wrapped by transformers") from error

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ModelError, match=f"--model org/model: .*{message}"):
        loading.load("org/model")


@pytest.mark.parametrize(
    ("name", "message"), [("org/never-downloaded", "not in the local cache"), ("/no/where", "there is no such folder")]
)
def test_offline_a_model_that_is_not_here_is_said_so(name, message):
    with pytest.raises(ModelError, match=f"--model {name}: .*{message}"):
        loading.load(name)


def test_a_processor_without_its_video_part_is_the_same_where_torchvision_is_installed(checkpoints, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: name)
    processor = encoder_of(checkpoints["qwen2_5_vl"]).processor
    assert processor.get_attributes() == ["image_processor", "tokenizer"]


def test_a_run_whose_model_has_no_row_stops_before_the_base_model_answers(
    checkpoints, tiny_data_folder, tmp_path, runs_folder, capsys, monkeypatch
):
    model = shutil.copytree(checkpoints["internvl"], tmp_path / "model")
    monkeypatch.delitem(families.FAMILIES, "internvl")
    assert cli.main(["run", "--model", str(model), "--data", str(tiny_data_folder), "--device", "cpu"]) == 1
    said = capsys.readouterr().err
    assert f"--model {model}: where the parts of a model of type 'internvl' lie is not known; known: llava, " in said
    assert not runs_folder.exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_is_on_exactly_the_linear_layers_of_the_language_model(family, checkpoints):
    network, _ = loading.load(str(checkpoints[family]))
    parts = families.FAMILIES[family]
    language = network.get_submodule(f"model.{parts.language}")
    expected = {f"model.{parts.language}.{name}" for name, part in language.named_modules() if type(part) is nn.Linear}
    before = list(network.named_parameters())
    adapted = adapter.attach(network, config_for(checkpoints[family]))
    got = {name.removeprefix("base_model.model.") for name, part in adapted.named_modules() if hasattr(part, "lora_A")}
    assert len(expected) == 14
    assert got == expected
    whole = {name for name, _ in trained(adapted) if "lora_" not in name}
    assert whole
    below = [f"model.{name}" for name in (parts.projector, parts.further) if name]
    projector = {name for name, _ in before if any(name.startswith(f"{part}.") for part in below)}
    assert {re.sub(r"base_model\.model\.|modules_to_save\.default\.", "", name) for name in whole} == projector


def trained(model: PeftModel) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_a_family_without_a_row_is_named_with_where_to_add_one(checkpoints):
    network, _ = loading.load(str(checkpoints["llava"]))
    network.config.model_type = "mllama"
    with pytest.raises(
        ModelError, match=r"of type 'mllama' lie is not known; .*Add a row to FAMILIES in safeeraser/mod"
    ):
        adapter.attach(network, config_for(checkpoints["llava"]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_adapter_comes_back_whole_in_every_family(family, checkpoints, items, tmp_path):
    adapted = perturbed(config_for(checkpoints[family]))
    adapter.save(adapted, tmp_path / "adapter")
    inputs = encoder_of(checkpoints[family]).prompt_batch(items)
    again = adapter.load(loading.load(str(checkpoints[family]))[0], tmp_path / "adapter")
    with torch.no_grad():
        expected = adapted(**inputs).logits
        assert torch.equal(again(**inputs).logits, expected)
        with adapted.disable_adapter():
            assert not torch.allclose(adapted(**inputs).logits, expected, atol=1e-3)
    assert adapter.trainable(again) == []


def missing_key(tensors: dict) -> None:
    del tensors[next(name for name in tensors if "lora_B" in name)]


def left_over_key(tensors: dict) -> None:
    tensors["base_model.model.model.language_model.layers.7.mlp.up_proj.lora_A.weight"] = torch.zeros(4, 32)


def other_shape(tensors: dict) -> None:
    name = next(name for name in tensors if "lora_A" in name)
    tensors[name] = tensors[name][:2].clone()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_key, "1 keys differ, such as .*lora_B"),
        (left_over_key, "1 keys differ, such as .*layers.7"),
        (other_shape, r"lora_A.weight is \[2, "),
    ],
)
def test_an_adapter_that_does_not_fit_is_an_error_wherever_it_is_loaded(damage, message, checkpoints, tmp_path):
    adapted = perturbed(config_for(checkpoints["llava"]))
    adapter.save(adapted, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    damage(tensors)
    save_file(tensors, weights)
    (tmp_path / adapter.HASHES).unlink()
    with pytest.raises(ModelError, match=message):
        adapter.load_weights(adapted, tmp_path)
    with pytest.raises(ModelError, match=message):
        adapter.load(loading.load(str(checkpoints["llava"]))[0], tmp_path)


def test_a_cut_adapter_is_an_error(checkpoints, tmp_path):
    adapted = perturbed(config_for(checkpoints["llava"]))
    adapter.save(adapted, tmp_path)
    cut(tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="the adapter's weights cannot be read"):
        adapter.load_weights(adapted, tmp_path)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_processor_whose_family_is_not_known_to_do_without_videos_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delitem(families.FAMILIES, "smolvlm")
    with pytest.raises(ModelError, match=r"SmolVLMProcessor .* needs torchvision: pip install torchvision"):
        loading.load(str(smolvlm(tmp_path)))


def test_four_bits_without_their_package_say_what_to_install(checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"pip install 'bitsandbytes>=0\.45'"):
        loading.load(str(checkpoints["llava"]), quantization="4bit")


@pytest.mark.parametrize("family", FAMILIES)
def test_four_bits_leave_out_modules_of_the_model_and_store_the_language_models_linear_layers(
    family, checkpoints, monkeypatch
):
    """By the rule with which transformers chooses what bitsandbytes stores; see below for the storing itself."""
    network, _ = loading.load(str(checkpoints[family]))
    parts = families.FAMILIES[family]
    monkeypatch.setattr(loading, "find_spec", lambda name: name)
    how = loading._four_bit(str(checkpoints[family]), family, "bf16", "cpu")
    kept = how["quantization_config"].llm_int8_skip_modules
    assert {name for name, _ in network.named_modules()} >= set(kept)
    stored = [
        name for name, part in network.named_modules() if type(part) is nn.Linear and should_convert_module(name, kept)
    ]
    assert len(stored) == 14
    assert all(name.startswith(f"model.{parts.language}.layers.") for name in stored)


needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


@needs_bitsandbytes
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_language_models_linear_layers_are_in_four_bits(family, checkpoints):
    network, _ = loading.load(str(checkpoints[family]), precision="bf16", quantization="4bit", device="cpu")
    parts = families.FAMILIES[family]
    packed = {name for name, part in network.named_modules() if type(part).__name__ == "Linear4bit"}
    assert len(packed) == 14
    assert all(name.startswith(f"model.{parts.language}.layers.") for name in packed)
    layer = network.get_submodule(min(packed))
    state = layer.weight.quant_state  # pyright: ignore[reportAttributeAccessIssue]
    assert (state.quant_type, state.nested, layer.compute_dtype) == ("nf4", True, torch.bfloat16)


@needs_bitsandbytes
def test_every_part_of_an_adapter_on_four_bits_gets_a_gradient_and_comes_back(checkpoints, items, tmp_path):
    adapted = perturbed(config_for(checkpoints["llava"], quantization="4bit"))
    inputs = encoder_of(checkpoints["llava"]).prompt_batch(items)
    adapted(**inputs).logits.square().mean().backward()
    for name, parameter in trained(adapted):
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    adapter.save(adapted, tmp_path)
    network, _ = loading.load(str(checkpoints["llava"]), quantization="4bit", device="cpu")
    with torch.no_grad():
        assert torch.equal(adapter.load(network, tmp_path)(**inputs).logits, adapted(**inputs).logits)
