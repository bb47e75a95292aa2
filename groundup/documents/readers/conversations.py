"""Conversations: one record per conversation, with a span per turn and the speaker in front.

Reads training chats (OpenAI `messages` and ShareGPT `conversations`, one per line), exports of
Slack, Discord and Telegram (one file per channel), and IRC logs. A turn's text is mapped to the
bytes between its quotes; times, ids and parents of turns are stored in the metadata `turns`, in
order. Whether the turns make sense is checked by the steps for conversations.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..document import Record, SourceMap, TextSpan
from .encodings import SourceMapBuilder, decode
from .jsonl import (
    JSONL_SUFFIXES,
    LocatedString,
    append_located,
    decode_line,
    parse_located_json,
    read_json_lines,
    without_location,
)
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    read_all,
    select_with_licence,
    split_unless_packed,
    suffix_of,
    text_record,
)

LOG_SUFFIXES = (".log", ".irc", ".txt", ".weechatlog")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
         "bard": "assistant", "claude": "assistant", "model": "assistant", "bot": "assistant",
         "prompter": "user", "function": "tool", "observation": "tool",
         "developer": "system"}  # fmt: skip
IRC_LINE = re.compile(
    r"""(?:\[?(?P<time>(?:\d{1,2}[ ][^\W\d_]{3,9}\.?[ ])?\d[\dT:./ -]{3,24}Z?)\]?[ \t]+)?
        (?:<[ @+%&~!]?(?P<nick>[^<>\s!]{1,64})(?:![^<>\s]{1,190})?>[ ]?
          |\*[ ](?P<actor>[^\s*]{1,64})(?=\s)[ ]?
          |(?P<notice>-!-|\*\*\*|-->|<--|--|===)[ \t]
          |[@+%&~]?(?P<column>[^\s<>|]{1,64})\t(?=[^\t]))
        (?P<said>[^\r\n]*)""",
    re.VERBOSE,
)
KNOWN_FORMATS = "openai, sharegpt, slack, discord, telegram, irc"


class ConversationsConfig(ReaderConfig):
    """How conversations are read."""

    max_bytes: int = 16 * 2**20
    """Maximum bytes of one conversation or exported channel. Own choice."""
    min_share: float = 0.5
    """Minimum share of lines that must look like IRC for a file to be a log. Own choice."""


class _ParsedTurn(NamedTuple):
    """One turn."""

    speaker: str
    texts: list[LocatedString]
    """Parts of the turn's text, located in the file."""
    metadata: dict[str, Any]
    """Time, id and parent, where known."""


class _ParsedConversation(NamedTuple):
    """A parsed conversation before it becomes text."""

    turns: list[_ParsedTurn]
    metadata: dict[str, Any]


class Conversations(FileReader):
    """The reader `conversations`; the format is detected from JSON keys or line shapes."""

    ENDINGS = (*JSONL_SUFFIXES, ".json", *LOG_SUFFIXES)

    def __init__(self, config: ConversationsConfig) -> None:
        self.config = config

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """Byte ranges of a file with a conversation per line; any other is one split."""
        has_lines = _has_conversation_per_line(file_split.path)
        return (
            split_unless_packed(file_split, self.config.part_bytes) if has_lines else [file_split]
        )

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the conversations of a split."""
        if _has_conversation_per_line(input_split.path):

            def read_line(text: str, path: str) -> Record | Rejected:
                talk = _parse_conversation(parse_located_json(text))
                return self._make_record(text, talk, path, source)

            yield from read_json_lines(file, input_split, self.config.max_bytes, read_line)
            return
        data = read_all(file, self.config.max_bytes)
        if not data.strip():
            raise Refused("empty", f"{len(data)} bytes")
        if suffix_of(input_split.path) == ".json":
            yield from self._read_export(data, input_split.path, source)
        else:
            yield self._read_log(data, input_split.path, source)

    def _read_export(self, data: bytes, path: str, source: str) -> Iterator[Record | Rejected]:
        """Yield the conversations of a JSON file: one, or each of a list."""
        text = decode_line(data.removeprefix(b"\xef\xbb\xbf"))
        shift = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
        for number, value in enumerate(listed := _split_conversations(parse_located_json(text))):
            record_path = f"{path}#{number}" if len(listed) > 1 else path
            try:
                yield self._make_record(
                    text, _parse_conversation(value), record_path, source, shift
                )
            except Refused as refused:
                yield refused.reject(record_path)

    def _make_record(
        self, text: str, conversation: _ParsedConversation, path: str, source: str, shift: int = 0
    ) -> Record | Rejected:
        """Build the record of a conversation whose turns are located in `text`."""
        pieces, spans = SourceMapBuilder(), []
        identity = SourceMap.identity(text)
        for turn in conversation.turns:
            first = identity.utf8_length(turn.texts[0].start) if turn.texts else None
            _insert_speaker(pieces, turn.speaker, None if first is None else first + shift)
            start = pieces.length
            for located in turn.texts:
                byte = identity.utf8_length(located.start) + shift
                append_located(pieces, text, located, byte, 1)
            spans.append(TextSpan("turn", start, pieces.length, turn.speaker))
        breaks = [match.start() + shift for match in re.finditer(b"\n", text.encode("utf-8"))]
        return _build_record(pieces, spans, conversation, path, source, breaks)

    def _read_log(self, data: bytes, path: str, source: str) -> Record | Rejected:
        read = decode(data, "", self.config.repair)
        pieces, spans, turns = SourceMapBuilder(), [], []
        count = 0
        for match in re.finditer(r"[^\r\n]+", read.map.text):
            count += 1
            line = IRC_LINE.match(read.map.text, match.start(), match.end())
            if line is None:
                continue
            speaker = line["nick"] or line["actor"] or line["column"] or "system"
            _insert_speaker(pieces, speaker, read.map.byte_range(line.start("said"), line.end())[0])
            start = pieces.length
            pieces.append_slice(read.map, *line.span("said"))
            spans.append(TextSpan("turn", start, pieces.length, speaker))
            turns.append(_ParsedTurn(speaker, [], {"time": line["time"]} if line["time"] else {}))
        if len(turns) < max(count * self.config.min_share, 1):
            raise Refused("no conversation", f"{len(turns)} of {count} lines look like IRC")
        charset = "" if read.charset == "utf-8" else read.charset
        skipped = count - len(turns) or None
        about = {"format": "irc", "charset": charset, "lines_passed_over": skipped}
        talk = _ParsedConversation(turns, about)
        return _build_record(pieces, spans, talk, path, source, [])


def _has_conversation_per_line(path: str) -> bool:
    return path.lower().endswith(JSONL_SUFFIXES)


def _insert_speaker(builder: SourceMapBuilder, speaker: str, byte: int | None) -> None:
    """Put the speaker's name in front of a turn."""
    gap = "\n\n" if builder.length else ""
    builder.append_inserted(f"{gap}{speaker}: ", -1 if byte is None else byte)


def _build_record(
    builder: SourceMapBuilder,
    spans: list[TextSpan],
    conversation: _ParsedConversation,
    path: str,
    source: str,
    breaks: list[int],
) -> Record | Rejected:
    """Build the record; line numbers of the map are recomputed from the file's line breaks."""
    map = builder.build()
    if breaks:
        moved = [s._replace(line=bisect_left(breaks, s.byte_start) + 1) for s in map.segments]
        map = SourceMap(map.text, tuple(moved))
    metadata = conversation.metadata | {
        "participants": len({turn.speaker for turn in conversation.turns})
    }
    if any(turn.metadata for turn in conversation.turns):
        metadata["turns"] = [turn.metadata for turn in conversation.turns]
    return text_record(source, path, "conversation", map, metadata, spans)


def _split_conversations(value: Any) -> list[Any]:
    """Conversations of a JSON file: Telegram lists chats, others are a list or a single one."""
    chats = value.get("chats") if isinstance(value, dict) else None
    if isinstance(chats, dict) and isinstance(chats.get("list"), list):
        return chats["list"]
    if isinstance(value, list) and value and all(_is_conversation(item) for item in value[:10]):
        return value
    return [value]


def _is_conversation(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(value.get(key), list) for key in ("messages", "conversations", "conversation")
    )


def _parse_conversation(value: Any) -> _ParsedConversation:
    """Parse a conversation in any known format; Refused if there is none."""
    if isinstance(value, list):
        return _ParsedConversation(_parse_turns(value, _parse_slack_turn), {"format": "slack"})
    if not isinstance(value, dict):
        raise Refused("no conversation", f"a {type(value).__name__}; known: {KNOWN_FORMATS}")
    about = {
        name: without_location(value[key])
        for name, key in (("id", "id"), ("title", "title"), ("title", "name"), ("url", "url"),
                          ("language", "language"))
        if isinstance(value.get(key), str | int) and value[key] != ""
    }  # fmt: skip
    about |= select_with_licence({}, value)
    for key, turn, name in (("conversations", _parse_sharegpt_turn, "sharegpt"),
                            ("conversation", _parse_sharegpt_turn, "sharegpt"),
                            ("messages", _parse_message_turn, "openai")):  # fmt: skip
        if isinstance(value.get(key), list):
            turns = _parse_turns(value[key], turn)
            if name == "openai" and (channel := value.get("channel") or value.get("guild")):
                name = "discord"
                about |= (
                    {"title": without_location(channel.get("name"))}
                    if isinstance(channel, dict)
                    else {}
                )
            elif name == "openai" and any(
                "from" in turn_value for turn_value in value[key] if isinstance(turn_value, dict)
            ):
                name = "telegram"
            return _ParsedConversation(turns, about | {"format": name})
    raise Refused("no conversation", f"none of its keys is known; known formats: {KNOWN_FORMATS}")


def _parse_turns(values: Iterable[Any], parse_turn: Any) -> list[_ParsedTurn]:
    """Parse the turns of a list; Refused if one has no speaker."""
    turns = []
    for number, value in enumerate(values, 1):
        turn = parse_turn(value) if isinstance(value, dict) else None
        if turn is None or not isinstance(turn.speaker, str) or not turn.speaker:
            raise Refused("no conversation", f"turn {number} names no speaker")
        turns.append(turn._replace(speaker=_normalize_speaker(turn.speaker)))
    if not turns:
        raise Refused("empty", "no turns")
    return turns


def _normalize_speaker(speaker: str) -> str:
    """A speaker's name on one line in valid UTF-8; known roles are normalised."""
    name = " ".join(str(speaker).encode("utf-8", "replace").decode().split())[:100] or "unknown"
    return ROLES.get(name, name).replace("\0", "")


def _content_texts(content: Any) -> list[LocatedString]:
    """The strings of a turn's content: one, or the text parts of a list."""
    if isinstance(content, LocatedString):
        return [content]
    texts: list[LocatedString] = []
    for item in content if isinstance(content, list) else ():
        text = item.get("text") if isinstance(item, dict) else item
        if isinstance(text, LocatedString):
            texts.append(text)
    return texts


def _select_fields(value: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Known fields of a turn under standard names."""
    return {
        name: without_location(value[key])
        for key, name in names.items()
        if isinstance(value.get(key), str | int | float) and value[key] != ""
    }


def _parse_sharegpt_turn(value: dict[str, Any]) -> _ParsedTurn:
    """A turn of ShareGPT: from and value, or role and content in newer data sets."""
    content = value.get("value", value.get("content"))
    return _ParsedTurn(value.get("from", value.get("role", "")), _content_texts(content), {})


def _parse_message_turn(value: dict[str, Any]) -> _ParsedTurn:
    """A turn of OpenAI, Discord or Telegram, distinguished by its keys."""
    author = value.get("author")
    if isinstance(author, dict):  # Discord
        parent = value.get("reference")
        about = _select_fields(value, {"id": "id", "timestamp": "time"})
        if isinstance(parent, dict):
            about |= _select_fields(parent, {"messageId": "parent"})
        speaker = author.get("nickname") or author.get("name", "")
        return _ParsedTurn(speaker, _content_texts(value.get("content")), about)
    if "role" in value:
        tools = value.get("tool_calls")
        about = {"tool_calls": len(tools)} if isinstance(tools, list) and tools else {}
        return _ParsedTurn(value["role"], _content_texts(value.get("content")), about)
    about = _select_fields(value, {"id": "id", "date": "time", "reply_to_message_id": "parent"})
    if value.get("type") == "service":
        return _ParsedTurn("system", _content_texts(value.get("text")), about)
    return _ParsedTurn(value.get("from") or value.get("from_id") or "unknown",
                _content_texts(value.get("text")), about)  # fmt: skip


def _parse_slack_turn(value: dict[str, Any]) -> _ParsedTurn | None:
    """A turn of a Slack export; None if it is no message."""
    if "ts" not in value:
        return None
    about = _select_fields(value, {"ts": "time", "client_msg_id": "id", "thread_ts": "parent"})
    if "subtype" in value and value["subtype"] != "bot_message":
        speaker: Any = "system"
    else:
        speaker = value.get("user") or value.get("username") or value.get("bot_id") or "unknown"
    return _ParsedTurn(speaker, _content_texts(value.get("text")), about)
