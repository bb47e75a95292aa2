"""Events come out the same however the bytes are cut, and half an answer is none."""

import asyncio
import json

import pytest

from groundup.generate.endpoint.errors import RequestFailure
from groundup.generate.endpoint.stream import (
    MAX_LINE_BYTES,
    _sse_events,
    assemble_stream,
    parse_json_object,
)


async def in_pieces(data: bytes, size: int):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def broken(data: bytes):
    yield data
    raise RequestFailure("disconnected", "broke", retry=True)


def listed(data: bytes, size: int) -> list[str]:
    async def gather():
        return [event async for event in _sse_events(in_pieces(data, size))]

    return asyncio.run(gather())


def event(content: str = "", finish: str | None = None, **more) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"choices": [choice], **more}, ensure_ascii=False).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_how_bytes_are_cut(size):
    data = ": hi\r\nid: 1\r\ndata: ü✓\r\n\r\ndata:two\ndata: lines\n\n\n\nevent: x\n\ndata: [DONE]"
    assert listed(data.encode(), size) == ["ü✓", "two\nlines", "[DONE]"]


def test_an_event_that_was_cut_is_not_read():
    assert listed(b"data: whole\n\ndata: ha", 4) == ["whole"]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_answer_is_put_together(size):
    data = event("ü") + event("✓") + b'data: {"choices": [{"index": 1, "text": "no"}]}\n\n'
    data += event(finish="stop") + b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n'
    for end in (b"data: [DONE]\n\n", b""):
        found = asyncio.run(assemble_stream(in_pieces(data + end, size)))
        assert found["choices"][0]["message"]["content"] == found["choices"][0]["text"] == "ü✓"
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["usage"] == {"prompt_tokens": 3}


def test_a_connection_that_breaks_after_the_end_loses_nothing():
    found = asyncio.run(assemble_stream(broken(event("a") + event(finish="length"))))
    assert found["choices"][0]["text"] == "a"


@pytest.mark.parametrize("data", [event("half"), event("half") + b"data: [DONE]\n\n", b""])
def test_half_a_stream_says_so(data):
    for chunks in (in_pieces(data, 9), broken(data)):
        with pytest.raises(RequestFailure, match="without a finish_reason") as caught:
            asyncio.run(assemble_stream(chunks))
        assert caught.value.code == "half_stream" and caught.value.retry


def test_an_error_event_is_the_servers_word():
    data = event("a") + b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
    with pytest.raises(RequestFailure, match="out of memory"):
        asyncio.run(assemble_stream(in_pieces(data, 64)))


def test_a_line_without_an_end_is_not_kept():
    with pytest.raises(RequestFailure, match="exceeds"):
        asyncio.run(assemble_stream(in_pieces(b"data: " + b"x" * (MAX_LINE_BYTES + 10), 2**16)))


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[1]", "", "{", "[" * 200_000])
def test_what_is_no_object_is_told(text):
    with pytest.raises(RequestFailure, match="expected"):
        parse_json_object(text)
