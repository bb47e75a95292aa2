"""What a pass is given: every tensor is checked against the ids before anything is computed.

Only shapes and dtypes are looked at, never values: that costs microseconds, and compiled blocks do
not see it. A value that a table has no row for is told by the look-up that misses it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.core import CapacityError, ConfigError, ShapeError

from .attention import Encoded
from .cache import Cache
from .config import ModelConfig

A_MASK = "one number a token, -1 for padding; of an attention mask of 1 and 0 take mask.long() - 1"


def check_ids(ids: Tensor, documents: Tensor | None) -> None:
    """Refuse ids that are no rows of whole numbers, and documents that are not one for each.

    Raises ShapeError.
    """
    if ids.ndim != 2 or not is_whole(ids):
        raise ShapeError(
            f"ids have the shape {tuple(ids.shape)} and {ids.dtype}; expected whole numbers "
            "(B, T): a single row is ids[None]."
        )
    if documents is not None:
        check_like("documents", documents, ids, A_MASK)


class Given(NamedTuple):
    """What a pass is given beside its ids; see `Transformer.forward`."""

    positions: Tensor | None
    documents: Tensor | None
    types: Tensor | None
    prefix: Tensor | None
    cache: Cache | None
    encoded: Encoded | None


def check_inputs(config: ModelConfig, ids: Tensor, given: Given) -> None:
    """Refuse what does not fit the ids or the model.

    Raises ShapeError, CapacityError and ConfigError as `Transformer.forward` says.
    """
    check_ids(ids, given.documents)
    check_kind(config, ids, given)
    if given.positions is not None:
        wanted = "one place a token; (1, T) serves all rows"
        check_like("positions", given.positions, ids, wanted, one_serves_all=True)
    if given.types is not None:
        check_like("types", given.types, ids, "one kind of segment a token")
        if not config.embedding.types:
            raise ConfigError(
                "This model has no kinds of segments (EmbeddingConfig.types=0); leave types out."
            )
    if given.prefix is not None:
        check_prefix(config, given.prefix, ids, given.cache)
    if given.cache is not None:
        check_cache(config, given.cache, len(ids))
    if given.encoded is not None:
        check_encoded(config, given.encoded, len(ids))


def check_kind(config: ModelConfig, ids: Tensor, given: Given) -> None:
    """Refuse more tokens than the context has, and what this kind of model cannot do."""
    check_length(config, ids.shape[1] + (0 if given.cache is None else given.cache.length))
    if given.cache is not None and config.kind == "encoder":
        raise ConfigError(
            "An encoder cannot generate: every token sees those after it, so nothing can be "
            "kept from call to call; use a decoder or an encoder_decoder."
        )
    if (given.encoded is None) == (config.kind == "encoder_decoder"):
        raise ConfigError(
            f"A model of kind {config.kind!r} "
            + ("reads a source: give encoded=model.encode(source)." if given.encoded is None else
               "has no encoder and takes no encoded source.")
        )  # fmt: skip


def check_length(config: ModelConfig, needed: int) -> None:
    """Refuse a sequence longer than the context."""
    if needed > config.context_length:
        raise CapacityError(
            f"{needed} tokens do not fit the model's context_length={config.context_length}; "
            "shorten the prompt or ask for fewer tokens."
        )


def check_prefix(config: ModelConfig, prefix: Tensor, ids: Tensor, cache: Cache | None) -> None:
    """Refuse a prefix that is no mask of the ids, and one of a part of a text or of an encoder."""
    if prefix.shape != ids.shape or prefix.dtype != torch.bool:
        raise ShapeError(
            f"prefix has the shape {tuple(prefix.shape)} and {prefix.dtype}, and ids "
            f"{tuple(ids.shape)}; expected one bool a token."
        )
    if cache is not None and cache.length:
        raise ConfigError(
            f"A prefix came with a cache of {cache.length} tokens, which can no longer see it; "
            "give the whole prefix in the cache's first call."
        )
    if config.kind == "encoder":
        raise ConfigError("An encoder's tokens see each other anyway; leave prefix out.")


def check_cache(config: ModelConfig, cache: Cache, rows: int) -> None:
    """Refuse a cache of another batch or another model."""
    found = (len(cache.keys), *cache.keys[0].shape[:2], cache.keys[0].shape[3])
    part = config.attention
    wanted = (config.layers, rows, part.kv_heads, part.head_dim)
    if found != wanted:
        raise ShapeError(
            f"The cache holds (layers, rows, kv_heads, head_dim) = {found}, and these ids of this "
            f"model need {wanted}; make it with Cache(model.config, {rows}, capacity)."
        )


def check_encoded(config: ModelConfig, encoded: Encoded, rows: int) -> None:
    """Refuse a source of another batch or width, and documents that are not its own."""
    shape = tuple(encoded.hidden.shape)
    is_like = len(shape) == 3 and (shape[0], shape[2]) == (rows, config.width)
    if not is_like or not encoded.hidden.is_floating_point():
        raise ShapeError(
            f"The encoded source has the shape {shape} and {encoded.hidden.dtype}; expected floats "
            f"({rows}, S, {config.width}): one source a row of ids, as model.encode gives it."
        )
    documents = encoded.documents
    if documents is None:
        return
    if tuple(documents.shape) != shape[:2] or not is_whole(documents):
        raise ShapeError(
            f"The source's documents have the shape {tuple(documents.shape)} and "
            f"{documents.dtype}, and the source {shape[:2]}; expected {A_MASK}."
        )


def check_like(
    name: str, tensor: Tensor, ids: Tensor, wanted: str, *, one_serves_all: bool = False
) -> None:
    """Refuse a tensor that is not whole numbers of the shape of the ids."""
    rows = (len(ids), 1) if one_serves_all else (len(ids),)
    is_like = tensor.ndim == 2 and len(tensor) in rows and tensor.shape[1] == ids.shape[1]
    if not is_like or not is_whole(tensor):
        raise ShapeError(
            f"{name} have the shape {tuple(tensor.shape)} and {tensor.dtype}, and ids "
            f"{tuple(ids.shape)}; expected whole numbers of that shape: {wanted}."
        )


def is_whole(tensor: Tensor) -> bool:
    """Whether a tensor holds whole numbers."""
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def look_up(
    table: nn.Module, rows: Int[Tensor, "*batch"], what: str, first: int = 0
) -> Float[Tensor, "*batch D"]:
    """Vectors of a table.

    first  row of the table that is called 0

    Raises ShapeError naming the first that the table has no row for; on accelerators it is theirs
    to tell.
    """
    try:
        found: Tensor = table(rows + first if first else rows)
        return found
    except IndexError:
        assert isinstance(table, nn.Embedding)
        least, most = -first, table.num_embeddings - first
        wrong = int(rows[(rows < least) | (rows >= most)].flatten()[0])
        raise ShapeError(
            f"{what} {wrong} came, and the model has 0 to {most - 1}; give those that its "
            "tokenizer and its context_length allow."
        ) from None
