"""Conversations: one record per conversation, with a span per turn and the speaker in front.

Reads training chats (OpenAI `messages` and ShareGPT `conversations`, one per line), exports of
Slack, Discord and Telegram (one file per channel), and IRC logs. A turn's text is mapped to the
bytes between its quotes; times, ids and parents of turns are stored in the metadata `turns`, in
order. Whether the turns make sense is checked by the steps for conversations.
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
    """Maximum bytes of one conversation or exported channel. Own choice."""
    min_share: float = 0.5
    """Minimum share of lines that must look like IRC for a file to be a log. Own choice."""


class Turn(NamedTuple):
    """One turn."""

    speaker: str
    texts: list[Located]
    """Parts of the turn's text, located in the file."""
    about: dict[str, Any]
    """Time, id and parent, where known."""


class Talk(NamedTuple):
    """A parsed conversation before it becomes text."""

    turns: list[Turn]
    metadata: dict[str, Any]


class Conversations:
    """The reader `conversations`; the format is detected from JSON keys or line shapes."""

    def __init__(self, config: ConversationsConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """Byte ranges of files with a conversation per line, and one split for every other file."""
        splits = []
        for file_split in plan_files(root, (*LINE_ENDINGS, ".json", *LOGS)):
            is_unsplittable = suffix_of(file_split.path) in PACKED or not is_lines(file_split.path)
            splits += [file_split] if is_unsplittable else split(file_split, self.config.part_bytes)
        return splits

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the conversations of a split."""
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
        """Parse the conversation on one line."""
        if isinstance(line, Rejected):
            return line
        record_path = f"{path}#{line.offset}"
        try:
            text = unicode_line(line.data)
            return self.record(text, talk_of(located_json(text)), record_path, source)
        except Refused as refused:
            return refused.reject(record_path)

    def export(self, data: bytes, path: str, source: str) -> Iterator[Record | Rejected]:
        """Yield the conversations of a JSON file: one, or each of a list."""
        text = unicode_line(data.removeprefix(b"\xef\xbb\xbf"))
        shift = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
        for number, value in enumerate(listed := conversations_in(located_json(text))):
            record_path = f"{path}#{number}" if len(listed) > 1 else path
            try:
                yield self.record(text, talk_of(value), record_path, source, shift)
            except Refused as refused:
                yield refused.reject(record_path)

    def record(
        self, text: str, talk: Talk, path: str, source: str, shift: int = 0
    ) -> Record | Rejected:
        """Build the record of a conversation whose turns are located in `text`."""
        pieces, spans = Pieces(), []
        identity = SourceMap.identity(text)
        for turn in talk.turns:
            first = identity.width(turn.texts[0].start) if turn.texts else None
            introduce(pieces, turn.speaker, None if first is None else first + shift)
            start = pieces.length
            for located in turn.texts:
                add_located(pieces, text, located, identity.width(located.start) + shift, 1)
            spans.append(Span("turn", start, pieces.length, turn.speaker))
        return finished(pieces, spans, talk, path, source, line_breaks(text, shift))

    def log(self, data: bytes, path: str, source: str) -> Record | Rejected:
        """Parse an IRC log."""
        read = decode(data, "", self.config.repair)
        pieces, spans, turns = Pieces(), [], []
        count = 0
        for match in re.finditer(r"[^\r\n]+", read.map.text):
            count += 1
            line = IRC.match(read.map.text, match.start(), match.end())
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
    """Whether a file has one conversation per line."""
    return path.lower().endswith(LINE_ENDINGS)


def introduce(pieces: Pieces, speaker: str, byte: int | None) -> None:
    """Put the speaker's name in front of a turn."""
    gap = "\n\n" if pieces.length else ""
    pieces.put(f"{gap}{speaker}: ", -1 if byte is None else byte)


def finished(
    pieces: Pieces, spans: list[Span], talk: Talk, path: str, source: str, breaks: list[int]
) -> Record | Rejected:
    """Build the record; line numbers of the map are recomputed from the file's line breaks."""
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
    """Byte offsets of the line breaks of a text."""
    data = text.encode("utf-8")
    return [match.start() + shift for match in re.finditer(b"\n", data)]


def about_log(read: Decoded, passed: int) -> dict[str, Any]:
    """Metadata of a log."""
    charset = "" if read.charset == "utf-8" else read.charset
    return {"format": "irc", "charset": charset, "lines_passed_over": passed or None}


def conversations_in(value: Any) -> list[Any]:
    """Conversations of a JSON file: Telegram lists chats, others are a list or a single one."""
    chats = value.get("chats") if isinstance(value, dict) else None
    if isinstance(chats, dict) and isinstance(chats.get("list"), list):
        return chats["list"]
    if isinstance(value, list) and value and all(is_talk(item) for item in value[:10]):
        return value
    return [value]


def is_talk(value: Any) -> bool:
    """Whether a value is a conversation, not a turn."""
    return isinstance(value, dict) and any(
        isinstance(value.get(key), list) for key in ("messages", "conversations", "conversation")
    )


def talk_of(value: Any) -> Talk:
    """Parse a conversation in any known format; Refused if there is none."""
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
            elif name == "openai" and any(
                "from" in turn_value for turn_value in value[key] if is_map(turn_value)
            ):
                name = "telegram"
            return Talk(turns, about | {"format": name})
    raise Refused("no conversation", f"none of its keys is known; known formats: {FORMATS}")


def is_map(value: Any) -> bool:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def turns_of(values: Iterable[Any], make: Any) -> list[Turn]:
    """Parse the turns of a list; Refused if one has no speaker."""
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
    """A speaker's name on one line in valid UTF-8; known roles are normalised."""
    name = " ".join(str(speaker).encode("utf-8", "replace").decode().split())[:100] or "unknown"
    return ROLES.get(name, name).replace("\0", "")


def texts_of(content: Any) -> list[Located]:
    """The strings of a turn's content: one, or the text parts of a list."""
    if isinstance(content, Located):
        return [content]
    texts: list[Located] = []
    for item in content if isinstance(content, list) else ():
        text = item.get("text") if isinstance(item, dict) else item
        if isinstance(text, Located):
            texts.append(text)
    return texts


def kept(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Known fields of a turn under standard names."""
    return {
        name: plain(value[key])
        for key, name in names.items()
        if isinstance(value.get(key), str | int | float) and value[key] != ""
    }


def sharegpt_turn(value: dict[str, Any]) -> Turn:
    """A turn of ShareGPT: from and value, or role and content in newer data sets."""
    content = value.get("value", value.get("content"))
    return Turn(value.get("from", value.get("role", "")), texts_of(content), {})


def message_turn(value: dict[str, Any]) -> Turn:
    """A turn of OpenAI, Discord or Telegram, distinguished by its keys."""
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
