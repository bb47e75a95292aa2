"""Hyphens at the ends of lines: which were put in by the typesetter and which belong to the word?

`foo-` and `bar` become `foobar`, or `foo-bar`, or stay, as the evidence says: the book's own words
inside lines first, then the table of English, then whether both halves are words by themselves. A
page may turn between them. The line break moves behind the word, so that lines stay about as long
as they were and `books.paragraphs` still sees which are full. Languages other than English (told
by function words) rest on the book's own words and on their rules: `Vor- und Nachteile`, `est-il`.
Knows no syllables and no patterns of hyphenation.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..patterns import read_patterns
from ..record import PASS, Edit, Record, Ruling
from .words import Vocabulary, english, is_english, vocabulary

AT_END = re.compile(
    r"(?<![\w\-‐’'])(?P<left>[^\W\d_]+(?:[-‐’'][^\W\d_]+)*)"
    r"(?P<hyphen>[-‐¬\u00ad])(?P<gap>[ \t]*[\n\f]\s*)"
    r"(?P<right>[^\W\d_]+(?:[’'][^\W\d_]+)*)(?P<after>[-‐]?)"
)
BLANK = re.compile(r"[ \t]+|[\n\f]")
_WORDS = read_patterns(Path(__file__).with_name("hyphens.toml"))
PREFIXES = tuple(_WORDS["hyphenated_prefixes"])
PRODUCTIVE = tuple(_WORDS["optional_prefixes"])
ENDINGS = tuple(_WORDS["endings"])
COINED = 3
"""Binary logarithm of a word's count in the table's manuals, up to which a word with a prefix may
be of an author's own making. Source: own, set on R's manuals."""
FUNCTION_WORDS: dict[str, str] = _WORDS["function_words"]
SUSPENDED = frozenset(_WORDS["suspended"])
INVERTED = frozenset(_WORDS["inverted"])
BEHIND_VERB = re.compile(
    r"(?:.*[td])-(?:il|elle|on)|(?:.*['’])?(?:est|sont|était|fut|sera)-ce|ce.*-(?:ci|là)"
)
"""French pronouns behind their verb: `est-il`, `dit-elle`, `est-ce`; and `celui-ci`."""
ONE_WORD = re.compile("|".join(_WORDS["ex_words"]))


class HyphensConfig(Config):
    """How much evidence joins two halves of a word."""

    is_table_used: bool = True
    """Whether the table of English is asked too. Source: own; off for other languages changes
    little, because the book's own words are asked first."""
    blank_lines: int = 3
    """Empty lines between the halves at most; a page that turns may leave some. Source: own."""
    least_left: int = 2
    """Letters before a break at least for it to be the typesetter's: TeX's \\lefthyphenmin is 2.
    Source: plain TeX."""
    common: int = 4
    """Binary logarithm of a half's count in the table's manuals, from which it is a word that makes
    compounds (`cam` of Cambridge is not). Source: own, set on R-intro, R-exts and R-lang."""
    rare: int = 5
    """Binary logarithm of a word's count in the table's manuals, up to which the author's habit
    with its prefix is asked before the table. Source: own, set on R's manuals."""


class Joint(NamedTuple):
    """What becomes of one break, and the evidence."""

    keeps: bool
    """The hyphen stays and only the line break goes."""
    why: str
    space: str = ""
    """What stands between a hyphen that stays and the next word."""


class Hyphens:
    """Joins words broken over two lines; keeps the hyphens of compounds; drops soft hyphens."""

    def __init__(self, config: HyphensConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """One edit for every break that the evidence settles."""
        text = record.text
        breaks = list(AT_END.finditer(text)) if "-" in text or not text.isascii() else []
        own = vocabulary(text) if breaks else None
        language = language_of(own) if own else "en"
        if language != "en" and self.config.is_table_used:
            plain = Hyphens(self.config.model_copy(update={"is_table_used": False}))
            return plain.ruled(record, breaks, own, language)
        return self.ruled(record, breaks, own, language)

    def ruled(
        self, record: Record, breaks: Sequence[re.Match[str]], own: Vocabulary | None, language: str
    ) -> Ruling:
        """The edits for breaks that were found, given the book's own words and its language."""
        text = record.text
        habits = set_apart(own) if own and self.config.is_table_used else frozenset()
        edits, kept = [], 0
        is_wrapped = "wrapped_lines" not in record.metadata  # books.paragraphs has not been here
        for match in breaks:
            if own is None or match.group("gap").count("\n") > self.config.blank_lines + 1:
                continue
            joint = by_grammar(match, own, language) or self.joint(match, own, habits)
            kept += joint.keeps
            start, end = match.start("hyphen"), match.start("right")
            put = "-" + joint.space if joint.keeps else ""
            edits.append(Edit(start, end, f"line break in a word: {joint.why}", put))
            if is_wrapped and not joint.space:
                edits += moved_break(text, match)
        covered = {edit.start for edit in edits}
        edits += [
            Edit(m.start(), m.end(), "soft hyphen")
            for m in re.finditer("\u00ad", text)
            if m.start() not in covered
        ]
        if not edits:
            return PASS
        return Ruling(
            edits=tuple(sorted(edits)),
            metadata={"hyphens_joined": len(edits) - kept, "hyphens_kept": kept},
        )

    def joint(self, match: re.Match[str], own: Vocabulary, habits: frozenset[str]) -> Joint:
        """Whether the hyphen stays; `habits` are the prefixes that the author sets apart."""
        left, right = match.group("left"), match.group("right")
        if match.group("hyphen") == "\u00ad":
            return Joint(False, "soft hyphen")
        if match.group("after") or not re.fullmatch(r"[^\W\d_]+", left):
            return self.compound(left.lower(), right.lower(), own)
        low, follow = left.lower(), right.lower()
        joined, hyphened = own.words[low + follow], own.hyphenated[f"{low}-{follow}"]
        if left.isupper() and right.isupper() and (hyphened or len(right) <= 2):
            return Joint(True, "two acronyms")  # `riscv` of `riscv64` says nothing of `RISC-V`
        if hyphened == joined:
            joined = sum(own.words[low + one] for one in inflected(follow))
            hyphened = sum(own.hyphenated[f"{low}-{one}"] for one in inflected(follow))
        if hyphened != joined:
            return Joint(hyphened > joined, "the book's own words")
        if right[0].isupper() and (not left.isupper() or len(left) == 1 and right[1:].islower()):
            return Joint(True, "a capital follows")
        if self.config.is_table_used and is_english(low + follow):
            is_rare = english().get(low + follow, 0) <= self.config.rare
            keeps = is_rare and low in habits and is_english(follow)
            return Joint(keeps, "the author's habit" if keeps else "table of words")
        if len(left) < self.config.least_left:
            return Joint(True, "one letter before it")
        if left.isupper() and right.isupper() and len(right) <= 3:
            return Joint(True, "two acronyms")
        if len(left) > 1 and left.isupper() and right.islower():
            return Joint(True, "an acronym before it")
        return self.by_halves(low, follow, own)

    def compound(self, left: str, right: str, own: Vocabulary) -> Joint:
        """A break beside another hyphen, as in `state-of-the-` or `line-break-` before `ing`."""
        last = re.split(r"[-‐]", left)[-1]
        whole = last + right
        if own.words[whole] or self.config.is_table_used and whole in english():
            known = own.words[last] or last in english()
            return Joint(bool(known and own.words[right] > own.words[whole]), "in a compound")
        is_whole_word = right in own.words or self.config.is_table_used and right in english()
        return Joint(is_whole_word or self.by_halves(last, right, own).keeps, "in a compound")

    def by_halves(self, left: str, right: str, own: Vocabulary) -> Joint:
        """Both halves words by themselves: a compound; otherwise the typesetter's."""
        if left in PREFIXES and self.config.is_table_used:
            return Joint(True, "a prefix that takes a hyphen")

        def is_word(half: str) -> bool:
            size = english().get(half, 0) if self.config.is_table_used else 0
            derived = self.config.is_table_used and len(half) > 5 and is_english(half)
            return len(half) > 1 and (own.words[half] > 1 or derived or size >= self.config.common)

        if is_word(left) and is_word(right):
            return Joint(True, "both halves are words")
        return Joint(False, "a half is no word")


def moved_break(text: str, match: re.Match[str]) -> Iterator[Edit]:
    """Yield the edit that breaks the line behind the word, if text follows it in its line."""
    at = BLANK.search(text, match.end())
    if at and at.group()[0] in " \t" and text[at.end() : at.end() + 1] not in "\n\f":
        gap = match.group("gap")
        indent = gap.rpartition("\n")[2] if gap.count("\n") == 1 and "\f" not in gap else ""
        yield Edit(at.start(), at.end(), "line break put behind its word", "\n" + indent)


def language_of(own: Vocabulary) -> str:
    """The language whose function words are the most, English if none are.

    >>> language_of(vocabulary("Der Hund und die Katze")), language_of(vocabulary("Page"))
    ('de', 'en')
    """
    counts = {
        name: sum(own.words[word] for word in words.split())
        for name, words in FUNCTION_WORDS.items()
    }
    return max(counts, key=lambda name: counts[name])


def by_grammar(match: re.Match[str], own: Vocabulary, language: str) -> Joint | None:
    """What a language's grammar says of a break; nothing if the book has the joined word."""
    left, right = match.group("left").lower(), match.group("right").lower()
    bare = re.split(r"['’]", left)[-1]
    whole = bare + right
    if match.group("hyphen") in "\u00ad¬" or own.words[whole] or own.words[left + right]:
        return None
    if right in SUSPENDED and not match.group("after"):
        if language != "en" or not is_english(whole):
            return Joint(True, "a suspended hyphen", " ")
    if language == "fr":
        is_liaison = right == "t" and bool(match.group("after")) or re.search(r"[-‐]t$", left)
        if is_liaison or right in INVERTED or BEHIND_VERB.fullmatch(f"{left}-{right}"):
            return Joint(True, "a pronoun behind its verb")
        if bare == "ex":
            return Joint(not ONE_WORD.match(right), "ex- of French")
    is_plain = bare == left and len(left) > 1 and not match.group("left").isupper()
    if language == "de" and is_plain and match.group("right")[0].islower():
        apart = own.hyphenated[f"{left}-{right}"]
        return Joint(apart > 0, "a small letter follows in German")
    return None


def inflected(word: str) -> set[str]:
    """The word with other endings: `created` with `create` and `creating`.

    >>> {"create", "creates", "creating"} <= inflected("created")
    True
    """
    stems = {word.removesuffix(ending) for ending in ENDINGS} if len(word) > 3 else {word}
    stems = {stem for stem in stems if len(stem) > 3} or {word}
    return {word} | {stem + ending for stem in stems for ending in ENDINGS}


def set_apart(own: Vocabulary) -> frozenset[str]:
    """The prefixes that this author sets apart, as in `re-create` and `re-encode`.

    At least two words of the book have one so, and no fewer than have it joined in a word that the
    table has seldom or not: `return` is nobody's choice.
    """
    apart: Counter[str] = Counter()
    for word in own.hyphenated:
        first, _, rest = word.partition("-")
        apart[first] += first in PRODUCTIVE and is_english(rest)
    joined: Counter[str] = Counter()
    for word in own.words:
        if word.startswith(PRODUCTIVE) and english().get(word, 0) <= COINED:
            for first in PRODUCTIVE:
                rest = word.removeprefix(first)
                joined[first] += len(word) > len(rest) > 3 and english().get(rest, 0) > COINED
    return frozenset(one for one, n in apart.items() if n >= 2 and n >= joined[one])
