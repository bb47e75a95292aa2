"""A sentence is laid over a line, word by word and in order: what of the line may be left out?

    The club, which was founded in 1901, owns two boats and a raft.
    The club                             owns two boats.              an aside, a further thing

Every word of the sentence but articles, forms of "to be" and the like must be found. Of the line
may be left out whole parts that tell more of the same: an aside, a further clause, a place or a
date. What tells of which, how many, when or whether it holds may not, nor half of a part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from ..wording.language import FALLBACK, stem_words, stop_words, with_digits, word_pattern

NUMBER = re.compile(r"(?:(?<![\w.])[-−+])?\d+(?:[.,:/-]\d+)*|[一二三四五六七八九十百千两兩]+")
SIGN = "%°€£$<>≤≥"
TOKEN = re.compile(
    rf"(?P<number>{NUMBER.pattern})|(?P<genitive>['’]s\b)|(?P<mark>[,;:()–—]|\n(?=\s*\S+\s+--\s)|--?(?=\s))"
    rf"|\w+n['’]t\b|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]\w*|[{SIGN}]"
)
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
ALLOWED = re.compile(r"\b(?:is|are) (?:allowed|permitted|able) to\b")
YEAR = re.compile(r"1\d{3}|20\d\d")
STRICT = frozenset(("negation", "condition", "reported", "quantifier", "modal", "time"))
KINDS = (*STRICT, "preposition", "exact", "place", "relative", "joint", "aside", "permission",
         "season", "month", "past", "article", "subject", "generic", "being", "universal")  # fmt: skip
DATED = frozenset(("time", "season", "month", "exact", "number"))
"""What a part that is left out has only if the line tells of something past."""
TIGHT = frozenset(("negation", "universal", "modal", "permission"))
"""What makes all that stands behind it a part of what is meant."""
BEGINS = frozenset(("preposition", "place", "relative", "time", "condition", "joint", "mark"))
"""What begins a part of a sentence."""
OWN = ("its", "their", "his", "her")
CONTRASTS = ("while", "whereas", "während")
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
        """Whether it is "may" or "can"."""
        return self.has("modal") and self.text in ("may", "can", "kann", "können")

    def is_same(self, other: "Word") -> bool:
        """Whether both say the same."""
        for kind in ("negation", "number"):
            if self.has(kind) or other.has(kind):
                return self.has(kind) and other.has(kind) and (kind == "negation" or self[:2] == other[:2])
        if self.is_weak and other.is_weak:
            return True
        return not self.stems.isdisjoint(other.stems)


Words = tuple[Word, ...]


@lru_cache(2**12)
def words_of(text: str, language: str = FALLBACK) -> Words:
    """The words of a text with their kinds.

    >>> [word.text for word in words_of("The kiln's door isn't red.") if word.is_wanted]
    ['kiln', 'door', "isn't", 'red']
    """
    text = ALLOWED.sub("may", with_digits(text, language))
    text = THOUSANDS.sub("", text) if language == FALLBACK else text
    found, kinds = list(TOKEN.finditer(text)), dict[int, set[str]]()
    for kind in KINDS:
        for match in word_pattern(kind, language=language).finditer(text):
            for token in TOKEN.finditer(text, *match.span()):
                kinds.setdefault(token.start(), set()).add(kind)
    return tuple(_word(token, kinds.get(token.start(), set()), language) for token in found)


def _word(token: re.Match[str], kinds: set[str], language: str) -> Word:
    text, kind = token[0], token.lastgroup
    if kind:
        text = ";" if text == "\n" else text  # the next entry of a list of "name -- meaning"
        return Word(text, frozenset((text,)), frozenset((kind,)))
    if text[0].isupper():
        kinds = kinds - {"modal"} | {"capital"}
    elif "modal" in kinds:
        kinds = kinds - {"month"}
    is_strict = kinds & {*STRICT, "exact", "preposition", "generic", "month"}
    if text.lower() in stop_words()[language] and not is_strict:
        kinds = kinds | {"plain"}
    stems = frozenset(stem_words(text, language)) or frozenset((text.lower(),))
    return Word(text.lower(), stems, frozenset(kinds))


@dataclass
class Reading:
    """What a line says, whole or one clause of it."""

    words: Words
    _droppable: dict[tuple[int, int], bool] = field(default_factory=dict)

    def says(self, claim: Words) -> bool:
        """Whether a sentence is made of its words in order, and no word that counts is left out."""
        may = not any(word.has("modal") for word in self.words)  # what is so can be so
        wanted = [w for w in claim if w.is_wanted and not (may and w.is_weak)]
        if not wanted or tense_of(claim) and tense_of(self.words) not in ("", tense_of(claim)):
            return False
        reach = [{-1}, *(set[int]() for _ in wanted)]
        for at, word in enumerate(wanted):
            for last in reach[at]:
                for place in range(last + 1, len(self.words)):
                    size = 1 if word.is_same(self.words[place]) else self._stands_for(place, wanted[at:])
                    if size and self.may_drop(last + 1, place):
                        reach[at + size].add(place)
        return any(self.may_drop(last + 1, len(self.words)) for last in reach[-1])

    def _stands_for(self, place: int, wanted: Sequence[Word]) -> int:
        """The number of words that a pronoun, no subject, stands for: "coats them"."""
        if self.words[place].text not in ("them", "it", "him") or place < 2:
            return 0
        before = self.words[:place]
        known = [any(word.is_same(other) for other in before) for word in wanted[:3]]
        return next((n for n, is_known in enumerate(known) if not is_known), len(known))

    def may_drop(self, start: int, end: int) -> bool:
        """Whether its words from one place to another may be left out."""
        if (start, end) not in self._droppable:
            self._droppable[start, end] = self._is_droppable(start, end)
        return self._droppable[start, end]

    def _is_droppable(self, start: int, end: int) -> bool:
        words = self.words
        while start < end and words[start].has("aside"):
            start += 1
        gap = words[start:end]
        wanted = [word for word in gap if word.is_wanted]
        if not wanted:
            return True
        if start == 0:
            return False
        if all(word.has("preposition") for word in wanted) and any(word.has("subject") for word in gap):
            return True  # "into it"
        cut = next((n for n, word in enumerate(gap) if word.has("mark", "joint")), 0)
        if end == len(words) and gap[0].has("mark", "joint"):
            return self._may_end_before(start)
        if end == len(words) and cut and gap[0].has(*BEGINS):  # part by part
            return self._may_end_before(start + cut) and Reading(words[: start + cut]).may_drop(start, start + cut)
        if gap[0].text == "," and gap[-1].text == ",":
            return not any(word.has("condition", "time") for word in gap)
        if len(gap) == 2 and gap[1].text == "or" and any(word.has("condition") for word in words[:start]):
            return True  # "if it occurs during opening or reading"
        is_which = gap[0].has("relative") and end == len(words)
        if not is_which and any(word.has(*STRICT - {"time"}) for word in wanted):
            return False
        if gap[0].text == "of" and gap[1].text in ("this", "these"):
            return True
        if len(gap) == 1 and gap[0].text.endswith("ly") and not any(word.has("negation", "universal") for word in words[:start]):
            return True  # "opens automatically"
        if any(word.has(*TIGHT) for word in words[:start]):
            return False
        if any(word.has("mark", "joint") for word in gap):
            return False
        is_last = end + 1 == len(words) and any(word.has("being") for word in words[:start])
        is_part = gap[0].has(*BEGINS) and (end == len(words) or is_last or words[end].has(*BEGINS))
        if is_part:
            bare = gap[0].has("place") or gap[0].text in ("with", "by", "mit", "von")
            dated = DATED - {"number"} if bare and gap[0].text != "at" else DATED
            return tense_of(words) == "past" or not any(word.has(*dated) for word in gap)
        return self._are_adjectives(start, end)

    def _are_adjectives(self, start: int, end: int) -> bool:
        """Whether some words only describe what stands behind them, after the verb: "a small mill"."""
        words = self.words
        while words[start].has("article") or words[start].text in OWN:
            start += 1
        gap = words[start:end]
        if end == len(words) or not gap[0].is_wanted or len(gap) > MAX_ADJECTIVES or any(word.has("exact", "number", "capital", "preposition") for word in gap):
            return False
        before = words[:start]
        has_verb = any(word.has("being") for word in before) or sum(word.is_wanted for word in before) > 1
        is_noun = words[end].is_wanted and not words[end].has(*BEGINS, "number", "modal")
        return has_verb and is_noun and before[-1].has("article", "number", "being")

    def _may_end_before(self, start: int) -> bool:
        """Whether it may end before a comma or an "and"."""
        rest = self.words[start:]
        at = next((n for n in range(len(rest)) if not is_joint(rest, n)), -1)
        first, joints = rest[at], {word.text for word in rest[:at]}
        is_past = tense_of(self.words) == "past"
        if first.has("condition", "reported") or first.has("quantifier") and not first.has("place"):
            return False
        if first.has("time") and not is_past:
            return False
        if joints & {"or", "nor", "oder", "ou", "o"}:
            return any(word.has("modal", "condition", "negation") for word in self.words[:start])
        if first.has("negation"):  # "by the guard, not by the cook"
            second = next(iter(rest[at + 1 :]), first)
            before = {word.text for word in self.words[:start]}
            return not second.has(*BEGINS) or second.text in before
        has_own = rest[0].text == "(" or begins_anew(rest[at:]) or any(word.has("being", "modal") for word in rest[at:])
        is_open = any(word.has("condition") for word in rest) or any(word.text == "only" for word in self.words[:start])
        return has_own or not is_open


def begins_anew(words: Words) -> bool:
    """Whether a clause begins with a subject: an article, a pronoun or a name."""
    is_named = bool(words) and words[0].has("article", "subject", "capital", "universal")
    return is_named or bool(words) and words[0].text in ("both", "some", "many", "few")


@lru_cache(2**12)
def tense_of(words: Words) -> str:
    """Whether words tell what has been or what is; "" if neither."""
    if any(word.has("past") for word in words):
        return "past"
    if any(word.has("being", "modal") for word in words):
        return "present"
    return "past" if any(_tells_past(words, at) for at in range(len(words))) else ""


def _tells_past(words: Words, at: int) -> bool:
    """Whether a word is a year, or a verb such as "designed" but not "stays closed"."""
    word, before = words[at], words[at - 1] if at else None
    is_verb = word.text.endswith("ed") and before and at + 1 < len(words)
    is_other = before and (before.has("article") or before.text.endswith("s") and not before.has("capital"))
    return bool(is_verb and not is_other) or bool(word.has("number") and YEAR.fullmatch(word.text))


def is_joint(words: Words, at: int) -> bool:
    """Whether a word only joins what follows it: "and", a comma, "while" behind a comma."""
    word = words[at]
    return word.has("mark", "joint") or at > 0 and words[at - 1].has("mark") and word.text in CONTRASTS
