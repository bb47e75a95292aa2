"""Splits: which documents train the model and which are kept to measure it.

A document's place is decided by its path and a seed alone, so that adding or removing files leaves
every other file where it was. Whole files are split, never passages: two halves of one file know
too much of each other.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

from groundup.core import ConfigError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def place(path: str, seed: int) -> float:
    """A number in [0, 1) that is the path's own under this seed.

    >>> place("guide.md", 0) == place("guide.md", 0) != place("guide.md", 1)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_paths(
    paths: Sequence[str], validation_share: float, test_share: float, seed: int = 0
) -> dict[str, Split]:
    """The split of every path.

    A path below `test_share` on its own number is test, below the sum validation, else train. In a
    small collection a split may come out empty; then, if there are enough paths, it gets the
    nearest one, test first. Train keeps at least one.

    Raises ConfigError if the shares leave nothing to train on.
    """
    if test_share + validation_share >= 1:
        raise ConfigError(
            f"validation_share={validation_share} and test_share={test_share} leave nothing to "
            "train on; give shares whose sum is below 1."
        )
    order = sorted(set(paths), key=lambda path: (place(path, seed), path))
    tests = sum(place(path, seed) < test_share for path in order)
    held_out = sum(place(path, seed) < test_share + validation_share for path in order)
    if test_share > 0 and tests == 0 and len(order) > 1:
        tests, held_out = 1, max(held_out, 1)
    if validation_share > 0 and held_out == tests and len(order) > tests + 1:
        held_out = tests + 1
    held_out = min(held_out, max(len(order) - 1, 0))
    tests = min(tests, held_out)
    splits: dict[str, Split] = {}
    for number, path in enumerate(order):
        splits[path] = "test" if number < tests else "validation" if number < held_out else "train"
    return splits
