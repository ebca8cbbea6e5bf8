"""Whole rows of a run's files, as a test would have them."""

from typing import Any


def log_row(**changes: Any) -> dict[str, Any]:
    """A training step."""
    row = {"step": 1, "loss": 1.0, "terms": {"prefer": 1.0}, "tokens": 100, "seconds": 0.5, "peak_memory": None}
    return row | changes


def answer_row(id: str, **changes: Any) -> dict[str, Any]:
    """An answer to the item of this id."""
    split, set_name = id.split("/")[0], id.split("/")[-2]
    row = {"id": id, "set": set_name, "split": split, "category": "Weapon", "sample": 0, "seed": 0, "answer": "Ring."}
    return row | changes
