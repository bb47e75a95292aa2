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
    head_of,
    stream_deltas,
    token_to_json,
)
from .errors import ApiError
from .frames import ChunkWriter, Frames, begun
from .grounded import GroundedAnswer, answer_from_documents
from .schemas import ChatRequest
from .tools import ToolStream, conversation_of, tool_grammar


async def complete_chat(
    served: Served, request: ChatRequest, tenant: str
) -> dict[str, Any] | Frames:
    """Answer a conversation: the answer, or its stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    if served.has_index and request.grounded is not False:
        answer = await answer_from_documents(served, request, tenant)
        if request.stream:
            return _stream_grounded(served, request, answer)
        return _whole_grounded(served, answer)
    exchange = await begin_chat(served, request, tenant)
    if request.stream:
        return await begun(_stream(served, request, exchange))
    choices = [
        _choice(served, request, pieces) | {"index": index}
        for index, pieces in enumerate(await collect(served, exchange))
    ]
    head = head_of(served, exchange, "chat.completion")
    return head | {"choices": choices, "usage": exchange.usage()}


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
    return begin_exchange(served, kind, tenant, request, [ids], extra | _constraint(request))


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


def _choice(served: Served, request: ChatRequest, pieces: Sequence[Delta]) -> dict[str, Any]:
    text, ended = "".join(piece.text for piece in pieces), pieces[-1].token.ended
    content, calls = ToolStream(request.callable_tools).add(text, is_last=True)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if calls:
        message |= {"content": content or None, "tool_calls": calls}
    logprobs = logprobs_of(served, request, pieces)
    return {"message": message, "logprobs": logprobs, "finish_reason": _reason(ended, calls)}


def _reason(ended: str | None, calls: Sequence[Any]) -> str | None:
    return "tool_calls" if calls and ended == "stop" else ended


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
    writer = ChunkWriter(head_of(served, exchange, "chat.completion.chunk"), request.stream_options)
    streams = [ToolStream(request.callable_tools) for _ in exchange.prompts]
    opened = set[int]()
    async with aclosing(stream_deltas(served, exchange)) as pieces:
        async for piece in pieces:
            index, ended = piece.choice, piece.token.ended
            if index not in opened:
                opened.add(index)
                yield writer.frame({"index": index, "delta": {"role": "assistant", "content": ""}})
            text, calls = streams[index].add(piece.text, ended is not None)
            delta: dict[str, Any] = {"content": text} if text else {}
            if calls:
                delta["tool_calls"] = [{"index": at} | call for at, call in enumerate(calls)]
            logprobs = logprobs_of(served, request, [piece])
            if delta or (logprobs and logprobs["content"]):
                yield writer.frame({"index": index, "delta": delta, "logprobs": logprobs})
            if ended is not None:
                reason = _reason(ended, calls)
                yield writer.frame({"index": index, "delta": {}, "finish_reason": reason})
    yield writer.end(exchange.usage())


def _whole_grounded(served: Served, answer: GroundedAnswer) -> dict[str, Any]:
    message = {
        "role": "assistant", "content": answer.text, "refusal": None,
        "annotations": answer.annotations,
    }  # fmt: skip
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return head_of(served, answer.exchange, "chat.completion") | {
        "choices": [choice], "usage": answer.usage, "groundup": answer.details
    }  # fmt: skip


async def _stream_grounded(served: Served, request: ChatRequest, answer: GroundedAnswer) -> Frames:
    head = head_of(served, answer.exchange, "chat.completion.chunk")
    writer = ChunkWriter(head, request.stream_options)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": part} for part in answer.parts]
    deltas += [{"annotations": answer.annotations}] if answer.annotations else []
    for delta in deltas:
        yield writer.frame({"index": 0, "delta": delta})
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield writer.frame(last, {"groundup": answer.details})
    yield writer.end(answer.usage)
