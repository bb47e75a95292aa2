"""What a measure counts: characters, graphemes, words, sentences, and runs of them.

Most disagreement between two tools' numbers starts here, so every choice has a name that goes into
signatures. Nothing here guesses a language: scripts that write no spaces have no words by these
rules; measure them in characters or graphemes.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import regex

from groundup.core import DataError, Reason, choice

Unit = Literal["characters", "graphemes", "words", "spaced"]
"""characters: code points; graphemes: what a reader sees as one character; words: runs of letters,
digits and underscores; spaced: what stands between white space, punctuation included."""

Normalisation = Literal["none", "plain", "squad"]
"""none: the text as it is; plain: `normalise`; squad: `normalise_squad`."""

ABBREVIATIONS = frozenset(
    "al approx ca cf co corp dept dr e.g ed eds eq etc fig figs gen i.e inc jr ltd mr mrs ms no "
    "nos p pp prof rev sec sr st vol vs".split()
)
PUNCTUATION = frozenset(string.punctuation)
CLOSING = "\"'”’»)\\]」』"
SENTENCE_END = regex.compile(rf"[.!?…؟।][{CLOSING}]*(?=\s)|[。！？][{CLOSING}]*|\n")


def normalise(text: str) -> str:
    """Remove differences that no reader would count: width, case and white space.

    NFKC, case folded, runs of white space as one space, none at the ends. Punctuation and articles
    stay: in code and in most languages they carry meaning.

    >>> normalise("  The\\nＡｎｓｗｅｒ ")
    'the answer'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalise_squad(text: str) -> str:
    """Lower case, without ASCII punctuation and without the words a, an and the.

    For comparison with published numbers on English questions; it makes `x[0]` equal to `x0`.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250, the evaluation script.

    >>> normalise_squad("The  Eiffel-Tower!")
    'eiffeltower'
    """
    bare = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


NORMALISE: dict[str, Callable[[str], str]] = {
    "none": str,
    "plain": normalise,
    "squad": normalise_squad,
}


def normaliser(name: str) -> Callable[[str], str]:
    """The function of this name; ConfigError for another one.

    >>> normaliser("plain")("A  b")
    'a b'
    """
    return NORMALISE[choice("normalisation", name, NORMALISE)]


def no_reference(measure: str, references: Sequence[str]) -> Reason | None:
    """The Reason `no_reference` if there is none.

    Raises DataError for a single text, whose characters would pass as references.
    """
    if isinstance(references, str):
        raise DataError(f"{measure} takes a list of references; got one text: put it in [].")
    message = f"{measure} needs a reference; there is none."
    return None if references else Reason("no_reference", message)


def words(text: str) -> list[str]:
    """The words of a text: runs of letters, digits and underscores.

    >>> words("os.path.join(a, b)")
    ['os', 'path', 'join', 'a', 'b']
    """
    return re.findall(r"\w+", text)


def graphemes(text: str) -> list[str]:
    """What a reader sees as characters: extended grapheme clusters of Unicode's annex 29.

    >>> len("👩‍👩‍👧é"), len(graphemes("👩‍👩‍👧é"))
    (6, 2)
    """
    return regex.findall(r"\X", text)


def units(text: str, unit: Unit) -> Sequence[str]:
    """Cut a text into what counts as one; ConfigError for an unknown unit."""
    choice("unit", unit, get_args(Unit))
    if unit == "characters":
        return text
    if unit == "spaced":
        return text.split()
    return words(text) if unit == "words" else graphemes(text)


def ngrams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every run of `n` neighbours, in order; none if there are fewer.

    >>> ngrams(["a", "b", "c"], 2)
    [('a', 'b'), ('b', 'c')]
    """
    return list(zip(*(items[start:] for start in range(n)), strict=False))


def sentences(text: str) -> list[str]:
    """The sentences of a text, by rules that can be read, not by a model.

    A sentence ends at a line break; after 。！？; and after . ! ? … ؟ । with any closing quotes or
    brackets, before white space that no lower-case letter follows. A full stop after an initial
    or an abbreviation of ABBREVIATIONS ends none. White space at both ends is dropped.

    >>> sentences("Dr. No is e.g. Bond's foe. He lost! (Of course.) So… it ends")
    ["Dr. No is e.g. Bond's foe.", 'He lost!', '(Of course.)', 'So… it ends']
    """
    found, start = [], 0
    for match in SENTENCE_END.finditer(text):
        if match[0] == "\n" or match[0][0] in "。！？" or ends_sentence(text, match):
            found.append(text[start : match.end()].strip())
            start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def ends_sentence(text: str, match: regex.Match[str]) -> bool:
    """Whether the mark at `match`, before white space, ends a sentence."""
    after = NEXT.match(text, match.end())
    if after and after[1].islower():
        return False
    before = LAST_WORD.search(text, max(0, match.start() - 16), match.start())
    is_short = before is not None and (len(before[0]) == 1 or before[0].lower() in ABBREVIATIONS)
    return not (match[0] == "." and is_short)


NEXT = re.compile(r"[^\S\n]+(\S)")
LAST_WORD = re.compile(r"[^\W\d_]+(\.[^\W\d_]+)*$")
