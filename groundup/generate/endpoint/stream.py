"""Server-sent events assembled into the answer that an unstreamed request would give.

A stream is complete once a choice has its `finish_reason`; one that ends earlier, with or without
`[DONE]`, is an error (`half_stream`). Lines end in LF or CRLF.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from .errors import RequestFailure, failure_from_status, parse_error, quote_message

MAX_LINE_BYTES = 2**22


async def _sse_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Yield the data of each event; comments and other fields are ignored."""
    pending, data = b"", []
    async for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            raise RequestFailure(
                "too_large", f"a line of the stream exceeds {MAX_LINE_BYTES} bytes"
            )
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield _decode_event(b"\n".join(data))
                data = []
    if b"[DONE]" in (*data, pending.strip().removeprefix(b"data:").strip()):
        yield "[DONE]"


def _decode_event(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RequestFailure("bad_answer", "the stream is not UTF-8", retry=True) from None


class StreamedAnswer:
    """An answer assembled from its events."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.tokens: list[Any] = []
        self.finish_reason: Any = None
        self.usage: Any = None

    def add(self, event: dict[str, Any]) -> None:
        """Add one event's part of the first choice."""
        if event.get("error"):
            raise failure_from_status(500, {}, *parse_error(event["error"]))
        self.usage = event.get("usage") or self.usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta")
            piece = delta.get("content") if isinstance(delta, dict) else choice.get("text")
            self.text.append(piece if isinstance(piece, str) else "")
            logprobs = choice.get("logprobs")
            if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
                self.tokens += logprobs["content"]
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    @property
    def body(self) -> dict[str, Any]:
        """The body of the complete answer, for chats and for plain completions."""
        text = "".join(self.text)
        choice = {
            "message": {"role": "assistant", "content": text},
            "text": text,
            "finish_reason": self.finish_reason,
            "logprobs": {"content": self.tokens} if self.tokens else None,
        }
        return {"choices": [choice], "usage": self.usage}


async def assemble_stream(chunks: AsyncIterator[bytes]) -> dict[str, Any]:
    """Read a stream to its end; RequestFailure `half_stream` if it is incomplete."""
    assembly = StreamedAnswer()
    try:
        async with aclosing(_sse_events(chunks)) as stream:
            async for data in stream:
                if data == "[DONE]":
                    break
                assembly.add(parse_json_object(data))
    except RequestFailure as trouble:
        if trouble.code != "disconnected":
            raise
    if assembly.finish_reason is None:
        count = sum(map(len, assembly.text))
        raise RequestFailure(
            "half_stream",
            f"the stream ended after {count} characters without a finish_reason",
            retry=True,
        )
    return assembly.body


def parse_json_object(text: str | bytes, kind: str = "") -> dict[str, Any]:
    """Parse a JSON object without NaN; RequestFailure `bad_answer` quotes anything else."""
    try:
        value = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        got = f"{kind or 'text'} {quote_message(shown)!r}" if shown else "nothing"
        raise RequestFailure("bad_answer", f"expected JSON, got {got}", retry=True) from None
    if not isinstance(value, dict):
        raise RequestFailure(
            "bad_answer", f"expected a JSON object, got {quote_message(str(value))}", retry=True
        )
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(name)
