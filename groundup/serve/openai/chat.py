"""Chat completions: a conversation is answered by the model, or from the documents.

However it is made, an answer comes in parts, of which responses.py makes responses.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from .answering import Exchange, Served
from .errors import ApiError
from .frames import ChunkWriter, Frames, begun
from .grounded import ask_documents, grounded_parts
from .schemas import ChatRequest, GroundingFields
from .tools import ToolStream, conversation_of, tool_grammar


class AnswerPart(NamedTuple):
    """What comes of an answer at once."""

    choice: int
    text: str
    calls: list[dict[str, Any]]
    """Of functions, at the end."""
    annotations: list[dict[str, Any]]
    """Of an answer from documents, at the end."""
    logprobs: list[dict[str, Any]]
    """Of its tokens, if they are asked for; the end has none."""
    ended: str | None
    """Why the answer ends with it."""


async def complete_chat(
    served: Served, request: ChatRequest, tenant: str
) -> dict[str, Any] | Frames:
    """Answer a conversation: the answer, or its stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    exchange = await begin_answer(served, request, tenant)
    if request.stream:
        return await begun(_stream(served, request, exchange))
    choices: dict[int, list[AnswerPart]] = {}
    async for part in answer_parts(served, request, exchange):
        choices.setdefault(part.choice, []).append(part)
    head = served.head(exchange, "chat.completion") | _details(exchange)
    return head | {
        "choices": [_choice(request, index, choices[index]) for index in sorted(choices)],
        "usage": exchange.usage(),
    }


async def begin_answer(
    served: Served, request: ChatRequest, tenant: str, kind: str = "chatcmpl"
) -> Exchange:
    """The exchange of a conversation, which is complete if the documents answer.

    Raises ApiError for what the model cannot read or write, and what the engine raises.
    """
    if served.has_index and request.grounded is not False:
        return await ask_documents(served, request, tenant, kind)
    given = [name for name in GroundingFields.model_fields if getattr(request, name)]
    if given and not served.has_index:
        what = f"{given[0]} is for answers from documents, and no index is served; leave it out."
        raise ApiError(400, what, param=given[0])
    prompts = served.language_model()
    if not served.has_template:
        what = f"The model `{served.name}` has no chat template; use /v1/completions."
        raise ApiError(400, what, param="messages")
    turns = conversation_of(request.messages, request.callable_tools)
    size = sum(len(turn.content) for turn in turns)
    ids = await served.encode(size, lambda: prompts.prompt_ids(turns))
    wanted = request.max_completion_tokens or request.max_tokens
    extra = {"max_tokens": served.fit_tokens(ids, wanted), "logprobs": request.top_logprobs}
    return served.begin(kind, tenant, request, [ids], extra | _constraint(request))


def _constraint(request: ChatRequest) -> dict[str, Any]:
    """What binds the text of the answer."""
    shape, form = request.response_format, request.structured_outputs
    schema: dict[str, Any] | None = None
    if shape and shape.type != "text":
        given = shape.json_schema and shape.json_schema.schema_
        schema = given if given is not None else {"type": "object"}
    if form and (schema is not None or request.callable_tools):
        what = "structured_outputs cannot be used with response_format or tools; leave out one."
        raise ApiError(400, what, param="structured_outputs")
    if request.callable_tools:
        if request.stop:
            raise ApiError(400, "stop cannot be used with tools; leave out one.", param="stop")
        functions = [tool.function for tool in request.callable_tools]
        is_parallel = request.parallel_tool_calls is not False
        return {"grammar": tool_grammar(functions, request.tool_choice, is_parallel, schema)}
    if form:
        return form.model_dump(exclude_none=True)
    return {} if schema is None else {"json_schema": schema}


async def answer_parts(
    served: Served, request: ChatRequest, exchange: Exchange
) -> AsyncGenerator[AnswerPart, None]:
    """The parts of an answer as they come; raises what the engine raises."""
    if exchange.asked:
        annotations = list[dict[str, Any]]()
        for text, added in grounded_parts(exchange.asked["answer"]):
            annotations += added
            yield AnswerPart(0, text, [], [], [], None)
        yield AnswerPart(0, "", [], annotations, [], "stop")
        return
    streams = [ToolStream(request.callable_tools) for _ in exchange.prompts]
    async with aclosing(served.stream(exchange)) as deltas:
        async for index, text, token in deltas:
            text, calls = streams[index].add(text, token.ended is not None)
            ended = "tool_calls" if calls and token.ended == "stop" else token.ended
            logprobs = list[dict[str, Any]]()
            if request.logprobs and token.id not in served.engines.facts["end_ids"]:
                best = [served.token_to_json(each.id, each.logprob) for each in token.alternatives]
                own = served.token_to_json(token.id, token.logprob)
                logprobs.append(own | {"top_logprobs": best})
            yield AnswerPart(index, text, calls, [], logprobs, ended)


def _details(exchange: Exchange) -> dict[str, Any]:
    """What `groundup ask --json` says of an answer from documents."""
    return {"groundup": exchange.asked["answer"]} if exchange.asked else {}


def _logprobs(request: ChatRequest, parts: Sequence[AnswerPart]) -> dict[str, Any] | None:
    content = [each for part in parts for each in part.logprobs]
    return {"content": content, "refusal": None} if request.logprobs else None


def _choice(request: ChatRequest, index: int, parts: Sequence[AnswerPart]) -> dict[str, Any]:
    text, last = "".join(part.text for part in parts), parts[-1]
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if last.calls:
        message |= {"content": text or None, "tool_calls": last.calls}
    if last.annotations:
        message["annotations"] = last.annotations
    return {
        "index": index, "message": message, "logprobs": _logprobs(request, parts),
        "finish_reason": last.ended,
    }  # fmt: skip


async def _stream(served: Served, request: ChatRequest, exchange: Exchange) -> Frames:
    head = served.head(exchange, "chat.completion.chunk")
    writer, opened = ChunkWriter(head, request.stream_options), set[int]()
    async with aclosing(answer_parts(served, request, exchange)) as parts:
        async for part in parts:
            place = {"index": part.choice}
            if part.choice not in opened:
                opened.add(part.choice)
                yield writer.frame(place | {"delta": {"role": "assistant", "content": ""}})
            delta: dict[str, Any] = {"content": part.text} if part.text else {}
            if part.calls:
                delta["tool_calls"] = [{"index": at} | call for at, call in enumerate(part.calls)]
            if part.annotations:
                delta["annotations"] = part.annotations
            if delta or part.logprobs:
                yield writer.frame(place | {"delta": delta, "logprobs": _logprobs(request, [part])})
            if part.ended is not None:
                last = place | {"delta": {}, "finish_reason": part.ended}
                yield writer.frame(last, _details(exchange))
    yield writer.end(exchange.usage())
