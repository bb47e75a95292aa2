"""Turns: who speaks when, in a valid order, with normalised roles; figures of a conversation.

A conversation's turns are its spans of kind `turn`; a span's value is the role or the speaker. The
order is checked (system first, speakers alternate, no empty and no duplicate turn), small faults
are fixed by removing turns, and what is not a conversation is dropped. The figures (length,
monologue, unanswered questions) go to the metadata; thresholds decide what is dropped.

Boilerplate: lines written by a server or a client are removed, each with its reason. Sentences in
which an assistant only states what it is are removed or counted, as configured. A conversation of
nothing but greetings is dropped. Server lines must match completely, so a sentence that mentions a
bot stays.
"""

import re
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import Config

from ..patterns import compile_patterns, read_patterns
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
        if reason := self._order_fault(remaining):
            return StepResult(reason)
        roles = [turn.role for turn in filled]
        facts = {"turns": len(filled), "speakers": len(set(roles))}
        edits = [edit for edit in edits if edit.start < edit.end]
        return StepResult(edits=tuple(edits), metadata=facts)

    def _order_fault(self, turns: list[ConversationTurn]) -> str:
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


def find_turns(record: Record) -> list[ConversationTurn]:
    """The turns of a record, in order.

    >>> from groundup.documents import TextSpan
    >>> spans = (TextSpan("turn", 0, 1, "GPT"), TextSpan("turn", 1, 2, "alice"))
    >>> [turn.role for turn in find_turns(Record("1", "s", "p", "text", "ab", spans=spans))]
    ['assistant', 'alice']
    """
    spans = [span for span in record.spans if span.kind == "turn"]
    return [
        ConversationTurn(start, end, speaker, ROLES.get(speaker.strip().lower(), speaker.strip()))
        for _, start, end, speaker in sorted(spans, key=lambda span: span.start)
    ]


def turn_text(text: str, turn: ConversationTurn) -> str:
    """A turn's text without the speaker's name in front.

    >>> turn = ConversationTurn(0, 99, "ann", "")
    >>> [turn_text(text, turn) for text in ("<ann> hello", "ann: hello", "annual report")]
    ['hello', 'hello', 'annual report']
    """
    stripped, speaker = text[turn.start : turn.end].strip(), turn.speaker
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


LINE = re.compile(r"[^\n]*\n|[^\n]+$")
RE = compile_patterns(Path(__file__).with_name("boilerplate.toml"))


class BoilerplateConfig(Config):
    """What counts as boilerplate in a conversation."""

    bots: tuple[str, ...] = (
        "meetingology", "meetbot", "MeetBot", "ubottu", "ubot5", "supybot", "zodbot", "Slackbot",
        "slackbot", "USLACKBOT", "GitHubBot", "dependabot[bot]", "github-actions[bot]", "KGB",
        "ChanServ", "NickServ", "AutoModerator", "stale[bot]", "codecov[bot]", "MEE6", "Dyno",
    )  # fmt: skip
    """Speakers whose turns are removed. Source: names that these services document for their bots.
    """
    disclaimers: Literal["cut", "count", "drop"] = "count"
    """Sentences such as "As an AI language model …": `cut` removes them from the assistant's turns,
    `count` only counts them in the metadata, `drop` drops the conversation. Source: the ShareGPT
    cleaning of Vicuna (LMSYS, 2023) drops them; counting is the default because dropping also
    removes refusals."""
    drop_greetings: bool = True
    """Drop a conversation in which every turn is a greeting or thanks."""
    min_repeats: int = 3
    """Number of times from which a repeated line of at least 40 characters is a form, of which only
    the first copy stays. Source: own choice; auto-signatures and bot answers."""


class Boilerplate:
    """Step `conversations.boilerplate`: remove what servers, bots and forms wrote."""

    def __init__(self, config: BoilerplateConfig) -> None:
        self.config = config
        self.bots = frozenset(name.lower() for name in config.bots)

    def __call__(self, record: Record) -> StepResult:
        turns = find_turns(record)
        contents = [turn_text(record.text, turn) for turn in turns]
        spoken = [text for text in contents if text]
        if self.config.drop_greetings and spoken and all(map(_is_greeting, spoken)):
            return StepResult("boilerplate: only greetings", float(len(spoken)))
        bots = [turn for turn in turns if turn.speaker.lower() in self.bots]
        edits = [TextEdit(turn.start, turn.end, "bot") for turn in bots]
        if record.metadata.get("format") == "irc":  # the IRC reader calls the server `system`
            servers = [turn for turn in turns if turn.speaker == "system"]
            edits += [TextEdit(turn.start, turn.end, "server message") for turn in servers]
        edits += self.line_edits(record.text)
        answers = [turn for turn in turns if turn.role == "assistant"]
        found = [edit for turn in answers for edit in _find_disclaimers(record.text, turn)]
        disclaimers = len(found)
        edits += found if self.config.disclaimers == "cut" else []
        if disclaimers and self.config.disclaimers == "drop":
            return StepResult("boilerplate: assistant speaks of itself", float(disclaimers))
        edits = _without_overlaps(edits)
        removed = sum(edit.end - edit.start for edit in edits)
        if record.text and len(record.text.strip()) <= removed:
            return StepResult("boilerplate: nothing else", details=f"{len(edits)} pieces")
        metadata = {"disclaimers": disclaimers} if turns else {}
        return StepResult(edits=tuple(edits), metadata=metadata)

    def line_edits(self, text: str) -> list[TextEdit]:
        """Edits for server lines and for repeated lines."""
        edits, counts = [], Counter[str]()
        for line in LINE.finditer(text):
            content = line[0].rstrip("\r\n")
            if len(content) > 500:
                continue
            if RE.server_line.fullmatch(content):
                edits.append(TextEdit(*line.span(), "server message"))
            elif len(content) >= 40:
                counts[content] += 1
                if counts[content] >= 2:
                    edits.append(TextEdit(*line.span(), "said again"))
        forms = {content for content, count in counts.items() if count >= self.config.min_repeats}
        return [
            edit for edit in edits
            if edit.reason != "said again" or text[edit.start : edit.end].rstrip("\r\n") in forms
        ]  # fmt: skip


def find_disclaimers(text: str) -> list[tuple[int, int]]:
    """Where an assistant speaks of itself as a model, outside quotations.

    >>> find_disclaimers("As an AI language model, I cannot. 4."), find_disclaimers("It is 4.")
    ([(0, 34)], [])
    """
    cited = [match.span() for match in RE.quotation.finditer(text)]
    found = []
    for match in RE.disclaimer.finditer(text):
        before = bisect_right(cited, match.start(), key=lambda cited_span: cited_span[0])
        if not before or cited[before - 1][1] <= match.start():
            found.append(match.span())
    return found


def _find_disclaimers(text: str, turn: ConversationTurn) -> list[TextEdit]:
    words = turn_text(text, turn)
    start = text.find(words, turn.start)
    return [TextEdit(start + begin, start + end, "assistant speaks of itself")
            for begin, end in find_disclaimers(words)]  # fmt: skip


def _is_greeting(text: str) -> bool:
    """Whether a turn only greets or thanks."""
    return len(text) <= 80 and RE.greeting.fullmatch(text) is not None


def _without_overlaps(edits: list[TextEdit]) -> list[TextEdit]:
    kept: list[TextEdit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if edit.start < edit.end and (not kept or edit.start >= kept[-1].end):
            kept.append(edit)
    return kept
