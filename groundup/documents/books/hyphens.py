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

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .words import BookVocabulary, count_vocabulary, english_words, is_english_word

_FILE = Path(__file__).with_name("hyphens.toml")
_WORDS, RE = read_patterns(_FILE), compile_patterns(_FILE)
HYPHENATED_PREFIXES = tuple(_WORDS["hyphenated_prefixes"])
OPTIONAL_PREFIXES = tuple(_WORDS["optional_prefixes"])
ENDINGS = tuple(_WORDS["endings"])
MAX_COINED_LOG2 = 3
"""Maximum log2 frequency of a prefixed word that an author may have coined. Source: own, set on R's
manuals."""
FUNCTION_WORDS: dict[str, str] = _WORDS["function_words"]
SUSPENSION_WORDS = frozenset(_WORDS["suspended"])
INVERTED_PRONOUNS = frozenset(_WORDS["inverted"])


class HyphensConfig(Config):
    """How much evidence joins two halves of a word."""

    use_word_table: bool = True
    """Whether to use the English word table. Source: own; switching it off for other languages
    changes little, because the book's own words come first."""
    max_blank_lines: int = 3
    """Maximum number of empty lines between the halves, as at a page break. Source: own."""
    min_letters_before: int = 2
    """Minimum number of letters before a break inside a word. Source: plain TeX, \\lefthyphenmin =
    2."""
    common: int = 4
    """Minimum log2 frequency of a half that forms compounds (`cam` of Cambridge is below it).
    Source: own, set on R-intro, R-exts and R-lang."""
    rare: int = 5
    """Maximum log2 frequency of a joined word for which the author's habit with the prefix comes
    before the table. Source: own, set on R's manuals."""


class _HyphenDecision(NamedTuple):
    is_kept: bool  # The hyphen stays and only the line break is removed
    reason: str
    separator: str = ""  # Text between a kept hyphen and the next word


class Hyphens:
    """Joins words broken over two lines, keeps the hyphens of compounds, removes soft hyphens."""

    def __init__(self, config: HyphensConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text = record.text
        breaks = (
            list(RE.line_end_hyphen.finditer(text)) if "-" in text or not text.isascii() else []
        )
        own = count_vocabulary(text if breaks else "")
        language = _guess_language(own)
        if language != "en" and self.config.use_word_table:
            without_table = Hyphens(self.config.model_copy(update={"use_word_table": False}))
            return without_table._edit_breaks(record, breaks, own, language)
        return self._edit_breaks(record, breaks, own, language)

    def _edit_breaks(
        self, record: Record, breaks: Sequence[re.Match[str]], own: BookVocabulary, language: str
    ) -> StepResult:
        text, config = record.text, self.config
        habits = _author_hyphenated_prefixes(own) if config.use_word_table else frozenset()
        edits, kept_count = [], 0
        is_wrapped = "wrapped_lines" not in record.metadata  # books.paragraphs has not run
        for match in breaks:
            if match.group("gap").count("\n") > config.max_blank_lines + 1:
                continue
            joint = _decide_by_grammar(match, own, language) or self.decide(match, own, habits)
            kept_count += joint.is_kept
            start, end = match.start("hyphen"), match.start("right")
            put = "-" + joint.separator if joint.is_kept else ""
            edits.append(TextEdit(start, end, f"line break in a word: {joint.reason}", put))
            if is_wrapped and not joint.separator:
                edits += _move_line_break(text, match)
        covered = {edit.start for edit in edits}
        edits += [
            TextEdit(m.start(), m.end(), "soft hyphen")
            for m in re.finditer("\u00ad", text)
            if m.start() not in covered
        ]
        if not edits:
            return PASS
        return StepResult(
            edits=tuple(sorted(edits)),
            metadata={"hyphens_joined": len(edits) - kept_count, "hyphens_kept": kept_count},
        )

    def decide(
        self, match: re.Match[str], book_words: BookVocabulary, hyphenated_prefixes: frozenset[str]
    ) -> _HyphenDecision:
        """Decide one break; `hyphenated_prefixes` are the prefixes that the author hyphenates."""
        left, right = match.group("left"), match.group("right")
        if match.group("hyphen") == "\u00ad":
            return _HyphenDecision(False, "soft hyphen")
        if match.group("after") or not re.fullmatch(r"[^\W\d_]+", left):
            return self._decide_in_compound(left.lower(), right.lower(), book_words)
        low, follow = left.lower(), right.lower()
        joined, hyphened = book_words.words[low + follow], book_words.hyphenated[f"{low}-{follow}"]
        if left.isupper() and right.isupper() and (hyphened or len(right) <= 2):
            # `riscv` of `riscv64` is no evidence about `RISC-V`.
            return _HyphenDecision(True, "two acronyms")
        if hyphened == joined:
            joined = sum(book_words.words[low + form] for form in _inflections(follow))
            hyphened = sum(book_words.hyphenated[f"{low}-{form}"] for form in _inflections(follow))
        if hyphened != joined:
            return _HyphenDecision(hyphened > joined, "the book's own words")
        if right[0].isupper() and (not left.isupper() or len(left) == 1 and right[1:].islower()):
            return _HyphenDecision(True, "a capital follows")
        if self.config.use_word_table and is_english_word(low + follow):
            is_rare = english_words().get(low + follow, 0) <= self.config.rare
            keeps = is_rare and low in hyphenated_prefixes and is_english_word(follow)
            return _HyphenDecision(keeps, "the author's habit" if keeps else "table of words")
        if len(left) < self.config.min_letters_before:
            return _HyphenDecision(True, "one letter before it")
        if left.isupper() and right.isupper() and len(right) <= 3:
            return _HyphenDecision(True, "two acronyms")
        if len(left) > 1 and left.isupper() and right.islower():
            return _HyphenDecision(True, "an acronym before it")
        return self._decide_by_halves(low, follow, book_words)

    def _decide_in_compound(self, left: str, right: str, own: BookVocabulary) -> _HyphenDecision:
        """Decide a break next to another hyphen: `state-of-the-`, `line-break-` before `ing`."""
        last, words = re.split(r"[-‐]", left)[-1], own.words
        table = english_words() if self.config.use_word_table else {}
        if words[last + right] or last + right in table:
            is_word = words[last] or last in english_words()
            is_kept = bool(is_word and words[right] > words[last + right])
        else:
            is_whole = right in words or right in table
            is_kept = is_whole or self._decide_by_halves(last, right, own).is_kept
        return _HyphenDecision(is_kept, "in a compound")

    def _decide_by_halves(
        self, left: str, right: str, book_words: BookVocabulary
    ) -> _HyphenDecision:
        if left in HYPHENATED_PREFIXES and self.config.use_word_table:
            return _HyphenDecision(True, "a prefix that takes a hyphen")

        def is_word(half: str) -> bool:
            if len(half) < 2 or book_words.words[half] > 1 or not self.config.use_word_table:
                return len(half) > 1 and book_words.words[half] > 1
            is_common = english_words().get(half, 0) >= self.config.common
            return is_common or len(half) > 5 and is_english_word(half)

        if is_word(left) and is_word(right):
            return _HyphenDecision(True, "both halves are words")
        return _HyphenDecision(False, "a half is no word")


def _move_line_break(text: str, match: re.Match[str]) -> Iterator[TextEdit]:
    at = RE.blank.search(text, match.end())
    if at and at.group()[0] in " \t" and text[at.end() : at.end() + 1] not in "\n\f":
        gap = match.group("gap")
        indent = gap.rpartition("\n")[2] if gap.count("\n") == 1 and "\f" not in gap else ""
        yield TextEdit(at.start(), at.end(), "line break put behind its word", "\n" + indent)


def _guess_language(book_words: BookVocabulary) -> str:
    """Language with the most function words; English if there are none.

    >>> [_guess_language(count_vocabulary(text)) for text in ("Der Hund und die Katze", "Page")]
    ['de', 'en']
    """
    counts = {
        name: sum(book_words.words[word] for word in words.split())
        for name, words in FUNCTION_WORDS.items()
    }
    return max(counts, key=lambda name: counts[name])


def _decide_by_grammar(
    match: re.Match[str], book_words: BookVocabulary, language: str
) -> _HyphenDecision | None:
    left, right = match.group("left").lower(), match.group("right").lower()
    bare = re.split(r"['’]", left)[-1]
    joined, words = bare + right, book_words.words
    if match.group("hyphen") in "\u00ad¬" or words[joined] or words[left + right]:
        return None
    if right in SUSPENSION_WORDS and not match.group("after"):
        if language != "en" or not is_english_word(joined):
            return _HyphenDecision(True, "a suspended hyphen", " ")
    if language == "fr":
        is_liaison = right == "t" and bool(match.group("after")) or re.search(r"[-‐]t$", left)
        if is_liaison or right in INVERTED_PRONOUNS or RE.after_verb.fullmatch(f"{left}-{right}"):
            return _HyphenDecision(True, "a pronoun behind its verb")
        if bare == "ex":
            return _HyphenDecision(not RE.ex_word.match(right), "ex- of French")
    is_plain = bare == left and len(left) > 1 and not match.group("left").isupper()
    if language == "de" and is_plain and match.group("right")[0].islower():
        apart = book_words.hyphenated[f"{left}-{right}"]
        return _HyphenDecision(apart > 0, "a small letter follows in German")
    return None


def _inflections(word: str) -> set[str]:
    """The word with other endings: `create` and `creating` for `created`.

    >>> {"create", "creates", "creating"} <= _inflections("created")
    True
    """
    stems = {word.removesuffix(ending) for ending in ENDINGS} if len(word) > 3 else {word}
    stems = {stem for stem in stems if len(stem) > 3} or {word}
    return {word} | {stem + ending for stem in stems for ending in ENDINGS}


def _author_hyphenated_prefixes(book_words: BookVocabulary) -> frozenset[str]:
    """Prefixes that this author hyphenates, as in `re-create` and `re-encode`.

    At least two hyphenated words are required, and at least as many as joined words that are rare
    in the table: the spelling of `return` is no choice.
    """
    apart: Counter[str] = Counter()
    for word in book_words.hyphenated:
        first, _, rest = word.partition("-")
        apart[first] += first in OPTIONAL_PREFIXES and is_english_word(rest)
    joined: Counter[str] = Counter()
    for word in book_words.words:
        if word.startswith(OPTIONAL_PREFIXES) and english_words().get(word, 0) <= MAX_COINED_LOG2:
            for first in OPTIONAL_PREFIXES:
                rest = word.removeprefix(first)
                if len(word) > len(rest) > 3:
                    joined[first] += english_words().get(rest, 0) > MAX_COINED_LOG2
    return frozenset(prefix for prefix, n in apart.items() if n >= 2 and n >= joined[prefix])
