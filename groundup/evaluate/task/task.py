"""The task protocol: items as a model sees them, their prompts, and scores of the answers.

    loglikelihood           the likelihood of a continuation of a context
    loglikelihood_rolling   the likelihood of a complete text
    generate_until          continue a prompt until one of the stop strings
    multiple_choice         the most likely of several options

The harness takes a task's items, sends the requests and passes the answers to `score`, which gives
one value per measure and sample, or a Reason; aggregate.py aggregates them. A prompt is a list of
turns: as plain text joined by their delimiters; in a chat template each example is a user and an
assistant turn, or everything is one user turn.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from groundup.core import (
    Completion,
    ConfigError,
    DataError,
    Likelihood,
    LoglikelihoodRequest,
    Message,
    Reason,
    Sampling,
    TextModel,
    digest,
)

RequestKind = Literal["loglikelihood", "loglikelihood_rolling", "generate_until", "multiple_choice"]
Better = Literal["higher", "lower"]

Response = Likelihood | Completion | Reason
"""The response to one request."""


class TaskItem(NamedTuple):
    """One question of a task."""

    id: str
    """Stable within the task."""
    group: str
    """Items of one group are resampled together; "" is a group of its own."""
    prompt: str
    """The context (generate_until), the complete text (rolling), a context for display (others)."""
    pairs: tuple[LoglikelihoodRequest, ...]
    """Loglikelihood requests: the options, then those without context if a measure needs it."""
    target: Any
    """JSON: the correct answer, answers or index."""
    document: dict[str, Any]
    """The row that it was built from."""


class TaskMeasure(NamedTuple):
    """A measure that a task reports."""

    name: str
    """`acc`, `acc_norm`, `exact_match`, `bits_per_byte` …"""
    filter: str
    """Name of the filter pipeline; "none" if answers are scored unfiltered."""
    better: Better
    unit: str
    """`share`, `bits per byte`, `nats per word`, … for display."""
    aggregation: str
    """`mean`, `ratio`, `perplexity` (exp of a ratio) or a function of the corpus: `bleu`, `mcc`."""
    signature: str
    """Everything about the measure that affects its value."""

    @property
    def key(self) -> str:
        """Key of its value in `ItemScores.scores`."""
        return score_key(self.name, self.filter)


class ItemScores(NamedTuple):
    """The scores of one item."""

    filtered: dict[str, str | list[str]]
    """The output of each filter."""
    scores: dict[str, Any]
    """By TaskMeasure.key: a float, [total, weight] of a ratio, JSON for a corpus-level measure."""
    undefined: dict[str, Reason]
    """Why the other keys have no value."""
    unparsed: tuple[str, ...] = ()
    """Filters that found no answer in the text."""


@runtime_checkable
class EvaluationTask(Protocol):
    """Items and how their answers are scored; see open_tasks."""

    @property
    def name(self) -> str:
        """Its name in reports: letters, digits, `_`, `-` and `.`."""
        ...

    @property
    def kind(self) -> RequestKind:
        """The kind of request."""
        ...

    @property
    def version(self) -> str:
        """Its author's version; scores of different versions are not compared."""
        ...

    @property
    def signature(self) -> str:
        """What else affects a score: `shots:5|seed:1234|template:no|prompt:1f0c…`."""
        ...

    @property
    def measures(self) -> tuple[TaskMeasure, ...]:
        """Its measures, the main one first."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How generate_until continues a prompt."""
        ...

    @property
    def repeats(self) -> int:
        """Number of answers to each prompt of generate_until; 1 for every other kind."""
        ...

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the first `limit` items; the model renders the chat template.

        Raises DataError naming file and row of invalid data.
        """
        ...

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """Score one item, given one answer per pair, per repeat, or one for rolling."""
        ...


class GroupMeasure(NamedTuple):
    """A measure that a group aggregates over its tasks."""

    name: str
    filters: tuple[str, ...]
    """Filters to aggregate; empty is all that its tasks report."""
    weight_by_size: bool
    """Whether tasks are weighted by their number of samples, else equally."""


class TaskGroup(NamedTuple):
    """Tasks and groups reported under one name."""

    name: str
    members: tuple["EvaluationTask | TaskGroup", ...]
    measures: tuple[GroupMeasure, ...] = ()
    """Empty: the group is only a heading."""
    title: str = ""
    """Display name, if it differs."""
    version: str = ""

    def tasks(self) -> Iterator[EvaluationTask]:
        """Yield the tasks below, each once, in order."""
        seen: set[str] = set()
        for member in self.members:
            for task in member.tasks() if isinstance(member, TaskGroup) else (member,):
                if task.name not in seen:
                    seen.add(task.name)
                    yield task


def score_key(name: str, filter_name: str) -> str:
    """Key of a measure's value: its name, or `name,filter`.

    >>> score_key("acc", "none"), score_key("exact_match", "strict-match")
    ('acc', 'exact_match,strict-match')
    """
    return name if filter_name == "none" else f"{name},{filter_name}"


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


def check_keys(given: Iterable[str], known: Sequence[str], what: str) -> None:
    """Raise ConfigError for the first given key of `what` that is not known."""
    for key in given:
        if key not in known:
            raise ConfigError(f"{what} has no key `{key}`; it takes {', '.join(known) or 'none'}.")
