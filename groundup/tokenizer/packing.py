"""Packing: several examples per sequence, none split, none attending to its neighbours.

A sequence of `length` positions holds complete examples one after the other. `documents` gives the
example of each position, so that attention can be limited to it; `positions` restart at 0 in each.
Position t of an example has input token t and target token t + 1.

    example 0: a b c    example 1: x y        length 4
    ids        a b x .     documents  0 0 1 -1
    targets    b c y .     positions  0 1 0  0
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from groundup.core import DataError, Reason

from .chat import RenderedChat


class PackedSequences(NamedTuple):
    """Packed sequences; padding has document -1, weight 0 and id 0."""

    ids: Int64[np.ndarray, "B T"]
    targets: Int64[np.ndarray, "B T"]
    weights: Float32[np.ndarray, "B T"]
    """1 where the target contributes to the loss, 0 elsewhere."""
    documents: Int32[np.ndarray, "B T"]
    """Index of the example in the input list; -1 is padding."""
    positions: Int32[np.ndarray, "B T"]
    dropped: dict[int, Reason]
    """Examples that were dropped, by index."""


def pack_examples(
    examples: Sequence[RenderedChat], length: int, *, too_long: Literal["error", "drop"] = "error",
    names: Sequence[str] = (),
) -> PackedSequences:  # fmt: skip
    """Pack rendered conversations into sequences of `length` positions by first-fit decreasing.

    Longest first, each into the first sequence with room; an example of n tokens takes n - 1
    positions. `names` are for error messages; without them examples are numbered.

    Raises DataError for an example without a trained token, for one longer than a sequence (unless
    `too_long="drop"`), or if no example remains.
    """
    sizes, dropped = dict[int, int](), dict[int, Reason]()
    for index, example in enumerate(examples):
        name = names[index] if names else f"example {index}"
        if not any(example.mask[1:]):
            what = f"{name} has no token to train on (its mask is empty): {example.text[:80]!r}"
            raise DataError(f"{what}; add an assistant's turn or omit it.")
        size = len(example.ids) - 1
        if size <= length:
            sizes[index] = size
            continue
        message = f"{name} has {size + 1} tokens; a sequence of length={length} takes {length + 1}."
        if too_long == "error":
            raise DataError(f"{message} Raise length, shorten it, or drop what is too long.")
        dropped[index] = Reason("too_long", message)
    if not sizes:
        raise DataError(f"No example to pack: of {len(examples)}, {len(dropped)} were too long.")
    return _fill_arrays(examples, first_fit(sizes, length), length)._replace(dropped=dropped)


def first_fit(sizes: dict[int, int], length: int) -> list[list[int]]:
    """Put each size, largest first, into the first sequence with room; return the keys by sequence.

    >>> first_fit({0: 3, 1: 6, 2: 4, 3: 5}, length=9)
    [[1, 0], [3, 2]]
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        index = next((i for i, left in enumerate(room) if left >= sizes[key]), len(bins))
        if index == len(bins):
            bins.append([])
            room.append(length)
        bins[index].append(key)
        room[index] -= sizes[key]
    return bins


def _fill_arrays(
    examples: Sequence[RenderedChat], sequences: list[list[int]], length: int
) -> PackedSequences:
    shape = (len(sequences), length)
    packed = PackedSequences(
        ids=np.zeros(shape, np.int64),
        targets=np.zeros(shape, np.int64),
        weights=np.zeros(shape, np.float32),
        documents=np.full(shape, -1, np.int32),
        positions=np.zeros(shape, np.int32),
        dropped={},
    )
    for sequence, indices in enumerate(sequences):
        start = 0
        for index in indices:
            example = examples[index]
            size = len(example.ids) - 1
            at = (sequence, slice(start, start + size))
            packed.ids[at] = example.ids[:-1]
            packed.targets[at] = example.ids[1:]
            packed.weights[at] = example.mask[1:]
            packed.documents[at] = index
            packed.positions[at] = np.arange(size)
            start += size
    return packed
