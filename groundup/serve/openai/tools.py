"""Tools: how a conversation says which functions there are, and how an answer calls them.

    <tool_call>
    {"name": "weather", "arguments": {"city": "Oslo"}}
    </tool_call>

Functions stand in the system's turn, what they returned in the user's, in the form that Qwen's
templates write and many open models are tuned on. An answer is bound by a grammar to valid calls
of the functions that are there, whatever the model; without calls it is free text.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from groundup.core import Conversation, Message
from groundup.generate import StopBuffer

from .errors import ApiError
from .schemas import ChatMessage, ContentPart, Function, Tool, ToolCall, ToolChoice

CALL, END = "<tool_call>", "</tool_call>"
INTRODUCTION = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>{tools}\n"
    "</tools>\n\nFor each function call, return a json object with function name and arguments "
    'within <tool_call></tool_call> XML tags:\n<tool_call>\n{{"name": <function-name>, '
    '"arguments": <args-json-object>}}\n</tool_call>'
)
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
            text = "\n".join(filter(None, [text, *map(_call_to_text, calls)]))
        elif message.role == "tool":
            if message.tool_call_id not in called:
                what = "A message of role 'tool' must follow a message with its tool_call_id."
                raise ApiError(400, what, param="messages")
            text = f"<tool_response>\n{text}\n</tool_response>"
            if turns[-1].role == "user":  # results of one turn's calls stand together
                turns[-1] = Message("user", f"{turns[-1].content}\n{text}")
                continue
        turns.append(Message(ROLES[message.role], text))
    if tools:
        signatures = (f"\n{json.dumps(_signature(tool), ensure_ascii=False)}" for tool in tools)
        introduction = INTRODUCTION.format(tools="".join(signatures))
        has_system = turns[0].role == "system"
        before = f"{turns.pop(0).content}\n\n" if has_system else ""
        turns.insert(0, Message("system", before + introduction))
    return tuple(turns)


def _signature(tool: Tool) -> dict[str, Any]:
    function = tool.function.model_dump(exclude_none=True, exclude={"strict", "type"})
    return {"type": "function", "function": function}


def _call_to_text(call: ToolCall) -> str:
    """A call as a model writes it."""
    name, arguments = json.dumps(call.function.name), call.function.arguments
    return f'{CALL}\n{{"name": {name}, "arguments": {arguments}}}\n{END}'


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
        lines.append(rf"PLAIN: /(.|\n)+/ & ~/(.|\n)*{CALL}(.|\n)*/")
    for at, function in enumerate(functions):
        head = json.dumps(f'{CALL}\n{{"name": {json.dumps(function.name)}, "arguments": ')
        arguments = json.dumps(function.parameters or NO_ARGUMENTS)
        lines.append(f"f{at}: {head} %json {arguments} {json.dumps(chr(125) + chr(10) + END)}")
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
    at = text.find(CALL)
    while at >= 0:
        begin = len(text) - len(text[at + len(CALL) :].lstrip())
        try:
            call, end = json.JSONDecoder().raw_decode(text, begin)
            name, arguments = call["name"], call["arguments"]
        except (ValueError, KeyError, TypeError, RecursionError):
            end = begin
        else:
            if text[end:].lstrip().startswith(END):
                function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
                id = f"call_{secrets.token_hex(12)}"
                calls.append({"id": id, "type": "function", "function": function})
                first = min(first, at)
        at = text.find(CALL, end)
    return ParsedAnswer(text[:first].rstrip() if calls else text, calls)


class ToolStream:
    """Streams the text of an answer, without the calls of functions if there may be some."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.tools, self.buffer, self.space = tools, StopBuffer([CALL]), ""

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
