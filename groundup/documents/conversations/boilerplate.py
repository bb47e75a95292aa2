"""What nobody said: joins and leaves, bots, refusals by form, greetings and nothing else.

Lines that a server or a client writes into a log go, each with its reason; turns in which an
assistant only says what it is are cut or counted, as the configuration says; a conversation that is
only greetings is dropped. Lines are matched whole, so a sentence that mentions a bot stays.
"""

import re
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Literal

from groundup.core import Config

from ..patterns import read_patterns
from ..record import Edit, Record, Ruling
from .turns import Turn, content, turns_of

LINE = re.compile(r"[^\n]*\n|[^\n]+$")
_PATTERNS = read_patterns(Path(__file__).with_name("boilerplate.toml"))
CLOCK, STARS = (_PATTERNS["fragments"][name] for name in ("CLOCK", "STARS"))
_SERVER_LINES = "|".join(_PATTERNS["server_lines"])
_LEAD_INS = "|".join(_PATTERNS["lead_ins"])
_SELF_STATEMENTS = "|".join(_PATTERNS["self_statements"])
_GREETINGS = "|".join(_PATTERNS["greetings"])
TIME = rf"{CLOCK}?"
MARKED = rf"{CLOCK}(?:\*{{3}}|-!-|-->|<--|==) \S.{{0,400}}"
"""After a clock, what a client writes before lines that nobody said."""
EVENT = re.compile(rf"(?:{TIME}(?:{_SERVER_LINES})|{MARKED})[ \t\r]*", re.IGNORECASE)
GONE = re.compile(
    rf"(?P<clock>{CLOCK})?{STARS}(?P<who>\S{{1,40}}) (?:has )?(?:quit|joined|left|parted)[ \t\r]*"
)
"""A server's line that names no place: only if it has a clock, or its name is a nick's."""
NOT_NICKS = frozenset(_PATTERNS["not_nicks"])
DISCLAIMER = re.compile(
    rf"(?:\A|(?<=[.!?]\s)|(?<=[。！？\n]))[ \t]{{0,8}}(?:(?:{_LEAD_INS})[,，、:;]?"
    rf"(?: (?:but|aber|mais|pero|ma|mas))?[,，、]? ?){{0,2}}(?:{_SELF_STATEMENTS})"
    r"[^.!?。！？\n]{0,300}[.!?。！？]?",
    re.IGNORECASE,
)
CITED = re.compile(
    r"\"[^\"\n]{1,2000}\"|“[^”]{1,2000}”|„[^“”]{1,2000}[“”]|«[^»]{1,2000}»|「[^」]{1,2000}」|"
    r"```.{1,9000}?```",
    re.DOTALL,
)
WHOM = "(?: (?:there|all|everyone|guys|so much|very much|a lot|folks))?"
GREETING = re.compile(rf"(?:(?:{_GREETINGS}){WHOM}[\s,.!?:;)(-]{{0,8}}){{1,4}}", re.IGNORECASE)


class BoilerplateConfig(Config):
    """What counts as boilerplate of a conversation."""

    bots: tuple[str, ...] = (
        "meetingology", "meetbot", "MeetBot", "ubottu", "ubot5", "supybot", "zodbot", "Slackbot",
        "slackbot", "USLACKBOT", "GitHubBot", "dependabot[bot]", "github-actions[bot]", "KGB",
        "ChanServ", "NickServ", "AutoModerator", "stale[bot]", "codecov[bot]", "MEE6", "Dyno",
    )  # fmt: skip
    """Speakers whose turns are cut. Source: names that these services document for their bots."""
    disclaimers: Literal["cut", "count", "drop"] = "count"
    """Sentences such as "As an AI language model …": cut out of the assistant's turns, only counted
    in the metadata, or a reason to drop the conversation. Source: the ShareGPT cleaning of Vicuna
    (LMSYS, 2023) drops them; own choice to count by default, for dropping removes refusals too."""
    drop_greetings: bool = True
    """Drop a conversation in which every turn is a greeting or thanks."""
    min_repeats: int = 3
    """A line of at least 40 characters that a speaker says this often is a form, and all but its
    first are cut. Source: own choice; auto-signatures and bot answers."""


class Boilerplate:
    """Step `conversations.boilerplate`: what servers, bots and forms wrote."""

    def __init__(self, config: BoilerplateConfig) -> None:
        self.config = config
        self.bots = frozenset(name.lower() for name in config.bots)

    def __call__(self, record: Record) -> Ruling:
        """Rule about one conversation."""
        turns = turns_of(record)
        contents = [content(record.text, turn) for turn in turns]
        spoken = [text for text in contents if text]
        if self.config.drop_greetings and spoken and all(map(is_greeting, spoken)):
            return Ruling("boilerplate: only greetings", float(len(spoken)))
        edits = [Edit(turn.start, turn.end, "bot") for turn in turns if self.is_bot(turn)]
        if record.metadata.get("format") == "irc":  # whose reader calls the server so
            servers = [turn for turn in turns if turn.speaker == "system"]
            edits += [Edit(turn.start, turn.end, "server message") for turn in servers]
        edits += self.lines(record.text, {turn.speaker for turn in turns})
        disclaimers = 0
        for turn in turns:
            if turn.role != "assistant":
                continue
            for edit in disclaimers_of(record.text, turn):
                disclaimers += 1
                if self.config.disclaimers == "cut":
                    edits.append(edit)
        if disclaimers and self.config.disclaimers == "drop":
            return Ruling("boilerplate: assistant speaks of itself", float(disclaimers))
        edits = apart(edits)
        gone = sum(edit.end - edit.start for edit in edits)
        if record.text and len(record.text.strip()) <= gone:
            return Ruling("boilerplate: nothing else", details=f"{len(edits)} pieces")
        return Ruling(edits=tuple(edits), metadata={"disclaimers": disclaimers} if turns else {})

    def is_bot(self, turn: Turn) -> bool:
        """Whether a turn's speaker is one of the bots."""
        return turn.speaker.lower() in self.bots

    def lines(self, text: str, speakers: set[str]) -> list[Edit]:
        """Lines of servers, and lines said again and again."""
        edits, counts = [], Counter[str]()
        for line in LINE.finditer(text):
            whole = line[0].rstrip("\r\n")
            if len(whole) > 500:
                continue
            if EVENT.fullmatch(whole) or is_gone(whole, speakers):
                edits.append(Edit(*line.span(), "server message"))
            elif len(whole) >= 40:
                counts[whole] += 1
                if counts[whole] >= 2:
                    edits.append(Edit(*line.span(), "said again"))
        forms = {whole for whole, count in counts.items() if count >= self.config.min_repeats}
        return [
            edit for edit in edits
            if edit.reason != "said again" or text[edit.start : edit.end].rstrip("\r\n") in forms
        ]  # fmt: skip


def is_gone(line: str, speakers: set[str]) -> bool:
    """Whether a server says that somebody came or went, without saying where.

    >>> is_gone("alice has quit", set()), is_gone("He has quit", set()), is_gone("Bo left", {"Bo"})
    (True, False, False)
    """
    found = GONE.fullmatch(line)
    if found is None or found["who"].lower() in NOT_NICKS:
        return False
    who = found["who"]
    is_said = " has " not in line and not found["clock"]  # `bo left` is what people say
    is_nick = bool(found["clock"]) or who in speakers or who.isalnum() and who == who.lower()
    return is_nick and not is_said and not who.endswith((":", ">", ","))


def disclaimers_of(text: str, turn: Turn) -> list[Edit]:
    """Sentences of a turn in which an assistant says what it is; those that it cites are none."""
    said = content(text, turn)
    start = text.find(said, turn.start)
    cited = [found.span() for found in CITED.finditer(said)]
    edits = []
    for found in DISCLAIMER.finditer(said):
        before = bisect_right(cited, found.start(), key=lambda one: one[0])
        if not before or cited[before - 1][1] <= found.start():
            place = (start + found.start(), start + found.end())
            edits.append(Edit(*place, "assistant speaks of itself"))
    return edits


def is_greeting(text: str) -> bool:
    """Whether a turn only greets or thanks.

    >>> is_greeting("Hi there!"), is_greeting("Hi, my disk is full")
    (True, False)
    """
    return len(text) <= 80 and GREETING.fullmatch(text) is not None


def apart(edits: list[Edit]) -> list[Edit]:
    """Edits in rising order; one that overlaps the one before is left out."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda one: (one.start, -one.end)):
        if edit.start < edit.end and (not kept or edit.start >= kept[-1].end):
            kept.append(edit)
    return kept
