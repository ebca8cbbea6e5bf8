"""Whether transformers 4 reads an export as transformers 5 does: tensors, token numbers, pixels and logits.

    python benchmarks/transformers_4.py --run demo-po-pd-s0-44136f

Makes an environment with transformers 4.57 in a scratch folder (some 250 MB from the package index), exports the run,
asks both versions the same about three pictures, and prints the largest differences.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from safeeraser.data.records import VQA
from safeeraser.data.source import load
from safeeraser.models import loading
from safeeraser.models.encoder import Encoder
from safeeraser.models.export import export
from safeeraser.runs.folder import Run

WANTED = ("torch==2.13.0", "transformers==4.57.6", "pillow")
OTHER = """
import sys, torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration
folder, file = sys.argv[1:]
network, found = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
processor, told = AutoProcessor.from_pretrained(folder, use_fast=False), torch.load(file)
for name, tensors in found.items():
    print(f"{name}: {len(tensors)}")
asked = processor(images=[Image.open(path) for path in told["pictures"]], text=told["prompts"], return_tensors="pt",
                  padding=True, padding_side="left")
for name in ("input_ids", "attention_mask", "pixel_values"):
    print(f"{name} differ by {float((asked[name] - told['inputs'][name]).abs().max()):g} at most")
with torch.no_grad():
    logits = network.eval()(**told["inputs"]).logits
print(f"logits differ by {float((logits - told['logits']).abs().max()):g} at most, of {float(logits.abs().max()):.3g}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="demo-po-pd-s0-44136f", help="of a LLaVA, with an adapter")
    options = parser.parse_args()
    run = Run.find(options.run)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export(run, folder / "out")
        asked = [record.forget[0] for record in load(run.config.data).val[:3]]
        torch.save(answered(folder / "out", asked), folder / "told.pt")
        subprocess.run([sys.executable, "-m", "venv", str(folder / "other")], check=True)
        python = str(folder / "other" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *WANTED], check=True)
        subprocess.run([python, "-c", OTHER, str(folder / "out"), str(folder / "told.pt")], check=True)


def answered(folder: Path, asked: list[VQA]) -> dict[str, object]:
    """What transformers 5 makes of these questions with the model in the folder."""
    network, processor = loading.load(str(folder))
    encoder = Encoder(processor)
    inputs = encoder.prompt_batch(asked)
    with torch.no_grad():
        logits = network(**inputs).logits
    pictures = [str(vqa.picture) for vqa in asked]
    return {
        "inputs": inputs,
        "logits": logits,
        "pictures": pictures,
        "prompts": [encoder.prompt(q.question) for q in asked],
    }


if __name__ == "__main__":
    main()
