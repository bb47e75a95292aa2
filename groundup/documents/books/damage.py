"""OCR damage of single words: which tokens look misread.

OCR reads `rn` for `m`, `l` for `1`, `c` for `e`. A token is suspicious if one such confusion turns
it from an unknown word into a frequent one; other signs are improbable spelling and digits or
punctuation inside a word. Scores of pages are computed in ocr.py.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Literal

from .words import english_words, is_english_word, letter_model

CONFUSION_PAIRS = (
    "rn>m ni>m in>m cl>d vv>w li>h ii>u ri>n tl>d lc>k fi>f ll>U 1>l 1>i i>l 0>o 5>s 8>b "
    "6>b 9>g 2>z |>l !>l !>i c>e e>o c>o h>b u>n n>r f>t t>r a>o a>e y>v i>j g>q a>s h>li "
    "i>t l>t ¢>c €>e £>f $>s @>a ſ>s ſ>f f>s é>e è>e ﬁ>fi ﬂ>fl ß>b ii>n nn>m k>lc }>l ]>l "
    "1>t h>n u>ii v>r s>e q>g v>y x>z °>o °>e z>s d>cl m>rn w>vv m>in n>ri o>a t>f r>t "
    "m>nn u>il n>il il>u tn>m rr>n ti>n fl>ff o>e e>c o>c b>h n>u r>n t>l t>i l>i s>a e>a "
    "o>0 3>s 4>a 7>t z>2 p>n ü>u ö>o"
)
"""Pairs `read>printed`. Source: own list of similar shapes; see also Kukich 1992 and ISRI's reports
on OCR accuracy."""
BOOK_WEIGHT = 30
"""Weight of one use in the book relative to one use in the word table's corpus."""
MIN_LOGPROB = -4.2
"""Mean log-probability per letter, in nats, below which a word is implausible in any language."""
CODE_MARKS = re.compile(
    r"[_(){}=<>$/\\#&*+^~`:@%\[\]]|\w\.\w|[a-z][A-Z]|--|^\.|\d\w*\d|^[$-]|\w'?,\w"
)
PUNCTUATION_INSIDE = re.compile(r"[^\W\d_][!,;?\"|¢€£°·][^\W\d_]")
LETTERS_AND_DIGITS = re.compile(
    r"^(?=.*\d.*[^\W\d_])(?=(?:.*[^\W\d_]){2})(?!\d+(?:st|nd|rd|th|D)$)[^\W_]{3,}$"
)
SPECKS = re.compile(r"(?<=[^\W\d_])[~`^*·](?=[^\W\d_])")
STRIPPED = "\"'“”‘’«»„.,;:!?—–-…·()"
MIN_LOG2_FREQUENCY = {2: 13, 3: 9}
"""Minimum log2 frequency of the word that a short token may be a misreading of, by length; 4 for
longer tokens. Source: own, set on R-intro and groff."""

TokenClass = Literal["right", "confused", "garbled", "mixed", "unknown", "none"]
STRIPPED_EDGES = STRIPPED + "[]"
MAX_WORD_LENGTH = 24
"""Maximum length in letters of words that are compared with the book's own words."""
OWN_TOKEN_USES = 3
"""Number of uses in the book from which a token counts as the author's own, however odd."""
MARK_INSIDE = re.compile(r"[¬·~`^|*_'!]")
INTERRUPTED_WORD = re.compile(r"^[a-z]*[\d¬·~`^|*_'!][a-z\d¬·~`^|*_'!]*$")
LETTERED_NUMBER = re.compile(r"^(?=[\d.,]*[ZSBOIlbs][\d.,]*$)(?=\D?[.,]*\d|\d).{2,}$")
SPECK = re.compile(r"[¬·]|^[~`^|_*']+[.,;]?$|^.?[`^~¬*_|'][.,;:]$")


@cache
def _confusion_table() -> dict[str, tuple[str, ...]]:
    """What was read, mapped to what may have been printed."""
    table: dict[str, list[str]] = {}
    for pair in CONFUSION_PAIRS.split():
        read, stood = pair.split(">")
        table.setdefault(read, []).append(stood)
    return {read: tuple(dict.fromkeys(stood)) for read, stood in table.items()}


def apply_confusions(word: str) -> Iterator[str]:
    """Yield the words that become `word` by one confusion of the table.

    >>> "modern" in set(apply_confusions("modem")), "modem" in set(apply_confusions("the"))
    (True, False)
    """
    table = _confusion_table()
    for at in range(len(word)):
        for size in (1, 2):
            for stood in table.get(word[at : at + size], ()):
                yield word[:at] + stood + word[at + size :]


class DamageDetector:
    """Classifies the tokens of one book, with a cache per token."""

    def __init__(self, word_counts: Counter[str], token_counts: Counter[str] | None = None) -> None:
        self.word_counts = word_counts
        self.token_counts: Counter[str] = Counter() if token_counts is None else token_counts
        self.class_cache: dict[str, TokenClass] = {}
        self.sign_cache: dict[str, tuple[str, ...]] = {}

    def classify(self, token: str) -> TokenClass:
        """Class of a token; `none` for numbers, code and punctuation."""
        cached = self.class_cache.get(token)
        if cached is None:
            cached = self.class_cache[token] = self.classify_uncached(token)
        return cached

    def classify_uncached(self, token: str) -> TokenClass:
        """Class of a token, not cached."""
        if len(token) > 40 or not any(map(str.isalpha, token)):
            return "none"
        core = token.strip(STRIPPED)
        low = core.lower()
        if "()" in token or token[0] in "./" or CODE_MARKS.search(core):
            without_specks = SPECKS.sub("", low)
            return (
                "mixed"
                if len(without_specks) > 2
                and len(without_specks) + 1 == len(low)
                and self.is_known(without_specks)
                else "none"
            )
        if len(low) < 2:
            return "none"
        if self.is_known(low):
            return "right"
        if len(low) < 5 and core.isupper():
            return "none"  # an acronym
        limit = MIN_LOG2_FREQUENCY.get(len(low), 4)
        if any(
            self.word_frequency(candidate) >= 2**limit and self.is_known(candidate)
            for candidate in apply_confusions(low)
        ):
            return "confused"
        if PUNCTUATION_INSIDE.search(core) or LETTERS_AND_DIGITS.match(core):
            return "mixed"
        if not (low.isascii() and low.isalpha()) or len(low) < 3:
            return "none"
        if letter_model().mean_logprob(low) < MIN_LOGPROB:
            return "garbled"
        return "unknown"

    def damage_signs(self, token: str) -> tuple[str, ...]:
        """Signs of damage in a token, by the names in ocr.py's WEIGHTS."""
        cached = self.sign_cache.get(token)
        if cached is None:
            cached = self.sign_cache[token] = (
                tuple(self.find_signs(token)) if len(token) <= 40 else ()
            )
        return cached

    def find_signs(self, token: str) -> Iterator[str]:
        """Yield the signs of a token, not cached."""
        low = token.strip(STRIPPED_EDGES).lower()
        look, is_rare = self.classify(token), self.token_counts[token] < OWN_TOKEN_USES
        if is_rare and self.has_interrupted_word(low):
            yield "holed"
            return
        if look in ("confused", "garbled", "mixed"):
            yield look
        if is_rare and LETTERED_NUMBER.match(token.strip(".,;:()[]")):
            yield "lettered number"
        if is_rare and SPECK.search(token):
            yield "dust"
        if not (low.isascii() and low.isalpha()):
            return
        if (
            len(low) > 3
            and self.word_counts[low] < 2
            and not is_english_word(low)
            and self.is_near_frequent_word(low)
        ):
            yield "near the book's"
        if 2 < len(low) < 6 and self.word_counts[low] < OWN_TOKEN_USES and _has_doubled_letter(low):
            yield "doubled"
        if (
            len(low) > 3
            and self.word_counts[low] < OWN_TOKEN_USES
            and look != "confused"
            and self.has_frequent_rival(low)
        ):
            yield "rival"

    def has_interrupted_word(self, low: str) -> bool:
        """Whether a digit or punctuation mark interrupts an English word."""
        if not 3 < len(low) < 25 or not INTERRUPTED_WORD.match(low):
            return False
        without_marks = MARK_INSIDE.sub("", low)
        if len(without_marks) > 3 and without_marks != low and is_english_word(without_marks):
            return True
        return any(
            candidate.isalpha() and english_words().get(candidate, 0) >= 2
            for candidate in apply_confusions(low)
        )

    def is_near_frequent_word(self, low: str) -> bool:
        """Whether a word used once is one letter away from a word that the book uses five times."""
        if len(low) > MAX_WORD_LENGTH:
            return False
        near = {
            word
            for cut in _deletion_variants(low)
            for word in self.frequent_by_variant.get(cut, ())
            if word != low
        }
        return any(
            _is_one_edit_apart(low, word) and word + "s" != low and low + "s" != word
            for word in near
        )

    @cached_property
    def frequent_by_variant(self) -> dict[str, list[str]]:
        """Words used five times or more, indexed by the word and by the word without one letter."""
        by_variant: dict[str, list[str]] = {}
        for word, uses in self.word_counts.items():
            if uses >= 5 and len(word) <= MAX_WORD_LENGTH and word.isascii():
                for cut in _deletion_variants(word):
                    by_variant.setdefault(cut, []).append(word)
        return by_variant

    def has_frequent_rival(self, low: str) -> bool:
        """Whether a rare word of the table is one confusion away from a far more frequent one."""
        best = max(
            (
                self.word_frequency(candidate)
                for candidate in apply_confusions(low)
                if candidate in english_words()
            ),
            default=0,
        )
        return best > 2**9 and best > 256 * max(
            self.word_frequency(low) - BOOK_WEIGHT * self.word_counts[low], 1
        )

    def is_known(self, low: str) -> bool:
        """Whether a word is in the English table or established by the book itself.

        The book's use does not count if a word one confusion away is twenty times as frequent: a
        repeated misreading is still a misreading.
        """
        if all(map(is_english_word, re.split(r"[-‐–—]", low))):
            return True
        uses = self.word_counts[low]
        if uses < 2:
            return False
        return all(self.word_counts[candidate] < 20 * uses for candidate in apply_confusions(low))

    def word_frequency(self, low: str) -> float:
        """Frequency of a word: in the table's corpus plus, weighted, in the book."""
        size = english_words().get(low)
        return (0 if size is None else 2.0**size) + BOOK_WEIGHT * self.word_counts[low]


def _deletion_variants(word: str) -> set[str]:
    """A word and its variants with one letter deleted."""
    return {word} | {word[:at] + word[at + 1 :] for at in range(len(word))}


def _is_one_edit_apart(a: str, b: str) -> bool:
    """Whether two words differ by one inserted, deleted or substituted letter."""
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    at = next((n for n, (x, y) in enumerate(zip(long, short, strict=False)) if x != y), len(short))
    rest = short[at:] if len(long) > len(short) else short[at + 1 :]
    return len(long) - len(short) <= 1 and long[at + 1 :] == rest


def _has_doubled_letter(low: str) -> bool:
    """Whether deleting one of two doubled letters gives a frequent word: `tthe`, `iss`."""
    if english_words().get(low, 0) > 2:
        return False
    pairs = (at for at in range(len(low) - 1) if low[at] == low[at + 1])
    return any(english_words().get(low[:at] + low[at + 1 :], 0) >= 10 for at in pairs)
