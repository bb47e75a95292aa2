"""Responses of a server: bodies and streams of bytes parsed into core records.

A stream is assembled into the answer that an unstreamed request would give. It is complete once a
choice has its `finish_reason`; one that ends earlier, with or without `[DONE]`, is an error.

A likelihood is read from an echo: the complete text comes back as tokens with log-probabilities,
and the continuation's tokens are those that hold one of its bytes, counted from the prompt's end.
So a token that spans the boundary is scored, and tokens that a server prepends shift nothing. The
tokens must spell the continuation, or there is no score.

What is missing raises RequestFailure; a response of an unexpected shape raises TypeError,
LookupError and the like, which the caller treats as `bad_answer`.
"""

import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Completion, FinishReason, Generation, Likelihood

from ..batching.text import find_stop
from .errors import RequestFailure, failure_from_status, parse_error, quote_message

MAX_LINE_BYTES = 2**22
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "end_turn": "stop",
    "length": "length", "max_tokens": "length",
}  # fmt: skip
ABNORMAL_FINISHES = {
    "content_filter": "content_filter", "tool_calls": "tool_calls", "function_call": "tool_calls",
}  # fmt: skip


def _bad_answer(message: str) -> RequestFailure:
    return RequestFailure("bad_answer", message, retry=True)


def _no_logprobs(message: str) -> RequestFailure:
    return RequestFailure("no_logprobs", message)


class Usage(NamedTuple):
    """Tokens of one answer, reported by the server or estimated."""

    prompt_tokens: int
    tokens: int
    cached: int = 0


BYTES_PER_TOKEN = 3
"""A conservative estimate for prompts, whose token count is unknown before sending."""


def estimate_usage(prompt: str, max_tokens: int) -> Usage:
    """Estimate a request's tokens for the budget."""
    size = len(prompt.encode("utf-8", errors="replace"))
    return Usage(math.ceil(size / BYTES_PER_TOKEN), max_tokens)


def parse_usage(body: dict[str, Any], estimated: Usage | None = None) -> Usage:
    """Tokens as the server reports them, else the estimate or 0."""
    usage, estimated = body.get("usage"), estimated or Usage(0, 0)
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        _valid_count(usage.get("prompt_tokens"), estimated.prompt_tokens),
        _valid_count(
            usage.get("completion_tokens"), 0 if "prompt_tokens" in usage else estimated.tokens
        ),
        _valid_count(cached, 0),
    )


def _valid_count(value: Any, default: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
    return value if is_count else default


def _first_choice(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _bad_answer("the answer has no choices")
    return choices[0]


def _choice_text(choice: dict[str, Any]) -> str:
    message, text = choice.get("message"), choice.get("text")
    if isinstance(message, dict):
        if message.get("refusal"):
            message_text = quote_message(str(message["refusal"]))
            raise RequestFailure("content_filter", f"the server refused: {message_text}")
        text = message.get("content")
        if text is None:
            raise RequestFailure("no_text", "the answer has no text (content: null)")
        if isinstance(text, list):  # parts, of which the texts are the answer
            text = "".join(part.get("text", "") for part in text)
    if not isinstance(text, str):
        raise _bad_answer("the answer's first choice has no text")
    return _replace_surrogates(text)


def _replace_surrogates(text: str) -> str:
    """A text that UTF-8 can encode: a lone surrogate becomes U+FFFD.

    >>> _replace_surrogates("\\ud83d is half of \\ud83d\\ude00") == "\ufffd is half of \U0001f600"
    True
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _finish_reason(choice: dict[str, Any]) -> FinishReason:
    reason = str(choice.get("finish_reason"))
    if reason in ABNORMAL_FINISHES:
        raise RequestFailure(ABNORMAL_FINISHES[reason], f"the answer ended by {reason}")
    if reason not in FINISH_REASONS:
        raise _bad_answer(f"finish_reason is {quote_message(reason)}")
    return FINISH_REASONS[reason]


def parse_completion(body: dict[str, Any], until: Sequence[str]) -> Completion:
    """Parse a completion, truncated before the first of `until`.

    >>> body = {"choices": [{"text": "a b\\nc", "finish_reason": "length"}]}
    >>> parse_completion(body, ["\\n", "c"]).text
    'a b'
    """
    choice = _first_choice(body)
    finish, text = _finish_reason(choice), _choice_text(choice)
    if (end := find_stop(text, until)) is not None:
        text, finish = text[:end], "stop"
    usage = parse_usage(body)
    return Completion(text, finish, usage.tokens, usage.prompt_tokens)


class EchoedTokens(NamedTuple):
    """The tokens of prompt and generation as a server spells and scores them."""

    tokens: list[bytes]
    logprobs: list[float | None]
    top_logprobs: list[float | None]
    """Highest log-probability at each position; None where it is missing."""


def _parse_echo(body: dict[str, Any]) -> EchoedTokens:
    fields = _first_choice(body).get("logprobs")
    if not fields or not fields.get("tokens"):
        raise _no_logprobs("the server gave no log-probabilities of the prompt")
    tokens, logprobs = fields["tokens"], fields["token_logprobs"]
    tops = fields.get("top_logprobs") or [None] * len(tokens)
    if not len(tokens) == len(logprobs) == len(tops):
        raise _bad_answer("tokens and token_logprobs differ in number")
    best = [max(map(_parse_logprob, top.values())) if top else None for top in tops]
    scored = [None if value is None else _parse_logprob(value) for value in logprobs]
    return EchoedTokens([_token_bytes(token) for token in tokens], scored, best)


def _parse_logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _bad_answer(f"{quote_message(repr(value))} is no log-probability")
    return float(value)


def _token_bytes(token: Any) -> bytes:
    """The bytes of a token; partial characters are spelled `bytes:\\xe2\\x80`.

    >>> _token_bytes(" caf"), _token_bytes("bytes:\\\\xc3")
    (b' caf', b'\\xc3')
    """
    if not isinstance(token, str):
        raise _bad_answer(f"{quote_message(repr(token))} is no token")
    if re.fullmatch(r"bytes:(\\x[0-9a-fA-F]{2})+", token):
        return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
    return token.encode("utf-8", "replace")


def parse_likelihood(body: dict[str, Any], prompt: str, continuation: str) -> Likelihood:
    """The likelihood of the end of an echoed prompt.

    The echo ends with the generation, at most one token, so the prompt's end is found where the
    tokens spell the continuation. Some servers ignore `echo` and score what they generate.
    """
    echo, expected = _parse_echo(body), continuation.encode()
    is_echo = _choice_text(_first_choice(body)).startswith(prompt)
    if not is_echo and prompt.encode() not in b"".join(echo.tokens):
        raise _no_logprobs("the server does not give the prompt back (echo)")
    count = len(echo.tokens)
    ends = dict.fromkeys((parse_usage(body).prompt_tokens, count - 1, count))
    for end in (end for end in ends if 0 < end <= count):
        start = _continuation_start(echo, expected, end)
        if start is not None:
            return _sum_logprobs(echo, start, end)
    raise RequestFailure("unaligned", "the server's tokens do not spell the continuation")


def _continuation_start(echo: EchoedTokens, expected: bytes, end: int) -> int | None:
    """Index of the first token that holds a byte of the continuation; None if it is not spelled."""
    start, size = end, 0
    while start > 0 and size < len(expected):
        start -= 1
        size += len(echo.tokens[start])
    if not b"".join(echo.tokens[start:end]).endswith(expected):
        return None
    # The first bytes of a character may come as tokens without text.
    while start > 1 and not echo.tokens[start - 1] and echo.logprobs[start - 1] is not None:
        start -= 1
    return start


def _sum_logprobs(echo: EchoedTokens, start: int, end: int) -> Likelihood:
    logprobs = echo.logprobs[start:end]
    if any(value is None for value in logprobs):
        first = (
            "the server gives no log-probability of the first token; set prefix to the model's bos"
        )
        raise RequestFailure("first_token", first)
    scored = [value for value in logprobs if value is not None]
    best = echo.top_logprobs[start:end]
    if any(value is None for value in best):
        raise _no_logprobs("the server does not tell the likeliest tokens (top_logprobs)")
    greedy = all(
        mine >= top - 1e-9 for mine, top in zip(scored, best, strict=True) if top is not None
    )
    return Likelihood(math.fsum(scored), greedy, len(scored))


def parse_generation(body: dict[str, Any]) -> Generation:
    """A chat reply as a generation.

    Missing ids are -1 and missing log-probabilities empty: some servers merge the tokens of one
    character and report fewer than they generated.
    """
    choice, num_tokens = _first_choice(body), parse_usage(body).tokens
    finish, text = _finish_reason(choice), _choice_text(choice)
    logprobs = choice.get("logprobs")
    rows = (logprobs.get("content") if isinstance(logprobs, dict) else None) or []
    if num_tokens and len(rows) not in (num_tokens, num_tokens - 1):  # the end token may be omitted
        rows = []
    ids = choice.get("token_ids") or [row.get("id", -1) for row in rows] or [-1] * num_tokens
    return Generation(
        text, tuple(ids), tuple(_parse_logprob(row.get("logprob")) for row in rows), finish
    )


class PromptLogprobs(NamedTuple):
    """A rendered conversation's ids and their log-probabilities."""

    ids: list[int]
    logprobs: list[float | None]


def parse_prompt_logprobs(body: dict[str, Any]) -> PromptLogprobs:
    """The prompt's ids and log-probabilities in vLLM's format: one dictionary per position."""
    rows = body.get("prompt_logprobs")
    if not isinstance(rows, list) or len(rows) < 2:
        raise _no_logprobs("the server gave no log-probabilities of the conversation")
    ids: list[int] = [-1]
    logprobs: list[float | None] = [None]
    for row in rows[1:]:
        name, entry = list(row.items())[0]
        ids.append(int(name))
        logprobs.append(_parse_logprob(entry["logprob"]))
    return PromptLogprobs(ids, logprobs)


def parse_embeddings(body: dict[str, Any], count: int) -> np.ndarray:
    """Embeddings in the order of their texts, float32 (count, width)."""
    by_index = {row["index"]: row["embedding"] for row in body["data"]}
    if set(by_index) != set(range(count)):
        raise _bad_answer(f"expected {count} embeddings, got {len(by_index)}")
    matrix = np.asarray([by_index[i] for i in range(count)], dtype=np.float32)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise _bad_answer("the embeddings are no vectors of one width")
    return matrix


async def _sse_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Yield the data of each event; comments and other fields are ignored."""
    pending, data = b"", []
    async for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            too_large = f"a line of the stream exceeds {MAX_LINE_BYTES} bytes"
            raise RequestFailure("too_large", too_large)
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                try:
                    yield b"\n".join(data).decode()
                except UnicodeDecodeError:
                    raise _bad_answer("the stream is not UTF-8") from None
                data = []
    if b"[DONE]" in (*data, pending.strip().removeprefix(b"data:").strip()):
        yield "[DONE]"


async def assemble_stream(chunks: AsyncIterator[bytes]) -> dict[str, Any]:
    """The body of the complete answer, for chats and for plain completions.

    RequestFailure `half_stream` if it is incomplete.
    """
    text, tokens, finish, usage = list[str](), list[Any](), None, None
    try:
        async with aclosing(_sse_events(chunks)) as stream:
            async for data in stream:
                if data == "[DONE]":
                    break
                event = parse_json_object(data)
                if event.get("error"):
                    raise failure_from_status(500, {}, *parse_error(event["error"]))
                usage = event.get("usage") or usage
                for choice in _first_choices(event):
                    delta, logprobs = choice.get("delta"), choice.get("logprobs")
                    piece = delta.get("content") if isinstance(delta, dict) else choice.get("text")
                    text.append(piece if isinstance(piece, str) else "")
                    if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
                        tokens += logprobs["content"]
                    finish = choice.get("finish_reason") or finish
    except RequestFailure as failure:
        if failure.code != "disconnected":
            raise
    whole = "".join(text)
    if finish is None:
        half = f"the stream ended after {len(whole)} characters without a finish_reason"
        raise RequestFailure("half_stream", half, retry=True)
    choice = {
        "message": {"role": "assistant", "content": whole}, "text": whole,
        "finish_reason": finish, "logprobs": {"content": tokens} if tokens else None,
    }  # fmt: skip
    return {"choices": [choice], "usage": usage}


def _first_choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    choices = event.get("choices")
    parts = (
        [part for part in choices if isinstance(part, dict)] if isinstance(choices, list) else []
    )
    return [part for part in parts if part.get("index", 0) == 0]


def parse_json_object(text: str | bytes, kind: str = "") -> dict[str, Any]:
    """Parse a JSON object without NaN; RequestFailure `bad_answer` quotes anything else."""
    try:
        value = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        got = f"{kind or 'text'} {quote_message(shown)!r}" if shown else "nothing"
        raise _bad_answer(f"expected JSON, got {got}") from None
    if not isinstance(value, dict):
        raise _bad_answer(f"expected a JSON object, got {quote_message(str(value))}")
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(name)
