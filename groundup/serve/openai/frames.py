"""Server-sent events: how an answer is streamed.

    data: {"id": "chatcmpl-…", "choices": [{"index": 0, "delta": {"content": "The"}}]}
    data: [DONE]

Separators of lines other than the newline are escaped: clients split streams at them too (httpx's
`iter_lines`), though the standard does not.

An error before the first event is an HTTP error; a later one is an event, after which the stream
ends without [DONE], as OpenAI's does.
"""

from collections.abc import AsyncGenerator
from typing import Any

from pydantic_core import to_json

from groundup.core import GroundupError

from .errors import api_error
from .schemas import StreamOptions

DONE = b"data: [DONE]\n\n"
LINE_SEPARATORS = {each.encode(): f"\\u{ord(each):04x}".encode() for each in "\x85\u2028\u2029"}
Frames = AsyncGenerator[bytes, None]
"""What is streamed, event by event."""


def to_frame(value: dict[str, Any], event: str = "") -> bytes:
    """A value as an event."""
    name = f"event: {event}\n".encode() if event else b""
    data = to_json(value, inf_nan_mode="null")
    for separator, escaped in LINE_SEPARATORS.items():
        data = data.replace(separator, escaped)
    return name + b"data: " + data + b"\n\n"


class ChunkWriter:
    """Writes the events of a stream of choices, with the usage at its end if that is asked for."""

    def __init__(self, head: dict[str, Any], options: StreamOptions | None) -> None:
        self.has_usage = options is not None and bool(options.include_usage)
        self.head = head | ({"usage": None} if self.has_usage else {})

    def frame(self, choice: dict[str, Any], extra: dict[str, Any] | None = None) -> bytes:
        """A part of one choice as an event, and what is said of the whole answer."""
        choices = [{"logprobs": None, "finish_reason": None} | choice]
        return to_frame(self.head | {"choices": choices} | (extra or {}))

    def end(self, usage: dict[str, int]) -> bytes:
        """The last events."""
        last = to_frame(self.head | {"choices": [], "usage": usage}) if self.has_usage else b""
        return last + DONE


async def begun(frames: Frames) -> Frames:
    """The same frames, of which the first has come; raises what comes before it."""
    first = await anext(frames)

    async def all_frames() -> Frames:
        try:
            yield b""  # taken below: closing it does nothing unless it has begun
            yield first
            async for frame in frames:
                yield frame
        except GroundupError as error:
            yield to_frame(api_error(error).to_json())
        finally:
            await frames.aclose()

    frames_left = all_frames()
    await anext(frames_left)
    return frames_left
