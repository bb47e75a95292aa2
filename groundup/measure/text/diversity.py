"""Diversity of a model's answers: a model that always answers the same can score well by chance.

    distinct_ngrams  distinct n-grams / all n-grams; falls with more text
    self_bleu        mean BLEU of each answer against all others; 100 means all are equal

Compare only sets of equal number and similar length: both metrics depend on these.
Source: Li et al. 2016, arXiv:1510.03055; Zhu et al. 2018, arXiv:1802.01886.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from groundup.core import Reason

from .bleu import Bleu
from .tokenisers import tokenise_lowercase
from .units import ngrams


def distinct_ngrams(texts: Sequence[str], n: int = 2) -> float | Reason:
    """distinct-n: number of distinct n-grams of lower-case words over all n-grams, 0 to 1.

    >>> distinct_ngrams(["a b c", "a b d"])
    0.75
    """
    runs = [run for text in texts for run in ngrams(tokenise_lowercase(text), n)]
    if not runs:
        return Reason("short_candidate", f"No text has {n} words, so there is no run to count.")
    return len(set(runs)) / len(runs)


def self_bleu(texts: Sequence[str], how: Bleu | None = None) -> float | Reason:
    """Mean sentence BLEU of each text with all others as references.

    Each n-gram's highest and second highest count over the texts suffice to leave one text out, so
    the time is linear in the number of texts.

    >>> round(self_bleu(["the cat sat on it", "the cat sat on it", "a dog ran off now"]), 1)
    66.7
    """
    if len(texts) < 2:
        return Reason("too_few_candidates", f"Self-BLEU needs at least 2 texts; got {len(texts)}.")
    bleu = (how or Bleu()).with_effective_order()
    tokens = [bleu.tokens(text) for text in texts]
    orders = range(1, bleu.order + 1)
    bags = [[Counter(ngrams(words, n)) for n in orders] for words in tokens]
    first, second = _highest_counts([gram for bag in bags for gram in bag])
    lengths = sorted(map(len, tokens))
    total = 0.0
    for words, bag in zip(tokens, bags, strict=True):
        matches = [_clipped_by_others(gram, first, second) for gram in bag]
        totals = [gram.total() for gram in bag]
        score = bleu.from_counts(
            (len(words), _closest_other_length(lengths, len(words)), *matches, *totals)
        )
        if isinstance(score, Reason):
            return score
        total += score
    return total / len(texts)


def _highest_counts(bags: Sequence[Counter]) -> tuple[Counter, Counter]:
    """For every n-gram the highest count in one text, and the highest in any other text."""
    first, second = Counter(), Counter()
    for bag in bags:
        for gram, count in bag.items():
            if count > first[gram]:
                first[gram], second[gram] = count, first[gram]
            elif count > second[gram]:
                second[gram] = count
    return first, second


def _clipped_by_others(bag: Counter, first: Counter, second: Counter) -> int:
    """Clipped matches of a text's n-grams with all other texts."""
    # If this text has the highest count itself, the others have at most the second.
    return sum(
        min(count, second[gram] if count == first[gram] else first[gram])
        for gram, count in bag.items()
    )


def _closest_other_length(lengths: Sequence[int], length: int) -> int:
    """Length of the other text closest in length, the shorter of two; `lengths` are sorted."""
    index = bisect_left(lengths, length)
    others = [*lengths[max(0, index - 1) : index], *lengths[index + 1 : index + 2]]
    return min(others, key=lambda other: (abs(other - length), other))
