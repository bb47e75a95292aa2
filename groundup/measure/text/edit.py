"""Distances between texts: how many edits lie between an answer and its reference.

An edit inserts, deletes or replaces one unit: a character (a code point), a grapheme (what a reader
sees as one character) or a word. Knows nothing of samples and answers; see score.py.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

import regex

try:
    from rapidfuzz.distance import Levenshtein as rapidfuzz
except ImportError:
    rapidfuzz = None

Unit = Literal["characters", "graphemes", "words"]


def normalise(text: str) -> str:
    """Remove differences that no reader would count: width, case and white space.

    NFKC, case folded, runs of white space as one space, none at the ends. Punctuation and articles
    stay: in code and in most languages they carry meaning.

    >>> normalise("  The\\nＡｎｓｗｅｒ ")
    'the answer'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a text: runs of letters, digits and underscores.

    >>> words("os.path.join(a, b)")
    ['os', 'path', 'join', 'a', 'b']
    """
    return re.findall(r"\w+", text)


def units(text: str, unit: Unit) -> Sequence[str]:
    """Cut a text into what an edit counts as one."""
    if unit == "characters":
        return text
    return words(text) if unit == "words" else regex.findall(r"\X", text)


def reference_levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """Fewest edits that turn `a` into `b`, by the recurrence as it stands in textbooks.

    distance[i][j] = min(distance[i-1][j] + 1,                     delete a[i]
                         distance[i][j-1] + 1,                     insert b[j]
                         distance[i-1][j-1] + (a[i] != b[j]))      keep or replace

    One row at a time, so len(a) * len(b) steps and len(b) cells.
    Source: Wagner and Fischer 1974, doi:10.1145/321796.321811.

    >>> reference_levenshtein("kitten", "sitting")
    3
    """
    above = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
        above = row
    return above[-1]


def levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """Fewest edits that turn `a` into `b`; by rapidfuzz where it is installed, equal by test.

    >>> levenshtein("flaw", "lawn"), levenshtein(["a", "b"], ["b"])
    (2, 1)
    """
    return rapidfuzz.distance(a, b) if rapidfuzz else reference_levenshtein(a, b)


def edit_similarity(a: str, b: str, unit: Unit = "characters") -> float:
    """How much of two texts is the same: 1 - edits / units of the longer one, from 0 to 1.

    Two empty texts are the same: 1.

    >>> edit_similarity("abcd", "abce")
    0.75
    """
    left, right = units(a, unit), units(b, unit)
    longest = max(len(left), len(right))
    return 1 - levenshtein(left, right) / longest if longest else 1.0


def token_overlap(a: str, b: str) -> float:
    """F1 of the words that two texts share, each counted as often as it occurs in both; 0 to 1.

    Two texts without words are the same: 1.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250. Departs: articles are kept.

    >>> token_overlap("the cat sat", "the cat")
    0.8
    """
    left, right = words(a), words(b)
    if not left or not right:
        return float(left == right)
    shared = sum(min(left.count(word), right.count(word)) for word in set(left) & set(right))
    return 2 * shared / (len(left) + len(right))
