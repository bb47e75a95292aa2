"""A batch in decoding: its KV cache and the logits of the next token.

A decoder prefills left-padded prompts, bidirectionally if it was trained as a prefix LM; an
encoder–decoder encodes right-padded sources and then reads a start token. From then on both
decode token by token over one cache; `select` drops, reorders or duplicates sequences. Padding is
never attended. No text and no sampling here.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import ArtifactError
from groundup.model import Cache, EncoderOutput, Transformer

from .batches import left_padded, right_padded, right_padding_documents


class SourceFrame(NamedTuple):
    """Special ids around an encoder–decoder's source, and its decoder's start id."""

    start: int
    """First id that the decoder reads."""
    before: tuple[int, ...] = ()
    """Ids before a source, such as BART's bos."""
    after: tuple[int, ...] = ()
    """Ids after a source, such as its eos."""

    def wrap(self, ids: Sequence[int]) -> list[int]:
        """The ids that the encoder reads for a text."""
        return [*self.before, *ids, *self.after]


def read_source_frame(path: Path) -> SourceFrame | None:
    """Read the frame from a model directory's configuration; None without a start token.

    Raises ArtifactError if its files cannot be read.
    """
    values: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        if (path / name).is_file():
            values |= {k: v for k, v in _read_json_object(path / name).items() if v is not None}
    start = values.get("decoder_start_token_id")
    if start is None:
        return None
    ends = values.get("eos_token_id")
    after = () if ends is None else (ends[0] if isinstance(ends, list) else ends,)
    bos = values.get("bos_token_id")
    return SourceFrame(start, () if bos is None else (bos,), after)


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); create the model again.") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds no JSON object; create the model again.")
    return value


class DecodingBatch:
    """A batch of sequences that is being decoded."""

    def __init__(
        self, model: Transformer, num_sequences: int, capacity: int, vocab_size: int,
        encoded: EncoderOutput | None = None,
    ) -> None:  # fmt: skip
        """Allocate the cache; see `prefill_prompts` and `prefill_sources`."""
        head = model.head
        self.model, self.vocab_size, self.encoded = model, vocab_size, encoded
        self.cache = Cache(model.config, num_sequences, capacity, head.dtype, head.device)
        self.position = torch.zeros(num_sequences, 1, dtype=torch.long, device=head.device)
        self.logits = head.new_zeros(num_sequences, vocab_size)
        """(B, V): logits of each sequence's next token, over the tokenizer's ids."""

    @classmethod
    def prefill_prompts(
        cls, model: Transformer, prompts: Sequence[Sequence[int]], limit: int, vocab_size: int
    ) -> "DecodingBatch":
        """Prefill a decoder with prompts; at most `limit` tokens can follow."""
        padded = left_padded(prompts, model.head.device)
        batch = cls(model, len(prompts), padded.ids.shape[1] + limit, vocab_size)
        prefix = torch.ones_like(padded.ids, dtype=torch.bool) if model.config.prefix else None
        batch.feed(padded.ids, padded.positions, padded.documents, prefix)
        return batch

    @classmethod
    def prefill_sources(
        cls,
        model: Transformer,
        sources: Sequence[Sequence[int]],
        start: int,
        limit: int,
        vocab_size: int,
    ) -> "DecodingBatch":
        """Encode sources for an encoder–decoder; at most `limit` tokens can follow."""
        device = model.head.device
        ids, documents = right_padded(sources).to(device), right_padding_documents(sources, device)
        batch = cls(model, len(sources), limit, vocab_size, model.encode(ids, documents=documents))
        batch.feed(torch.full_like(batch.position, start), batch.position)
        return batch

    def feed(
        self,
        ids: Int[Tensor, "B T"],
        positions: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"] | None = None,
        prefix: Bool[Tensor, "B T"] | None = None,
    ) -> None:
        """Feed tokens of every sequence; `logits` are those after the last.

        Raises ArtifactError if they are not finite.
        """
        logits = self.model.logits(
            ids, positions=positions, cache=self.cache, documents=documents,
            prefix=prefix, encoded=self.encoded, last_only=True,
        )  # fmt: skip
        self.logits: Float[Tensor, "B V"] = logits[:, -1, : self.vocab_size]
        _check_finite(self.logits)
        self.position = positions[:, -1:]

    def append(self, ids: Int[Tensor, " B"]) -> None:
        """Append one token to every sequence."""
        self.feed(ids[:, None], self.position + 1)

    def select(self, indices: Int[Tensor, " rows"]) -> None:
        """Keep these sequences in this order; an index may repeat."""
        self.cache.select(indices)
        self.position, self.logits = self.position[indices], self.logits[indices]
        if self.encoded is not None:
            documents = self.encoded.documents
            self.encoded = EncoderOutput(
                self.encoded.hidden[indices], None if documents is None else documents[indices]
            )


@runtime_checkable
class HasTrainingMode(Protocol):
    """What every torch module offers, and models of others too."""

    @property
    def training(self) -> bool:
        """Whether dropout is on."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch dropout on or off."""
        ...


@contextmanager
def eval_mode(model: HasTrainingMode) -> Iterator[None]:
    """Switch to evaluation mode; restore the mode on exit."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)


def _check_finite(logits: Float[Tensor, "B V"]) -> None:
    """Raise ArtifactError if a sequence's largest logit is NaN or infinite."""
    if not bool(logits.amax(-1).isfinite().all()):
        raise ArtifactError(
            "The model's logits are not finite: its weights are damaged or overflow their dtype; "
            "train or import it again, or open it in float32."
        )


def gather_logprobs(logits: Float[Tensor, "N V"], ids: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Log-probability of each sequence's id, in float32 or better."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return exact.gather(-1, ids[:, None])[:, 0] - exact.logsumexp(-1)
