"""Tools in a conversation: how turns say which functions there are, call them and return results.

    <tool_call>
    {"name": "weather", "arguments": {"city": "Oslo"}}
    </tool_call>

Functions stand in the system's turn, what they returned in the user's, in the form that Qwen's
templates write and many open models are tuned on. So a renderer needs three roles alone: a call is
an assistant's text, which is trained, and a result is a user's, which is not.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.core import Conversation, Message

CALL_START, CALL_END = "<tool_call>", "</tool_call>"
INTRODUCTION = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>{tools}\n"
    "</tools>\n\nFor each function call, return a json object with function name and arguments "
    'within <tool_call></tool_call> XML tags:\n<tool_call>\n{{"name": <function-name>, '
    '"arguments": <args-json-object>}}\n</tool_call>'
)


def call_to_text(name: str, arguments: str) -> str:
    """A call as a model writes it; `arguments` are JSON."""
    return f'{CALL_START}\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n{CALL_END}'


def append_result(turns: list[Message], result: str) -> None:
    """Add what a function returned; the results of one turn's calls stand together."""
    text = f"<tool_response>\n{result}\n</tool_response>"
    if turns and turns[-1].role == "user":
        turns[-1] = Message("user", f"{turns[-1].content}\n{text}")
    else:
        turns.append(Message("user", text))


def introduce_tools(
    conversation: Conversation, functions: Sequence[Mapping[str, Any]]
) -> Conversation:
    """The conversation with the functions' names, descriptions and parameters in its system turn.

    >>> introduced = introduce_tools((Message("user", "Hello."),), [{"name": "clock"}])
    >>> [turn.role for turn in introduced], '"function": {"name": "clock"}' in introduced[0].content
    (['system', 'user'], True)
    """
    if not functions:
        return conversation
    text = INTRODUCTION.format(tools="".join(f"\n{_signature(each)}" for each in functions))
    system = [turn.content for turn in conversation[:1] if turn.role == "system"]
    return (Message("system", "\n\n".join([*system, text])), *conversation[len(system) :])


def _signature(function: Mapping[str, Any]) -> str:
    known = ("name", "description", "parameters")
    described = {key: function[key] for key in known if function.get(key) is not None}
    return json.dumps({"type": "function", "function": described}, ensure_ascii=False)
