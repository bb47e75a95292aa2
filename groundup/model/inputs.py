"""Checks of the inputs of a forward pass, before anything is computed.

They look at shapes and dtypes, never at values, so they cost microseconds and stay outside compiled
blocks. Values out of range are reported by the embedding lookup that fails.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.core import CapacityError, ConfigError, ShapeError
from groundup.kernels import attention

from .attention import Attention, Cache, EncoderOutput
from .configuration.config import ModelConfig
from .configuration.positions import PositionConfig

EXPECTED_DOCUMENTS = (
    "one index per token, -1 for padding; from an attention mask of 0 and 1: mask.long() - 1"
)


def check_ids(ids: Tensor, documents: Tensor | None) -> None:
    """Raise ShapeError unless ids are integers (B, T) and documents have their shape."""
    if ids.ndim != 2 or not _is_integer(ids):
        what = f"ids have shape {tuple(ids.shape)} and {ids.dtype}"
        raise ShapeError(f"{what}; expected integers (B, T): a single sequence is ids[None].")
    if documents is not None:
        _check_like("documents", documents, ids, EXPECTED_DOCUMENTS)


class ForwardInputs(NamedTuple):
    """The optional inputs of `Transformer.forward`."""

    positions: Tensor | None
    documents: Tensor | None
    types: Tensor | None
    prefix: Tensor | None
    cache: Cache | None
    encoded: EncoderOutput | None


def check_inputs(config: ModelConfig, ids: Tensor, given: ForwardInputs) -> None:
    """Raise ShapeError, CapacityError or ConfigError as documented in `Transformer.forward`."""
    check_ids(ids, given.documents)
    _check_model_kind(config, ids, given)
    if given.positions is not None:
        expected = "one position per token; (1, T) broadcasts"
        _check_like("positions", given.positions, ids, expected, broadcasts=True)
    if given.types is not None:
        _check_like("types", given.types, ids, "one type per token")
        if not config.embedding.types:
            raise ConfigError("This model has EmbeddingConfig.types=0; omit types.")
    if given.prefix is not None:
        _check_prefix(config, given.prefix, ids, given.cache)
    if given.cache is not None:
        _check_cache(config, given.cache, len(ids))
    if given.encoded is not None:
        _check_encoded(config, given.encoded, len(ids))


def _check_model_kind(config: ModelConfig, ids: Tensor, given: ForwardInputs) -> None:
    if given.documents is None or given.positions is None:  # packed ones may be of any total length
        before = 0 if given.cache is None else given.cache.length
        check_context_length(config, ids.shape[1] + before)
    if given.cache is not None and config.kind == "encoder":
        raise ConfigError("An encoder cannot use a cache: every token attends to later ones.")
    if (given.encoded is None) == (config.kind == "encoder_decoder"):
        what = "has no encoder and takes no encoded source."
        if given.encoded is None:
            what = "needs a source: pass encoded=model.encode(source)."
        raise ConfigError(f"A model of kind {config.kind!r} {what}")


def check_context_length(config: ModelConfig, needed: int) -> None:
    """Raise CapacityError for a sequence longer than the context."""
    if needed > config.context_length:
        what = f"{needed} tokens do not fit the model's context_length={config.context_length}"
        raise CapacityError(f"{what}; shorten the prompt or ask for fewer tokens.")


def may_fork(model: Any) -> bool:
    """Whether rows may fork: tokens know their positions, and each layer attends to whole rows.

    model  a Transformer
    """
    position: PositionConfig = model.config.position
    layers = [block.attention for block in model.layers]
    return (
        position.kind in ("rope", "learned", "sinusoidal", "none")
        and not position.scaling.depends_on_length and not model.restarts_positions
        and all(type(each) is Attention and each.attend is attention for each in layers)
    )  # fmt: skip


def _check_prefix(config: ModelConfig, prefix: Tensor, ids: Tensor, cache: Cache | None) -> None:
    """Check that a prefix is a mask of the ids, in an empty cache and not in an encoder."""
    if prefix.shape != ids.shape or prefix.dtype != torch.bool:
        what = f"prefix has shape {tuple(prefix.shape)} and {prefix.dtype}"
        raise ShapeError(f"{what}; expected bool of the ids' shape {tuple(ids.shape)}.")
    if cache is not None and cache.length:
        what = f"prefix was passed with a cache of {cache.length} tokens, which cannot attend to it"
        raise ConfigError(f"{what}; pass the complete prefix in the cache's first call.")
    if config.kind == "encoder":
        raise ConfigError("An encoder's attention is bidirectional anyway; omit prefix.")


def _check_cache(config: ModelConfig, cache: Cache, batch: int) -> None:
    shape = (len(cache.keys), *cache.keys[0].shape[:2], cache.keys[0].shape[3])
    row = config.attention.cache_row
    expected = (config.layers, batch, row.heads, row.keys)
    if shape != expected:
        what = f"The cache has (layers, batch, kv_heads, head_dim) = {shape}"
        need = f"this model and these ids need {expected}"
        raise ShapeError(f"{what}; {need}: use Cache(model.config, {batch}, capacity).")


def _check_encoded(config: ModelConfig, encoded: EncoderOutput, batch: int) -> None:
    shape = tuple(encoded.hidden.shape)
    is_like = len(shape) == 3 and (shape[0], shape[2]) == (batch, config.width)
    if not is_like or not encoded.hidden.is_floating_point():
        what = f"The encoded source has shape {shape} and {encoded.hidden.dtype}"
        expected = f"floats ({batch}, S, {config.width}), as returned by model.encode"
        raise ShapeError(f"{what}; expected {expected}.")
    documents = encoded.documents
    if documents is None:
        return
    if tuple(documents.shape) != shape[:2] or not _is_integer(documents):
        has = f"shape {tuple(documents.shape)} and {documents.dtype}, the source {shape[:2]}"
        raise ShapeError(f"The source's documents have {has}; expected {EXPECTED_DOCUMENTS}.")


def _check_like(
    name: str, tensor: Tensor, ids: Tensor, expected: str, *, broadcasts: bool = False
) -> None:
    sizes = (len(ids), 1) if broadcasts else (len(ids),)
    is_like = tensor.ndim == 2 and len(tensor) in sizes and tensor.shape[1] == ids.shape[1]
    if not is_like or not _is_integer(tensor):
        what = f"{name} have shape {tuple(tensor.shape)} and {tensor.dtype}"
        like = f"integers of the ids' shape {tuple(ids.shape)}"
        raise ShapeError(f"{what}; expected {like}: {expected}.")


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def embedding_lookup(
    table: nn.Module, indices: Int[Tensor, "*batch"], name: str, offset: int = 0
) -> Float[Tensor, "*batch D"]:
    """Embeddings of indices.

    name    what the indices are, for the error
    offset  of index 0 in the table

    Raises ShapeError naming the first index out of range; accelerators report it themselves.
    """
    try:
        vectors: Tensor = table(indices + offset if offset else indices)
        return vectors
    except IndexError:
        assert isinstance(table, nn.Embedding)
        low, end = -offset, table.num_embeddings - offset
        wrong = int(indices[(indices < low) | (indices >= end)].flatten()[0])
        what = f"{name} {wrong} is out of range; the model has 0 to {end - 1}"
        raise ShapeError(f"{what}: check the tokenizer and context_length.") from None
