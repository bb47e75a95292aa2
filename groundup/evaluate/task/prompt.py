"""Building prompts from a question and its few-shot examples.

A prompt is a list of turns. As plain text they are joined by their delimiters; in a chat template
each example is a user and an assistant turn, or everything is one user turn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import ConfigError, DataError, Message, TextModel, digest


@dataclass(frozen=True)
class PromptTurn:
    """A turn of the prompt, with the delimiter after it in plain text."""

    role: Literal["system", "user", "assistant"]
    content: str
    delimiter: str = ""


@dataclass(frozen=True)
class ChatOptions:
    """Whether and how the model's chat template is applied."""

    apply_template: bool = False
    multiturn: bool = True
    """Whether examples are separate turns."""
    system: str = ""
    """Text before a task's own description; also used without a template."""

    def signature(self) -> str:
        """Its part of a task's signature."""
        how = ("turns" if self.multiturn else "one_turn") if self.apply_template else "no"
        return f"template:{how}|system:{digest(self.system)[:12] if self.system else 'no'}"


class TaskOptions(NamedTuple):
    """The caller's options for all tasks."""

    data: Path | None = None
    """Local folder of data sets, in place of the hub."""
    few_shot: int | None = None
    """Few-shot examples; None is the task's default."""
    chat: ChatOptions = ChatOptions()
    trust_code: bool = False
    """Whether Python code of task files may run."""
    seed: int = 1234
    """Seed of the examples; lm-eval's default."""


def prompt_text(prompt: str) -> str:
    """A prompt for display: a JSON conversation becomes its turns.

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


def join_texts(before: str, after: str, delimiter: str = " ") -> str:
    r"""Join two texts with the delimiter, unless white space separates them already.

    >>> join_texts("Answer:", "4"), join_texts("Answer: ", "4"), join_texts("", "4")
    ('Answer: 4', 'Answer: 4', '4')
    """
    if not before or not after:
        return before + after
    return before + (delimiter if _needs_delimiter(before, after) else "") + after


def _needs_delimiter(before: str, after: str) -> bool:
    """Whether two non-empty texts have no white space between them."""
    return bool(before and after) and not (before[-1].isspace() or after[0].isspace())


def question_turns(text: Any, prefix: str, delimiter: str) -> list[PromptTurn]:
    """The turns of the question itself, with the start of its answer if `prefix` is given."""
    text = _check_question(text)
    between = delimiter if prefix and _needs_delimiter(text, prefix) else ""
    turns = [PromptTurn("user", text, between)]
    return [*turns, PromptTurn("assistant", prefix)] if prefix else turns


def example_turns(
    text: Any,
    answer: Any,
    choices: Sequence[str] | None,
    prefix: str,
    delimiter: str,
    example_delimiter: str,
) -> list[PromptTurn]:
    """The turns of an example; its answer is a text, the first of several, or an index."""
    if answer is None or answer == "":
        return question_turns(text, prefix, delimiter)
    text = _check_question(text)
    if choices and isinstance(answer, int):
        answer = option_at(choices, answer)
    elif isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, str):
        raise DataError(f"An example's answer must be a text; got {str(answer)[:60]!r}.")
    between = delimiter if not prefix or _needs_delimiter(text, prefix) else ""
    return [
        PromptTurn("user", text, between),
        PromptTurn("assistant", join_texts(prefix, answer), example_delimiter),
    ]


def option_at(choices: Sequence[str], index: int) -> str:
    """The option at an index; DataError if there is none."""
    if not -len(choices) <= index < len(choices):
        raise DataError(f"There is no option {index} among {len(choices)}.")
    return choices[index]


def _check_question(text: Any) -> str:
    """The question; DataError if it is not a text."""
    if not isinstance(text, str):
        raise DataError(f"doc_to_text must give a text here; got {str(text)[:60]!r}.")
    return text


def render_turns(turns: Sequence[PromptTurn], chat: ChatOptions, model: TextModel | None) -> str:
    """Render the turns to the model's input; ConfigError for a template without a model."""
    if not chat.apply_template:
        return "".join(turn.content + turn.delimiter for turn in turns)
    if model is None:
        raise ConfigError("A chat template needs a model to render it; got none.")
    turns = list(turns) if chat.multiturn else _merge_turns(turns)
    prefix = turns.pop().content if turns[-1].role == "assistant" else ""
    return model.render(tuple(Message(turn.role, turn.content) for turn in turns)) + prefix


def _merge_turns(turns: Sequence[PromptTurn]) -> list[PromptTurn]:
    """Merge user and assistant turns into one user turn, except a last answer prefix."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    dialogue = list(turns[len(system) :])
    last = [dialogue.pop()] if dialogue[-1].role == "assistant" else []
    dialogue[-1] = replace(dialogue[-1], delimiter="")
    text = "".join(turn.content + turn.delimiter for turn in dialogue)
    return [*system, PromptTurn("user", text), *last]
