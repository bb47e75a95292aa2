"""Artifacts as tasks: the conversations of a test set, and held-out documents.

Samples of a test set with references give exact_match, token_f1, similarity and rouge_l of the best
reference. Samples without one have no answer in their source and should be refused: they give
`refused`. Where a measure does not apply, the Reason is `has_reference` or `no_reference`.

Held-out documents are a split of a tokens artifact, decoded to text, so that a model with any
tokenizer can score them in bits per byte. The caller records the accesses, of which scoring the
test split is one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from groundup.align import is_refusal
from groundup.core import (
    Answer,
    Artifact,
    ArtifactError,
    Completion,
    ConfigError,
    Conversation,
    Likelihood,
    Message,
    Reason,
    Sample,
    Sampling,
    Score,
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
from groundup.tokenizer import (
    FastTokenizer,
    ImportedTokenizer,
    Shard,
    SpecialFrame,
    document_special_ids,
    load_tokenizer,
)

from .aggregate import BITS_PER_BYTE
from .task import ChatOptions, ItemScores, RequestKind, Response, TaskItem, TaskMeasure

REFUSAL_SIGNATURE = "refused|by:beginning_of_the_refusal"
Scorer = Callable[[Sample, Answer], Score | Reason]


def _score_refusal(sample: Sample, answer: Answer) -> Score | Reason:
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
    def sampling(self) -> Sampling:
        """Greedy, until the model's end token."""
        return Sampling(max_tokens=self.max_tokens)

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
            is_reason = isinstance(response, Reason)
            reason = response if is_reason else Reason("no_text", "No text came back.")
            return ItemScores({}, {}, dict.fromkeys(names, reason))
        sample = Sample(item.id, (), tuple(item.target), item.group)
        answer = Answer(response.text.strip(), refused=is_refusal(response.text))
        values: dict[str, Any] = {name: SCORERS[name](sample, answer) for name in names}
        return ItemScores(
            {"none": answer.text},
            {name: value.value for name, value in values.items() if isinstance(value, Score)},
            {name: value for name, value in values.items() if isinstance(value, Reason)},
        )


BITS_PER_BYTE_MEASURE = TaskMeasure(
    "bits_per_byte", "none", "lower", BITS_PER_BYTE, "ratio",
    "bits_per_byte|bytes:utf-8|end:not_scored",
)  # fmt: skip


@dataclass
class HeldOutTask:
    """The documents of one split; fulfils `EvaluationTask`."""

    tokens: Artifact
    split: str = "test"
    tokenizer: FastTokenizer | ImportedTokenizer | None = None
    """The tokenizer of the tokens; None finds it through the artifact's parents."""

    kind: RequestKind = "loglikelihood_rolling"
    repeats: int = 1
    measures: tuple[TaskMeasure, ...] = (BITS_PER_BYTE_MEASURE,)
    sampling: Sampling = Sampling()

    @property
    def name(self) -> str:
        """Name of the split."""
        return f"documents-{self.split}"

    @property
    def version(self) -> str:
        """The first digits of the artifact's id."""
        return self.tokens.id[:12]

    @property
    def signature(self) -> str:
        """What is scored."""
        return f"documents:{self.version}|split:{self.split}|text:whole"

    @property
    def testset(self) -> Artifact | None:
        """The artifact whose ledger counts accesses; only the test split has one."""
        return self.tokens if self.split == "test" else None

    @cached_property
    def shard(self) -> Shard:
        """The split's ids; DataError if there is no such split."""
        return Shard.open(self.tokens, self.split)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        """Yield the documents that are not empty, grouped by name."""
        shard, tokenizer = self.shard, self._find_tokenizer()
        frame, seen = document_special_ids(tokenizer), dict[str, int]()
        indices = [index for index in range(len(shard.names)) if shard.bytes[index]]
        for index in indices[:limit]:
            name, ids = shard.names[index], shard.document_ids(index).tolist()
            text = tokenizer.decode(_strip_frame(ids, frame))
            number = seen[name] = seen.get(name, -1) + 1
            yield TaskItem(
                f"{name}#{number}" if number else name, name, text, (), None,
                {"bytes": len(text.encode())},
            )  # fmt: skip

    def _find_tokenizer(self) -> FastTokenizer | ImportedTokenizer:
        expected = self.shard.tokenizer
        parents = (parent for parent in self.tokens.parents if parent.name == "tokenizer")
        paths = [(self.tokens.path / parent.path).resolve() for parent in parents]
        tokenizers = [self.tokenizer]
        for path in paths:
            with suppress(ArtifactError):  # missing or of another kind: reported below
                tokenizers.append(load_tokenizer(path))
        for tokenizer in filter(None, tokenizers):
            if tokenizer.digest == expected:
                return tokenizer
        raise ConfigError(
            f"{self.tokens.path} was made with tokenizer {expected[:12]}, which is not at "
            f"{' or '.join(map(str, paths)) or 'any known path'}; restore it."
        )

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        """Nats and bytes of one document."""
        answer = answers[0]
        key = BITS_PER_BYTE_MEASURE.key
        if isinstance(answer, Likelihood):
            return ItemScores({}, {key: [-answer.logprob, item.document["bytes"]]}, {})
        reason = answer if isinstance(answer, Reason) else Reason("no_number", "A text came back.")
        return ItemScores({}, {}, {key: reason})


def _strip_frame(ids: list[int], frame: SpecialFrame) -> list[int]:
    """The ids of a document without the special ids around them.

    >>> frame = SpecialFrame((2,), (1,))
    >>> _strip_frame([2, 7, 8, 1], frame), _strip_frame([7], frame)
    ([7, 8], [7])
    """
    before, after = list(frame.before), list(frame.after)
    ids = ids[len(before) :] if ids[: len(before)] == before else ids
    return ids[: -len(after)] if after and ids[-len(after) :] == after else ids
