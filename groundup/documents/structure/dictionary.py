"""Whether a word is English: all words of WordNet, in a file that is searched and not read."""

from bisect import bisect_left
from functools import cache
from pathlib import Path

DICTIONARY_FILE = Path(__file__).with_name("english.txt")
_dictionary = cache(DICTIONARY_FILE.read_bytes)
ENDINGS = (
    ("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("men", "man"), ("ed", ""), ("ed", "e"),
    ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"), ("est", ""), ("est", "e"),
)  # fmt: skip
"""Of nouns, verbs and adjectives, and what stands instead of them in the base."""


def is_dictionary_word(word: str) -> bool:
    """Whether a word is in WordNet (benchmarks/measure/wordnet_table.py), perhaps with an ending.

    >>> [is_dictionary_word(word) for word in ("mice", "Cars", "hoping", "xyzzy", "")]
    [True, True, True, False, False]
    """
    word = word.lower()
    bases = (word.removesuffix(old) + new for old, new in ENDINGS if word.endswith(old))
    return any(map(_is_listed, (word, *bases)))


def _is_listed(word: str) -> bool:
    """Whether a line of the file is a word: by bisection, as a set takes longer than a question."""
    lines, sought = _dictionary(), word.encode("utf-8", "surrogatepass")

    def line_at(place: int) -> bytes:
        start = lines.rfind(b"\n", 0, place) + 1
        return lines[start : lines.index(b"\n", start)]

    place = bisect_left(range(len(lines)), sought, key=line_at)
    return place < len(lines) and line_at(place) == sought


def is_compound(word: str) -> bool:
    """Whether a word is two English words of three letters or more: "boathook"."""
    cuts = range(3, len(word) - 2)
    return any(is_dictionary_word(word[:at]) and is_dictionary_word(word[at:]) for at in cuts)
