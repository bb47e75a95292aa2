"""Completions of plain prompts, with the log-probabilities of what was given if `echo` asks.

With echo and max_tokens=0 a text is scored, which is how evaluation harnesses ask for likelihoods.
"""

import asyncio
import codecs
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from groundup.core import TokenLogprob

from ..engine.process import ChosenToken
from .answering import Delta, Exchange, Served
from .errors import ApiError
from .frames import ChunkWriter, Frames, begun
from .schemas import MAX_PROMPTS, CompletionRequest

DEFAULT_TOKENS = 16
"""Of an answer, as at OpenAI."""


async def complete(
    served: Served, request: CompletionRequest, tenant: str
) -> dict[str, Any] | Frames:
    """Continue prompts: the continuations, or their stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    if request.suffix:
        raise ApiError(400, "suffix is not supported; leave it out.", param="suffix")
    if request.best_of not in (None, request.n or 1):
        raise ApiError(400, "best_of must equal n: all answers are returned.", param="best_of")
    prompts, n = await encode_inputs(served, request.prompt), request.n or 1
    if n * len(prompts) > MAX_PROMPTS:
        what = f"n={n} for {len(prompts)} prompts: at most {MAX_PROMPTS} answers are given at once."
        raise ApiError(400, what, param="n")
    wanted = DEFAULT_TOKENS if request.max_tokens is None else request.max_tokens
    if wanted == 0 and not (request.echo and not request.stream):
        what = "max_tokens=0 is for echo=true without a stream."
        raise ApiError(400, what, param="max_tokens")
    for prompt in prompts:
        served.fit_tokens(prompt, wanted, "prompt")
    extra = {"max_tokens": max(1, wanted), "logprobs": request.logprobs}
    exchange = served.begin("cmpl", tenant, request, prompts, extra)
    scored = [row for row in await _score(served, request, prompts) for _ in range(n)]
    if request.stream:
        return await begun(_stream(served, request, exchange, scored))
    found: list[list[Delta]] = [[] for _ in exchange.prompts]
    if wanted:
        async for delta in served.stream(exchange):
            found[delta.choice].append(delta)
    else:
        served.meter.count(exchange.usage())
    choices = []
    for index, pieces in enumerate(found):
        text = _echo(served, request, exchange, index) + "".join(piece.text for piece in pieces)
        tokens = [*scored[index], *(piece.token for piece in pieces)]
        logprobs = _logprobs(served, request, tokens, TextOffsets())
        ended = exchange.ended[index] or "length"
        choices.append({"index": index, "text": text, "logprobs": logprobs, "finish_reason": ended})
    head = served.head(exchange, "text_completion")
    return head | {"choices": choices, "usage": exchange.usage()}


async def encode_inputs(
    served: Served, given: str | Sequence[Any], param: str = "prompt"
) -> list[list[int]]:
    """The ids of the prompts of a request: texts or ids, one or several.

    Raises ApiError for ids that the model has not, and for texts that cannot fit into its context;
    ConfigError for an empty text.
    """
    model, rows = served.language_model(), list[list[int]]()
    for each in [given] if isinstance(given, str) or isinstance(given[0], int) else given:
        text = each if isinstance(each, str) else ""
        work = partial(model.encode_prompt, each) if isinstance(each, str) else partial(list, each)
        rows.append(await served.encode(len(text), work, param))
    size = model.tokenizer.vocab_size
    if wrong := [id for row in rows for id in row if id >= size]:
        what = f"The token {wrong[0]} is not in the vocabulary of {size}."
        raise ApiError(400, what, param="prompt", code="invalid_value")
    return rows


async def _score(
    served: Served, request: CompletionRequest, prompts: Sequence[list[int]]
) -> list[list[ChosenToken]]:
    """The log-probabilities of the prompts, if they are asked for."""
    if not request.echo or request.logprobs is None:
        return [[] for _ in prompts]
    calls = [
        served.engines.choose(i).call("score", {"ids": i, "top": request.logprobs}) for i in prompts
    ]
    rows = []
    for at, (ids, found) in enumerate(zip(prompts, await asyncio.gather(*calls), strict=True)):
        best = [[TokenLogprob(*each) for each in place] for place in found["alternatives"]]
        best = best or [[] for _ in ids[1:]]
        rest = zip(ids[1:], found["logprobs"], best, strict=True)
        tokens = [ChosenToken(at, *values) for values in rest]
        rows.append([ChosenToken(at, ids[0], None), *tokens])
    return rows


def _echo(served: Served, request: CompletionRequest, exchange: Exchange, index: int) -> str:
    """The text of a prompt, if it is asked for."""
    if not request.echo:
        return ""
    given, at = request.prompt, index // exchange.n
    text = given if isinstance(given, str) else given[at]
    is_text = isinstance(text, str)
    return text if is_text else served.language_model().tokenizer.decode(exchange.prompts[index])


class TextOffsets:
    """Where tokens begin in a text of which they may be parts of characters."""

    def __init__(self) -> None:
        self.decoder, self.at = codecs.getincrementaldecoder("utf-8")("replace"), 0

    def add(self, data: bytes) -> int:
        """The characters before a token of these bytes."""
        at, self.at = self.at, self.at + len(self.decoder.decode(data))
        return at


def _token_name(data: bytes) -> str:
    r"""A token's text, or its bytes as OpenAI writes those of parts of characters.

    >>> _token_name("é".encode()), _token_name("é".encode()[:1])
    ('é', 'bytes:\\xc3')
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _likeliest(decode: Callable[[list[int]], bytes], token: ChosenToken) -> dict[str, float]:
    """The log-probabilities of the likeliest tokens and of the one that is there, by name."""
    values = {each.id: each.logprob for each in token.alternatives} | {token.id: token.logprob}
    found = dict[str, Any]()
    for id, logprob in values.items():
        name = _token_name(decode([id]))  # which two tokens may have
        found[f"token_id:{id}" if name in found else name] = logprob
    return found


def _logprobs(
    served: Served, request: CompletionRequest, tokens: Sequence[ChosenToken], offsets: TextOffsets
) -> dict[str, Any] | None:
    """Tokens, their log-probabilities, and where each begins in the text."""
    if request.logprobs is None:
        return None
    decode = served.language_model().tokenizer.decode_bytes
    data = [decode([token.id]) for token in tokens]
    best = [None if each.logprob is None else _likeliest(decode, each) for each in tokens]
    return {
        "tokens": [*map(_token_name, data)], "token_logprobs": [each.logprob for each in tokens],
        "top_logprobs": best, "text_offset": [*map(offsets.add, data)],
    }  # fmt: skip


async def _stream(
    served: Served, request: CompletionRequest, exchange: Exchange,
    scored: Sequence[Sequence[ChosenToken]],
) -> Frames:  # fmt: skip
    writer = ChunkWriter(served.head(exchange, "text_completion"), request.stream_options)
    offsets = [TextOffsets() for _ in exchange.prompts]
    begun = set[int]()
    async with aclosing(served.stream(exchange)) as pieces:
        async for index, text, token in pieces:
            tokens = [token]
            if index not in begun:
                begun.add(index)
                text = _echo(served, request, exchange, index) + text
                tokens = [*scored[index], token]
            logprobs = _logprobs(served, request, tokens, offsets[index])
            if text or logprobs or token.ended:
                choice = {"index": index, "text": text, "logprobs": logprobs}
                yield writer.frame(choice | {"finish_reason": token.ended})
    yield writer.end(exchange.usage())
