"""How extractive a summary is: what it copies, in how long pieces, and how much is new.

    coverage      share of the summary's words that lie in a piece copied from the source
    density       mean length of the piece that a word of the summary lies in
    compression   words of the source for each word of the summary
    novelty(n)    share of the summary's runs of n words that the source does not have

None says whether a summary is good or true: copying whole sentences gives coverage 1 and novelty 0,
inventing gives the opposite.
Source: Grusky et al. 2018, arXiv:1804.11283, §4; See et al. 2017, arXiv:1704.04368 (novelty).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Reason

from .tokenisers import lower_words
from .units import ngrams


class Fragment(NamedTuple):
    """A piece of a summary that stands in its source."""

    start: int
    """Place in the summary."""
    source: int
    """Place in the source."""
    length: int


class Extraction(NamedTuple):
    """How a summary of lower-case words relates to its source."""

    coverage: float
    density: float
    compression: float


def fragments(summary: Sequence[str], source: Sequence[str]) -> list[Fragment]:
    """Cut a summary greedily into the longest pieces that its source has, from the left.

    Of equally long ones in the source the first is named; a word that the source lacks is in none.

    >>> fragments("a new b c d".split(), "b c a b c d".split())
    [Fragment(start=0, source=2, length=1), Fragment(start=2, source=3, length=3)]
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(source):
        places[word].append(place)
    found, start = [], 0
    while start < len(summary):
        best = Fragment(start, 0, 0)
        for place in places.get(summary[start], ()):
            # Only a longer piece than the best is worth comparing word by word.
            last = place + best.length
            if (
                last < len(source)
                and summary[start : start + best.length + 1] == (source[place : last + 1])
            ):
                best = Fragment(start, place, shared_length(summary, source, start, place))
        if best.length:
            found.append(best)
        start += max(1, best.length)
    return found


def shared_length(a: Sequence[str], b: Sequence[str], i: int, j: int) -> int:
    """Number of equal words from place i of `a` and place j of `b` on."""
    length = 0
    while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
        length += 1
    return length


def extraction(summary: str, source: str) -> Extraction | Reason:
    """Coverage, density and compression of a summary's words in lower case.

    >>> extraction("The cat sat. It was new.", "On the mat the cat sat.")
    Extraction(coverage=0.5, density=1.5, compression=1.0)
    """
    words, original = lower_words(summary), lower_words(source)
    if not words:
        return Reason("empty_candidate", "The summary has no word; nothing can be said of it.")
    if not original:
        return Reason("empty_source", "The source has no word that a summary could copy.")
    lengths = [fragment.length for fragment in fragments(words, original)]
    return Extraction(
        coverage=sum(lengths) / len(words),
        density=sum(length**2 for length in lengths) / len(words),
        compression=len(original) / len(words),
    )


def novelty(summary: str, source: str, n: int = 2) -> float | Reason:
    """Share of a summary's distinct runs of n words that its source lacks, 0 to 1.

    >>> novelty("the cat slept", "the cat sat")
    0.5
    """
    found = set(ngrams(lower_words(summary), n))
    if not found:
        return Reason("short_candidate", f"The summary has fewer than {n} words.")
    return len(found - set(ngrams(lower_words(source), n))) / len(found)
