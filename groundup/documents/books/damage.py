"""What scanners do to letters: which words look damaged, and what they were.

`rn` is read for `m`, `l` for `1`, `c` for `e`: a table of confusions turns a word that nobody knows
into words that somebody does. The noisy channel weighs them: how often a word is used, times how
likely the confusion. Only one answer that leaves all others far behind counts as known. Speaks of
single words; pages and texts are in ocr.py.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Literal

from .words import english, is_english, letters

PAIRS = (
    "rn>m ni>m in>m cl>d vv>w li>h ii>u ri>n tl>d lc>k fi>f ll>U 1>l 1>i i>l 0>o 5>s 8>b "
    "6>b 9>g 2>z |>l !>l !>i c>e e>o c>o h>b u>n n>r f>t t>r a>o a>e y>v i>j g>q a>s h>li "
    "i>t l>t ¢>c €>e £>f $>s @>a ſ>s ſ>f f>s é>e è>e ﬁ>fi ﬂ>fl ß>b ii>n nn>m k>lc }>l ]>l "
    "1>t h>n u>ii v>r s>e q>g v>y x>z °>o °>e z>s d>cl m>rn w>vv m>in n>ri o>a t>f r>t "
    "m>nn u>il n>il il>u tn>m rr>n ti>n fl>ff o>e e>c o>c b>h n>u r>n t>l t>i l>i s>a e>a "
    "o>0 3>s 4>a 7>t z>2 p>n ü>u ö>o"
)
"""What was read > what may have stood there. Source: own list of shapes alike; see also Kukich
1992 and the tables of ISRI's reports on OCR accuracy."""
OWN_WEIGHT = 30
"""How much a use in the book itself counts beside one in the table's manuals."""
GARBLED = -4.2
"""Mean log-probability of a letter, in nats, under which no language is spelt so."""
SIGNS_OF_CODE = re.compile(
    r"[_(){}=<>$/\\#&*+^~`:@%\[\]]|\w\.\w|[a-z][A-Z]|--|^\.|\d\w*\d|^[$-]|\w'?,\w"
)
INSIDE = re.compile(r"[^\W\d_][!,;?\"|¢€£°·][^\W\d_]")
MIXED = re.compile(r"^(?=.*\d.*[^\W\d_])(?=(?:.*[^\W\d_]){2})(?!\d+(?:st|nd|rd|th|D)$)[^\W_]{3,}$")
SPECKS = re.compile(r"(?<=[^\W\d_])[~`^*·](?=[^\W\d_])")
STRIPPED = "\"'“”‘’«»„.,;:!?—–-…·()"
PROOF = {2: 13, 3: 9}
"""Binary logarithm of the use that a word must have for a short one to be its misreading, by
length; 4 for longer ones. Source: own, set on R-intro and groff."""

Looks = Literal["right", "confused", "garbled", "mixed", "unknown", "none"]
EDGES = STRIPPED + "[]"
LONGEST = 24
"""Letters of a word that is compared with the book's own."""
RARE = 3
"""Uses in the book from which a token is the author's own, however odd."""
SIGN = re.compile(r"[¬·~`^|*_'!]")
HOLED = re.compile(r"^[a-z]*[\d¬·~`^|*_'!][a-z\d¬·~`^|*_'!]*$")
LETTERED_NUMBER = re.compile(r"^(?=[\d.,]*[ZSBOIlbs][\d.,]*$)(?=\D?[.,]*\d|\d).{2,}$")
DUSTY = re.compile(r"[¬·]|^[~`^|_*']+[.,;]?$|^.?[`^~¬*_|'][.,;:]$")


@cache
def confusions() -> dict[str, tuple[str, ...]]:
    """The table: what was read to what may have stood there."""
    table: dict[str, list[str]] = {}
    for pair in PAIRS.split():
        read, stood = pair.split(">")
        table.setdefault(read, []).append(stood)
    return {read: tuple(dict.fromkeys(stood)) for read, stood in table.items()}


def confused(word: str) -> Iterator[str]:
    """Yield the words that one confusion of the table may have made this one of.

    >>> "modern" in set(confused("modem")), "modem" in set(confused("the"))
    (True, False)
    """
    table = confusions()
    for at in range(len(word)):
        for size in (1, 2):
            for stood in table.get(word[at : at + size], ()):
                yield word[:at] + stood + word[at + size :]


class Reader:
    """Judges the words of one book; remembers each, so that a word is judged once."""

    def __init__(self, own: Counter[str], tokens: Counter[str] | None = None) -> None:
        self.own = own
        self.tokens: Counter[str] = Counter() if tokens is None else tokens
        self.seen: dict[str, Looks] = {}
        self.told: dict[str, tuple[str, ...]] = {}

    def looks(self, token: str) -> Looks:
        """How a token of running text looks; `none` for numbers, code and signs."""
        known = self.seen.get(token)
        if known is None:
            known = self.seen[token] = self.judged(token)
        return known

    def judged(self, token: str) -> Looks:
        """How a token looks, thought anew."""
        if len(token) > 40 or not any(map(str.isalpha, token)):
            return "none"
        core = token.strip(STRIPPED)
        low = core.lower()
        if "()" in token or token[0] in "./" or SIGNS_OF_CODE.search(core):
            whole = SPECKS.sub("", low)
            return (
                "mixed"
                if len(whole) > 2 and len(whole) + 1 == len(low) and self.is_known(whole)
                else "none"
            )
        if len(low) < 2:
            return "none"
        if self.is_known(low):
            return "right"
        if len(low) < 5 and core.isupper():
            return "none"  # an acronym
        limit = PROOF.get(len(low), 4)
        if any(self.weight(one) >= 2**limit and self.is_known(one) for one in confused(low)):
            return "confused"
        if INSIDE.search(core) or MIXED.match(core):
            return "mixed"
        if not (low.isascii() and low.isalpha()) or len(low) < 3:
            return "none"
        if letters().score(low) < GARBLED:
            return "garbled"
        return "unknown"

    def signs(self, token: str) -> tuple[str, ...]:
        """What a token shows of a scanner's work, by the names of ocr.py's weights."""
        known = self.told.get(token)
        if known is None:
            known = self.told[token] = tuple(self.shown(token)) if len(token) <= 40 else ()
        return known

    def shown(self, token: str) -> Iterator[str]:
        """Yield the signs of a token, thought anew."""
        low = token.strip(EDGES).lower()
        look, is_rare = self.looks(token), self.tokens[token] < RARE
        if is_rare and self.is_holed(low):
            yield "holed"
            return
        if look in ("confused", "garbled", "mixed"):
            yield look
        if is_rare and LETTERED_NUMBER.match(token.strip(".,;:()[]")):
            yield "lettered number"
        if is_rare and DUSTY.search(token):
            yield "dust"
        if not (low.isascii() and low.isalpha()):
            return
        if len(low) > 3 and self.own[low] < 2 and not is_english(low) and self.is_near(low):
            yield "near the book's"
        if 2 < len(low) < 6 and self.own[low] < RARE and is_doubled(low):
            yield "doubled"
        if len(low) > 3 and self.own[low] < RARE and look != "confused" and self.is_rival(low):
            yield "rival"

    def is_holed(self, low: str) -> bool:
        """Whether a digit or a sign stands in an English word."""
        if not 3 < len(low) < 25 or not HOLED.match(low):
            return False
        whole = SIGN.sub("", low)
        if len(whole) > 3 and whole != low and is_english(whole):
            return True
        return any(one.isalpha() and english().get(one, 0) >= 2 for one in confused(low))

    def is_near(self, low: str) -> bool:
        """Whether a word of one use is a letter away from one that the book has five times."""
        if len(low) > LONGEST:
            return False
        near = {one for cut in cuts(low) for one in self.frequent.get(cut, ()) if one != low}
        return any(is_one_off(low, one) and one + "s" != low and low + "s" != one for one in near)

    @cached_property
    def frequent(self) -> dict[str, list[str]]:
        """Words that the book has five times, by themselves with a letter cut out or none."""
        found: dict[str, list[str]] = {}
        for word, uses in self.own.items():
            if uses >= 5 and len(word) <= LONGEST and word.isascii():
                for cut in cuts(word):
                    found.setdefault(cut, []).append(word)
        return found

    def is_rival(self, low: str) -> bool:
        """Whether a seldom word of the table is a confusion away from one far more used."""
        best = max((self.weight(one) for one in confused(low) if one in english()), default=0)
        return best > 2**9 and best > 256 * max(self.weight(low) - OWN_WEIGHT * self.own[low], 1)

    def is_known(self, low: str) -> bool:
        """Whether English or the book itself vouches for a word.

        The book does not if it has a word of the same look twenty times as often: a misreading
        that comes back is still one.
        """
        if all(map(is_english, re.split(r"[-‐–—]", low))):
            return True
        uses = self.own[low]
        if uses < 2:
            return False
        return all(self.own[one] < 20 * uses for one in confused(low))

    def weight(self, low: str) -> float:
        """How much a word is used: in the table's manuals and in the book."""
        size = english().get(low)
        return (0 if size is None else 2.0**size) + OWN_WEIGHT * self.own[low]


def cuts(word: str) -> set[str]:
    """A word, and what is left of it without one letter."""
    return {word} | {word[:at] + word[at + 1 :] for at in range(len(word))}


def is_one_off(a: str, b: str) -> bool:
    """Whether one letter more, less or other makes one word of another."""
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    at = next((n for n, (x, y) in enumerate(zip(long, short, strict=False)) if x != y), len(short))
    rest = short[at:] if len(long) > len(short) else short[at + 1 :]
    return len(long) - len(short) <= 1 and long[at + 1 :] == rest


def is_doubled(low: str) -> bool:
    """Whether a letter too many makes this of a word in good use: `tthe`, `iss`."""
    if english().get(low, 0) > 2:
        return False
    pairs = (at for at in range(len(low) - 1) if low[at] == low[at + 1])
    return any(english().get(low[:at] + low[at + 1 :], 0) >= 10 for at in pairs)
