"""Turns: who speaks when, in a valid order, with normalised roles; figures of a conversation.

A conversation's turns are its spans of kind `turn`; a span's value is the role or the speaker. The
order is checked (system first, speakers alternate, no empty and no duplicate turn), small faults
are fixed by removing turns, and what is not a conversation is dropped. The figures (length,
monologue, unanswered questions) go to the metadata; thresholds decide what is dropped.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..patterns import read_patterns
from ..record import PASS, Record, StepResult, TextEdit

ROLES = {
    name: role
    for role, names in read_patterns(Path(__file__).with_name("turns.toml")).items()
    for name in names
}
"""Names of roles in published logs, and the role of each."""


class ConversationTurn(NamedTuple):
    """One turn of a conversation."""

    start: int
    end: int
    speaker: str
    """As in the log."""
    role: str
    """user, assistant, system or tool; any other speaker keeps the name."""


class TurnOrderConfig(Config):
    """Requirements on a conversation."""

    min_turns: int = 2
    """Minimum number of turns with text. Source: definition."""
    alternation: bool = False
    """Drop a log of user and assistant in which one speaks twice in a row (tool turns ignored). Off
    by default: chats among people do it all the time; in instruction data it indicates a broken
    log."""
    starts_with_user: bool = False
    """Drop a log whose first turn after the system's is the assistant's. Source: ShareGPT logs that
    were cut in the middle begin so."""


class TurnOrder:
    """Step `conversations.turns`: check the order of turns, remove empty and duplicate ones."""

    def __init__(self, config: TurnOrderConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Process one conversation; a record without turns passes."""
        turns = find_turns(record)
        if not turns:
            return PASS
        filled = [turn for turn in turns if turn_text(record.text, turn)]
        if len(filled) < self.config.min_turns:
            least = f"at least {self.config.min_turns}"
            return StepResult("turns: too few", float(len(filled)), least)
        edits, remaining, before = [], [], ("", "")
        for turn in turns:
            key = (turn.role, " ".join(turn_text(record.text, turn).split()))
            if not key[1]:
                edits.append(TextEdit(turn.start, turn.end, "empty turn"))
                continue
            if key == before:
                edits.append(TextEdit(turn.start, turn.end, "turn said twice"))
            else:
                remaining.append(turn)
            before = key
        # A duplicate turn has been removed: it is no fault of order.
        if reason := self.order_fault(remaining):
            return StepResult(reason)
        roles = [turn.role for turn in filled]
        facts = {"turns": len(filled), "speakers": len(set(roles))}
        edits = [edit for edit in edits if edit.start < edit.end]
        return StepResult(edits=tuple(edits), metadata=facts)

    def order_fault(self, turns: list[ConversationTurn]) -> str:
        """What is wrong with the order; empty if nothing is."""
        roles = [turn.role for turn in turns]
        first = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
        if first == len(roles):
            return "turns: only system"
        if "system" in roles[first:] and set(roles) <= {"system", "user", "assistant", "tool"}:
            return "turns: system after the start"
        if self.config.starts_with_user and roles[first] == "assistant":
            return "turns: assistant first"
        spoken = [role for role in roles if role in ("user", "assistant")]
        if self.config.alternation and "tool" not in roles:
            if any(a == b for a, b in zip(spoken, spoken[1:], strict=False)):
                return "turns: no alternation"
        return ""


def _normalize_role(value: str) -> str:
    """The role for a speaker label of a log.

    >>> _normalize_role("GPT"), _normalize_role("Human"), _normalize_role("alice")
    ('assistant', 'user', 'alice')
    """
    return ROLES.get(value.strip().lower(), value.strip())


def find_turns(record: Record) -> list[ConversationTurn]:
    """The turns of a record, in order."""
    spans = [span for span in record.spans if span.kind == "turn"]
    return [
        ConversationTurn(span.start, span.end, span.value, _normalize_role(span.value))
        for span in sorted(spans, key=lambda span: span.start)
    ]


def turn_text(text: str, turn: ConversationTurn) -> str:
    """A turn's text without the speaker's name in front."""
    return _without_speaker(text[turn.start : turn.end], turn.speaker)


def _without_speaker(text: str, speaker: str) -> str:
    """A turn's text without the speaker's name in front.

    >>> [_without_speaker(text, "ann") for text in ("<ann> hello", "ann: hello", "annual report")]
    ['hello', 'hello', 'annual report']
    """
    stripped = text.strip()
    for before, after in (("<", ">"), ("", ":"), ("[", "]"), ("**", ":**")):
        name = f"{before}{speaker}{after}"
        if speaker and stripped[: len(name)].lower() == name.lower():
            return stripped[len(name) :].strip()
    return stripped


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
            least = f"at least {self.config.min_words}"
            return StepResult("conversation: too short", float(total), least)
        return StepResult(metadata=facts)


def _unanswered_share(turns: list[ConversationTurn], texts: list[str]) -> float:
    """Share of questions after which no other speaker speaks; a tool's turn counts as an answer."""
    last: dict[str, int] = {turn.role: at for at, turn in enumerate(turns)}
    questions = [at for at, text in enumerate(texts) if QUESTION.search(text[-40:])]
    *_, second, final = -1, *sorted(last.values())
    unanswered = 0
    for at in questions:
        unanswered += (second if turns[final].role == turns[at].role else final) <= at
    return unanswered / len(questions) if questions else 0.0
