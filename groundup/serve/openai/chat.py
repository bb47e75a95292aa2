"""Chat completions: a conversation is answered by the model, or from the documents."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from .answering import (
    Delta,
    Exchange,
    Served,
    begin_exchange,
    collect,
    encode,
    fit_tokens,
    sampling_of,
    stream_deltas,
    token_to_json,
)
from .errors import ApiError
from .frames import DONE, Frames, begun, to_frame
from .grounded import GroundedAnswer, answer_from_documents
from .schemas import ChatRequest
from .tools import ToolStream, conversation_of, parse_calls, tool_grammar


async def complete_chat(
    served: Served, request: ChatRequest, tenant: str
) -> dict[str, Any] | Frames:
    """Answer a conversation: the answer, or its stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    if served.has_index and request.grounded is not False:
        answer = await answer_from_documents(served, request, tenant)
        return _stream_grounded(served, request, answer) if request.stream else _whole_grounded(
            served, answer
        )  # fmt: skip
    exchange = await begin_chat(served, request, tenant)
    if request.stream:
        return await begun(_stream(served, request, exchange))
    found = await collect(served, exchange)
    choices = [
        _choice(served, request, exchange, index, pieces) for index, pieces in enumerate(found)
    ]
    return _head(served, exchange, "chat.completion") | {
        "choices": choices, "usage": exchange.usage()
    }  # fmt: skip


async def begin_chat(
    served: Served, request: ChatRequest, tenant: str, kind: str = "chatcmpl"
) -> Exchange:
    """The exchange of a conversation; ApiError for what the model cannot read or write."""
    prompts = served.language_model()
    if not served.has_template:
        what = f"The model `{served.name}` has no chat template; use /v1/completions."
        raise ApiError(400, what, param="messages")
    turns = conversation_of(request.messages, request.callable_tools)
    size = sum(len(turn.content) for turn in turns)
    ids = await encode(served, size, lambda: prompts.prompt_ids(turns))
    wanted = request.max_completion_tokens or request.max_tokens
    extra = {"max_tokens": fit_tokens(served, ids, wanted), "logprobs": request.top_logprobs}
    sampling = sampling_of(request, served, extra | _constraint(request))
    exchange = begin_exchange(kind, [ids], sampling, request.n or 1, request.seed)
    exchange.tenant = tenant
    return exchange


def _constraint(request: ChatRequest) -> dict[str, Any]:
    """What binds the text of the answer."""
    shape, form = request.response_format, request.structured_outputs
    schema: dict[str, Any] | None = None
    if shape and shape.type != "text":
        given = shape.json_schema and shape.json_schema.schema_
        schema = given if given is not None else {"type": "object"}
    if request.callable_tools:
        if request.stop:
            raise ApiError(400, "stop cannot be used with tools; leave out one.", param="stop")
        functions = [tool.function for tool in request.callable_tools]
        is_parallel = request.parallel_tool_calls is not False
        return {"grammar": tool_grammar(functions, request.tool_choice, is_parallel, schema)}
    if form is None:
        return {} if schema is None else {"json_schema": schema}
    values = {
        "json_schema": form.json_, "regex": form.regex, "choices": form.choice,
        "grammar": form.grammar,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def _head(served: Served, exchange: Exchange, what: str) -> dict[str, Any]:
    return {
        "id": exchange.id, "object": what, "created": exchange.created, "model": served.name,
        "system_fingerprint": f"fp_{served.identity[:12]}",
    }  # fmt: skip


def _choice(
    served: Served, request: ChatRequest, exchange: Exchange, index: int, pieces: Sequence[Delta]
) -> dict[str, Any]:
    text, ended = "".join(piece.text for piece in pieces), exchange.ended[index]
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if request.callable_tools and (parsed := parse_calls(text)).calls:
        message |= {"content": parsed.content or None, "tool_calls": parsed.calls}
        ended = "tool_calls" if ended == "stop" else ended
    logprobs = logprobs_of(served, request, pieces)
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": ended}


def logprobs_of(
    served: Served, request: ChatRequest, pieces: Sequence[Delta]
) -> dict[str, Any] | None:
    """The log-probabilities of an answer's tokens, if they are asked for; its end has none."""
    if not request.logprobs:
        return None
    content = []
    for _, _, token in pieces:
        if token.id in served.engines.facts["end_ids"]:
            continue
        best = [token_to_json(served, each.id, each.logprob) for each in token.alternatives]
        content.append(token_to_json(served, token.id, token.logprob) | {"top_logprobs": best})
    return {"content": content, "refusal": None}


async def _stream(served: Served, request: ChatRequest, exchange: Exchange) -> Frames:
    head = _head(served, exchange, "chat.completion.chunk")
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    empty = {"usage": None} if with_usage else {}

    def frame(index: int, delta: dict[str, Any], ended: str | None, logprobs: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": ended}
        return to_frame(head | {"choices": [choice]} | empty)

    streams = [ToolStream() for _ in exchange.prompts]
    opened = set[int]()
    async with aclosing(stream_deltas(served, exchange)) as pieces:
        async for piece in pieces:
            index = piece.choice
            if index not in opened:
                opened.add(index)
                yield frame(index, {"role": "assistant", "content": ""}, None, None)
            text, ended = piece.text, piece.token.ended
            delta: dict[str, Any] = {}
            if request.callable_tools:
                text, delta = _without_calls(streams[index], text, ended is not None)
            if text:
                delta["content"] = text
            logprobs = logprobs_of(served, request, [piece])
            if delta or (logprobs and logprobs["content"]):
                yield frame(index, delta, None, logprobs)
            if ended is not None:
                is_call = ended == "stop" and "tool_calls" in delta
                yield frame(index, {}, "tool_calls" if is_call else ended, None)
    if with_usage:
        yield to_frame(head | {"choices": [], "usage": exchange.usage()})
    yield DONE


def _without_calls(stream: ToolStream, text: str, is_last: bool) -> tuple[str, dict[str, Any]]:
    """What can be shown as text, and at the end the calls that the rest is."""
    shown = stream.add(text)
    if not is_last:
        return shown, {}
    parsed = stream.end()
    calls = [{"index": at} | call for at, call in enumerate(parsed.calls)]
    return shown + parsed.content, {"tool_calls": calls} if calls else {}


def _whole_grounded(served: Served, answer: GroundedAnswer) -> dict[str, Any]:
    exchange = answer.exchange
    message = {
        "role": "assistant", "content": answer.text, "refusal": None,
        "annotations": answer.annotations,
    }  # fmt: skip
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _head(served, exchange, "chat.completion") | {
        "choices": [choice], "usage": answer.usage, "groundup": answer.details
    }  # fmt: skip


async def _stream_grounded(served: Served, request: ChatRequest, answer: GroundedAnswer) -> Frames:
    head = _head(served, answer.exchange, "chat.completion.chunk")
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": part} for part in answer.parts]
    deltas += [{"annotations": answer.annotations}] if answer.annotations else []
    empty = {"usage": None} if with_usage else {}
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        yield to_frame(head | {"choices": [choice]} | empty)
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    yield to_frame(head | {"choices": [last], "groundup": answer.details} | empty)
    if with_usage:
        yield to_frame(head | {"choices": [], "usage": answer.usage})
    yield DONE
