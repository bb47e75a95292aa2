"""Hyphens at line ends: join the word, or keep the hyphen?

`foo-` and `bar` become `foobar` or `foo-bar`. Evidence, in this order: the book's own words inside
lines, the English word table, whether both halves are words. A page break may lie between the
halves. The line break moves behind the word, so that line lengths barely change and
`books.paragraphs` still recognises full lines. Other languages, identified by function words, rely
on the book's own words and a few rules: `Vor- und Nachteile`, `est-il`. There are no syllable or
hyphenation patterns.
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
"""Maximum log2 frequency of a prefixed word that an author may have coined. Source: own, set on R's
manuals."""
FUNCTION_WORDS: dict[str, str] = _WORDS["function_words"]
SUSPENDED = frozenset(_WORDS["suspended"])
INVERTED = frozenset(_WORDS["inverted"])
BEHIND_VERB = re.compile(
    r"(?:.*[td])-(?:il|elle|on)|(?:.*['’])?(?:est|sont|était|fut|sera)-ce|ce.*-(?:ci|là)"
)
"""French pronouns after the verb: `est-il`, `dit-elle`, `est-ce`; and `celui-ci`."""
ONE_WORD = re.compile("|".join(_WORDS["ex_words"]))


class HyphensConfig(Config):
    """How much evidence joins two halves of a word."""

    is_table_used: bool = True
    """Whether to use the English word table. Source: own; switching it off for other languages
    changes little, because the book's own words come first."""
    blank_lines: int = 3
    """Maximum number of empty lines between the halves, as at a page break. Source: own."""
    least_left: int = 2
    """Minimum number of letters before a break inside a word. Source: plain TeX, \\lefthyphenmin =
    2."""
    common: int = 4
    """Minimum log2 frequency of a half that forms compounds (`cam` of Cambridge is below it).
    Source: own, set on R-intro, R-exts and R-lang."""
    rare: int = 5
    """Maximum log2 frequency of a joined word for which the author's habit with the prefix comes
    before the table. Source: own, set on R's manuals."""


class Joint(NamedTuple):
    """Decision on one line-end hyphen, with its evidence."""

    keeps: bool
    """The hyphen stays and only the line break is removed."""
    why: str
    space: str = ""
    """Text between a kept hyphen and the next word."""


class Hyphens:
    """Joins words broken over two lines, keeps the hyphens of compounds, removes soft hyphens."""

    def __init__(self, config: HyphensConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Return one edit for every break that the evidence decides."""
        text = record.text
        breaks = list(AT_END.finditer(text)) if "-" in text or not text.isascii() else []
        own = vocabulary(text) if breaks else None
        language = language_of(own) if own else "en"
        if language != "en" and self.config.is_table_used:
            without_table = Hyphens(self.config.model_copy(update={"is_table_used": False}))
            return without_table.ruled(record, breaks, own, language)
        return self.ruled(record, breaks, own, language)

    def ruled(
        self, record: Record, breaks: Sequence[re.Match[str]], own: Vocabulary | None, language: str
    ) -> Ruling:
        """Edits for the breaks, given the book's vocabulary and language."""
        text = record.text
        habits = set_apart(own) if own and self.config.is_table_used else frozenset()
        edits, kept_count = [], 0
        is_wrapped = "wrapped_lines" not in record.metadata  # books.paragraphs has not run
        for match in breaks:
            if own is None or match.group("gap").count("\n") > self.config.blank_lines + 1:
                continue
            joint = by_grammar(match, own, language) or self.joint(match, own, habits)
            kept_count += joint.keeps
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
            metadata={"hyphens_joined": len(edits) - kept_count, "hyphens_kept": kept_count},
        )

    def joint(self, match: re.Match[str], own: Vocabulary, habits: frozenset[str]) -> Joint:
        """Decide one break; `habits` are the prefixes that the author hyphenates."""
        left, right = match.group("left"), match.group("right")
        if match.group("hyphen") == "\u00ad":
            return Joint(False, "soft hyphen")
        if match.group("after") or not re.fullmatch(r"[^\W\d_]+", left):
            return self.compound(left.lower(), right.lower(), own)
        low, follow = left.lower(), right.lower()
        joined, hyphened = own.words[low + follow], own.hyphenated[f"{low}-{follow}"]
        if left.isupper() and right.isupper() and (hyphened or len(right) <= 2):
            return Joint(True, "two acronyms")  # `riscv` of `riscv64` is no evidence about `RISC-V`
        if hyphened == joined:
            joined = sum(own.words[low + form] for form in inflected(follow))
            hyphened = sum(own.hyphenated[f"{low}-{form}"] for form in inflected(follow))
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
        """Decide a break next to another hyphen, as in `state-of-the-` or `line-break-` before
        `ing`.
        """
        last = re.split(r"[-‐]", left)[-1]
        joined = last + right
        if own.words[joined] or self.config.is_table_used and joined in english():
            is_word = own.words[last] or last in english()
            return Joint(bool(is_word and own.words[right] > own.words[joined]), "in a compound")
        is_whole_word = right in own.words or self.config.is_table_used and right in english()
        return Joint(is_whole_word or self.by_halves(last, right, own).keeps, "in a compound")

    def by_halves(self, left: str, right: str, own: Vocabulary) -> Joint:
        """Keep the hyphen if both halves are words (a compound), otherwise join them."""
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
    """Yield the edit that puts the line break behind the word, if the line continues."""
    at = BLANK.search(text, match.end())
    if at and at.group()[0] in " \t" and text[at.end() : at.end() + 1] not in "\n\f":
        gap = match.group("gap")
        indent = gap.rpartition("\n")[2] if gap.count("\n") == 1 and "\f" not in gap else ""
        yield Edit(at.start(), at.end(), "line break put behind its word", "\n" + indent)


def language_of(own: Vocabulary) -> str:
    """Language with the most function words; English if there are none.

    >>> language_of(vocabulary("Der Hund und die Katze")), language_of(vocabulary("Page"))
    ('de', 'en')
    """
    counts = {
        name: sum(own.words[word] for word in words.split())
        for name, words in FUNCTION_WORDS.items()
    }
    return max(counts, key=lambda name: counts[name])


def by_grammar(match: re.Match[str], own: Vocabulary, language: str) -> Joint | None:
    """Decision by grammar rules; None if no rule applies or the book has the joined word."""
    left, right = match.group("left").lower(), match.group("right").lower()
    bare = re.split(r"['’]", left)[-1]
    joined = bare + right
    if match.group("hyphen") in "\u00ad¬" or own.words[joined] or own.words[left + right]:
        return None
    if right in SUSPENDED and not match.group("after"):
        if language != "en" or not is_english(joined):
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
    """The word with other endings: `create` and `creating` for `created`.

    >>> {"create", "creates", "creating"} <= inflected("created")
    True
    """
    stems = {word.removesuffix(ending) for ending in ENDINGS} if len(word) > 3 else {word}
    stems = {stem for stem in stems if len(stem) > 3} or {word}
    return {word} | {stem + ending for stem in stems for ending in ENDINGS}


def set_apart(own: Vocabulary) -> frozenset[str]:
    """Prefixes that this author hyphenates, as in `re-create` and `re-encode`.

    At least two hyphenated words are required, and at least as many as joined words that are rare
    in the table: the spelling of `return` is no choice.
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
    return frozenset(prefix for prefix, n in apart.items() if n >= 2 and n >= joined[prefix])
