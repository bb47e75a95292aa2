"""What a task is: questions as a model sees them, and numbers made of its answers.

    loglikelihood           how likely is this continuation of this context?
    loglikelihood_rolling   how likely is this whole text?
    generate_until          continue this prompt until one of these strings
    multiple_choice         which of these options is the likeliest?

A task asks nothing itself: the harness takes its items, asks the model and hands the answers back
to `score`. What a task reports is a Measure; one number a sample comes from `score`, the number of
the whole from aggregate.py. A sample without a number has a Reason under the same key.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from groundup.core import Completion, Likelihood, Pair, Reason, Stops, TextModel

Kind = Literal["loglikelihood", "loglikelihood_rolling", "generate_until", "multiple_choice"]
Better = Literal["higher", "lower"]

Asked = Likelihood | Completion | Reason
"""What came back for one request."""


class Item(NamedTuple):
    """One question of a task."""

    id: str
    """Stable within the task."""
    group: str
    """What is resampled together; "" makes the item its own."""
    prompt: str
    """The context (generate_until), the whole text (rolling), the context for people (others)."""
    pairs: tuple[Pair, ...]
    """What `loglikelihood` asks: the options, then those without context if a measure needs it."""
    target: Any
    """JSON: the right answer, answers or index."""
    document: dict[str, Any]
    """The row that it was made of."""


class Measure(NamedTuple):
    """One number that a task reports."""

    name: str
    """`acc`, `acc_norm`, `exact_match`, `bits_per_byte` …"""
    filter: str
    """Name of the pipeline that prepared the answers; "none" if they are scored as they came."""
    better: Better
    unit: str
    """`share`, `bits per byte`, `nats per word`, … for people and axes."""
    aggregation: str
    """`mean`, `ratio`, `perplexity` (exp of a ratio) or a function of the corpus: `bleu`, `mcc`."""
    signature: str
    """What about the measure itself moves the number."""

    @property
    def key(self) -> str:
        """Where its value stands in `Scored.scores`."""
        return score_key(self.name, self.filter)


class Scored(NamedTuple):
    """What became of the answers to one item."""

    filtered: dict[str, str | list[str]]
    """What each filter made of the answers."""
    scores: dict[str, Any]
    """By Measure.key: a float, [total, weight] for a ratio, JSON for a function of the corpus."""
    undefined: dict[str, Reason]
    """Why the other keys have no value."""
    unparsed: tuple[str, ...] = ()
    """Filters that found no answer in the text."""


@runtime_checkable
class Task(Protocol):
    """Questions and the way their answers are scored; see open_tasks for where they come from."""

    @property
    def name(self) -> str:
        """Its name in reports: letters, digits, `_`, `-` and `.`."""
        ...

    @property
    def kind(self) -> Kind:
        """Which question is asked of the model."""
        ...

    @property
    def version(self) -> str:
        """Its author's version; scores of different versions are not compared."""
        ...

    @property
    def signature(self) -> str:
        """What else moves a score: `shots:5|seed:1234|template:no|prompt:1f0c…`."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What it reports, the main one first."""
        ...

    @property
    def stops(self) -> Stops:
        """How generate_until continues a prompt."""
        ...

    @property
    def repeats(self) -> int:
        """How many answers to each prompt of generate_until; 1 for every other kind."""
        ...

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the questions, the first `limit` of them; the model renders a chat template.

        Raises DataError naming file and row for data that cannot be used.
        """
        ...

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """Score one item: answers come one a pair, one a repeat, or one for rolling."""
        ...


class GroupMeasure(NamedTuple):
    """A number that a group makes of its tasks' numbers."""

    name: str
    filters: tuple[str, ...]
    """Taken over each of these filters that every task reports."""
    weight_by_size: bool
    """Whether a task counts as often as it has samples; else each counts once."""


class Group(NamedTuple):
    """Tasks and groups reported under one name."""

    name: str
    members: tuple["Task | Group", ...]
    measures: tuple[GroupMeasure, ...] = ()
    """None: only a heading."""
    title: str = ""
    """Name for people, if it differs."""
    version: str = ""

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks below, each once, in order."""
        seen: set[str] = set()
        for member in self.members:
            for task in member.tasks() if isinstance(member, Group) else (member,):
                if task.name not in seen:
                    seen.add(task.name)
                    yield task


def score_key(name: str, filter_name: str) -> str:
    """Where a measure's value stands: its name, or `name,filter`.

    >>> score_key("acc", "none"), score_key("exact_match", "strict-match")
    ('acc', 'exact_match,strict-match')
    """
    return name if filter_name == "none" else f"{name},{filter_name}"
