"""Held-out documents as a task: how many bits a byte of them needs.

The documents are a split of a tokens artifact, decoded to the text that they were made of, so that
any model can be asked, whatever its tokenizer. Scoring the test split is a look at it.
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
    Stops,
    TextModel,
)  # fmt: skip
from groundup.tokenizer import (
    FastTokenizer,
    Frame,
    ImportedTokenizer,
    Shard,
    document_frame,
    load_tokenizer,
)

from .task.aggregate import BITS
from .task.task import Asked, Item, Kind, Measure, Scored

MEASURE = Measure(
    "bits_per_byte", "none", "lower", BITS, "ratio", "bits_per_byte|bytes:utf-8|end:not_scored"
)


@dataclass
class HeldOut:
    """The documents of one split; fulfils `task.Task`."""

    tokens: Artifact
    split: str = "test"
    tokenizer: FastTokenizer | ImportedTokenizer | None = None
    """What made the tokens; None: found where it was when they were made."""

    kind: Kind = "loglikelihood_rolling"
    repeats: int = 1
    measures: tuple[Measure, ...] = (MEASURE,)
    stops: Stops = Stops(Sampling())

    @property
    def name(self) -> str:
        """Name of the split."""
        return f"documents-{self.split}"

    @property
    def version(self) -> str:
        """The first of the artifact's id."""
        return self.tokens.id[:12]

    @property
    def signature(self) -> str:
        """What is read."""
        return f"documents:{self.version}|split:{self.split}|text:whole"

    @property
    def testset(self) -> Artifact | None:
        """What holds the ledger of looks; the other splits are for looking at."""
        return self.tokens if self.split == "test" else None

    @cached_property
    def shard(self) -> Shard:
        """The split's ids; DataError if there is no such split."""
        return Shard.open(self.tokens, self.split)

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[Item]:
        """Yield the documents that hold anything, each a group of its own name."""
        shard, tokenizer = self.shard, self.decoder()
        frame, known = document_frame(tokenizer), dict[str, int]()
        places = [place for place in range(len(shard.names)) if shard.bytes[place]]
        for place in places[:limit]:
            name, ids = shard.names[place], shard.document(place).tolist()
            text = tokenizer.decode(within(ids, frame))
            number = known[name] = known.get(name, -1) + 1
            yield Item(
                f"{name}#{number}" if number else name, name, text, (), None,
                {"bytes": len(text.encode())},
            )  # fmt: skip

    def decoder(self) -> FastTokenizer | ImportedTokenizer:
        """The tokenizer that made the ids; ConfigError if it is not where it was."""
        wanted = self.shard.tokenizer
        parents = (parent for parent in self.tokens.parents if parent.name == "tokenizer")
        places = [(self.tokens.path / parent.path).resolve() for parent in parents]
        found = [self.tokenizer]
        for place in places:
            with suppress(ArtifactError):  # another's folder, or none: told below
                found.append(load_tokenizer(place))
        for tokenizer in filter(None, found):
            if tokenizer.digest == wanted:
                return tokenizer
        raise ConfigError(
            f"{self.tokens.path} was made with tokenizer {wanted[:12]}, which is not at "
            f"{' or '.join(map(str, places)) or 'any known place'}; bring it back."
        )

    def score(self, item: Item, answers: Sequence[Asked]) -> Scored:
        """Nats and bytes of one document."""
        found = answers[0]
        if isinstance(found, Likelihood):
            return Scored({}, {MEASURE.key: [-found.logprob, item.document["bytes"]]}, {})
        reason = found if isinstance(found, Reason) else Reason("no_number", "A text came back.")
        return Scored({}, {}, {MEASURE.key: reason})


def within(ids: list[int], frame: Frame) -> list[int]:
    """The ids of a document without those around them.

    >>> within([2, 7, 8, 1], Frame((2,), (1,))), within([7], Frame((2,), (1,)))
    ([7, 8], [7])
    """
    before, after = list(frame.before), list(frame.after)
    ids = ids[len(before) :] if ids[: len(before)] == before else ids
    return ids[: -len(after)] if after and ids[-len(after) :] == after else ids
