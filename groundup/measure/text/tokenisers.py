"""Tokenisers of BLEU, chrF, ROUGE and METEOR, each equal to its reference tool.

    13a     mteval-v13a: splits off punctuation, not inside numbers; for European languages
    intl    mteval-v14: splits off every Unicode punctuation mark and symbol
    zh      splits Chinese characters, the rest as 13a
    char    every character
    none    at white space: for tokenised text
    ascii   ROUGE's: runs of a-z and 0-9, lower case; drops other scripts
    words   runs of letters, digits and underscores, lower case; for any script with spaces

Oddities of the reference tools are reproduced on purpose, so that scores are comparable.
"""

import re
from collections.abc import Callable
from typing import Literal

import regex

from .units import extract_words

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
    """Tokens of mteval-v13a's language-dependent part."""
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


def _split_characters(text: str) -> list[str]:
    """Every character that is not white space."""
    return list("".join(text.split()))


def _tokenise_ascii(text: str) -> list[str]:
    """ROUGE's tokens: runs of a-z and 0-9 in lower case.

    >>> _tokenise_ascii("Naïve U.S. model_2")
    ['na', 've', 'u', 's', 'model', '2']
    """
    return re.findall(r"[a-z0-9]+", text.lower())


def tokenise_lowercase(text: str) -> list[str]:
    """Words of any script in lower case."""
    return extract_words(text.lower())


TOKENISERS: dict[TokeniserName, Callable[[str], list[str]]] = {
    "13a": _tokenise_13a,
    "intl": _tokenise_intl,
    "zh": _tokenise_chinese,
    "char": _split_characters,
    "none": str.split,
    "ascii": _tokenise_ascii,
    "words": tokenise_lowercase,
}
