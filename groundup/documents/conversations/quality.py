"""How suitable a conversation is as training data: length, monologues, unanswered questions.

The figures are stored in the metadata; thresholds in the configuration decide what is dropped.
"""

import re
from collections import Counter

from groundup.core import Config

from ..record import PASS, Record, StepResult
from .turns import ConversationTurn, find_turns, turn_text

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af\uac00-\ud7a3"
)
"""Thai, Lao, Burmese, Khmer, kana and Han are written without spaces; Korean joins particles."""
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")
"""A run of letters and digits; a single character in scripts without spaces."""
QUESTION = re.compile(r"[?？؟][\s\"')\]*_]{0,10}$")


class ConversationQualityConfig(Config):
    """Thresholds. Source of all: own choice, to be set from the histograms of the report."""

    min_words: int = 5
    """Minimum number of words of the conversation; a short question and its answer stay. Source:
    own judgement."""
    max_monologue: float = 1.0
    """Maximum share of the words by one speaker. 1 drops nothing. Source: own judgement."""
    max_unanswered: float = 1.0
    """Maximum share of questions after which nobody else speaks. 1 drops nothing. Source: own
    judgement."""


class ConversationQuality:
    """Step `conversations.quality`: figures of a conversation and thresholds on them."""

    def __init__(self, config: ConversationQualityConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Measure one conversation; a record without turns passes."""
        turns = find_turns(record)
        if not turns:
            return PASS
        texts = [turn_text(record.text, turn) for turn in turns]
        words = [WORD.findall(text.lower()) for text in texts]
        total = sum(map(len, words))
        spoken: Counter[str] = Counter()
        for turn, turn_words in zip(turns, words, strict=True):
            spoken[turn.role] += len(turn_words)
        facts = {
            "words": total,
            "words_a_turn": round(total / len(turns), 2),
            "monologue": round(max(spoken.values()) / max(1, total), 4),
            "unanswered": round(_unanswered_share(turns, texts), 4),
        }
        for reason, key, bound in (
            ("monologue", "monologue", self.config.max_monologue),
            ("unanswered questions", "unanswered", self.config.max_unanswered),
        ):
            if facts[key] > bound:
                return StepResult(f"conversation: {reason}", facts[key], f"at most {bound}")
        if total < self.config.min_words:
            return StepResult(
                "conversation: too short", float(total), f"at least {self.config.min_words}"
            )
        return StepResult(metadata=facts)


def _unanswered_share(turns: list[ConversationTurn], texts: list[str]) -> float:
    """Share of questions after which no other speaker speaks; a tool's turn counts as an answer."""
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
