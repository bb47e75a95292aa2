"""Conversations: one record a conversation, who spoke in front of each turn, a span around it.

Reads training chats (OpenAI `messages` and ShareGPT `conversations`, one a line), exports of Slack,
Discord and Telegram (a file a channel), and IRC logs. A turn's text is mapped to the bytes between
its quotes; times, ids and parents of turns stay in the metadata `turns`, in their order.
Knows nothing of whether the turns make sense; the steps for conversations check.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..document import SourceMap
from ..record import Record, Span
from .encodings import Decoded, Pieces, decode
from .jsonl import ENDINGS as LINE_ENDINGS
from .jsonl import PACKED, Line, Located, add_located, lines, located_json, plain, unicode_line
from .reader import (
    Part,
    ReaderConfig,
    Refused,
    Rejected,
    plan_files,
    printable,
    read_all,
    split,
    suffix_of,
    text_record,
    with_licence,
)

LOGS = (".log", ".irc", ".txt", ".weechatlog")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
         "bard": "assistant", "claude": "assistant", "model": "assistant", "bot": "assistant",
         "prompter": "user", "function": "tool", "observation": "tool",
         "developer": "system"}  # fmt: skip
IRC = re.compile(
    r"""(?:\[?(?P<time>(?:\d{1,2}[ ][^\W\d_]{3,9}\.?[ ])?\d[\dT:./ -]{3,24}Z?)\]?[ \t]+)?
        (?:<[ @+%&~!]?(?P<nick>[^<>\s!]{1,64})(?:![^<>\s]{1,190})?>[ ]?
          |\*[ ](?P<actor>[^\s*]{1,64})(?=\s)[ ]?
          |(?P<notice>-!-|\*\*\*|-->|<--|--|===)[ \t]
          |[@+%&~]?(?P<column>[^\s<>|]{1,64})\t(?=[^\t]))
        (?P<said>[^\r\n]*)""",
    re.VERBOSE,
)
FORMATS = "openai, sharegpt, slack, discord, telegram, irc"


class ConversationsConfig(ReaderConfig):
    """How conversations are read."""

    max_bytes: int = 16 * 2**20
    """Bytes of one conversation or exported channel. Own choice."""
    min_share: float = 0.5
    """Least share of a log's lines that must look like IRC for it to be one. Own choice."""


class Turn(NamedTuple):
    """What one speaker says at once."""

    speaker: str
    texts: list[Located]
    """Pieces of the turn, as they stand in the file."""
    about: dict[str, Any]
    """Time, id and parent, as far as they are known."""


class Talk(NamedTuple):
    """A conversation before it is put into words."""

    turns: list[Turn]
    metadata: dict[str, Any]


class Conversations:
    """The reader `conversations`; the format is told by the keys of the JSON or by the lines."""

    def __init__(self, config: ConversationsConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """Byte ranges of files with a conversation a line, and a part for every other file."""
        parts = []
        for part in plan_files(root, (*LINE_ENDINGS, ".json", *LOGS)):
            whole = suffix_of(part.path) in PACKED or not is_lines(part.path)
            parts += [part] if whole else split(part, self.config.part_bytes)
        return parts

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the conversations of a part."""
        if is_lines(part.path):
            for line in lines(root, part, self.config.max_bytes):
                yield self.one_line(line, part.path, source)
            return
        try:
            data = read_all(root, part.path, self.config.max_bytes)
            if not data.strip():
                raise Refused("empty", f"{len(data)} bytes")
            if suffix_of(part.path) == ".json":
                yield from self.export(data, part.path, source)
            else:
                yield self.log(data, part.path, source)
        except Refused as refused:
            yield refused.reject(printable(part.path))

    def one_line(self, line: Line | Rejected, path: str, source: str) -> Record | Rejected:
        """The conversation of a line."""
        if isinstance(line, Rejected):
            return line
        place = f"{path}#{line.offset}"
        try:
            text = unicode_line(line.data)
            return self.record(text, talk_of(located_json(text)), place, source)
        except Refused as refused:
            return refused.reject(place)

    def export(self, data: bytes, path: str, source: str) -> Iterator[Record | Rejected]:
        """Yield the conversations of a JSON file: one, or each of a list."""
        text = unicode_line(data.removeprefix(b"\xef\xbb\xbf"))
        shift = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
        for number, value in enumerate(listed := conversations_in(located_json(text))):
            place = f"{path}#{number}" if len(listed) > 1 else path
            try:
                yield self.record(text, talk_of(value), place, source, shift)
            except Refused as refused:
                yield refused.reject(place)

    def record(
        self, text: str, talk: Talk, path: str, source: str, shift: int = 0
    ) -> Record | Rejected:
        """The record of a conversation whose turns stand in `text`."""
        pieces, spans = Pieces(), []
        places = SourceMap.identity(text)
        for turn in talk.turns:
            first = places.width(turn.texts[0].start) if turn.texts else None
            introduce(pieces, turn.speaker, None if first is None else first + shift)
            start = pieces.length
            for piece in turn.texts:
                add_located(pieces, text, piece, places.width(piece.start) + shift, 1)
            spans.append(Span("turn", start, pieces.length, turn.speaker))
        return finished(pieces, spans, talk, path, source, line_breaks(text, shift))

    def log(self, data: bytes, path: str, source: str) -> Record | Rejected:
        """The record of an IRC log."""
        read = decode(data, "", self.config.repair)
        pieces, spans, turns = Pieces(), [], []
        count = 0
        for found in re.finditer(r"[^\r\n]+", read.map.text):
            count += 1
            line = IRC.match(read.map.text, found.start(), found.end())
            if line is None:
                continue
            speaker = line["nick"] or line["actor"] or line["column"] or "system"
            introduce(pieces, speaker, read.map.byte_range(line.start("said"), line.end())[0])
            start = pieces.length
            pieces.take(read.map, *line.span("said"))
            spans.append(Span("turn", start, pieces.length, speaker))
            turns.append(Turn(speaker, [], {"time": line["time"]} if line["time"] else {}))
        if len(turns) < max(count * self.config.min_share, 1):
            raise Refused("no conversation", f"{len(turns)} of {count} lines look like IRC")
        talk = Talk(turns, about_log(read, count - len(turns)))
        return finished(pieces, spans, talk, path, source, [])


def is_lines(path: str) -> bool:
    """Whether a file has a conversation a line."""
    return path.lower().endswith(LINE_ENDINGS)


def introduce(pieces: Pieces, speaker: str, byte: int | None) -> None:
    """Put the speaker's name in front of a turn."""
    gap = "\n\n" if pieces.length else ""
    pieces.put(f"{gap}{speaker}: ", -1 if byte is None else byte)


def finished(
    pieces: Pieces, spans: list[Span], talk: Talk, path: str, source: str, breaks: list[int]
) -> Record | Rejected:
    """The record of what was put together; lines of the map counted from the file's line ends."""
    from bisect import bisect_left

    map = pieces.map()
    if breaks:
        moved = [s._replace(line=bisect_left(breaks, s.byte_start) + 1) for s in map.segments]
        map = SourceMap(map.text, tuple(moved))
    metadata = talk.metadata | {"participants": len({turn.speaker for turn in talk.turns})}
    if any(turn.about for turn in talk.turns):
        metadata["turns"] = [turn.about for turn in talk.turns]
    return text_record(source, path, "conversation", map, metadata, spans)


def line_breaks(text: str, shift: int) -> list[int]:
    """Bytes of the line ends of a text that has more than one line."""
    data = text.encode("utf-8")
    return [found.start() + shift for found in re.finditer(b"\n", data)]


def about_log(read: Decoded, passed: int) -> dict[str, Any]:
    """What is known of a log."""
    charset = "" if read.charset == "utf-8" else read.charset
    return {"format": "irc", "charset": charset, "lines_passed_over": passed or None}


def conversations_in(value: Any) -> list[Any]:
    """The conversations of a JSON file: Telegram lists chats, other files are a list or are one."""
    chats = value.get("chats") if isinstance(value, dict) else None
    if isinstance(chats, dict) and isinstance(chats.get("list"), list):
        return chats["list"]
    if isinstance(value, list) and value and all(is_talk(one) for one in value[:10]):
        return value
    return [value]


def is_talk(value: Any) -> bool:
    """Whether a value is a conversation of its own, not a turn."""
    return isinstance(value, dict) and any(
        isinstance(value.get(key), list) for key in ("messages", "conversations", "conversation")
    )


def talk_of(value: Any) -> Talk:
    """The turns of a conversation in any known format; Refused if it is in none."""
    if isinstance(value, list):
        return Talk(turns_of(value, slack_turn), {"format": "slack"})
    if not isinstance(value, dict):
        raise Refused("no conversation", f"a {type(value).__name__}; known: {FORMATS}")
    about = {
        name: plain(value[key])
        for name, key in (("id", "id"), ("title", "title"), ("title", "name"), ("url", "url"),
                          ("language", "language"))
        if isinstance(value.get(key), str | int) and value[key] != ""
    }  # fmt: skip
    about |= with_licence({}, value)
    for key, turn, name in (("conversations", sharegpt_turn, "sharegpt"),
                            ("conversation", sharegpt_turn, "sharegpt"),
                            ("messages", message_turn, "openai")):  # fmt: skip
        if isinstance(value.get(key), list):
            turns = turns_of(value[key], turn)
            if name == "openai" and (channel := value.get("channel") or value.get("guild")):
                name = "discord"
                about |= {"title": plain(channel.get("name"))} if isinstance(channel, dict) else {}
            elif name == "openai" and any("from" in one for one in value[key] if is_map(one)):
                name = "telegram"
            return Talk(turns, about | {"format": name})
    raise Refused("no conversation", f"none of its keys is known; known formats: {FORMATS}")


def is_map(value: Any) -> bool:
    """Whether a JSON value has keys."""
    return isinstance(value, dict)


def turns_of(values: Iterable[Any], make: Any) -> list[Turn]:
    """The turns of a list; Refused if one has no speaker."""
    turns = []
    for number, value in enumerate(values, 1):
        turn = make(value) if isinstance(value, dict) else None
        if turn is None or not isinstance(turn.speaker, str) or not turn.speaker:
            raise Refused("no conversation", f"turn {number} names no speaker")
        turns.append(turn._replace(speaker=clean_name(turn.speaker)))
    if not turns:
        raise Refused("empty", "no turns")
    return turns


def clean_name(speaker: str) -> str:
    """A speaker's name on one line, as UTF-8 can hold it; known roles by their usual names."""
    name = " ".join(str(speaker).encode("utf-8", "replace").decode().split())[:100] or "unknown"
    return ROLES.get(name, name).replace("\0", "")


def texts_of(content: Any) -> list[Located]:
    """The strings of a turn's content: one, or the text parts of a list."""
    if isinstance(content, Located):
        return [content]
    found: list[Located] = []
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, Located):
            found.append(text)
    return found


def kept(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Known facts of a turn under our names."""
    return {
        name: plain(value[key])
        for key, name in names.items()
        if isinstance(value.get(key), str | int | float) and value[key] != ""
    }


def sharegpt_turn(value: dict[str, Any]) -> Turn:
    """A turn of ShareGPT: from and value, or role and content in newer sets."""
    said = value.get("value", value.get("content"))
    return Turn(value.get("from", value.get("role", "")), texts_of(said), {})


def message_turn(value: dict[str, Any]) -> Turn:
    """A turn of OpenAI, Discord or Telegram, by its keys."""
    author = value.get("author")
    if isinstance(author, dict):  # Discord
        parent = value.get("reference")
        about = kept(value, {"id": "id", "timestamp": "time"})
        if isinstance(parent, dict):
            about |= kept(parent, {"messageId": "parent"})
        speaker = author.get("nickname") or author.get("name", "")
        return Turn(speaker, texts_of(value.get("content")), about)
    if "role" in value:
        tools = value.get("tool_calls")
        about = {"tool_calls": len(tools)} if isinstance(tools, list) and tools else {}
        return Turn(value["role"], texts_of(value.get("content")), about)
    about = kept(value, {"id": "id", "date": "time", "reply_to_message_id": "parent"})
    if value.get("type") == "service":
        return Turn("system", texts_of(value.get("text")), about)
    return Turn(value.get("from") or value.get("from_id") or "unknown",
                texts_of(value.get("text")), about)  # fmt: skip


def slack_turn(value: dict[str, Any]) -> Turn | None:
    """A turn of a Slack export; None if it is no message."""
    if "ts" not in value:
        return None
    about = kept(value, {"ts": "time", "client_msg_id": "id", "thread_ts": "parent"})
    if "subtype" in value and value["subtype"] != "bot_message":
        speaker: Any = "system"
    else:
        speaker = value.get("user") or value.get("username") or value.get("bot_id") or "unknown"
    return Turn(speaker, texts_of(value.get("text")), about)
