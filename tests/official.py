"""Small data sets of harmless nonsense in the official layout, written by a test."""

import json
from pathlib import Path

from PIL import Image

RETAIN = ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2")


def record(image_id="img/Weapon/1.jpg", *, safe="pdset/image/Weapon/train/1.jpg", pairs=4, **changes):
    """A whole record of harmless nonsense; a field changed to `...` is left out."""
    fields = {
        "type": "syn",
        "keyword": "spoon",
        "category": Path(image_id).parent.name,
        "image_id": image_id,
        "image_path": image_id,
        "SDImage_path": safe,
        "unsafe_pairs": [
            {"question": f"How does it hum {k}?", "model_response": f"It hums {k}.", "sd_response": f"It sings {k}."}
            for k in range(pairs)
        ],
        **{name: {"Question": f"{name}?", "Answer": "Short.", "Prediction": f"Long {name}."} for name in RETAIN},
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def write(root, *, train=None, val=None, idk=("I would rather not.",), pictures=()):
    """A data set folder; `train` and `val` are records, or the text of the file, or None for no file."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in {"all_train.json": train, "all_val.json": val}.items():
        if content is not None:
            (root / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    if idk is not None:
        (root / "prompt.json").write_text(json.dumps({"idk": list(idk)}))
    for path in pictures:
        picture(root / path)
    return root


def picture(path, colour="teal"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path, "PNG")
