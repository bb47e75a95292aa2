"""Packing: several examples in one row of ids, none split, none seeing its neighbours.

A row of `length` positions holds whole examples behind one another. `documents` says to which
example a position belongs, so that attention stays inside it; `positions` begin at 0 in each.
Position t of an example carries token t and has token t + 1 as its target.

    example 0: a b c    example 1: x y        length 4
    ids        a b x .     documents  0 0 1 -1
    targets    b c y .     positions  0 1 0  0
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from groundup.core import DataError, Reason

from .chat import Rendered


class Packed(NamedTuple):
    """Rows of packed examples; padding has document -1, weight 0 and id 0."""

    ids: Int64[np.ndarray, "B T"]
    targets: Int64[np.ndarray, "B T"]
    weights: Float32[np.ndarray, "B T"]
    """1 where the target is trained, 0 elsewhere."""
    documents: Int32[np.ndarray, "B T"]
    """Place of the example in the list that was given; -1 is padding."""
    positions: Int32[np.ndarray, "B T"]
    dropped: dict[int, Reason]
    """Examples that were left out, by their place in the list."""


def pack_examples(
    examples: Sequence[Rendered],
    length: int,
    *,
    too_long: Literal["error", "drop"] = "error",
    names: Sequence[str] = (),
) -> Packed:
    """Pack rendered conversations into as few rows of `length` positions as first-fit finds.

    Longest first, each into the first row with room for it; an example of n tokens takes n - 1
    positions. `names` are for error messages; without them an example is called by its place.

    Raises DataError naming the example if nothing of it is trained, if it is longer than a row
    (unless `too_long="drop"`), or if no example is left.
    """
    sizes, dropped = dict[int, int](), dict[int, Reason]()
    for place, example in enumerate(examples):
        name = names[place] if names else f"example {place}"
        if not any(example.mask[1:]):
            raise DataError(
                f"{name} has no token to train on (its mask is empty); "
                "give it an assistant's turn or leave it out."
            )
        size = len(example.ids) - 1
        if size <= length:
            sizes[place] = size
            continue
        message = f"{name} has {size + 1} tokens; a row of length={length} takes {length + 1}."
        if too_long == "error":
            raise DataError(f"{message} Raise length, shorten it, or drop what is too long.")
        dropped[place] = Reason("too_long", message)
    if not sizes:
        raise DataError(f"No example to pack: {len(examples)} came, {len(dropped)} were too long.")
    return fill(examples, first_fit(sizes, length), length)._replace(dropped=dropped)


def first_fit(sizes: dict[int, int], length: int) -> list[list[int]]:
    """Put each size, largest first, into the first row with room; return the keys by row.

    >>> first_fit({0: 3, 1: 6, 2: 4, 3: 5}, length=9)
    [[1, 0], [3, 2]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        row = next((row for row, left in enumerate(room) if left >= sizes[key]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(key)
        room[row] -= sizes[key]
    return rows


def fill(examples: Sequence[Rendered], rows: list[list[int]], length: int) -> Packed:
    """Write the chosen examples into arrays."""
    shape = (len(rows), length)
    packed = Packed(
        ids=np.zeros(shape, np.int64),
        targets=np.zeros(shape, np.int64),
        weights=np.zeros(shape, np.float32),
        documents=np.full(shape, -1, np.int32),
        positions=np.zeros(shape, np.int32),
        dropped={},
    )
    for row, places in enumerate(rows):
        start = 0
        for place in places:
            example = examples[place]
            size = len(example.ids) - 1
            at = (row, slice(start, start + size))
            packed.ids[at] = example.ids[:-1]
            packed.targets[at] = example.ids[1:]
            packed.weights[at] = example.mask[1:]
            packed.documents[at] = place
            packed.positions[at] = np.arange(size)
            start += size
    return packed
