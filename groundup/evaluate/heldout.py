"""Held-out documents as a task, scored in bits per byte.

The documents are a split of a tokens artifact, decoded to text, so that a model with any tokenizer
can score them. Scoring the test split is a test-set access.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    Likelihood,
    Reason,
    Sampling,
    StopCriteria,
    TextModel,
)  # fmt: skip
from groundup.tokenizer import (
    FastTokenizer,
    ImportedTokenizer,
    Shard,
    SpecialFrame,
    document_special_ids,
    load_tokenizer,
)

from .task.aggregate import BITS_PER_BYTE
from .task.task import ItemScores, RequestKind, Response, TaskItem, TaskMeasure

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
    stops: StopCriteria = StopCriteria(Sampling())

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
