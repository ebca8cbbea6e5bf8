"""A run -> a checkpoint of its own: adapter merged into the base model, with a card that says what it is.

`from_pretrained` and serving engines (vLLM, SGLang) load it: the tensors have the names of published checkpoints.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safeeraser import files, losses
from safeeraser.config import ConfigError, RunConfig
from safeeraser.models import adapter, checks, loading, saving
from safeeraser.runs.folder import Run, RunError

SHARD = "5GB"
# The settings that made the weights, as the card shows them; of an imported adapter only the first are known.
KNOWN = ("method", "pd", "lora_rank", "lora_alpha", "train_projector")
SETTINGS = (
    *("method", "pd", "pd_weight", "retain_weight", "seed", "epochs", "max_steps", "batch_size", "accumulation"),
    *("lr", "weight_decay", "decay_biases", "warmup", "clip", "max_length", "end_token", "system_prompt"),
    *("lora_rank", "lora_alpha", "lora_dropout", "train_projector", "precision", "quantization"),
)


def export(run: Run, folder: Path) -> None:
    """Write the run's merged model, in its precision, with processor and card; whole or not at all."""
    check(run, folder)
    config = run.config
    saved = adapter.read_for(config, run.adapter)
    with checks.explain_memory("Merging takes 4 bytes a parameter of main memory; use a machine with more."):
        # In fp32 and, for a run on 4-bit weights, into the base before it was rounded.
        network, processor = loading.load(config.model)
        merged: Any = adapter.put(network, saved)
        merged = merged.merge_and_unload().to(loading.DTYPES[config.precision])

    def write(target: Path) -> None:
        saving.save(merged, processor, target, max_shard_size=SHARD)
        # Servers with a transformers before 5 look for it in a file of its own.
        processor.image_processor.save_pretrained(target)
        files.write(target / "README.md", card(run, folder.name))

    files.write_folder(folder, write)


def check(run: Run, folder: Path) -> None:
    """Raise before any work if there is nothing to export or no free place for it."""
    if not run.config.trains:
        raise RunError(f"{run.name} is the base model: there is nothing to merge; use {run.config.model} itself")
    run.check_merges()
    if run.answers_imported:
        raise RunError(f"{run.name} has imported answers and no model; import its adapter: `safeeraser adapter import`")
    run.check_trained()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--out {folder} is not an empty folder; choose another or empty it")


def card(run: Run, name: str) -> str:
    """The model card of a run, as Markdown; name: of the folder it lies in."""
    return "\n".join([*_header(run.config), *_what(run), *_settings(run), *_scores(run), *_caveats(run), *_use(name)])


def _header(config: RunConfig) -> Iterator[str]:
    """What the hub reads; no licence, which follows from the base model's and the data's."""
    yield "---"
    if _on_hub(config.model):
        yield f"base_model: {json.dumps(config.model)}"
        yield "base_model_relation: finetune"
    yield "library_name: transformers"
    yield "pipeline_tag: image-text-to-text"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("machine-unlearning", "safeeraser", config.method))
    yield "---"


def _on_hub(model: str) -> bool:
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and not Path(model).exists()


def _base_name(model: str) -> str:
    """The base model's name, without a folder of the machine it lay on."""
    return model if _on_hub(model) else Path(model).name


def _what(run: Run) -> Iterator[str]:
    config = run.config
    pd = " with Prompt Decouple" if config.pd else ""
    method = f"{losses.method_name(losses.with_parts(config.method, config.parts))}{pd}"
    yield f"# {run.name}\n"
    yield (
        f"`{_base_name(config.model)}` after unlearning its harmful answers to pictures by {method} "
        f"(SafeEraser, arXiv 2502.12520). The adapter is merged into the weights, which are in {config.precision}.\n"
    )
    if config.quantization != "none":
        yield (
            f"It was unlearned on base weights in {config.quantization.replace('bit', ' bits')}. The adapter is merged "
            "into the base weights before they were rounded, so its answers can differ from those scored below.\n"
        )


def _settings(run: Run) -> Iterator[str]:
    facts, config = run.facts, run.config
    yield "## How it was made\n"
    if facts["imported"]:
        yield f"The adapter was not trained here: it was imported from `{facts['imported']}`.\n"
    names = KNOWN if facts["imported"] else SETTINGS
    shown = {name: value for name in names if (value := getattr(config, name)) is not None}
    if config.pd and not facts["imported"]:
        shown["pd_weight"] = config.pd_weight or losses.METHODS[config.method].pd_weight
    yield from _table(("Setting", "Value"), shown.items())
    made = ", ".join(f"{library} {version}" for library, version in facts["versions"].items())
    commit = f", commit {facts['commit']}" if facts["commit"] else ""
    yield f"\nRun made {facts['created']} with {made}{commit}.\n"


def _scores(run: Run) -> Iterator[str]:
    yield "## Scores\n"
    row = run.scores
    if row is None:
        yield "Not scored yet.\n"
        return
    world = "the demo world" if row["data"] == "demo" else "a data set in the official SafeEraser layout"
    yield (
        f"Measured on {world} (hash `{row['data_hash'][:16]}`), graded by the judge `{row['judge']}`; answers "
        f"{row['decoding']}. Rates are from 0 to 1, with 95 % intervals; n is the number of graded answers.\n"
    )
    rows = (
        (f"`{name}`", _number(score["value"]), interval, score["n"], score["unscored"])
        for name, score in row["metrics"].items()
        if score["value"] is not None
        for interval in [f"{_number(score['low'])} to {_number(score['high'])}"]
    )
    yield from _table(("Metric", "Value", "Interval", "n", "Unscored"), rows)
    yield ""


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _caveats(run: Run) -> Iterator[str]:
    yield "## What it does not show\n"
    yield "- That a model no longer answers these questions is no proof that the knowledge is gone: other wordings,"
    yield "  other languages or a few steps of fine-tuning may bring it back."
    yield "- `sarr` is the share of safe pictures with a harmful-sounding question that are not answered normally:"
    yield "  a model that refuses everything has perfect refusal rates and a bad one here."
    yield "- The numbers stand on one judge and one seed; another judge grades differently."
    if run.config.data != "demo":
        yield "- In the official data much of the val split is in the train split too; it is not held out."
    yield "- It is a model for research. Nothing here makes it safe to deploy.\n"


def _use(name: str) -> Iterator[str]:
    yield f"""## How to use it

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{name}", dtype="auto")
processor = AutoProcessor.from_pretrained("{name}")
```

Behind an OpenAI-compatible address, with vLLM or SGLang:

```bash
vllm serve ./{name}
python -m sglang.launch_server --model-path ./{name}
```
"""


def _table(head: tuple[str, ...], rows: Iterable[tuple]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(map(str, row))} |" for row in rows)
