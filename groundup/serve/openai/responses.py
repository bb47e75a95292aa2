"""The responses API: the same answers as chat completions, in OpenAI's newer form.

A response that is kept can be continued by its id. Streams are named events, numbered, from
response.created to response.completed.
"""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .answering import Exchange, Served
from .chat import AnswerPart, answer_parts, begin_answer
from .errors import ApiError, invalid_request
from .frames import Frames, begun, to_frame
from .schemas import (
    ChatMessage,
    ChatRequest,
    Item,
    ResponseCall,
    ResponseMessage,
    ResponseRequest,
    ToolCall,
)
from .tools import text_of

SAME = ("model", "temperature", "top_p", "seed", "grounded", "only", "quotes",
        "parallel_tool_calls")  # fmt: skip
"""Fields that chat completions name alike."""
ITEMS = TypeAdapter(list[Item])


async def respond(served: Served, request: ResponseRequest, tenant: str) -> dict[str, Any] | Frames:
    """Answer: the response, or its stream.

    Raises ApiError and what the engine raises, also before a stream begins.
    """
    served.check_model(request.model)
    items: list[Item] = []
    if request.previous_response_id is not None:
        items += served.kept.read(request.previous_response_id, tenant).items
    said = request.input
    items += [ResponseMessage(role="user", content=said)] if isinstance(said, str) else said
    try:
        chat = ChatRequest.model_validate(_chat_values(request, items))
        exchange = await begin_answer(served, chat, tenant, kind="resp")
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
    except ApiError as error:  # of what this API names otherwise
        error.param = "input" if error.param == "messages" else error.param
        raise
    work = ResponseWork(served, request, chat, items, exchange)
    if request.stream:
        return await begun(_stream(work))
    return work.finish(work.output([part async for part in answer_parts(served, chat, exchange)]))


def _chat_values(request: ResponseRequest, items: Sequence[Item]) -> dict[str, Any]:
    """The same request as one for a chat completion."""
    messages = _messages_of(items)
    if request.instructions:
        messages.insert(0, ChatMessage(role="system", content=request.instructions))
    values = {name: getattr(request, name) for name in SAME} | {
        "messages": messages, "max_completion_tokens": request.max_output_tokens,
        "logprobs": True if request.top_logprobs else None, "top_logprobs": request.top_logprobs,
    }  # fmt: skip
    if request.tools:
        values["tools"] = [{"type": "function", "function": each} for each in request.tools]
    choice = request.tool_choice
    is_named = choice is not None and not isinstance(choice, str)
    values["tool_choice"] = {"type": "function", "function": choice} if is_named else choice
    if request.text and (form := request.text.format):
        schema = {"name": form.name or "answer", "schema": form.schema_, "strict": form.strict}
        given = {"json_schema": schema} if form.type == "json_schema" else {}
        values["response_format"] = {"type": form.type} | given
    return values


def _messages_of(items: Sequence[Item]) -> list[ChatMessage]:
    """The turns that items are; a call belongs to the assistant's turn before it."""
    messages = list[ChatMessage]()
    for item in items:
        if isinstance(item, ResponseMessage):
            messages.append(ChatMessage(role=item.role, content=text_of(item.content)))
        elif isinstance(item, ResponseCall):
            call = ToolCall(id=item.call_id, function=item)
            last = messages.pop() if messages and messages[-1].role == "assistant" else None
            content, calls = (last.content, last.tool_calls or ()) if last else (None, ())
            messages.append(
                ChatMessage(role="assistant", content=content, tool_calls=[*calls, call])
            )
        else:
            text = text_of(item.output)
            messages.append(ChatMessage(role="tool", content=text, tool_call_id=item.call_id))
    return messages


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _new_message() -> dict[str, Any]:
    return {
        "type": "message", "id": _new_id("msg"), "role": "assistant", "status": "in_progress",
        "content": [],
    }  # fmt: skip


def _flat(annotations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations of chat completions as those of responses."""
    return [{"type": each["type"]} | each["url_citation"] for each in annotations]


@dataclass
class ResponseWork:
    """A response while it is made."""

    served: Served
    request: ResponseRequest
    chat: ChatRequest
    items: list[Item]
    """The conversation before it."""
    exchange: Exchange
    message: dict[str, Any] = field(default_factory=_new_message)
    """Of the answer, before its text."""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of the events of its stream."""

    def output(self, parts: Sequence[AnswerPart]) -> list[dict[str, Any]]:
        """The items of an answer: a message, and the calls of functions."""
        text, last = "".join(part.text for part in parts), parts[-1]
        items = [
            {"type": "function_call", "id": _new_id("fc"), "call_id": call["id"],
             "status": "completed", **call["function"]}
            for call in last.calls
        ]  # fmt: skip
        if not text and items:
            return items
        content = {
            "type": "output_text", "text": text, "annotations": _flat(last.annotations),
            "logprobs": [each for part in parts for each in part.logprobs],
        }  # fmt: skip
        status = "incomplete" if "length" in self.exchange.ended else "completed"
        return [self.message | {"status": status, "content": [content]}, *items]

    def shell(self, status: str) -> dict[str, Any]:
        """A response without its output."""
        request, exchange = self.request, self.exchange
        choice = request.tool_choice or "auto"
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

    def finish(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The whole response, which is kept."""
        usage = self.exchange.usage()
        is_cut = "length" in self.exchange.ended
        response = self.shell("incomplete" if is_cut else "completed") | {"output": output}
        if is_cut:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        response["usage"] = {
            "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        if self.exchange.asked:
            response["groundup"] = self.exchange.asked["answer"]
        if self.request.store is not False:
            items = [*self.items, *ITEMS.validate_python(output)]
            self.served.kept.keep(self.exchange.tenant, items, response)
        return response

    def event(self, kind: str, fields: dict[str, Any]) -> bytes:
        """An event of the stream, with its number."""
        value = {"type": f"response.{kind}", "sequence_number": next(self.numbers)} | fields
        return to_frame(value, value["type"])


async def _stream(work: ResponseWork) -> Frames:
    place = {"item_id": work.message["id"], "output_index": 0, "content_index": 0}
    found, logprobs, is_open = list[AnswerPart](), list[dict[str, Any]](), False
    async with aclosing(answer_parts(work.served, work.chat, work.exchange)) as parts:
        async for part in parts:
            if not found:
                yield _opening(work)
            found.append(part)
            logprobs += part.logprobs
            if part.text:
                if not is_open:
                    is_open = True
                    yield _item_opening(work, 0, work.message)
                delta = {"delta": part.text, "logprobs": logprobs}
                yield work.event("output_text.delta", place | delta)
                logprobs = []
            for at, each in enumerate(_flat(part.annotations)):
                added = {"annotation_index": at, "annotation": each}
                yield work.event("output_text.annotation.added", place | added)
    yield _closing(work, work.output(found), is_open)


def _opening(work: ResponseWork) -> bytes:
    shell = {"response": work.shell("in_progress")}
    return work.event("created", shell) + work.event("in_progress", shell)


def _item_opening(work: ResponseWork, at: int, item: dict[str, Any]) -> bytes:
    """The events before the text of a message, or the arguments of a call."""
    if item["type"] != "message":
        shown = item | {"arguments": "", "status": "in_progress"}
        return work.event("output_item.added", {"output_index": at, "item": shown})
    place = {"item_id": item["id"], "output_index": at, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    added = work.event("output_item.added", {"output_index": at, "item": work.message})
    return added + work.event("content_part.added", place | {"part": part})


def _closing(work: ResponseWork, output: list[dict[str, Any]], is_open: bool) -> bytes:
    """The events from the end of the text to that of the response."""
    frames = list[bytes]()
    for at, item in enumerate(output):
        place = {"item_id": item["id"], "output_index": at}
        if item["type"] != "message" or not is_open:
            frames.append(_item_opening(work, at, item))
        if item["type"] == "message":
            part, place["content_index"] = item["content"][0], 0
            done = {"text": part["text"], "logprobs": part["logprobs"]}
            frames.append(work.event("output_text.done", place | done))
            frames.append(work.event("content_part.done", place | {"part": part}))
        else:
            whole = item["arguments"]
            done = {"name": item["name"], "arguments": whole}
            frames.append(work.event("function_call_arguments.delta", place | {"delta": whole}))
            frames.append(work.event("function_call_arguments.done", place | done))
        frames.append(work.event("output_item.done", {"output_index": at, "item": item}))
    response = work.finish(output)
    frames.append(work.event(response["status"], {"response": response}))
    return b"".join(frames)
