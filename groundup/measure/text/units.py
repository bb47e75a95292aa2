"""Units that metrics count: characters, graphemes, words, sentences, n-grams, and tokens.

Most differences between tools start here, so every choice has a name that is part of signatures.
Language-independent: scripts without spaces have no words by these rules; measure them in
characters or graphemes. The tokenisers are each equal to their reference tool, oddities included:

    13a     mteval-v13a: splits off punctuation, not inside numbers; for European languages
    intl    mteval-v14: splits off every Unicode punctuation mark and symbol
    zh      splits Chinese characters, the rest as 13a
    char    every character
    none    at white space: for tokenised text
    ascii   ROUGE's: runs of a-z and 0-9, lower case; drops other scripts
    words   runs of letters, digits and underscores, lower case; for any script with spaces
"""

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import regex

from groundup.core import DataError, Reason, check_choice

Unit = Literal["characters", "graphemes", "words", "spaced"]
"""characters: code points; graphemes: user-perceived characters; words: runs of letters, digits
and underscores; spaced: tokens between white space, including punctuation."""

Normalisation = Literal["none", "plain", "squad"]
"""none: unchanged; plain: `normalise_text`; squad: `normalise_squad`."""

ABBREVIATIONS = frozenset(
    "al approx ca cf co corp dept dr e.g ed eds eq etc fig figs gen i.e inc jr ltd mr mrs ms no "
    "nos p pp prof rev sec sr st vol vs".split()
)
PUNCTUATION = frozenset(string.punctuation)
CLOSING = "\"'”’»)\\]」』"
SENTENCE_END = regex.compile(rf"[.!?…؟।][{CLOSING}]*(?=\s)|[。！？][{CLOSING}]*|\n")


def normalise_text(text: str) -> str:
    """Remove differences of width, case and white space.

    NFKC, case folded, white space collapsed and stripped. Punctuation and articles stay, because
    they carry meaning in code and most languages.

    >>> normalise_text("  The\\nＡｎｓｗｅｒ ")
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
    stripped = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", stripped).split())


NORMALISE: dict[str, Callable[[str], str]] = {
    "none": str,
    "plain": normalise_text,
    "squad": normalise_squad,
}


def get_normaliser(name: str) -> Callable[[str], str]:
    """Look up a normalisation function; ConfigError for an unknown name.

    >>> get_normaliser("plain")("A  b")
    'a b'
    """
    return NORMALISE[check_choice("normalisation", name, NORMALISE)]


def missing_reference(measure: str, references: Sequence[str]) -> Reason | None:
    """Reason `no_reference` if there are no references, else None.

    Raises DataError for a single string, whose characters would be taken as references.
    """
    if isinstance(references, str):
        raise DataError(f"{measure} takes a list of references; got one text: put it in [].")
    message = f"{measure} needs a reference; there is none."
    return None if references else Reason("no_reference", message)


def extract_words(text: str) -> list[str]:
    """Split a text into words: runs of letters, digits and underscores.

    >>> extract_words("os.path.join(a, b)")
    ['os', 'path', 'join', 'a', 'b']
    """
    return re.findall(r"\w+", text)


def split_graphemes(text: str) -> list[str]:
    """Split a text into user-perceived characters: extended grapheme clusters (UAX 29).

    >>> len("👩‍👩‍👧é"), len(split_graphemes("👩‍👩‍👧é"))
    (6, 2)
    """
    return regex.findall(r"\X", text)


def units_of_text(text: str, unit: Unit) -> Sequence[str]:
    """Split a text into units; ConfigError for an unknown unit."""
    check_choice("unit", unit, get_args(Unit))
    if unit == "characters":
        return text
    if unit == "spaced":
        return text.split()
    return extract_words(text) if unit == "words" else split_graphemes(text)


def ngrams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams of consecutive items, in order.

    >>> ngrams(["a", "b", "c"], 2)
    [('a', 'b'), ('b', 'c')]
    """
    return list(zip(*(items[start:] for start in range(n)), strict=False))


def rule_sentences(text: str) -> list[str]:
    """Split a text into sentences, by rules.

    A sentence ends at a line break; after 。！？; and after . ! ? … ؟ । with any closing quotes or
    brackets, before white space not followed by a lower-case letter. A full stop after an initial
    or one of ABBREVIATIONS does not end a sentence. Surrounding white space is stripped.

    >>> rule_sentences("Dr. No is e.g. Bond's foe. He lost! (Of course.) So… it ends")
    ["Dr. No is e.g. Bond's foe.", 'He lost!', '(Of course.)', 'So… it ends']
    """
    pieces, start = [], 0
    for match in SENTENCE_END.finditer(text):
        if match[0] == "\n" or match[0][0] in "。！？" or _ends_sentence(text, match):
            pieces.append(text[start : match.end()].strip())
            start = match.end()
    pieces.append(text[start:].strip())
    return [sentence for sentence in pieces if sentence]


def _ends_sentence(text: str, match: regex.Match[str]) -> bool:
    """Whether the mark at `match`, before white space, ends a sentence."""
    after = NEXT_LETTER.match(text, match.end())
    if after and after[1].islower():
        return False
    before = LAST_WORD.search(text, max(0, match.start() - 16), match.start())
    is_short = before is not None and (len(before[0]) == 1 or before[0].lower() in ABBREVIATIONS)
    return not (match[0] == "." and is_short)


NEXT_LETTER = re.compile(r"[^\S\n]+(\S)")
LAST_WORD = re.compile(r"[^\W\d_]+(\.[^\W\d_]+)*$")


TokeniserName = Literal["13a", "intl", "zh", "char", "none", "ascii", "words"]

PUNCTUATION_RULES = (
    (re.compile(r"([!-&(-+:-@/\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
SYMBOL_RULES = (
    (regex.compile(r"(\P{N})(\p{P})"), r"\1 \2 "),
    (regex.compile(r"(\p{P})(\P{N})"), r" \1 \2"),
    (regex.compile(r"(\p{S})"), r" \1 "),
)
# sacrebleu's table of Chinese ranges as it behaves: two entries meant for plane 2 are parsed as
# U+2001..U+2A6D and U+2F81..U+2FA1, so that dashes, arrows and “ ” are split off too.
CHINESE = re.compile(
    "([\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31ef\u3200-\u33ff"
    "\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f"
    "\ufe30-\ufe4f\uff00-\uffef])"
)


def _tokenise_western(text: str) -> list[str]:
    for pattern, replacement in PUNCTUATION_RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def unescape_entities(text: str) -> str:
    """Unescape the four entities of old test sets; &amp; before &lt; and &gt;, as the tools do."""
    for escaped, plain in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(escaped, plain)
    return text


def _tokenise_13a(text: str) -> list[str]:
    """Tokens of mteval-v13a, the default of published BLEU scores.

    >>> _tokenise_13a("It costs 1,000.50 (or so), &quot;maybe&quot; 5-6.")
    ['It', 'costs', '1,000.50', '(', 'or', 'so', ')', ',', '"', 'maybe', '"', '5', '-', '6', '.']
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    return _tokenise_western(f" {unescape_entities(text)} ")


def _tokenise_intl(text: str) -> list[str]:
    """Tokens of mteval-v14's international part; a mark before a digit at the start is not split.

    >>> _tokenise_intl("«1,5 €» — it’s")
    ['«1,5', '€', '»', '—', 'it', '’', 's']
    """
    for pattern, replacement in SYMBOL_RULES:
        text = pattern.sub(replacement, text)
    return text.split()


def _tokenise_chinese(text: str) -> list[str]:
    """Split Chinese characters, the rest as mteval-v13a.

    >>> _tokenise_chinese("用Python写的。")
    ['用', 'Python', '写', '的', '。']
    """
    return _tokenise_western(CHINESE.sub(r" \1 ", text.strip()))


def tokenise_lowercase(text: str) -> list[str]:
    """Words of any script in lower case."""
    return extract_words(text.lower())


TOKENISERS: dict[TokeniserName, Callable[[str], list[str]]] = {
    "13a": _tokenise_13a,
    "intl": _tokenise_intl,
    "zh": _tokenise_chinese,
    "char": lambda text: list("".join(text.split())),
    "none": str.split,
    "ascii": lambda text: re.findall(r"[a-z0-9]+", text.lower()),
    "words": tokenise_lowercase,
}
