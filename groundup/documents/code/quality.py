"""Basic measures of code corpora: length of lines, share of letters, number of lines."""

import re

from groundup.core import Config

from ..record import Record, StepResult
from .language import code_language_of

NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
DIGITS = re.compile(r"\d+")
# Languages with long lines of prose or data; the limits on lines do not apply (StarCoder2).
PROSE_LANGUAGES = frozenset(
    {"markdown", "html", "text", "latex", "restructuredtext", "notebook", "xml", "json"}
)


class CodeQualityConfig(Config):
    """Limits for a source file."""

    max_line: int = 1000
    """Characters of the longest line. Source: The Stack, StarCoder (arXiv:2305.06161)."""
    max_mean_line: float = 100.0
    """Characters of the mean line. Source: The Stack, StarCoder."""
    min_alphanumeric_share: float = 0.25
    """Minimum share of letters and digits. Source: The Stack, StarCoder."""
    min_alphabetic_share: float = 0.25
    """Minimum share of letters. Source: StarCoder2 (arXiv:2402.19173)."""
    max_lines: int = 100_000
    """Source: StarCoder2."""
    min_characters: int = 10
    """Shorter files are dropped. Source: own."""


class CodeQuality:
    """Step `code.quality`: drops files outside the limits, and records the measures."""

    def __init__(self, config: CodeQualityConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Process one record."""
        text, config = record.text, self.config
        if len(text.strip()) < config.min_characters:
            return StepResult("code: too short", len(text))
        lines = text.split("\n")
        lengths = list(map(len, lines))
        longest, mean = max(lengths), len(text) / len(lines)
        alphanumeric = len(NOT_ALPHANUMERIC.sub("", text))
        letters = alphanumeric - sum(map(len, DIGITS.findall(text)))
        limits = (
            ("code: too many lines", len(lines), len(lines) > config.max_lines),
            ("code: line too long", longest, longest > config.max_line),
            ("code: lines long on average", mean, mean > config.max_mean_line),
            ("code: few letters and digits", alphanumeric / len(text),
             alphanumeric < config.min_alphanumeric_share * len(text)),
            ("code: few letters", letters / len(text),
             letters < config.min_alphabetic_share * len(text)),
        )  # fmt: skip
        prose = code_language_of(record) in PROSE_LANGUAGES
        for reason, value, is_over in limits:
            if is_over and not (prose and "line" in reason):
                return StepResult(reason, float(value))
        share = round(alphanumeric / len(text), 4)
        measured = {"lines": len(lines), "mean_line": round(mean, 2), "max_line": longest}
        return StepResult(metadata=measured | {"alphanumeric_share": share})
