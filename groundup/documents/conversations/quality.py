"""How good a conversation is to learn from: length, echoes, questions without an answer, languages.

Figures go to the metadata; what is cut is up to the configuration. Languages are named by a
function that the pipeline gives (`module:function`, text to code), for this room identifies none.
"""

import importlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from groundup.core import Config, ConfigError

from ..record import PASS, Record, Ruling
from .speakers import UNSPACED
from .turns import Turn, content, turns_of

WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")
"""A run of letters and digits; a character where words are not parted by spaces."""
QUESTION = re.compile(r"[?？؟][\s\"')\]*_]{0,10}$")
ECHO_WORDS = 5


class QualityConfig(Config):
    """Bounds; source of all: own choice, to be set by looking at the histograms of the report."""

    min_words: int = 5
    """Words of the whole conversation: a short question and its answer stay. Source: own
    judgement."""
    max_echo: float = 0.5
    """Largest share of replies that say what they reply to: of the words of a turn of five or more,
    nine in ten stand in the turn before. Source: own judgement."""
    max_monologue: float = 1.0
    """Largest share of the words that one speaker has. 1 cuts nothing. Source: own judgement."""
    max_unanswered: float = 1.0
    """Largest share of questions that nobody else follows. 1 cuts nothing. Source: own
    judgement."""


class Quality:
    """Step `conversations.quality`: figures of a conversation and cuts by them."""

    def __init__(self, config: QualityConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Measure one conversation; a record without turns passes."""
        turns = turns_of(record)
        if not turns:
            return PASS
        texts = [content(record.text, turn) for turn in turns]
        words = [WORD.findall(text.lower()) for text in texts]
        total = sum(map(len, words))
        spoken: Counter[str] = Counter()
        for turn, said in zip(turns, words, strict=True):
            spoken[turn.role] += len(said)
        facts = {
            "words": total,
            "words_a_turn": round(total / len(turns), 2),
            "echo": round(echoes(turns, words), 4),
            "monologue": round(max(spoken.values()) / max(1, total), 4),
            "unanswered": round(unanswered(turns, texts), 4),
        }
        for reason, key, bound in (
            ("echo", "echo", self.config.max_echo),
            ("monologue", "monologue", self.config.max_monologue),
            ("unanswered questions", "unanswered", self.config.max_unanswered),
        ):
            if facts[key] > bound:
                return Ruling(f"conversation: {reason}", facts[key], f"at most {bound}")
        if total < self.config.min_words:
            return Ruling(
                "conversation: too short", float(total), f"at least {self.config.min_words}"
            )
        return Ruling(metadata=facts)


def echoes(turns: list[Turn], words: list[list[str]]) -> float:
    """Share of replies whose words stand in what they reply to."""
    replies = same = 0
    for at in range(1, len(turns)):
        if turns[at].role == turns[at - 1].role or len(words[at]) < ECHO_WORDS:
            continue
        replies += 1
        before, said = Counter(words[at - 1]), Counter(words[at])
        same += (said & before).total() >= 0.9 * said.total()
    return same / replies if replies else 0.0


def unanswered(turns: list[Turn], texts: list[str]) -> float:
    """Share of questions after which no other speaker speaks; a tool's turn is an answer."""
    last: dict[str, int] = {turn.role: at for at, turn in enumerate(turns)}
    questions = [at for at, text in enumerate(texts) if QUESTION.search(text[-40:])]
    ends = sorted(last.values())
    open_ = 0
    for at in questions:
        others = (
            ends[-1]
            if turns[ends[-1]].role != turns[at].role
            else ends[-2]
            if len(ends) > 1
            else -1
        )
        open_ += others <= at
    return open_ / len(questions) if questions else 0.0


class LanguagesConfig(Config):
    """How the languages of turns are named."""

    identify: str
    """`module:function` that gives a language's code, or None, for a text."""
    min_characters: int = 40
    """Shorter turns are not asked about. Source: identifiers are unsure below; see docs."""
    max_languages: int = 0
    """Drop a conversation in more languages than this; 0 drops none. Source: own judgement."""


class Languages:
    """Step `conversations.languages`: the language of each turn, as metadata."""

    def __init__(self, config: LanguagesConfig) -> None:
        self.config = config
        self.identify = function(config.identify)

    def __call__(self, record: Record) -> Ruling:
        """Name the languages of one conversation; a record without turns passes."""
        turns = turns_of(record)
        if not turns:
            return PASS
        found: list[str] = []
        for turn in turns:
            text = content(record.text, turn)
            found.append(
                (self.identify(text) or "") if len(text) >= self.config.min_characters else ""
            )
        counts = Counter(code for code in found if code)
        if 0 < self.config.max_languages < len(counts):
            names = ", ".join(sorted(counts))
            return Ruling("conversation: too many languages", float(len(counts)), names)
        return Ruling(metadata={"turn_languages": found, "languages": dict(sorted(counts.items()))})


def function(name: str) -> Callable[[str], Any]:
    """The function that `module:function` names."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"identify={name!r} names no function ({error}); give module:function."
        ) from None
    if not callable(found):
        raise ConfigError(f"identify={name!r} is no function; give module:function.")
    return found
