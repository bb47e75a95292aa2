"""The responses API: the same answers as chat completions, in OpenAI's newer form.

A response that is kept can be continued by its id; some are kept in memory, for the tenant that
asked alone. Streams are named events, numbered, from response.created to response.completed.
"""

import itertools
import secrets
from collections import OrderedDict
from contextlib import aclosing
from typing import Any, NamedTuple

from pydantic import ValidationError

from .answering import Exchange, Served, collect, stream_deltas
from .chat import begin_chat, logprobs_of
from .errors import ApiError, invalid_request
from .frames import Frames, begun, to_frame
from .grounded import GroundedAnswer, answer_from_documents
from .schemas import ChatMessage, ChatRequest, ResponseCall, ResponseMessage, ResponseRequest
from .tools import ToolStream, parse_calls, text_of

MAX_KEPT, MAX_KEPT_CHARACTERS = 1_000, 2**25
"""Responses that can be continued, and characters in them; the oldest is forgotten first."""
SAME = (
    "model",
    "temperature",
    "top_p",
    "seed",
    "grounded",
    "only",
    "quotes",
    "parallel_tool_calls",
)
"""Fields that chat completions name alike."""


class KeptResponse(NamedTuple):
    """A response that can be continued."""

    tenant: str
    messages: list[ChatMessage]
    """The conversation with its answer."""
    response: dict[str, Any]

    @property
    def characters(self) -> int:
        """Of its messages."""
        return sum(len(message.content or "") for message in self.messages)


class KeptResponses:
    """The responses of this server that can be continued."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, KeptResponse] = OrderedDict()
        self.characters = 0

    def keep(self, kept: KeptResponse) -> None:
        """Keep one, and forget the oldest if there are too many."""
        self.kept[kept.response["id"]] = kept
        self.characters += kept.characters
        while len(self.kept) > MAX_KEPT or self.characters > MAX_KEPT_CHARACTERS:
            self.characters -= self.kept.popitem(last=False)[1].characters

    def read(self, id: str, tenant: str) -> KeptResponse:
        """One of a tenant's; ApiError if there is none of that id."""
        kept = self.kept.get(id)
        if kept is None or kept.tenant != tenant:
            what = f"The response '{id[:100]}' is not kept here."
            raise ApiError(404, what, param="previous_response_id", code="not_found")
        return kept

    def forget(self, id: str, tenant: str) -> None:
        """Forget one; ApiError if there is none of that id."""
        self.characters -= self.read(id, tenant).characters
        del self.kept[id]


async def respond(
    served: Served, kept: KeptResponses, request: ResponseRequest, tenant: str
) -> dict[str, Any] | Frames:
    """Answer: the response, or its stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    chat = _to_chat(kept, request, tenant)
    work = ResponseWork(served, kept, request, chat, tenant)
    if served.has_index and request.grounded is not False:
        answer = await answer_from_documents(served, chat, tenant, kind="resp")
        if request.stream:
            return _stream_grounded(work, answer)
        return work.finish(answer.exchange, _grounded_output(answer), answer.usage)
    exchange = await begin_chat(served, chat, tenant, kind="resp")
    if request.stream:
        return await begun(_stream(work, exchange))
    [pieces] = await collect(served, exchange)
    text = "".join(piece.text for piece in pieces)
    return work.finish(exchange, work.output(text, pieces), exchange.usage())


def _to_chat(kept: KeptResponses, request: ResponseRequest, tenant: str) -> ChatRequest:
    """The same request as one for a chat completion."""
    messages = list[ChatMessage]()
    if request.previous_response_id is not None:
        messages += kept.read(request.previous_response_id, tenant).messages
    items = [ResponseMessage(role="user", content=request.input)] if isinstance(
        request.input, str) else request.input  # fmt: skip
    for item in items:
        if isinstance(item, ResponseMessage):
            messages.append(ChatMessage(role=item.role, content=text_of(item.content)))
        elif isinstance(item, ResponseCall):
            function = {"name": item.name, "arguments": item.arguments}
            calls = [{"id": item.call_id, "function": function}]
            messages.append(ChatMessage.model_validate({"role": "assistant", "tool_calls": calls}))
        else:
            text = text_of(item.output)
            messages.append(ChatMessage(role="tool", content=text, tool_call_id=item.call_id))
    if request.instructions:
        messages.insert(0, ChatMessage(role="system", content=request.instructions))
    values = {name: getattr(request, name) for name in SAME} | {
        "messages": [message.model_dump(exclude_none=True) for message in messages],
        "max_completion_tokens": request.max_output_tokens,
        "logprobs": True if request.top_logprobs else None, "top_logprobs": request.top_logprobs,
    }  # fmt: skip
    if request.tools:
        functions = [tool.model_dump(exclude={"type"}, exclude_none=True) for tool in request.tools]
        values["tools"] = [{"type": "function", "function": each} for each in functions]
        choice = request.tool_choice
        named = {"type": "function", "function": {"name": getattr(choice, "name", "")}}
        values["tool_choice"] = choice if choice is None or isinstance(choice, str) else named
    if request.text and request.text.format:
        values["response_format"] = _response_format(request)
    try:
        return ChatRequest.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error) from None


def _response_format(request: ResponseRequest) -> dict[str, Any]:
    assert request.text is not None and request.text.format is not None, "the caller looked"
    shape = request.text.format
    if shape.type != "json_schema":
        return {"type": shape.type}
    schema = {"name": shape.name or "answer", "schema": shape.schema_, "strict": shape.strict}
    return {"type": shape.type, "json_schema": schema}


class ResponseWork(NamedTuple):
    """A request, and what answers it."""

    served: Served
    kept: KeptResponses
    request: ResponseRequest
    chat: ChatRequest
    tenant: str

    def output(self, text: str, pieces: Any = ()) -> list[dict[str, Any]]:
        """The items of an answer: a message, and the calls of functions."""
        parsed = parse_calls(text) if self.chat.callable_tools else None
        content = parsed.content if parsed else text
        items = []
        if content or not (parsed and parsed.calls):
            found = logprobs_of(self.served, self.chat, pieces)
            items.append(_message(content, [], found["content"] if found else []))
        return items + [_call(each) for each in (parsed.calls if parsed else ())]

    def shell(self, exchange: Exchange, status: str) -> dict[str, Any]:
        """A response without its output."""
        request, choice = self.request, self.request.tool_choice or "auto"
        shape = request.text and request.text.model_dump(by_alias=True, exclude_none=True)
        return {
            "id": exchange.id, "object": "response", "created_at": exchange.created,
            "model": self.served.name, "status": status, "output": [], "error": None,
            "incomplete_details": None, "instructions": request.instructions, "usage": None,
            "max_output_tokens": request.max_output_tokens, "metadata": request.metadata or {},
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "temperature": exchange.sampling.temperature, "top_p": exchange.sampling.top_p,
            "text": {"format": {"type": "text"}} | (shape or {}),
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
            "tools": [tool.model_dump(exclude_none=True) for tool in request.tools or ()],
            "truncation": request.truncation or "disabled", "store": request.store is not False,
        }  # fmt: skip

    def finish(
        self, exchange: Exchange, output: list[dict[str, Any]], usage: dict[str, int]
    ) -> dict[str, Any]:
        """The whole response, which is kept."""
        is_cut = "length" in exchange.ended
        response = self.shell(exchange, "incomplete" if is_cut else "completed")
        response["output"] = output
        if is_cut:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        response["usage"] = {
            "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        if exchange.asked:
            response["groundup"] = exchange.asked["answer"]
        if self.request.store is not False:
            own = 1 if self.request.instructions else 0  # they are of this response alone
            messages = [*self.chat.messages[own:], _answer_message(output)]
            self.kept.keep(KeptResponse(self.tenant, messages, response))
        return response


def _answer_message(output: list[dict[str, Any]]) -> ChatMessage:
    """An answer as a turn of the conversation that goes on."""
    text = "".join(
        part["text"] for item in output if item["type"] == "message" for part in item["content"]
    )
    calls = [
        {"id": item["call_id"], "function": {"name": item["name"], "arguments": item["arguments"]}}
        for item in output
        if item["type"] == "function_call"
    ]
    values = {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
    return ChatMessage.model_validate(values)


def _message(text: str, annotations: list[Any], logprobs: list[Any]) -> dict[str, Any]:
    part = {
        "type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs
    }  # fmt: skip
    return {
        "type": "message", "id": f"msg_{secrets.token_hex(12)}", "role": "assistant",
        "status": "completed", "content": [part],
    }  # fmt: skip


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "function_call", "id": f"fc_{secrets.token_hex(12)}", "call_id": call["id"],
        "status": "completed", **call["function"],
    }  # fmt: skip


def _grounded_output(answer: GroundedAnswer) -> list[dict[str, Any]]:
    flat = [{"type": each["type"]} | each["url_citation"] for each in answer.annotations]
    return [_message(answer.text, flat, [])]


class EventNumbers:
    """Writes events with their numbers."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def frame(self, kind: str, fields: dict[str, Any]) -> bytes:
        """An event as bytes."""
        value = {"type": kind, "sequence_number": next(self.numbers)} | fields
        return to_frame(value, kind)


def _opening(events: EventNumbers, work: ResponseWork, exchange: Exchange) -> bytes:
    shell = {"response": work.shell(exchange, "in_progress")}
    return events.frame("response.created", shell) + events.frame("response.in_progress", shell)


def _item_opening(events: EventNumbers, at: int, item: dict[str, Any]) -> bytes:
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
    shown = item | empty | {"status": "in_progress"}
    return events.frame("response.output_item.added", {"output_index": at, "item": shown})


async def _stream(work: ResponseWork, exchange: Exchange) -> Frames:
    events, item = EventNumbers(), _message("", [], [])
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    stream, found, shown, is_open = ToolStream(), [], 0, False
    async with aclosing(stream_deltas(work.served, exchange)) as pieces:
        async for piece in pieces:
            if not found:
                yield _opening(events, work, exchange)
            found.append(piece)
            has_tools = bool(work.chat.callable_tools)
            text = stream.add(piece.text) if has_tools else piece.text
            if has_tools and piece.token.ended is not None:
                text += stream.end().content
            if text and not is_open:
                is_open = True
                yield _item_opening(events, 0, item) + _part_opening(events, place)
            if text:
                logprobs = logprobs_of(work.served, work.chat, found[shown:])
                shown = len(found)
                delta = {"delta": text, "logprobs": logprobs["content"] if logprobs else []}
                yield events.frame("response.output_text.delta", place | delta)
    output = work.output("".join(piece.text for piece in found), found)
    if output[0]["type"] == "message":
        output[0]["id"] = item["id"]
    yield _closing(events, work, exchange, output, exchange.usage(), is_open)


async def _stream_grounded(work: ResponseWork, answer: GroundedAnswer) -> Frames:
    events, [item] = EventNumbers(), _grounded_output(answer)
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield _opening(events, work, answer.exchange)
    yield _item_opening(events, 0, item) + _part_opening(events, place)
    for part in filter(None, answer.parts):
        delta = {"delta": part, "logprobs": []}
        yield events.frame("response.output_text.delta", place | delta)
    for at, each in enumerate(item["content"][0]["annotations"]):
        added = {"annotation_index": at, "annotation": each}
        yield events.frame("response.output_text.annotation.added", place | added)
    yield _closing(events, work, answer.exchange, [item], answer.usage, is_open=True)


def _part_opening(events: EventNumbers, place: dict[str, Any]) -> bytes:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return events.frame("response.content_part.added", place | {"part": part})


def _closing(
    events: EventNumbers, work: ResponseWork, exchange: Exchange, output: list[dict[str, Any]],
    usage: dict[str, int], is_open: bool,
) -> bytes:  # fmt: skip
    """The events from the end of the text to that of the response."""
    frames = list[bytes]()
    for at, item in enumerate(output):
        place = {"item_id": item["id"], "output_index": at}
        if item["type"] == "message":
            part, within = item["content"][0], place | {"content_index": 0}
            if not is_open:
                frames += (_item_opening(events, at, item), _part_opening(events, within))
            done = {"text": part["text"], "logprobs": part["logprobs"]}
            frames.append(events.frame("response.output_text.done", within | done))
            frames.append(events.frame("response.content_part.done", within | {"part": part}))
        else:
            frames.append(_item_opening(events, at, item))
            whole, kind = item["arguments"], "response.function_call_arguments"
            done = {"name": item["name"], "arguments": whole}
            frames.append(events.frame(f"{kind}.delta", place | {"delta": whole}))
            frames.append(events.frame(f"{kind}.done", place | done))
        done = {"output_index": at, "item": item}
        frames.append(events.frame("response.output_item.done", done))
    response = work.finish(exchange, output, usage)
    frames.append(events.frame(f"response.{response['status']}", {"response": response}))
    return b"".join(frames)
