"""The step `safety.toxicity`: how much of an English text insults, threatens or is sexual.

    lexicon   Σ weights of hits per 1,000 words, a hit counting double near "you" and a quarter near
              "the word" or "slur"; a text of fewer than 100 words counts as 100
    trained   the probability of a linear classifier, if one is given

A word list cannot read: it flags a report about an insult and misses a polite threat. So by default
nothing is dropped, and the category of every hit is recorded. The lexicon, toxicity.txt, is English
only: for other languages train a classifier on labelled texts (`groundup corpus classifier`) and
name it as `classifier` here or in `quality.classifier`.
"""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import regex
from pydantic import Field

from groundup.core import Config, DataError, InputPath
from groundup.documents import Record, StepResult

from ..quality.classifier import TextClassifier

ENDINGS = ("", "s", "es", "ed", "er", "ers", "ing", "y")
AIMED_FACTOR, MENTIONED_FACTOR = 2.0, 0.25
CONTEXT_CHARACTERS = 60
"""Characters of context on each side of a hit."""
MIN_WORDS = 100
"""Minimum number of words to divide by, so that one word does not dominate a short text."""

SECOND_PERSON = regex.compile(r"(?i)\b(?:you|your|you're|ur|u)\b")
MENTION = regex.compile(
    r"(?i)\b(?:the (?:word|term|phrase|expression)|the insult|slurs?|profanit\w+|swear ?words?"
    r"|offensive|derogatory|pejorative|vulgar|obscene|etymolog\w+|insult|hate speech|harassment"
    r"|content policy)\b"
)


class ToxicityConfig(Config):
    """How toxicity is scored, and what is dropped."""

    max_score: float | None = Field(default=None, ge=0)
    """Lexicon score above which a record is dropped; None: no limit.
    docs/reference/corpus/safety.md shows what 5, 10 and 20 drop."""
    classifier: InputPath | None = None
    """Folder of a classifier whose positive class is toxic text; None: lexicon alone."""
    max_probability: float | None = Field(default=None, ge=0, le=1)
    """Classifier probability above which a record is dropped; None: no limit."""
    lexicon: InputPath | None = None
    """A lexicon in the format of toxicity.txt; None: that one."""
    characters: int = Field(default=200_000, ge=1)
    """Characters that are scored, from the start. Own choice."""


class _ToxicityLexicon(NamedTuple):
    pattern: "regex.Pattern[str]"
    entries: dict[str, tuple[str, float]]  # Lower-case entry to category and weight


class ToxicityStep:
    """The step `safety.toxicity`: score a record and drop it by the limits."""

    def __init__(self, config: ToxicityConfig) -> None:
        self.config = config
        self.lexicon = _default_lexicon() if config.lexicon is None else _parse_lexicon(
            config.lexicon.read_text(encoding="utf-8"))  # fmt: skip
        self.classifier = TextClassifier.load(config.classifier) if config.classifier else None

    def __call__(self, record: Record) -> StepResult:
        config, text = self.config, record.text[: self.config.characters]
        score, hits = _score_toxicity(text, self.lexicon)
        summary = ", ".join(f"{number} {name}" for name, number in hits.items())
        metadata: dict[str, object] = {"toxicity": score}
        if hits:
            metadata["toxicity_hits"] = hits
        if config.max_score is not None and score > config.max_score:
            return StepResult("toxicity: lexicon", score, summary)
        if self.classifier is not None:
            probability = round(float(self.classifier.predict_texts([text])[0]), 4)
            metadata["toxicity_probability"] = probability
            if config.max_probability is not None and probability > config.max_probability:
                return StepResult("toxicity: classifier", probability, summary)
        return StepResult(metadata=metadata)


def toxic_words(text: str, lexicon: Path | None = None) -> list[str]:
    """The words of an English text that insult, threaten or are sexual.

    lexicon  in the format of toxicity.txt, such as one word a line; None: that one

    >>> toxic_words("You idiots, said the cockatoo.")
    ['idiots']
    """
    return (_read_lexicon(lexicon) if lexicon else _default_lexicon()).pattern.findall(text)


def _score_toxicity(text: str, lexicon: _ToxicityLexicon) -> tuple[float, dict[str, int]]:
    hits: Counter[str] = Counter()
    total = 0.0
    for match in lexicon.pattern.finditer(text):
        category, weight = lexicon.entries[" ".join(match.group().lower().split())]
        context = text[
            max(0, match.start() - CONTEXT_CHARACTERS) : match.end() + CONTEXT_CHARACTERS
        ]
        if MENTION.search(context):
            weight *= MENTIONED_FACTOR
        elif SECOND_PERSON.search(context):
            weight *= AIMED_FACTOR
        hits[category] += 1
        total += weight
    if not hits:
        return 0.0, {}
    words = max(len(text.split()), MIN_WORDS)
    return round(1000 * total / words, 3), dict(sorted(hits.items()))


def _default_lexicon() -> _ToxicityLexicon:
    return _read_lexicon(Path(__file__).with_name("toxicity.txt"))


@cache
def _read_lexicon(file: Path) -> _ToxicityLexicon:
    try:
        lexicon = _parse_lexicon(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The lexicon {file} cannot be read: {error}.") from None
    if not lexicon.entries:
        raise DataError(f"The lexicon {file} has no word.")
    return lexicon


def _parse_lexicon(written: str) -> _ToxicityLexicon:
    """Parse a lexicon in the format of toxicity.txt.

    >>> list(_parse_lexicon("[insult 1]\\nidiot*\\n").entries)[:3]
    ['idiot', 'idiots', 'idiotes']
    """
    entries: dict[str, tuple[str, float]] = {}
    category, weight = "", 1.0
    for line in written.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            category, _, number = line.strip("[]").partition(" ")
            weight = float(number or 1)
            continue
        stem = line.rstrip("*").lower()
        forms = ENDINGS if line.endswith("*") else ("",)
        entries |= {stem + ending: (category, weight) for ending in forms}
    # regex looks a named list up as a set, so thousands of entries cost as much as one.
    pattern = regex.compile(r"(?i)(?<!\w)\L<entries>(?!\w)", entries=list(entries))
    return _ToxicityLexicon(pattern, entries)
