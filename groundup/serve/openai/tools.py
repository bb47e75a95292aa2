"""Tools of a request: the conversation that a model reads, and the calls that its answer has.

Functions, calls and results stand in turns as groundup/prompt/tools.py writes them, for tuning
as for serving. An answer is bound by a grammar to valid calls of the functions that are there,
whatever the model; without calls it is free text.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from groundup.core import Conversation, Message
from groundup.generate import StopBuffer
from groundup.prompt import CALL_END, CALL_START, append_result, call_to_text, introduce_tools

from .errors import ApiError
from .schemas import ChatMessage, ContentPart, Function, Tool, ToolChoice

NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "developer": "system", "user": "user", "tool": "user",
    "assistant": "assistant",
}  # fmt: skip
"""Whose turn a message is for a model."""
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
MAX_CALLS = 16


def text_of(content: str | Sequence[ContentPart] | None) -> str:
    """The text of a message; ApiError for parts that are no text."""
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type not in TEXT_PARTS or (part.text is None and part.refusal is None):
            what = f"Content of type '{part.type[:40]}' is not read by this model; send text."
            raise ApiError(400, what, param="messages", code="unsupported_content")
    return "".join(part.text or part.refusal or "" for part in content)


def conversation_of(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> Conversation:
    """The turns that a model reads.

    Raises ApiError for a result without a call, and for an answer without content or calls.
    """
    turns = list[Message]()
    called = set[str]()
    for message in messages:
        text = text_of(message.content)
        if message.role == "assistant":
            if message.content is None and not message.tool_calls and message.refusal is None:
                raise ApiError(400, "An assistant's message needs content or tool_calls.")
            calls = message.tool_calls or ()
            called |= {call.id for call in calls}
            said = (call_to_text(each.function.name, each.function.arguments) for each in calls)
            text = "\n".join(filter(None, [text, *said]))
        elif message.role == "tool":
            if message.tool_call_id not in called:
                what = "A message of role 'tool' must follow a message with its tool_call_id."
                raise ApiError(400, what, param="messages")
            append_result(turns, text)
            continue
        turns.append(Message(ROLES[message.role], text))
    return introduce_tools(tuple(turns), [tool.function.model_dump() for tool in tools])


def tool_grammar(
    functions: Sequence[Function], choice: str | ToolChoice | None, parallel: bool,
    schema: dict[str, Any] | None = None,
) -> str:  # fmt: skip
    """Lark's grammar of an answer that may, or must, call functions; llguidance reads it.

    schema  of an answer without calls; None: any text

    Raises ApiError if the function that must be called is not there.
    """
    if isinstance(choice, ToolChoice):
        functions = [each for each in functions if each.name == choice.function.name]
        if not functions:
            what = f"tool_choice names '{choice.function.name[:64]}', which is not in tools."
            raise ApiError(400, what, param="tool_choice")
    count = MAX_CALLS if parallel and not isinstance(choice, ToolChoice) else 1
    more = rf'("\n" call){{0,{count - 1}}}' if count > 1 else ""
    is_free = choice in (None, "auto")
    free = " | plain" if schema else f" | PLAIN | PLAIN call {more}"
    lines = [
        f"start: call {more}" + (free if is_free else ""),
        "call: " + " | ".join(f"f{at}" for at in range(len(functions))),
    ]
    if is_free and schema:
        lines.append(f"plain: %json {json.dumps(schema)}")
    elif is_free:
        lines.append(rf"PLAIN: /(.|\n)+/ & ~/(.|\n)*{CALL_START}(.|\n)*/")
    for at, function in enumerate(functions):
        head = json.dumps(f'{CALL_START}\n{{"name": {json.dumps(function.name)}, "arguments": ')
        arguments = json.dumps(function.parameters or NO_ARGUMENTS)
        lines.append(f"f{at}: {head} %json {arguments} {json.dumps(chr(125) + chr(10) + CALL_END)}")
    return "\n".join(lines)


class ParsedAnswer(NamedTuple):
    """An answer's text and the functions that it calls."""

    content: str
    calls: list[dict[str, Any]]
    """As OpenAI writes them."""


def parse_calls(text: str) -> ParsedAnswer:
    """Split an answer; a call that was cut off stays text."""
    calls = list[dict[str, Any]]()
    first = len(text)
    at = text.find(CALL_START)
    while at >= 0:
        begin = len(text) - len(text[at + len(CALL_START) :].lstrip())
        try:
            call, end = json.JSONDecoder().raw_decode(text, begin)
            name, arguments = call["name"], call["arguments"]
        except (ValueError, KeyError, TypeError, RecursionError):
            end = begin
        else:
            if text[end:].lstrip().startswith(CALL_END):
                function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
                id = f"call_{secrets.token_hex(12)}"
                calls.append({"id": id, "type": "function", "function": function})
                first = min(first, at)
        at = text.find(CALL_START, end)
    return ParsedAnswer(text[:first].rstrip() if calls else text, calls)


class ToolStream:
    """Streams the text of an answer, without the calls of functions if there may be some."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.tools, self.buffer, self.space = tools, StopBuffer([CALL_START]), ""

    def add(self, text: str, is_last: bool) -> ParsedAnswer:
        """What can be shown after a further piece, and at the end the calls.

        A call is not shown, nor is white space before one.
        """
        if not self.tools:
            return ParsedAnswer(text, [])
        text = self.space + self.buffer.add(text)
        shown = text.rstrip()
        self.space = text[len(shown) :]
        rest = parse_calls(self.space + self.buffer.held) if is_last else ParsedAnswer("", [])
        return rest._replace(content=shown + rest.content)
