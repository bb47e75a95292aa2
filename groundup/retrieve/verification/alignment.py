"""A sentence is laid over a line, word by word and in order: what of the line may be left out?

    The club, which was founded in 1901, owns two boats and a raft.
    The club                             owns two boats.              an aside, a further thing

Every word of the sentence but articles, forms of "to be" and the like must be found. Of the line
may be left out whole parts that tell more of the same: an aside, a further clause, a place or a
date. What tells of which, how many, when or whether it holds may not, nor half of a part.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ..wording.language import FALLBACK, stem_words, stop_words, word_pattern
from .quantities import with_quantities

NUMBER = re.compile(r"(?:(?<![\w.])[-−+])?\d+(?:[.,:/-]\d+)*|[一二三四五六七八九十百千两兩]+")
TOKEN = re.compile(
    rf"(?P<number>{NUMBER.pattern})|(?P<genitive>['’]s\b)"
    r"|(?P<mark>[,;:()–—]|\n(?=\s*\S+\s+--\s)|--?(?=\s))"  # or before "name -- meaning"
    r"|\w+n['’]t\b|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]\w*|[%°€£$<>≤≥]"
)
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
ALLOWED = re.compile(r"\b(?:is|are) (?:allowed|permitted|able) to\b")
YEAR = re.compile(r"1\d{3}|20\d\d")
STRICT = ("negation", "condition", "reported", "quantifier", "modal")
"""What no part that is left out may have."""
DATED = ("time", "season", "month", "exact", "number")
"""What it may have only if the line tells of something past."""
TIGHT = ("negation", "universal", "modal", "permission")
"""What makes all that stands behind it a part of what is meant."""
BEGINS = ("preposition", "place", "relative", "time", "condition", "joint", "mark")
"""What begins a part."""
WANTED = {*STRICT, "time", "exact", "preposition", "generic", "month"}
KINDS = (*WANTED, *TIGHT, "place", "relative", "joint", "aside", "season", "past", "article",
         "subject", "owner", "being", "future")  # fmt: skip
HELD = (*STRICT, "time", "season", "month")
KIND = ("a", "an", "ein", "eine", "un", "une", "una")
MAX_ADJECTIVES = 2


class Word(NamedTuple):
    """A word of a text, a number or a sign."""

    text: str
    stems: frozenset[str]
    kinds: frozenset[str]

    def has(self, *kinds: str) -> bool:
        """Whether it is of one of some kinds."""
        return not self.kinds.isdisjoint(kinds)

    @property
    def is_wanted(self) -> bool:
        """Whether a sentence with it says more than one without."""
        return not self.has("plain", "mark", "genitive", "aside")

    @property
    def is_weak(self) -> bool:
        """Whether it is "may" or "can": what is so can be so."""
        return self.has("modal") and self.text in ("may", "can", "kann", "können")

    def is_same(self, other: "Word") -> bool:
        """Whether both say the same."""
        if self.has("negation") or other.has("negation"):
            return self.has("negation") and other.has("negation")
        return self.is_weak and other.is_weak or not self.stems.isdisjoint(other.stems)


Words = tuple[Word, ...]


@lru_cache(2**12)
def words_of(text: str, language: str = FALLBACK) -> Words:
    """The words of a text with their kinds.

    >>> [word.text for word in words_of("The kiln's door isn't red.") if word.is_wanted]
    ['kiln', 'door', "isn't", 'red']
    """
    text = ALLOWED.sub("may", with_quantities(text, language))
    text = THOUSANDS.sub("", text) if language == FALLBACK else text
    kinds = dict[int, set[str]]()
    for kind in KINDS:
        for match in word_pattern(kind, language=language).finditer(text):
            for token in TOKEN.finditer(text, *match.span()):
                kinds.setdefault(token.start(), set()).add(kind)
    found = TOKEN.finditer(text)
    return tuple(_word(token, kinds.get(token.start(), set()), language) for token in found)


def _word(token: re.Match[str], kinds: set[str], language: str) -> Word:
    text, lower = token[0], token[0].lower().replace("\n", ";")
    if token.lastgroup:
        return Word(lower, frozenset((lower,)), frozenset((token.lastgroup,)))
    kinds = kinds - {"modal"} | {"capital"} if text[0].isupper() else kinds
    kinds = kinds - {"month"} if "modal" in kinds else kinds  # "may", "May"
    if lower in stop_words()[language] and not kinds & WANTED:
        kinds = kinds | {"plain"}
    return Word(
        lower, frozenset(stem_words(text, language)) or frozenset((lower,)), frozenset(kinds)
    )


def have(words: Sequence[Word], *kinds: str) -> bool:
    """Whether one of some words is of one of some kinds."""
    return any(word.has(*kinds) for word in words)


def says(reading: Words, claim: Words) -> bool:
    """Whether a sentence is made of the words of a reading, in order, and leaves out none it needs.

    >>> says(words_of("The club owns a boat, and it is red."), words_of("The club owns a boat."))
    True
    >>> says(words_of("Members who pay own a boat."), words_of("Members own a boat."))
    False
    """
    may, tense = not have(reading, "modal"), tense_of(claim)
    wanted = [word for word in claim if word.is_wanted and not (may and word.is_weak)]
    if not wanted:
        return False
    reach = [{-1}, *(set[int]() for _ in wanted)]
    for at, word in enumerate(wanted):
        for last in reach[at]:
            for place in range(last + 1, len(reading)):
                is_same = word.is_same(reading[place])
                size = 1 if is_same else _stands_for(reading, place, wanted[at:])
                is_doer = word.has("agentless") and not have(reading[:place], *HELD)
                if size and (is_doer or may_drop(reading, last + 1, place)):
                    reach[at + size].add(place)
    return any(
        may_drop(reading, last + 1, len(reading))
        and not (tense and tense_of(reading[: last + 2]) not in ("", tense))
        for last in reach[-1]
    )


def _stands_for(words: Words, place: int, wanted: Sequence[Word]) -> int:
    """The number of words that a pronoun, no subject, stands for: "coats them"."""
    if words[place].text not in ("them", "it", "him") or place < 2:
        return 0
    known = (any(word.is_same(each) for each in words[:place]) for word in wanted[:3])
    return next((n for n, is_known in enumerate(known) if not is_known), len(wanted[:3]))


def may_drop(words: Words, start: int, end: int) -> bool:
    """Whether the words from one place to another may be left out."""
    before, gap, after = words[:start], words[start:end], words[end:]
    wanted = [word for word in gap if word.is_wanted]
    if not wanted or have(gap, "subject") and all(word.has("preposition") for word in wanted):
        return True  # "into it"
    if not start:
        return False
    cut = next((n for n, word in enumerate(gap) if word.has("mark", "joint")), -1)
    if not after and (not cut or cut > 0 and gap[0].has(*BEGINS)):  # part by part
        rest = words[: start + cut]
        return may_end(words, start + cut) and may_drop(rest, start, start + cut)
    if gap[0].text == gap[-1].text == ",":
        return not have(gap, "condition", "time")
    if len(gap) == 2 and gap[1].text == "or":  # "if it fails during opening or reading"
        return have(before, "condition")
    if not after and gap[0].has("relative"):  # "is a tool that …"
        return have(before, "being", "past") and not have(before, *TIGHT)
    if have(wanted, *STRICT):
        return False
    if gap[0].text == "of" and gap[1].text in ("this", "these"):
        return True
    if len(gap) == 1 and gap[0].text.endswith("ly"):  # "opens automatically"
        return not have(before, "negation", "universal")
    if have(before, *TIGHT) or cut >= 0 and gap[0].text != "between":
        return False
    is_last = len(after) < 2 and have(before, "being") or not after
    if gap[0].has(*BEGINS) and (is_last or have(after[:1], *BEGINS)):
        is_near = gap[0].has("place") and gap[0].text != "at" or gap[0].text in ("with", "by")
        is_kind = any(a.has("being") and b.text in KIND for a, b in pairwise(before))  # "is a bell"
        dated = DATED[: 1 if is_kind else 4 if is_near else 5]
        return tense_of(words) == "past" or not have(gap, *dated)
    return _describe(words, start, end)


def _describe(words: Words, start: int, end: int) -> bool:
    """Whether words only describe what stands behind them, after the verb: "is a small mill"."""
    while words[start].has("article", "owner"):
        start += 1
    before, gap = words[:start], words[start:end]
    if end == len(words) or len(gap) > MAX_ADJECTIVES or not gap[0].is_wanted:
        return False
    is_verb_before = have(before, "being") or sum(word.is_wanted for word in before) > 1
    is_noun = words[end].is_wanted and not words[end].has(*BEGINS, "number", "modal")
    is_plain = not have(gap, "exact", "number", "capital", "preposition")
    is_led = have(before[-1:], "article", "number", "being", "owner")
    return is_verb_before and is_noun and is_plain and is_led


def may_end(words: Words, start: int) -> bool:
    """Whether a line may end before a comma or an "and"."""
    before, rest = words[:start], words[start:]
    at = next((n for n in range(len(rest)) if not is_joint(rest, n)), -1)
    first, tail = rest[at], rest[at:]
    if any(word.text in ("or", "nor", "oder", "ou", "o") for word in rest[:at]):
        return have(before, "modal", "condition", "negation")
    is_limit = first.has("quantifier") and not first.has("place")
    if is_limit or first.has("condition", "reported"):
        return False
    if first.has("time") and tense_of(words) != "past":
        return False
    if first.text in ("der", "die", "das") and have(before, "universal"):  # "alle, die …"
        return False
    if first.has("negation"):  # "by the guard, not by the cook"
        return not have(tail[1:2], *BEGINS) or tail[1].text in {word.text for word in before}
    is_own = rest[0].text == "(" or begins_anew(tail) or have(tail, "being", "modal")
    return is_own or not have(rest, "condition") and all(word.text != "only" for word in before)


def begins_anew(words: Words) -> bool:
    """Whether a clause begins with a subject: an article, a pronoun, a name or "some"."""
    is_some = have(words[:1], "quantifier") and not have(words[:1], "place", "joint")
    return have(words[:1], "article", "subject", "capital") or is_some and words[0].text != "only"


@lru_cache(2**12)
def tense_of(words: Words) -> str:
    """Whether words tell what has been or what is; "" if neither."""
    if have(words, "past"):
        return "past"
    if have(words, "being", "modal", "present"):
        return "present"
    return "past" if any(_tells_past(words, at) for at in range(len(words))) else ""


def _tells_past(words: Words, at: int) -> bool:
    """Whether a word is a year, or a verb such as "designed" but not "stays closed"."""
    if not words[at].text.endswith("ed") or not 0 < at < len(words) - 1:
        return YEAR.fullmatch(words[at].text) is not None
    before = words[at - 1]
    return not before.has("article") and (before.has("capital") or before.text[-1] != "s")


def is_joint(words: Words, at: int) -> bool:
    """Whether a word only joins what follows it: "and", a comma, "while" behind a comma."""
    is_while = at > 0 and words[at - 1].has("mark")
    return words[at].has("mark", "joint") or is_while and words[at].text in ("while", "während")
