"""Boilerplate of conversations: server lines, bots, disclaimers, forms, mere greetings.

Lines written by a server or a client are removed, each with its reason. Sentences in which an
assistant only states what it is are removed or counted, as configured. A conversation of nothing
but greetings is dropped. Server lines must match completely, so a sentence that mentions a bot
stays.
"""

import re
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Literal

from groundup.core import Config

from ..record import Record, StepResult, TextEdit
from ..steps import read_patterns
from .turns import ConversationTurn, find_turns, turn_text

LINE = re.compile(r"[^\n]*\n|[^\n]+$")
_PATTERNS = read_patterns(Path(__file__).with_name("boilerplate.toml"))
CLOCK, STARS = (_PATTERNS["fragments"][name] for name in ("CLOCK", "STARS"))
_SERVER_LINES = "|".join(_PATTERNS["server_lines"])
_LEAD_INS = "|".join(_PATTERNS["lead_ins"])
_SELF_STATEMENTS = "|".join(_PATTERNS["self_statements"])
_GREETINGS = "|".join(_PATTERNS["greetings"])
TIME = rf"{CLOCK}?"
CLIENT_MARKED = rf"{CLOCK}(?:\*{{3}}|-!-|-->|<--|==) \S.{{0,400}}"
"""Lines that a client marks, after a timestamp, as not written by a participant."""
SERVER_LINE = re.compile(rf"(?:{TIME}(?:{_SERVER_LINES})|{CLIENT_MARKED})[ \t\r]*", re.IGNORECASE)
COME_OR_GO = re.compile(
    rf"(?P<clock>{CLOCK})?{STARS}(?P<who>\S{{1,40}}) (?:has )?(?:quit|joined|left|parted)[ \t\r]*"
)
"""A server line that names no channel; requires a timestamp or a known nick."""
NOT_NICKS = frozenset(_PATTERNS["not_nicks"])
DISCLAIMER = re.compile(
    rf"(?:\A|(?<=[.!?]\s)|(?<=[。！？\n]))[ \t]{{0,8}}(?:(?:{_LEAD_INS})[,，、:;]?"
    rf"(?: (?:but|aber|mais|pero|ma|mas))?[,，、]? ?){{0,2}}(?:{_SELF_STATEMENTS})"
    r"[^.!?。！？\n]{0,300}[.!?。！？]?",
    re.IGNORECASE,
)
QUOTATION = re.compile(
    r"\"[^\"\n]{1,2000}\"|“[^”]{1,2000}”|„[^“”]{1,2000}[“”]|«[^»]{1,2000}»|「[^」]{1,2000}」|"
    r"```.{1,9000}?```",
    re.DOTALL,
)
GREETED = "(?: (?:there|all|everyone|guys|so much|very much|a lot|folks))?"
GREETING = re.compile(rf"(?:(?:{_GREETINGS}){GREETED}[\s,.!?:;)(-]{{0,8}}){{1,4}}", re.IGNORECASE)


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
        """Process one conversation."""
        turns = find_turns(record)
        contents = [turn_text(record.text, turn) for turn in turns]
        spoken = [text for text in contents if text]
        if self.config.drop_greetings and spoken and all(map(_is_greeting, spoken)):
            return StepResult("boilerplate: only greetings", float(len(spoken)))
        edits = [TextEdit(turn.start, turn.end, "bot") for turn in turns if self.is_bot(turn)]
        if record.metadata.get("format") == "irc":  # the IRC reader calls the server `system`
            servers = [turn for turn in turns if turn.speaker == "system"]
            edits += [TextEdit(turn.start, turn.end, "server message") for turn in servers]
        edits += self.line_edits(record.text, {turn.speaker for turn in turns})
        disclaimers = 0
        for turn in turns:
            if turn.role != "assistant":
                continue
            for edit in _find_disclaimers(record.text, turn):
                disclaimers += 1
                if self.config.disclaimers == "cut":
                    edits.append(edit)
        if disclaimers and self.config.disclaimers == "drop":
            return StepResult("boilerplate: assistant speaks of itself", float(disclaimers))
        edits = _without_overlaps(edits)
        removed = sum(edit.end - edit.start for edit in edits)
        if record.text and len(record.text.strip()) <= removed:
            return StepResult("boilerplate: nothing else", details=f"{len(edits)} pieces")
        return StepResult(
            edits=tuple(edits), metadata={"disclaimers": disclaimers} if turns else {}
        )

    def is_bot(self, turn: ConversationTurn) -> bool:
        """Whether a turn's speaker is one of the bots."""
        return turn.speaker.lower() in self.bots

    def line_edits(self, text: str, speakers: set[str]) -> list[TextEdit]:
        """Edits for server lines and for repeated lines."""
        edits, counts = [], Counter[str]()
        for line in LINE.finditer(text):
            content = line[0].rstrip("\r\n")
            if len(content) > 500:
                continue
            if SERVER_LINE.fullmatch(content) or _is_come_or_go(content, speakers):
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


def _is_come_or_go(line: str, speakers: set[str]) -> bool:
    """Whether a server line reports that somebody came or went, without naming a channel.

    >>> [_is_come_or_go(line, {"Bo"}) for line in ("alice has quit", "He has quit", "Bo left")]
    [True, False, False]
    """
    match = COME_OR_GO.fullmatch(line)
    if match is None or match["who"].lower() in NOT_NICKS:
        return False
    who = match["who"]
    is_said = " has " not in line and not match["clock"]  # people write `bo left`
    is_nick = bool(match["clock"]) or who in speakers or who.isalnum() and who == who.lower()
    return is_nick and not is_said and not who.endswith((":", ">", ","))


def _find_disclaimers(text: str, turn: ConversationTurn) -> list[TextEdit]:
    """Sentences in which an assistant states what it is, except inside quotations."""
    words = turn_text(text, turn)
    start = text.find(words, turn.start)
    cited = [match.span() for match in QUOTATION.finditer(words)]
    edits = []
    for match in DISCLAIMER.finditer(words):
        before = bisect_right(cited, match.start(), key=lambda cited_span: cited_span[0])
        if not before or cited[before - 1][1] <= match.start():
            bounds = (start + match.start(), start + match.end())
            edits.append(TextEdit(*bounds, "assistant speaks of itself"))
    return edits


def _is_greeting(text: str) -> bool:
    """Whether a turn only greets or thanks.

    >>> _is_greeting("Hi there!"), _is_greeting("Hi, my disk is full")
    (True, False)
    """
    return len(text) <= 80 and GREETING.fullmatch(text) is not None


def _without_overlaps(edits: list[TextEdit]) -> list[TextEdit]:
    """Edits in ascending order, without those that overlap the previous one."""
    kept: list[TextEdit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if edit.start < edit.end and (not kept or edit.start >= kept[-1].end):
            kept.append(edit)
    return kept
