"""Rule filters for web pages: Gopher's two, C4's and FineWeb's.

They decide as datatrove's filters do, with whose thresholds published corpora were made: the same
words (words.py), the same order of tests, the same reasons. They are fast because distinct words
are counted once, and because hashes of character spans rule out most n-gram counts cheaply. Made
for English prose: records known to be in another language pass, with a note in their metadata.
Tables and code are dropped more often than they should be.
Sources: Rae et al. 2021, arXiv:2112.11446, table A1; Raffel et al. 2020, JMLR 21; Penedo et al.
2024, arXiv:2406.17557. datatrove 0.10.1 (Apache-2.0) where the papers leave a choice.
"""

import re
from collections import Counter

from pydantic import field_validator

from groundup.core import Config
from groundup.documents import PASS, Record, StepResult, TextEdit

from .words import (
    WordSpans,
    count_repeated,
    count_sentences,
    duplicate_ngram_characters,
    english_rules,
    has_letter,
    is_symbol,
    split_words,
    top_ngram_characters,
)

PARAGRAPHS = re.compile(r"\n{2,}")
LINES = re.compile(r"\n+")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
POLICY_PHRASES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies",
)  # fmt: skip
TERMINAL_PUNCTUATION = (".", "?", "!", '"', "'")
LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|\\Z")


class GopherRepetitionConfig(Config):
    """Largest shares of repeated lines, paragraphs and n-grams: Gopher, table A1."""

    duplicate_lines: float = 0.30
    """Share of lines that occurred before. Source: Gopher, table A1."""
    duplicate_paragraphs: float = 0.30
    """Share of paragraphs that occurred before. Source: Gopher, table A1."""
    duplicate_line_characters: float = 0.20
    """Share of characters in such lines. Source: Gopher, table A1."""
    duplicate_paragraph_characters: float = 0.20
    """Share of characters in such paragraphs. Source: Gopher, table A1."""
    top_ngrams: tuple[tuple[int, float], ...] = ((2, 0.20), (3, 0.18), (4, 0.16))
    """Words n, and largest share of characters in the most frequent n-gram. Source: as above."""
    duplicate_ngrams: tuple[tuple[int, float], ...] = (
        (5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10),
    )  # fmt: skip
    """Words n, and largest share of characters in repeated n-grams. Source: as above."""


class GopherRepetition:
    """The step `quality.gopher_repetition`: drop texts that repeat themselves."""

    def __init__(self, config: GopherRepetitionConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text, config = record.text, self.config
        if not text:
            return StepResult("gopher_repetition: empty", 0.0)
        paragraphs = PARAGRAPHS.split(text.strip())
        repeated = count_repeated(paragraphs)
        most, most_characters = config.duplicate_lines, config.duplicate_line_characters
        lines = LINES.split(text)
        repeated_lines = count_repeated(lines)
        shares = (
            ("dup_para_frac", repeated.count / len(paragraphs), config.duplicate_paragraphs),
            ("dup_para_char_frac", repeated.characters / len(text),
             config.duplicate_paragraph_characters),
            ("dup_line_frac", repeated_lines.count / len(lines), most),
            ("dup_line_char_frac", repeated_lines.characters / len(text), most_characters),
        )  # fmt: skip
        for name, share, limit in shares:
            if share > limit:
                return StepResult(f"gopher_repetition: {name}", share, f"at most {limit}")
        return self._check_ngrams(text)

    def _check_ngrams(self, text: str) -> StepResult:
        spans = WordSpans(split_words(text))
        for n, most in self.config.top_ngrams:
            share = top_ngram_characters(spans, n, most * len(text)) / len(text)
            if share > most:
                return StepResult(f"gopher_repetition: top_{n}_gram", share, f"at most {most}")
        for n, most in self.config.duplicate_ngrams:
            share = duplicate_ngram_characters(spans, n, most * len(text)) / len(text)
            if share > most:
                return StepResult(
                    f"gopher_repetition: duplicated_{n}_n_grams", share, f"at most {most}"
                )
        return PASS


class LanguageScopedConfig(Config):
    """The languages that a rule applies to."""

    languages: tuple[str, ...] | None = ("en",)
    """Records in another language, by `language.identify`, pass with the rule's name under
    `rules_not_asked` in their metadata; records without a known language are tested. "all": every
    record is tested. Source: both papers filter English, C4 after langdetect."""

    @field_validator("languages", mode="before")
    @classmethod
    def parse_all(cls, value: object) -> object:
        """Read "all" as None, which TOML cannot express."""
        return None if value == "all" else value

    def _skip_other_language(self, record: Record, rule: str) -> StepResult | None:
        metadata = record.metadata
        # A language without a score is what the page declares, which is often wrong.
        language = metadata.get("language") if "language_score" in metadata else None
        if self.languages is None or language in (None, "", "und", *self.languages):
            return None
        before = metadata.get("rules_not_asked", ())
        return StepResult(metadata={"rules_not_asked": [*before, rule]})


class GopherConfig(LanguageScopedConfig):
    """Limits of text that is made of words: Gopher, appendix A.1.1."""

    min_words: int = 50
    """Words that are not signs alone. Source: Gopher, A.1.1."""
    max_words: int = 100_000
    """Words that are not signs alone. Source: Gopher, A.1.1."""
    min_mean_word_length: float = 3.0
    """Mean characters of a word. Source: Gopher, A.1.1."""
    max_mean_word_length: float = 10.0
    """Mean characters of a word. Source: Gopher, A.1.1."""
    max_symbol_ratio: float = 0.1
    """Ratio of `#`, and of `…`, to words. Source: Gopher, A.1.1."""
    max_bullet_lines_ratio: float = 0.9
    """Share of lines that begin with a bullet. Source: Gopher, A.1.1."""
    max_ellipsis_lines_ratio: float = 0.3
    """Share of lines that end with an ellipsis. Source: Gopher, A.1.1."""
    min_alphabetic_ratio: float = 0.8
    """Share of words with a letter. Source: Gopher, A.1.1."""
    min_stop_words: int = 2
    """Distinct stop words in the text. Source: Gopher, A.1.1."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """English; replace them for another language. Source: Gopher, A.1.1."""


class Gopher:
    """The step `quality.gopher`: drop text that is not made of words and sentences."""

    def __init__(self, config: GopherConfig) -> None:
        self.config = config
        self.stop_words = frozenset(config.stop_words)

    def __call__(self, record: Record) -> StepResult:
        text, config = record.text, self.config
        if (passed := config._skip_other_language(record, "gopher")) is not None:
            return passed
        words = split_words(text)
        distinct = Counter(words)
        solid = [(word, times) for word, times in distinct.items() if not is_symbol(word)]
        count = sum(times for _, times in solid)
        if count < max(config.min_words, 1):
            return StepResult("gopher: short_doc", count, f"at least {config.min_words} words")
        if count > config.max_words:
            return StepResult("gopher: long_doc", count, f"at most {config.max_words} words")
        mean = sum(len(word) * times for word, times in solid) / count
        lines = [line.strip() for line in text.splitlines()]
        letters = sum(n for word, n in distinct.items() if has_letter(word)) / len(words)
        stops = len(self.stop_words & distinct.keys())
        hashes = text.count("#") / len(words)
        ellipses = (text.count("...") + text.count("…")) / len(words)
        bullets = sum(line.startswith(("•", "-")) for line in lines) / len(lines)
        ends = sum(line.endswith(("...", "…")) for line in lines) / len(lines)
        tests = (
            ("below_avg_threshold", mean, mean < config.min_mean_word_length),
            ("above_avg_threshold", mean, mean > config.max_mean_word_length),
            ("too_many_hashes", hashes, hashes > config.max_symbol_ratio),
            ("too_many_ellipsis", ellipses, ellipses > config.max_symbol_ratio),
            ("too_many_bullets", bullets, bullets > config.max_bullet_lines_ratio),
            ("too_many_end_ellipsis", ends, ends > config.max_ellipsis_lines_ratio),
            ("below_alpha_threshold", letters, letters < config.min_alphabetic_ratio),
            ("enough_stop_words", stops, stops < config.min_stop_words),
        )
        for name, value, fails in tests:
            if fails:
                return StepResult(f"gopher: {name}", value)
        return PASS


class C4Config(LanguageScopedConfig):
    """Which lines are kept, and what a page must not contain: C4, section 2.2."""

    terminal_punctuation: bool = True
    """Keep only lines that end a sentence. Source: C4; FineWeb turns it off."""
    min_sentences: int = 5
    """Sentences that remain in a page; -1 for any number. Source: C4."""
    min_words_per_line: int = 3
    """Words of a line that is kept; -1 for any number. Source: C4."""
    max_word_length: int = 1_000
    """Characters of a word; -1 for any number. Source: C4's code."""
    citations: bool = True
    """Cut [1], [edit] and [citation needed]. Source: C4's code."""
    lorem_ipsum: bool = True
    """Drop pages with this filler text. Source: C4."""
    javascript: bool = True
    """Cut lines that mention JavaScript. Source: C4."""
    curly_bracket: bool = True
    """Drop pages with `{`. Source: C4; turn it off for pages about programs."""
    policy: bool = True
    """Cut lines about cookies, terms and privacy. Source: C4's code."""


class C4:
    """The step `quality.c4`: cut lines that are not sentences, drop pages that are not prose."""

    def __init__(self, config: C4Config) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        config, edits, sentences = self.config, [], 0
        if (passed := config._skip_other_language(record, "c4")) is not None:
            return passed
        start = 0
        text = record.text
        for mark in LINE_BREAK.finditer(text):
            if start == len(text):
                break
            line = text[start : mark.start()]
            reason, drops, kept = self._check_line(line)
            if drops:
                return StepResult(f"c4: {reason}", details=line.strip()[:200])
            if reason:
                edits.append(TextEdit(start, mark.end(), f"c4: {reason}"))
            else:
                if sentences < config.min_sentences:
                    sentences += count_sentences(kept)
                edits += _trim_edits(line, start, config.citations)
                if mark[0] not in ("\n", ""):
                    edits.append(TextEdit(*mark.span(), "c4: line break", replacement="\n"))
            start = mark.end()
        if sentences < config.min_sentences:
            return StepResult(
                "c4: too_few_sentences", sentences, f"at least {config.min_sentences}"
            )
        return StepResult(edits=tuple(edits)) if edits else PASS

    def _check_line(self, line: str) -> tuple[str, bool, str]:
        """Why a line is cut, whether its page is dropped with it, and the line as it is kept."""
        config = self.config
        line = line.strip()
        words = line.split()
        if config.max_word_length != -1 and len(line) > config.max_word_length:
            if any(len(word) > config.max_word_length for word in words):
                return "too_long_word", False, ""
        if config.citations and "[" in line:
            line = CITATION.sub("", line)
        if config.terminal_punctuation and (
            not line.endswith(TERMINAL_PUNCTUATION) or line.endswith("...")
        ):
            return "no_terminal_punc", False, ""
        if len(words) < config.min_words_per_line:
            return "too_few_words", False, ""
        lower = line.lower()
        if config.lorem_ipsum and "lorem ipsum" in lower:
            return "lorem_ipsum", True, ""
        if config.javascript and "javascript" in lower:
            return "javascript", False, ""
        if config.curly_bracket and "{" in line:
            return "curly_bracket", True, ""
        if config.policy and any(phrase in lower for phrase in POLICY_PHRASES):
            return "policy", False, ""
        return "", False, line


def _trim_edits(line: str, start: int, has_citations: bool) -> list[TextEdit]:
    stripped = line.strip()
    if len(stripped) == len(line) and "[" not in line:
        return []
    first = start + len(line) - len(line.lstrip())
    last = first + len(stripped)
    edits = [TextEdit(start, first, "c4: white space")] if first > start else []
    if has_citations:
        edits += [
            TextEdit(first + mark.start(), first + mark.end(), "c4: citation")
            for mark in CITATION.finditer(stripped)
        ]
    if last < start + len(line):
        edits.append(TextEdit(last, start + len(line), "c4: white space"))
    return edits


class FineWebConfig(Config):
    """Lists, fragments and repetition: FineWeb, section 3.6 and datatrove's defaults."""

    punctuated_lines: float = 0.12
    """Smallest share of lines that end in punctuation. Source: FineWeb, 3.6."""
    pass_without_punctuation: bool = False
    """Accept pages in which no line does. Source: datatrove, for scripts without punctuation."""
    short_lines: float = 0.67
    """Largest share of short lines. Source: FineWeb, 3.6."""
    short_line_characters: int = 30
    """Maximum characters of a short line. Source: FineWeb, 3.6."""
    duplicate_line_characters: float = 0.01
    """Largest share of characters in repeated lines. Source: datatrove; the paper has .1."""
    line_breaks: float = 0.3
    """Largest ratio of line breaks to words. Source: datatrove."""


class FineWeb:
    """The step `quality.fineweb`: drop lists and fragments."""

    def __init__(self, config: FineWebConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text, config = record.text, self.config
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines:
            return StepResult("fineweb: empty", 0.0)
        ends = sum(line.endswith(english_rules().terminal) for line in lines) / len(lines)
        if ends < config.punctuated_lines and not (ends == 0 and config.pass_without_punctuation):
            return StepResult(
                "fineweb: line_punct_ratio", ends, f"at least {config.punctuated_lines}"
            )
        short = sum(len(line) <= config.short_line_characters for line in lines) / len(lines)
        if short > config.short_lines:
            return StepResult("fineweb: short_line_ratio", short, f"at most {config.short_lines}")
        breaks = text.count("\n")
        repeated = count_repeated(lines).characters / (len(text) - breaks)
        if repeated > config.duplicate_line_characters:
            most = config.duplicate_line_characters
            return StepResult("fineweb: char_dup_ratio", repeated, f"at most {most}")
        ratio = breaks / len(split_words(text))
        if ratio > config.line_breaks:
            return StepResult("fineweb: list_ratio", ratio, f"at most {config.line_breaks}")
        return PASS
