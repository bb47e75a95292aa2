"""Exact match and token F1 after normalisation.

plain   tokens are words; case, width and white space are ignored
squad   as in the SQuAD script: no punctuation, no articles, tokens split at white space
none    tokens are words; everything counts
"""

from collections import Counter
from typing import NamedTuple

from .units import Normalisation, extract_words, get_normaliser


class TokenOverlap(NamedTuple):
    """Precision, recall and F1 of shared tokens."""

    precision: float
    """Share of the answer's tokens that the reference has."""
    recall: float
    """Share of the reference's tokens that the answer has."""
    f1: float
    """Harmonic mean of both."""


def precision_recall_f1(shared: float, answer: float, reference: float) -> TokenOverlap:
    """Precision, recall and F1 from numbers of shared, answer and reference tokens.

    >>> precision_recall_f1(2, 4, 2).f1
    0.6666666666666666
    """
    precision, recall = shared / max(answer, 1), shared / max(reference, 1)
    both = precision + recall
    return TokenOverlap(precision, recall, 2 * precision * recall / both if both else 0.0)


def is_equal(a: str, b: str, normalisation: Normalisation = "plain") -> bool:
    """Whether two texts are equal after normalisation.

    >>> is_equal("PARIS ", "paris"), is_equal("A b.", "a b"), is_equal("A b.", "b", "squad")
    (True, False, True)
    """
    prepare = get_normaliser(normalisation)
    return prepare(a) == prepare(b)


def token_f1_score(a: str, b: str, normalisation: Normalisation = "none") -> float:
    """F1 of the tokens that two texts share, each counted as often as it occurs in both; 0 to 1.

    1 if both have no tokens, 0 if only one has none.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250. Departs: only `squad` removes articles.

    >>> token_f1_score("the cat sat", "the cat")
    0.8
    >>> round(token_f1_score("The cat, sat.", "a cat", "squad"), 3)
    0.667
    """
    tokenise = str.split if normalisation == "squad" else extract_words
    left, right = (tokenise(get_normaliser(normalisation)(text)) for text in (a, b))
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right))
