"""From a question and its examples to the text that the model reads.

A prompt is a list of turns. As plain text they are joined by their delimiters; through a chat
template each example is a user's and an assistant's turn of its own, or all are one user's turn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import ConfigError, DataError, Message, TextModel, digest


@dataclass(frozen=True)
class Turn:
    """A part of the prompt, with what follows it in plain text."""

    role: Literal["system", "user", "assistant"]
    content: str
    delimiter: str = ""


@dataclass(frozen=True)
class Chat:
    """Whether and how a model's chat template is used."""

    template: bool = False
    multiturn: bool = True
    """Whether examples are turns of their own."""
    system: str = ""
    """What stands before a task's own description; used without a template too."""

    def signature(self) -> str:
        """As it stands in a task's signature."""
        how = ("turns" if self.multiturn else "one_turn") if self.template else "no"
        return f"template:{how}|system:{digest(self.system)[:12] if self.system else 'no'}"


class Ways(NamedTuple):
    """What the caller decides for every task; a task takes what has a meaning for it."""

    data: Path | None = None
    """Folder that stands for the hub: data sets by their names."""
    few_shot: int | None = None
    """Solved examples before a question; None leaves it to the task."""
    chat: Chat = Chat()
    trust_code: bool = False
    """Whether Python code of task files may run."""
    seed: int = 1234
    """Of draws; lm-eval's default."""


def prompt_text(prompt: str) -> str:
    """A prompt as people read it: a server's conversation, sent as JSON, as its turns.

    >>> prompt_text('{"messages": [{"role": "user", "content": "Why?"}]}')
    'Why?'
    """
    if not prompt.startswith('{"messages": ['):
        return prompt
    try:
        turns = [(turn["role"], turn["content"]) for turn in json.loads(prompt)["messages"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return prompt
    if [role for role, _ in turns] == ["user"]:
        return str(turns[0][1])
    return "\n\n".join(f"{role}: {content}" for role, content in turns)


def joined(before: str, after: str, delimiter: str = " ") -> str:
    r"""Two texts, with the delimiter between them if neither brings white space.

    >>> joined("Answer:", "4"), joined("Answer: ", "4"), joined("", "4")
    ('Answer: 4', 'Answer: 4', '4')
    """
    if not before or not after:
        return before + after
    return before + (delimiter if needs_delimiter(before, after) else "") + after


def needs_delimiter(before: str, after: str) -> bool:
    """Whether no white space lies between two texts, and both are there."""
    return bool(before and after) and not (before[-1].isspace() or after[0].isspace())


def question(text: Any, prefix: str, delimiter: str) -> list[Turn]:
    """The turns of a question that is asked: no answer, but perhaps how it starts."""
    text = checked(text)
    between = delimiter if prefix and needs_delimiter(text, prefix) else ""
    turns = [Turn("user", text, between)]
    return [*turns, Turn("assistant", prefix)] if prefix else turns


def example(
    text: Any, answer: Any, choices: Sequence[str] | None, prefix: str, delimiter: str, end: str
) -> list[Turn]:
    """The turns of a solved example: its answer is a text, the first of several, or an index."""
    if answer is None or answer == "":
        return question(text, prefix, delimiter)
    text = checked(text)
    if choices and isinstance(answer, int):
        answer = option(choices, answer)
    elif isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, str):
        raise DataError(f"An example's answer must be a text; got {str(answer)[:60]!r}.")
    between = delimiter if not prefix or needs_delimiter(text, prefix) else ""
    return [Turn("user", text, between), Turn("assistant", joined(prefix, answer), end)]


def option(choices: Sequence[str], index: int) -> str:
    """An option by its index; DataError if there is none."""
    if not -len(choices) <= index < len(choices):
        raise DataError(f"There is no option {index} among {len(choices)}.")
    return choices[index]


def checked(text: Any) -> str:
    """The question, which must be a text."""
    if not isinstance(text, str):
        raise DataError(f"doc_to_text must give a text here; got {str(text)[:60]!r}.")
    return text


def rendered(turns: Sequence[Turn], chat: Chat, model: TextModel | None) -> str:
    """The turns as the model reads them.

    Raises ConfigError if a template is asked and there is no model to ask for it.
    """
    if not chat.template:
        return "".join(turn.content + turn.delimiter for turn in turns)
    if model is None:
        raise ConfigError("A chat template is asked, and there is no model that has one.")
    turns = list(turns) if chat.multiturn else one_turn(turns)
    prefix = turns.pop().content if turns[-1].role == "assistant" else ""
    return model.render(tuple(Message(turn.role, turn.content) for turn in turns)) + prefix


def one_turn(turns: Sequence[Turn]) -> list[Turn]:
    """Everything a user and an assistant said as one user's turn; a last prefix stays its own."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    said = list(turns[len(system) :])
    last = [said.pop()] if said[-1].role == "assistant" else []
    said[-1] = replace(said[-1], delimiter="")
    text = "".join(turn.content + turn.delimiter for turn in said)
    return [*system, Turn("user", text), *last]
