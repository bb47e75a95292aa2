"""Every format of chat comes out alike: who spoke, then what, with a span and its bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import Record, Rejected
from groundup.documents.readers.conversations import Conversations, ConversationsConfig

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
OPENAI = {"messages": [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": [{"type": "text", "text": "Wie heißt\ndu?"},
                                 {"type": "image_url"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    {"role": "assistant", "content": "Ada \"A\" 😀"}], "id": "x1"}  # fmt: skip
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
SLACK = [
    {"type": "message", "user": "U1", "text": "Morning", "ts": "1.0", "client_msg_id": "a"},
    {"type": "message", "subtype": "channel_join", "user": "U2", "text": "joined", "ts": "2.0"},
    {"type": "message", "user": "U2", "text": "Hi é", "ts": "3.0", "thread_ts": "1.0"},
]
DISCORD = {"guild": {"name": "G"}, "channel": {"name": "help"}, "messages": [
    {"id": "1", "timestamp": "t1", "content": "How?", "author": {"name": "ann", "nickname": "Ann"}},
    {"id": "2", "timestamp": "t2", "content": "So.", "author": {"name": "bob"},
     "reference": {"messageId": "1"}}]}  # fmt: skip
TELEGRAM = {"name": "Group", "type": "private_group", "id": 5, "messages": [
    {"id": 1, "type": "message", "date": "d", "from": "Ann", "text": "Look"},
    {"id": 2, "type": "service", "date": "d", "actor": "Bob", "action": "join", "text": ""},
    {"id": 3, "type": "message", "date": "d", "from": "Bob", "reply_to_message_id": 1,
     "text": ["at ", {"type": "link", "text": "this"}, "!"]}]}  # fmt: skip


def all_of(root, config: ConversationsConfig | None = None) -> list[Record | Rejected]:
    reader = Conversations(config or ConversationsConfig())
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


def turns(one: Record) -> list[tuple[str, str]]:
    return [(span.value, one.text[span.start : span.end]) for span in one.spans]


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize(
    "name, value, format, said",
    [
        ("a.jsonl", OPENAI, "openai", [("system", "Be kind."), ("user", "Wie heißt\ndu?"),
                                      ("assistant", ""), ("assistant", 'Ada "A" 😀')]),
        ("a.jsonl", SHAREGPT, "sharegpt", [("user", "Hi"), ("assistant", "Hello")]),
        ("a.json", SLACK, "slack", [("U1", "Morning"), ("system", "joined"), ("U2", "Hi é")]),
        ("a.json", DISCORD, "discord", [("Ann", "How?"), ("bob", "So.")]),
        ("a.json", TELEGRAM, "telegram", [("Ann", "Look"), ("system", ""), ("Bob", "at this!")]),
    ],
)  # fmt: skip
def test_turns_of_every_format(tmp_path, name, value, format, said, ascii):
    indent = None if name == "a.jsonl" else 1
    data = json.dumps(value, ensure_ascii=ascii, indent=indent).encode()
    (tmp_path / name).write_bytes(data)
    (one,) = all_of(tmp_path)
    assert turns(one) == said and one.metadata["format"] == format
    assert one.text.startswith(f"{said[0][0]}: {said[0][1]}\n\n")
    for segment in one.map.segments:
        if segment.exact:
            found = data[segment.byte_start : segment.byte_end].decode()
            assert found == one.text[segment.start : segment.end]
            assert segment.line == data.count(b"\n", 0, segment.byte_start) + 1


def test_facts_of_turns_are_kept_in_their_order(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(SLACK))
    (tmp_path / "b.json").write_text(json.dumps(DISCORD))
    (tmp_path / "c.json").write_text(json.dumps(TELEGRAM))
    slack, discord, telegram = all_of(tmp_path)
    assert slack.metadata["turns"][2] == {"time": "3.0", "parent": "1.0"}
    assert discord.metadata["turns"][1] == {"id": "2", "time": "t2", "parent": "1"}
    assert (discord.metadata["title"], telegram.metadata["title"]) == ("help", "Group")
    assert telegram.metadata["turns"][2]["parent"] == 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), WORDS), min_size=1), st.data())
def test_slices_of_turns_are_their_bytes_unescaped(tmp_path_factory, said, data):
    root = tmp_path_factory.mktemp("talk")
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    raw = json.dumps(row, ensure_ascii=data.draw(st.booleans())).encode()
    (root / "a.jsonl").write_bytes(raw + b"\n")
    found = all_of(root)
    (one,) = found
    assert turns(one) == said
    span = data.draw(st.sampled_from(one.spans))
    start = data.draw(st.integers(span.start, span.end - 1))
    end = data.draw(st.integers(start + 1, span.end))
    first, last = one.map.byte_range(start, end)
    assert json.loads(b'"' + raw[first:last] + b'"') == one.text[start:end]


IRC = """\
[10:00] <@ann> hello there
10:01 <bob> hi é
[10:02:03] * ann waves
-!- carl has joined #x
2026-01-02 10:03:04\tdora\ttabs here
*** Quits: bob
some stray line
"""


@pytest.mark.parametrize("charset", ["utf-8", "cp1252"])
def test_irc_logs_of_several_clients(tmp_path, charset):
    data = IRC.encode(charset)
    (tmp_path / "a.log").write_bytes(data)
    (one,) = all_of(tmp_path)
    assert turns(one) == [
        ("ann", "hello there"), ("bob", "hi é"), ("ann", "waves"), ("system", "carl has joined #x"),
        ("dora", "tabs here"), ("system", "Quits: bob"),
    ]  # fmt: skip
    assert one.metadata["turns"][0] == {"time": "10:00"}
    assert one.metadata["lines_passed_over"] == 1
    at = one.text.index("hi é")
    start, end = one.map.byte_range(at, at + 4)
    assert data[start:end].decode(charset) == "hi é" and one.map.line(at) == 2


def test_a_clock_with_day_and_month_is_known(tmp_path):
    (tmp_path / "a.log").write_text(
        "[15 Jan 00:53] <ann> hello\n[15 Jan 00:54] *** You disconnected\n"
        "[2 Mär. 2026 10:00:01] * bo waves\n[15 Jan] <no clock> at all\n"
    )
    (one,) = all_of(tmp_path)
    assert turns(one) == [("ann", "hello"), ("system", "You disconnected"), ("bo", "waves")]
    times = ["15 Jan 00:53", "15 Jan 00:54", "2 Mär. 2026 10:00:01"]
    assert [about["time"] for about in one.metadata["turns"]] == times
    (tmp_path / "b.log").write_text("15 Jan is the day.\n15 Jan 2026, a letter\n3 May 10 came\n")
    assert all_of(tmp_path)[1].reason == "no conversation"


def test_lists_of_chats_are_a_record_each(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([SHAREGPT, OPENAI, {"messages": []}]))
    (tmp_path / "b.json").write_text(json.dumps({"chats": {"list": [TELEGRAM, TELEGRAM]}}))
    found = all_of(tmp_path)
    assert [one.path for one in found] == [
        "a.json#0", "a.json#1", "a.json#2", "b.json#0", "b.json#1",
    ]  # fmt: skip
    assert found[2].reason == "empty"


def test_what_is_no_conversation_is_named(tmp_path):
    rows = [
        b'{"text": "x"}', b"3", b'{"messages": "x"}', b'{"messages": [1]}',
        b'{"messages": [{"role": "", "content": "x"}]}', b'{"messages": []}',
        b'{"messages": [{"role": 7, "content": "x"}]}', b"[" * 200_000,
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "us\\ud800er", "content": "fine"}]}',
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    (tmp_path / "b.json").write_bytes(b"{")
    (tmp_path / "c.json").write_bytes(b"")
    (tmp_path / "d.log").write_bytes(b"nothing like it\n" * 9)
    (tmp_path / "e.log").write_bytes(b"a\0b")
    (tmp_path / "f.log").write_bytes(b"<" * 10**6)
    (tmp_path / "g.log").write_bytes(b"10:00 " * 10**5 + b"\n" + b"1" * 10**6)
    reasons = [one.reason if isinstance(one, Rejected) else one.text for one in all_of(tmp_path)]
    none = "no conversation"
    assert reasons == [
        *[none] * 5, "empty", none, "nested too deeply", "lone surrogate", "us?er: fine",
        "not JSON", "empty", none, "binary", none, none,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ({"licence": "MIT", "license": ""}, "MIT"),
        ({"license": "MIT", "licence": ""}, "MIT"),
        ({"license": "MIT", "licence": None}, "MIT"),
        ({"license": ["MIT", "Zlib"]}, ["MIT", "Zlib"]),
        ({"spdx": "MIT", "metadata": {"license": {"id": "Zlib"}}}, ["MIT", "Zlib"]),
        ({"title": "T", "name": ""}, None),
    ],
)
def test_an_empty_value_takes_nothing_away(tmp_path, stated, licence):
    (tmp_path / "a.json").write_text(json.dumps(SHAREGPT | stated))
    (one,) = all_of(tmp_path)
    assert one.metadata.get("licence") == licence
    assert one.metadata.get("title") == stated.get("title")
