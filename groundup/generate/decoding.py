"""A batch of sequences that are being written: what the model has read, and what it says next.

A decoder reads prompts, padded on the left, and both ways if it was trained on prefixes; an
encoder–decoder reads sources, padded on the right, and then a start token. From there on both are
written alike: token by token over one cache, rows chosen anew by `select`. Padding is attended by
nobody. Knows no text and no sampling.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import ArtifactError
from groundup.model import Cache, Encoded, Transformer

from .batches import left_padded, right_documents, right_padded


class Frame(NamedTuple):
    """What stands around an encoder–decoder's texts."""

    start: int
    """The id that its decoder reads first."""
    before: tuple[int, ...] = ()
    """Ids before a source: BART's beginning."""
    after: tuple[int, ...] = ()
    """Ids after a source: its end."""

    def source(self, ids: Sequence[int]) -> list[int]:
        """A text's ids as the encoder reads them."""
        return [*self.before, *ids, *self.after]


def frame_of(path: Path) -> Frame | None:
    """The frame that a model directory names; None if it names no start.

    Raises ArtifactError if its files cannot be read.
    """
    values: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        if (path / name).is_file():
            values |= {k: v for k, v in read_object(path / name).items() if v is not None}
    start = values.get("decoder_start_token_id")
    if start is None:
        return None
    ends = values.get("eos_token_id")
    after = () if ends is None else (ends[0] if isinstance(ends, list) else ends,)
    bos = values.get("bos_token_id")
    return Frame(start, () if bos is None else (bos,), after)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object in a file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); make the model again.") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no JSON object; make the model again.")
    return found


class Decoding:
    """A batch of sequences in the course of being written."""

    def __init__(
        self, model: Transformer, rows: int, capacity: int, vocab_size: int,
        encoded: Encoded | None = None,
    ) -> None:  # fmt: skip
        """Make room for so many rows of `capacity` tokens; see `after_prompts` and `of_sources`."""
        head = model.head
        self.model, self.vocab_size, self.encoded = model, vocab_size, encoded
        self.cache = Cache(model.config, rows, capacity, head.dtype, head.device)
        self.position = torch.zeros(rows, 1, dtype=torch.long, device=head.device)
        self.logits = head.new_zeros(rows, vocab_size)
        """Of the next token of each row, of the ids that the tokenizer knows."""

    @classmethod
    def after_prompts(
        cls, model: Transformer, prompts: Sequence[Sequence[int]], limit: int, vocab_size: int
    ) -> "Decoding":
        """A decoder that has read prompts and will write `limit` tokens at most."""
        padded = left_padded(prompts, model.head.device)
        made = cls(model, len(prompts), padded.ids.shape[1] + limit, vocab_size)
        prefix = torch.ones_like(padded.ids, dtype=torch.bool) if model.config.prefix else None
        made.read(padded.ids, padded.positions, padded.documents, prefix)
        return made

    @classmethod
    def of_sources(
        cls,
        model: Transformer,
        sources: Sequence[Sequence[int]],
        start: int,
        limit: int,
        vocab_size: int,
    ) -> "Decoding":
        """An encoder–decoder that has read sources and will write `limit` tokens at most."""
        place = model.head.device
        ids, documents = right_padded(sources).to(place), right_documents(sources, place)
        made = cls(model, len(sources), limit, vocab_size, model.encode(ids, documents=documents))
        made.read(torch.full_like(made.position, start), made.position)
        return made

    def read(
        self,
        ids: Int[Tensor, "B T"],
        positions: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"] | None = None,
        prefix: Bool[Tensor, "B T"] | None = None,
    ) -> None:
        """Take in tokens of every row; `logits` are those after the last.

        Raises ArtifactError if they are not finite.
        """
        logits = self.model.logits(
            ids, positions=positions, cache=self.cache, documents=documents,
            prefix=prefix, encoded=self.encoded, last_only=True,
        )  # fmt: skip
        self.logits: Float[Tensor, "B V"] = logits[:, -1, : self.vocab_size]
        check_finite(self.logits)
        self.position = positions[:, -1:]

    def write(self, ids: Int[Tensor, " B"]) -> None:
        """Append one token to every row."""
        self.read(ids[:, None], self.position + 1)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep these rows, in this order; one may be kept several times."""
        self.cache.select(rows)
        self.position, self.logits = self.position[rows], self.logits[rows]
        if self.encoded is not None:
            documents = self.encoded.documents
            self.encoded = Encoded(
                self.encoded.hidden[rows], None if documents is None else documents[rows]
            )


@contextmanager
def evaluating(model: Transformer) -> Iterator[None]:
    """Put a model into evaluation and, afterwards, back into what it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def check_finite(logits: Float[Tensor, "B V"]) -> None:
    """Refuse logits of which the largest is no number: nan, or more than the dtype holds."""
    if not bool(logits.amax(-1).isfinite().all()):
        raise ArtifactError(
            "The model's logits are not finite, so no token can be chosen: its weights are damaged "
            "or too large for their dtype; train or import it again, or open it in float32."
        )


def logprobs_of(logits: Float[Tensor, "N V"], ids: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Log-probability of each row's id, computed in float32 or better."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return exact.gather(-1, ids[:, None])[:, 0] - exact.logsumexp(-1)
