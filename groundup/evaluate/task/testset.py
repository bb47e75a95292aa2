"""A sealed test set as a task: its conversations asked as they stand, its answers scored.

Samples with references give exact_match, token_f1, similarity and rouge_l, the best reference
counting. Samples without one have no answer in their source and are to be refused: they give
`refused`. A measure speaks of the samples that it suits; the others have the Reason
`has_reference` or `no_reference`. Looking at it is recorded by who scores, as for every test set.
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
    Stops,
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

from .prompt import Chat
from .task import Asked, Item, Kind, Measure, Scored

REFUSED = "refused|by:beginning_of_the_refusal"
Scorer = Callable[[Sample, Answer], Score | Reason]


def refused(sample: Sample, answer: Answer) -> Score | Reason:
    """1 if a question without an answer was refused, else 0."""
    if sample.references:
        return Reason("has_reference", "The sample has an answer, so it is not to be refused.")
    return Score(float(answer.refused), REFUSED)


COMPARED = {
    "exact_match": exact_match(),
    "token_f1": token_f1(),
    "similarity": similarity(),
    "rouge_l": rouge(Rouge(kind="L", tokeniser="words")),
}
"""What compares with references."""
SCORERS: dict[str, Scorer] = {**COMPARED, "refused": refused}
SIGNATURES = {name: scorer.signature for name, scorer in COMPARED.items()} | {"refused": REFUSED}


def with_system(conversation: Conversation, system: str) -> Conversation:
    """A conversation under a system's text, which a system turn of its own goes on from.

    >>> with_system((Message("user", "Hi"),), "Be brief.")[0].content
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

    __test__ = False  # no test of pytest's, in spite of its name

    testset: Artifact
    chat: Chat = Chat(template=True)
    max_tokens: int = 256
    """Most tokens of an answer."""

    kind: Kind = "generate_until"
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
        """What the test set holds."""
        return read_card(self.testset)

    @property
    def name(self) -> str:
        """The card's name."""
        return str(self.card["name"])

    @property
    def version(self) -> str:
        """The first of the artifact's id, which changes with any sample."""
        return self.testset.id[:12]

    @property
    def signature(self) -> str:
        """How it is asked."""
        how = self.chat.signature()
        return f"testset:{self.version}|{how}|temperature:0|max_tokens:{self.max_tokens}"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Those that suit at least one sample."""
        has_reference = [bool(sample.references) for sample in self.samples]
        suiting = list(COMPARED) if any(has_reference) else []
        suiting += [] if all(has_reference) else ["refused"]
        return tuple(
            Measure(name, "none", "higher", "share", "mean", SIGNATURES[name]) for name in suiting
        )

    @property
    def stops(self) -> Stops:
        """Greedy, up to the model's own end."""
        return Stops(Sampling(max_tokens=self.max_tokens))

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the samples as prompts; ConfigError if there is no model to render them."""
        for sample in self.samples[:limit]:
            yield Item(
                sample.id, sample.group, self.prompt(sample, model), (), list(sample.references),
                {"references": list(sample.references), **sample.metadata},
            )  # fmt: skip

    def prompt(self, sample: Sample, model: TextModel | None) -> str:
        """A conversation as the model reads it; without a template, its turns a line each.

        The caller's system text stands before the sample's own.
        """
        said = with_system(sample.conversation, self.chat.system)
        if not self.chat.template:
            return "\n\n".join(message.content for message in said)
        if model is None:
            raise ConfigError("A test set is asked through a chat template; a model is needed.")
        return model.render(said)

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """Every measure of one answer."""
        found = answers[0]
        names = [measure.name for measure in self.measures]
        if not isinstance(found, Completion):
            reason = found if isinstance(found, Reason) else Reason("no_text", "No text came back.")
            return Scored({}, {}, dict.fromkeys(names, reason))
        sample = Sample(item.id, (), tuple(item.target), item.group)
        answer = Answer(found.text.strip(), refused=is_refusal(found.text))
        values: dict[str, Any] = {name: SCORERS[name](sample, answer) for name in names}
        return Scored(
            {"none": answer.text},
            {name: value.value for name, value in values.items() if isinstance(value, Score)},
            {name: value for name, value in values.items() if isinstance(value, Reason)},
        )
