"""Speakers under stable pseudonyms: user_1, user_2, in the order in which they first speak.

A speaker's name stands before the turn, in the span and where others address it. All three change
together, so the conversation stays one that can be followed. Roles keep their names. A name that
is an ordinary word (`will`, `mark`) is replaced only where it addresses somebody; so is one of a
single character in a script without spaces, in which longer names are replaced wherever they stand,
inside of longer names too. Other personal data is the business of `safety.personal`. Knows nothing
of who the speakers are.
"""

import re
from collections.abc import Iterator

from groundup.core import Config

from ..record import PASS, Edit, Made, Record, Ruling
from .boilerplate import apart
from .turns import ROLES, Turn, turns_of

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af\uac00-\ud7a3"
)
"""Thai, Lao, Burmese, Khmer, kana and Han have no spaces; Korean joins its particles to a name."""
IS_UNSPACED = re.compile(f"[{UNSPACED}]")
TOKEN = re.compile(rf"(?P<at>@?)(?P<name>(?:(?![{UNSPACED}])[\w\[\]\\^{{}}|`-])+)")
ADDRESSING = (":", ",", "：", "，", "、")
ORDINARY = re.compile(r"[a-z]{1,8}|[A-Z][a-z]{1,2}")


class SpeakersConfig(Config):
    """How speakers are named."""

    name: str = "user_"
    """Before the number."""
    mentions: bool = True
    """Replace names inside of what is said, too."""


class Speakers:
    """Step `conversations.speakers`: names of speakers become stable pseudonyms."""

    def __init__(self, config: SpeakersConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rename the speakers of one conversation; a record without turns passes."""
        turns = turns_of(record)
        names: dict[str, str] = {}
        for turn in turns:
            if turn.speaker and turn.speaker.lower() not in ROLES and turn.speaker not in names:
                names[turn.speaker] = f"{self.config.name}{len(names) + 1}"
        if not names:
            return PASS
        edits = list(self.labels(record.text, turns, names))
        if self.config.mentions:
            edits += mentions(record.text, turns, names)
        spans = tuple(
            span._replace(value=names.get(span.value, span.value)) if span.kind == "turn" else span
            for span in record.spans
        )
        made = Made(record.map, spans)
        return Ruling(edits=tuple(apart(edits)), metadata={"speakers": len(names)}, made=made)

    def labels(self, text: str, turns: list[Turn], names: dict[str, str]) -> Iterator[Edit]:
        """Yield an edit for every name that a rendering puts before a turn, in its span or not."""
        for turn in turns:
            before = turn.start - len(turn.speaker) - 2  # as our readers write it
            if before >= 0 and text.startswith(f"{turn.speaker}: ", before):
                if turn.speaker in names:
                    place = (before, before + len(turn.speaker))
                    yield Edit(*place, "speaker's name", names[turn.speaker])
                continue
            at = text.find(
                turn.speaker, turn.start, min(turn.end, turn.start + len(turn.speaker) + 40)
            )
            after = text[at + len(turn.speaker) : at + len(turn.speaker) + 1]
            if at >= 0 and turn.speaker in names and after in (":", ">", "]", ")", "*", " ", "\n"):
                if after != " " or at == turn.start:
                    yield Edit(at, at + len(turn.speaker), "speaker's name", names[turn.speaker])


def mentions(text: str, turns: list[Turn], names: dict[str, str]) -> list[Edit]:
    """Edits for names inside of what is said."""
    whole = [name for name in names if is_whole(name)]
    words = {name: new for name, new in names.items() if not is_whole(name)}
    for name, new in names.items():
        first = name.split(" ")[0]
        if " " in name and len(first) > 2 and sum(one.startswith(first) for one in names) == 1:
            words.setdefault(first, new)
    edits = []
    for found in TOKEN.finditer(text):
        new = words.get(found["name"])
        if new is None:
            continue
        start, end = found.span("name")
        is_addressed = bool(found["at"]) or text[end : end + 1] in ADDRESSING
        if is_addressed or not ORDINARY.fullmatch(found["name"]):
            edits.append(Edit(start, end, "speaker's name", new))
    if whole:
        edits += [
            Edit(*one.span("name"), "speaker's name", names[one["name"]])
            for one in pattern_of(whole).finditer(text)
        ]
    return edits


def is_whole(name: str) -> bool:
    """Whether a name is looked for as it stands, for it is no single token.

    >>> is_whole("Ann Lee"), is_whole("dr.who"), is_whole("ann"), is_whole("...")
    (True, True, False, False)
    """
    is_odd = " " in name or IS_UNSPACED.search(name) or not TOKEN.fullmatch(name)
    return bool(is_odd) and any(map(str.isalnum, name))


def pattern_of(names: list[str]) -> re.Pattern[str]:
    """Any of the names, the longest first, sorted by first characters so that many cost little.

    >>> pattern_of(["李明", "李明月", "Bo Ng"]).findall("李明月说")
    ['李明月']
    """
    by_first: dict[str, list[str]] = {}
    for name in sorted(names, key=len, reverse=True):
        last = r"(?!\w)" if not IS_UNSPACED.match(name[-1]) and name[-1].isalnum() else ""
        if len(name) == 1:
            last = f"(?=[{''.join(ADDRESSING)}])"
        by_first.setdefault(name[0], []).append(re.escape(name[1:]) + last)
    starts = (
        ("" if IS_UNSPACED.match(first) or not first.isalnum() else r"(?<![^\W" + UNSPACED + "])")
        + f"{re.escape(first)}(?:{'|'.join(rest)})"
        for first, rest in by_first.items()
    )
    return re.compile(f"(?P<name>{'|'.join(starts)})")
