"""Context parallel: a row's positions spread over processes, for rows longer than one can hold.

A process holds two pieces of every row, one from its beginning and one from its end, so that a
causal mask gives all equal work. All but attention works on each position alone; attention sends
keys and values round a ring (kernels/ring.py). Positions, documents and targets go with the
pieces, so that the loss of each process is that of its own targets, and losses add up. Weights are
whole on every process, and their gradients are summed as along `data`.
Source: Liu et al. 2023, arXiv:2310.01889.
"""

from functools import partial

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from groundup.core import ConfigError
from groundup.kernels import Ring, held_places, places_of, ring_attention
from groundup.model import ModelConfig, Transformer

from ..batches import Batch
from .mesh import Mesh

BY_PLACE = ("learned", "sinusoidal")
"""Positions that count from the start of each document; the others see distances alone."""
UNKNOWN = ("source", "edges", "labels")
"""What a batch may have that does not belong to single positions of a row."""


def check_context(config: ModelConfig) -> None:
    """Raise ConfigError for a model whose rows cannot be spread."""
    if config.kind == "encoder_decoder":
        raise ConfigError("Mesh dimension context spreads the rows of decoders and encoders; this "
                          "model is of kind 'encoder_decoder': use data or shard.")  # fmt: skip
    if config.position.kind not in ("rope", "none", *BY_PLACE):
        raise ConfigError(
            f"position.kind={config.position.kind!r} adds a bias of whole rows to the scores, and "
            "mesh dimension context has none whole; use rope, none, learned or sinusoidal."
        )


def spread_rows(model: Transformer, line: DeviceMesh) -> None:
    """Let a model's attention go round a line of processes, in place.

    Raises ConfigError for a model whose rows cannot be spread.
    """
    check_context(model.config)
    ring = Ring(line.size(), line.get_local_rank(), line.get_group())
    for layer in model.layers:
        layer.attention.attend = partial(ring_attention, ring=ring)  # type: ignore[union-attr]


def own_positions(batch: Batch, config: ModelConfig, mesh: Mesh) -> Batch:
    """The positions of a batch's rows that this process computes.

    Raises ShapeError if the rows do not divide; ConfigError for rows longer than the context, and
    for an objective that looks at more of a row than its positions one by one.
    """
    ring = Ring(mesh.size("context"), mesh.place("context"))
    if ring.size == 1:
        return batch
    length = batch.ids.shape[1]
    if length > config.context_length:
        raise ConfigError(
            f"Rows of {length} tokens exceed the model's context_length={config.context_length}; "
            "mesh dimension context spreads rows, it does not lengthen what a model was made for."
        )
    odd = [name for name in UNKNOWN if getattr(batch, name) is not None]
    if odd:
        raise ConfigError(
            f"The objective's batches have {', '.join(odd)}, which belong to whole rows, and mesh "
            "dimension context spreads rows; use objective causal, prefix, middle or masked."
        )
    held = held_places(length, ring).to(batch.ids.device)
    if config.position.kind in BY_PLACE and batch.documents is not None:
        positions = places_of(batch.documents)[:, held]
    else:
        positions = held[None].expand(len(batch.ids), -1)
    fields = {n: v for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    kept = {name: value[:, held].contiguous() for name, value in fields.items()}
    return batch._replace(**kept | {"positions": positions.contiguous()})


def ring_bytes(
    config: ModelConfig,
    rows: int,
    length: int,
    parts: int,
    *,
    itemsize: int = 4,
    documents: int = 4,
) -> int:
    """Bytes that one process sends in a micro-batch, forward and backward, round all layers' rings.

    rows, length  of the whole micro-batch
    parts         processes of the ring
    itemsize      bytes of a key's number: 4, or 2 in bfloat16
    documents     bytes of a document's number, which travels with the keys; 0 of unpacked rows

    A share passes P - 1 times forward and as often backward; its gradients, in float32, pass P
    times.

    >>> ring_bytes(ModelConfig(), 1, 1024, 1)
    0
    """
    if parts == 1:
        return 0
    attention = config.attention
    numbers = 2 * rows * (length // parts) * attention.kv_heads * attention.head_dim
    passes = 2 * (parts - 1) * (numbers * itemsize + documents * rows * (length // parts))
    return config.layers * (passes + parts * numbers * 4)
