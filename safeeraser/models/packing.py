"""Packing: all pairs on one picture in one row, behind the tokens that they share.

A pair sees the shared prefix and itself, and its positions go on from the prefix. So every pair gets the logits that it
gets in a row of its own, and the picture's tokens are computed once. Pure functions of token ids; not covered: which
pairs come together (`unlearn/examples.py`) and the other tensors of a batch (`encoder.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PREFIX = 0
PADDING = -1


@dataclass(frozen=True)
class Row:
    """One row of tokens, each list as long as the row.

    positions: of each token in its own sequence, counted from 0. segments: PREFIX, or 1, 2 ... for what belongs to one
    sequence alone.
    """

    ids: list[int]
    positions: list[int]
    segments: list[int]


@dataclass(frozen=True)
class Grid:
    """Where a picture's tokens are in a sequence: `rows` times `columns` of them, from `start` on."""

    start: int
    rows: int
    columns: int


def axes(positions: Tensor, grids: Sequence[Grid | None]) -> Tensor:
    """Positions in a sequence, [rows, length], as the model takes them; grids: of each row's picture.

    With a picture in any of them [3, rows, length]: time, height and width (M-RoPE, arXiv 2409.12191). A picture's
    tokens have the place of its start and, of this, height and width in the grid; text goes on one behind the largest.
    """
    if not any(grids):
        return positions
    return torch.stack([_axes(own, grid) for own, grid in zip(positions, grids, strict=True)], dim=1)


def _axes(positions: Tensor, grid: Grid | None) -> Tensor:
    """[length] -> [3, length]"""
    if grid is None:
        return positions.expand(3, -1)
    count = grid.rows * grid.columns
    place = positions - grid.start
    after = positions - count + max(grid.rows, grid.columns)
    text = torch.where(place < count, positions, after).expand(3, -1)
    within = torch.stack([torch.zeros_like(place), place // grid.columns, place % grid.columns]) + grid.start
    return torch.where((place >= 0) & (place < count), within, text)


def shared(sequences: Sequence[Sequence[int]], limit: int) -> int:
    """How many tokens all sequences begin with, `limit` at most."""
    first, *others = sequences
    for place in range(limit):
        if any(other[place] != first[place] for other in others):
            return place
    return limit


def pack(sequences: Sequence[Sequence[int]], prefix: int) -> Row:
    """Sequences that agree in their first `prefix` tokens, one behind the other, these tokens once."""
    row = Row(list(sequences[0][:prefix]), list(range(prefix)), [PREFIX] * prefix)
    for segment, ids in enumerate(sequences, start=1):
        row.ids.extend(ids[prefix:])
        row.positions.extend(range(prefix, len(ids)))
        row.segments.extend([segment] * (len(ids) - prefix))
    return row


def mask(segments: Tensor, picture: Tensor | None = None) -> Tensor:
    """Who sees whom: [rows, length] of segments -> [rows, 1, length, length], bool, as SDPA takes it.

    A token sees the prefix and its own segment up to itself; the tokens of a picture, where [rows, length] names them,
    see each other both ways where no other token is between them. Padding sees itself: a softmax of nothing is NaN.
    """
    length = segments.shape[1]
    seen, seeing = segments[:, None, :], segments[:, :, None]
    earlier = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    found = earlier & ((seen == PREFIX) | (seen == seeing))
    if picture is not None:
        starts = picture & ~torch.nn.functional.pad(picture, (1, 0))[:, :-1]
        number = starts.cumsum(1).where(picture, -1)  # of the run of tokens that each is in
        found = found | ((number[:, None, :] == number[:, :, None]) & picture[:, None, :])
    return found[:, None]


def near(seen: Tensor, seeing: Tensor, window: int) -> Tensor:
    """Which of the positions `seen` [rows, keys] are within a sliding window of `seeing` [rows, queries].

    [rows, 1, queries, keys], bool; those that come later are, too.
    """
    return (seen[:, None, :] > seeing[:, :, None] - window)[:, None]
