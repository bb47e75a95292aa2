"""Context parallelism: a sequence's positions are distributed over processes, for long sequences.

A process has two chunks of every sequence, one from its beginning and one from its end, so that a
causal mask gives all processes equal work. Only attention mixes positions; it passes keys and
values round a ring (kernels/ring.py). Positions, documents and targets go with the chunks, so each
process's loss is that of its own targets, and losses add up. Weights are replicated, and their
gradients are summed as along `data`.
Source: Liu et al. 2023, arXiv:2310.01889.
"""

from functools import partial

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from groundup.core import ConfigError
from groundup.kernels import Ring, document_positions, ring_attention, shard_positions
from groundup.model import ModelConfig, Transformer

from ..batches import MicroBatch
from .mesh import Mesh

ABSOLUTE_POSITIONS = ("learned", "sinusoidal")
"""Position kinds that count from the start of each document; others depend on distances only."""
UNSUPPORTED_FIELDS = ("source", "edges", "labels")
"""Batch fields that do not belong to single positions of a sequence."""


def check_context(config: ModelConfig) -> None:
    """Raise ConfigError for a model that does not support context parallelism."""
    if config.kind == "encoder_decoder":
        raise ConfigError("Mesh dimension context supports decoders and encoders; this model is of "
                          "kind 'encoder_decoder': use data or shard.")  # fmt: skip
    if config.position.kind not in ("rope", "none", *ABSOLUTE_POSITIONS):
        raise ConfigError(
            f"position.kind={config.position.kind!r} adds a bias over the full sequence, which "
            "mesh dimension context does not support; use rope, none, learned or sinusoidal."
        )


def apply_ring_attention(model: Transformer, line: DeviceMesh) -> None:
    """Make a model's attention run round a ring of processes, in place.

    Raises ConfigError for unsupported models.
    """
    check_context(model.config)
    ring = Ring(line.size(), line.get_local_rank(), line.get_group())
    for layer in model.layers:
        layer.attention.attend = partial(ring_attention, ring=ring)  # type: ignore[union-attr]


def local_positions(batch: MicroBatch, config: ModelConfig, mesh: Mesh) -> MicroBatch:
    """The positions of a batch's sequences that this process computes.

    Raises ShapeError if the sequences do not divide; ConfigError for sequences longer than the
    context, and for objectives with sequence-level fields.
    """
    ring = Ring(mesh.size("context"), mesh.rank_along("context"))
    if ring.size == 1:
        return batch
    length = batch.ids.shape[1]
    if length > config.context_length:
        raise ConfigError(
            f"Sequences of {length} tokens exceed the model's context_length="
            f"{config.context_length}, also with mesh dimension context."
        )
    unsupported = [name for name in UNSUPPORTED_FIELDS if getattr(batch, name) is not None]
    if unsupported:
        raise ConfigError(
            f"The objective's batches have {', '.join(unsupported)}, which mesh dimension context "
            "does not support; use objective causal, prefix, middle or masked."
        )
    own = shard_positions(length, ring).to(batch.ids.device)
    if config.position.kind in ABSOLUTE_POSITIONS and batch.documents is not None:
        positions = document_positions(batch.documents)[:, own]
    else:
        positions = own[None].expand(len(batch.ids), -1)
    fields = {n: v for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    local = {name: value[:, own].contiguous() for name, value in fields.items()}
    return batch._replace(**local | {"positions": positions.contiguous()})
