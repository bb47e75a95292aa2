"""A test set as a task: its conversations are the prompts.

Samples with references give exact_match, token_f1, similarity and rouge_l of the best reference.
Samples without one have no answer in their source and should be refused: they give `refused`. Where
a measure does not apply, the Reason is `has_reference` or `no_reference`. The caller records the
test-set access.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from groundup.align import is_refusal
from groundup.core import (
    Answer,
    Artifact,
    Completion,
    ConfigError,
    Conversation,
    Message,
    Reason,
    Sample,
    Sampling,
    Score,
    StopCriteria,
    TextModel,
)
from groundup.measure import (
    Rouge,
    exact_match,
    read_card,
    read_samples,
    rouge,
    similarity,
    token_f1,
)

from .task import ChatOptions, ItemScores, RequestKind, Response, TaskItem, TaskMeasure

REFUSAL_SIGNATURE = "refused|by:beginning_of_the_refusal"
Scorer = Callable[[Sample, Answer], Score | Reason]


def _score_refusal(sample: Sample, answer: Answer) -> Score | Reason:
    """1 if a question without an answer was refused, else 0."""
    if sample.references:
        return Reason("has_reference", "The sample has an answer, so it should not be refused.")
    return Score(float(answer.refused), REFUSAL_SIGNATURE)


REFERENCE_SCORERS = {
    "exact_match": exact_match(),
    "token_f1": token_f1(),
    "similarity": similarity(),
    "rouge_l": rouge(Rouge(kind="L", tokeniser="words")),
}
"""Scorers that need references."""
SCORERS: dict[str, Scorer] = {**REFERENCE_SCORERS, "refused": _score_refusal}
SCORER_SIGNATURES = {name: scorer.signature for name, scorer in REFERENCE_SCORERS.items()} | {
    "refused": REFUSAL_SIGNATURE
}


def _prepend_system(conversation: Conversation, system: str) -> Conversation:
    """Prepend a system text, before the conversation's own system messages.

    >>> _prepend_system((Message("user", "Hi"),), "Be brief.")[0].content
    'Be brief.'
    """
    if not system:
        return conversation
    own = [message.content for message in conversation if message.role == "system"]
    rest = tuple(message for message in conversation if message.role != "system")
    return (Message("system", "\n\n".join([system, *own])), *rest)


@dataclass
class TestsetTask:
    """The samples of a testset artifact."""

    __test__ = False  # not a pytest class, despite its name

    testset: Artifact
    chat: ChatOptions = ChatOptions(apply_template=True)
    max_tokens: int = 256
    """Maximum tokens of an answer."""

    kind: RequestKind = "generate_until"
    repeats: int = 1

    def __post_init__(self) -> None:
        """Raises ArtifactError for an artifact of another kind."""
        self.testset.require_kind("testset")

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The samples in order."""
        return tuple(read_samples(self.testset))

    @cached_property
    def card(self) -> dict[str, Any]:
        """The test set's card."""
        return read_card(self.testset)

    @property
    def name(self) -> str:
        """The card's name."""
        return str(self.card["name"])

    @property
    def version(self) -> str:
        """Start of the artifact's id, which changes with any sample."""
        return self.testset.id[:12]

    @property
    def signature(self) -> str:
        """Everything that affects a score."""
        how = self.chat.signature()
        return f"testset:{self.version}|{how}|temperature:0|max_tokens:{self.max_tokens}"

    @property
    def measures(self) -> tuple[TaskMeasure, ...]:
        """The measures that apply to at least one sample."""
        has_reference = [bool(sample.references) for sample in self.samples]
        applicable = list(REFERENCE_SCORERS) if any(has_reference) else []
        applicable += [] if all(has_reference) else ["refused"]
        return tuple(
            TaskMeasure(name, "none", "higher", "share", "mean", SCORER_SIGNATURES[name])
            for name in applicable
        )

    @property
    def stops(self) -> StopCriteria:
        """Greedy, until the model's end token."""
        return StopCriteria(Sampling(max_tokens=self.max_tokens))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the samples as prompts; ConfigError if there is no model to render them."""
        for sample in self.samples[:limit]:
            yield TaskItem(
                sample.id, sample.group, self.prompt(sample, model), (), list(sample.references),
                {"references": list(sample.references), **sample.metadata},
            )  # fmt: skip

    def prompt(self, sample: Sample, model: TextModel | None) -> str:
        """A conversation in the model's chat template, else its turns separated by blank lines."""
        conversation = _prepend_system(sample.conversation, self.chat.system)
        if not self.chat.apply_template:
            return "\n\n".join(message.content for message in conversation)
        if model is None:
            raise ConfigError("A test set needs a model to render the chat template; got none.")
        return model.render(conversation)

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """Every measure of one answer."""
        response = answers[0]
        names = [measure.name for measure in self.measures]
        if not isinstance(response, Completion):
            reason = (
                response
                if isinstance(response, Reason)
                else Reason("no_text", "No text came back.")
            )
            return ItemScores({}, {}, dict.fromkeys(names, reason))
        sample = Sample(item.id, (), tuple(item.target), item.group)
        answer = Answer(response.text.strip(), refused=is_refusal(response.text))
        values: dict[str, Any] = {name: SCORERS[name](sample, answer) for name in names}
        return ItemScores(
            {"none": answer.text},
            {name: value.value for name, value in values.items() if isinstance(value, Score)},
            {name: value for name, value in values.items() if isinstance(value, Reason)},
        )
