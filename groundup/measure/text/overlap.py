"""Exact match and token F1 after a stated normalisation.

plain   tokens are words; case, width and white space do not count
squad   as the SQuAD script does it: no punctuation, no articles, tokens between white space
none    tokens are words; everything counts
"""

from collections import Counter
from typing import NamedTuple

from .units import Normalisation, normaliser, words


class Overlap(NamedTuple):
    """How much of two bags of tokens is shared."""

    precision: float
    """Share of the answer's tokens that the reference has."""
    recall: float
    """Share of the reference's tokens that the answer has."""
    f1: float
    """Harmonic mean of both."""


def overlap(shared: float, found: float, asked: float) -> Overlap:
    """Precision shared / found, recall shared / asked and their F1; 0 where nothing is found.

    >>> overlap(2, 4, 2).f1
    0.6666666666666666
    """
    precision, recall = shared / max(found, 1), shared / max(asked, 1)
    both = precision + recall
    return Overlap(precision, recall, 2 * precision * recall / both if both else 0.0)


def is_equal(a: str, b: str, normalisation: Normalisation = "plain") -> bool:
    """Whether two texts are the same after normalisation.

    >>> is_equal("PARIS ", "paris"), is_equal("A b.", "a b"), is_equal("A b.", "b", "squad")
    (True, False, True)
    """
    prepare = normaliser(normalisation)
    return prepare(a) == prepare(b)


def token_overlap(a: str, b: str, normalisation: Normalisation = "none") -> float:
    """F1 of the tokens that two texts share, each counted as often as it occurs in both; 0 to 1.

    Two texts without tokens are the same: 1. One without is wrong: 0.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250. Departs: only `squad` removes articles.

    >>> token_overlap("the cat sat", "the cat")
    0.8
    >>> round(token_overlap("The cat, sat.", "a cat", "squad"), 3)
    0.667
    """
    cut = str.split if normalisation == "squad" else words
    left, right = (cut(normaliser(normalisation)(text)) for text in (a, b))
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right))
