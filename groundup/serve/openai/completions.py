"""Completions of plain prompts, with the log-probabilities of what was given if `echo` asks.

With echo and max_tokens=0 a text is scored, which is how evaluation harnesses ask for likelihoods.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Any, NamedTuple

from groundup.core import TokenLogprob

from .answering import (
    Exchange,
    Served,
    begin_exchange,
    collect,
    fit_tokens,
    sampling_of,
    stream_pieces,
)
from .errors import ApiError
from .frames import DONE, begun, to_frame
from .schemas import CompletionRequest

DEFAULT_TOKENS = 16
"""Of an answer, as at OpenAI."""


class ScoredToken(NamedTuple):
    """A token of a prompt or of an answer."""

    id: int
    logprob: float | None
    """None for the first token of a prompt, which nothing predicts."""
    alternatives: Sequence[TokenLogprob]


async def complete(
    served: Served, request: CompletionRequest, tenant: str
) -> dict[str, Any] | AsyncIterator[bytes]:
    """Continue prompts: the continuations, or their stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    if request.suffix:
        raise ApiError(400, "suffix is not supported; leave it out.", param="suffix")
    if request.best_of not in (None, request.n or 1):
        raise ApiError(400, "best_of must equal n: all answers are returned.", param="best_of")
    for text in [request.prompt] if isinstance(request.prompt, str) else request.prompt:
        served.check_length(text if isinstance(text, str) else "")
    prompts = await asyncio.to_thread(encode_inputs, served, request.prompt)
    wanted = DEFAULT_TOKENS if request.max_tokens is None else request.max_tokens
    if wanted == 0 and not (request.echo and not request.stream):
        what = "max_tokens=0 is for echo=true without a stream."
        raise ApiError(400, what, param="max_tokens")
    for prompt in prompts:
        fit_tokens(served, prompt, wanted)
    extra = {"max_tokens": max(1, wanted), "logprobs": request.logprobs}
    exchange = begin_exchange(
        "cmpl", prompts, sampling_of(request, served, extra), request.n or 1, request.seed
    )
    exchange.tenant = tenant
    scored = await _score(served, request, exchange.prompts)
    if request.stream:
        return await begun(_stream(served, request, exchange, scored))
    found = await collect(served, exchange) if wanted else [[] for _ in exchange.prompts]
    if not wanted:
        served.meter.count(exchange.usage())
    choices = []
    for index, pieces in enumerate(found):
        chosen = [ScoredToken(t.id, t.logprob, t.alternatives) for _, _, t in pieces]
        text, before = "".join(piece.text for piece in pieces), scored[index]
        if request.echo:
            text = _text_of(served, exchange.prompts[index]) + text
        logprobs = _logprobs(served, request, [*before, *chosen])
        ended = exchange.ended[index] or "length"
        choices.append(_choice(index, text, logprobs, ended))
    return _head(served, exchange) | {"choices": choices, "usage": exchange.usage()}


def encode_inputs(served: Served, given: str | Sequence[Any]) -> list[list[int]]:
    """The ids of the prompts of a request: texts or ids, one or several.

    Raises ApiError for ids that the model has not, ConfigError for an empty text.
    """
    model = served.language_model()
    several = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    rows = [model.encode_prompt(each) if isinstance(each, str) else list(each) for each in several]
    size = served.engines.facts["vocab_size"]
    if wrong := [id for row in rows for id in row if id >= size]:
        what = f"The token {wrong[0]} is not in the vocabulary of {size}."
        raise ApiError(400, what, param="prompt", code="invalid_value")
    return rows


async def _score(
    served: Served, request: CompletionRequest, prompts: Sequence[list[int]]
) -> list[list[ScoredToken]]:
    """The log-probabilities of the prompts, if they are asked for."""
    if not request.echo or request.logprobs is None:
        return [[] for _ in prompts]
    rows = []
    for ids in prompts:
        engine = served.engines.choose(ids)
        found = await engine.call("score", ids=ids, top=request.logprobs)
        best = [[TokenLogprob(*each) for each in place] for place in found["alternatives"]]
        best = [[], *(best or [[] for _ in ids[1:]])]
        values = zip(ids, [None, *found["logprobs"]], best, strict=True)
        rows.append([ScoredToken(*each) for each in values])
    return rows


def _head(served: Served, exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.id, "object": "text_completion", "created": exchange.created,
        "model": served.name, "system_fingerprint": f"fp_{served.identity[:12]}",
    }  # fmt: skip


def _choice(index: int, text: str, logprobs: Any, ended: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": ended}


def _text_of(served: Served, ids: Sequence[int]) -> str:
    return served.language_model().tokenizer.decode(ids)


def _logprobs(
    served: Served, request: CompletionRequest, tokens: Sequence[ScoredToken], at: int = 0
) -> dict[str, Any] | None:
    """Tokens, their log-probabilities, and where each begins in the text."""
    if request.logprobs is None:
        return None
    names = [_text_of(served, [token.id]) for token in tokens]
    best = [
        None
        if token.logprob is None
        else {_text_of(served, [each.id]): each.logprob for each in token.alternatives}
        | {name: token.logprob}
        for name, token in zip(names, tokens, strict=True)
    ]
    offsets = list(accumulate(map(len, names), initial=at))[:-1]
    return {
        "tokens": names, "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": best, "text_offset": offsets,
    }  # fmt: skip


async def _stream(
    served: Served, request: CompletionRequest, exchange: Exchange,
    scored: Sequence[Sequence[ScoredToken]],
) -> AsyncIterator[bytes]:  # fmt: skip
    head = _head(served, exchange)
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    empty = {"usage": None} if with_usage else {}
    at = [0] * len(exchange.prompts)
    begun = set[int]()
    async with aclosing(stream_pieces(served, exchange)) as pieces:
        async for index, text, token in pieces:
            tokens = [ScoredToken(token.id, token.logprob, token.alternatives)]
            if request.echo and index not in begun:
                text = _text_of(served, exchange.prompts[index]) + text
                tokens = [*scored[index], *tokens]
            begun.add(index)
            logprobs = _logprobs(served, request, tokens, at[index])
            at[index] += len(text)
            if text or logprobs or token.ended:
                choices = [_choice(index, text, logprobs, token.ended)]
                yield to_frame(head | {"choices": choices} | empty)
    if with_usage:
        yield to_frame(head | {"choices": [], "usage": exchange.usage()})
    yield DONE
