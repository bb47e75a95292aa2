"""The task protocol: items as a model sees them, and scores of its answers.

    loglikelihood           the likelihood of a continuation of a context
    loglikelihood_rolling   the likelihood of a complete text
    generate_until          continue a prompt until one of the stop strings
    multiple_choice         the most likely of several options

The harness takes a task's items, sends the requests and passes the answers to `score`, which gives
one value per measure and sample; aggregate.py aggregates them. A sample without a value has a
Reason under the same key.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from groundup.core import (
    Completion,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    StopCriteria,
    TextModel,
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
    def stops(self) -> StopCriteria:
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
