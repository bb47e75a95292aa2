"""Extractiveness of a summary: how much it copies, in how long fragments, and how much is new.

    coverage      share of the summary's words that are in a fragment copied from the source
    density       mean length of the fragment that a word of the summary belongs to
    compression   words of the source per word of the summary
    novel_ngrams  share of the summary's n-grams that do not occur in the source

None measures quality or truth: copying sentences gives coverage 1 and novelty 0, inventing gives
the opposite.
Source: Grusky et al. 2018, arXiv:1804.11283, §4; See et al. 2017, arXiv:1704.04368 (novelty).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Reason

from .tokenisers import tokenise_lowercase
from .units import ngrams


class CopiedFragment(NamedTuple):
    """A fragment of a summary that was copied from its source."""

    start: int
    """Word index in the summary."""
    source: int
    """Word index in the source."""
    length: int


class Extractiveness(NamedTuple):
    """Extractiveness of a summary, in lower-case words."""

    coverage: float
    density: float
    compression: float


def copied_fragments(summary: Sequence[str], source: Sequence[str]) -> list[CopiedFragment]:
    """Split a summary greedily, from the left, into the longest fragments found in its source.

    Of equally long occurrences the first is used; words missing in the source are in no fragment.

    >>> copied_fragments("a new b c d".split(), "b c a b c d".split())
    [CopiedFragment(start=0, source=2, length=1), CopiedFragment(start=2, source=3, length=3)]
    """
    positions: dict[str, list[int]] = defaultdict(list)
    for index, word in enumerate(source):
        positions[word].append(index)
    copied, start = [], 0
    while start < len(summary):
        best = CopiedFragment(start, 0, 0)
        for index in positions.get(summary[start], ()):
            # Compare word by word only if the fragment is longer than the best.
            last = index + best.length
            if (
                last < len(source)
                and summary[start : start + best.length + 1] == (source[index : last + 1])
            ):
                best = CopiedFragment(start, index, _shared_length(summary, source, start, index))
        if best.length:
            copied.append(best)
        start += max(1, best.length)
    return copied


def _shared_length(a: Sequence[str], b: Sequence[str], i: int, j: int) -> int:
    """Number of equal words from index i of `a` and index j of `b` on."""
    length = 0
    while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
        length += 1
    return length


def measure_extractiveness(summary: str, source: str) -> Extractiveness | Reason:
    """Coverage, density and compression of a summary's words in lower case.

    >>> measure_extractiveness("The cat sat. It was new.", "On the mat the cat sat.")
    Extractiveness(coverage=0.5, density=1.5, compression=1.0)
    """
    words, original = tokenise_lowercase(summary), tokenise_lowercase(source)
    if not words:
        return Reason("empty_candidate", "The summary has no word; nothing can be said of it.")
    if not original:
        return Reason("empty_source", "The source has no word that a summary could copy.")
    lengths = [fragment.length for fragment in copied_fragments(words, original)]
    return Extractiveness(
        coverage=sum(lengths) / len(words),
        density=sum(length**2 for length in lengths) / len(words),
        compression=len(original) / len(words),
    )


def novel_ngrams(summary: str, source: str, n: int = 2) -> float | Reason:
    """Share of a summary's distinct n-grams that its source lacks, 0 to 1.

    >>> novel_ngrams("the cat slept", "the cat sat")
    0.5
    """
    grams = set(ngrams(tokenise_lowercase(summary), n))
    if not grams:
        return Reason("short_candidate", f"The summary has fewer than {n} words.")
    return len(grams - set(ngrams(tokenise_lowercase(source), n))) / len(grams)
