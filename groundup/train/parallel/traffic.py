"""Traffic: the bytes that a process sends in a step, by formula and by counting.

A collective over N processes of S bytes in all, in rings, sends from each

    all-reduce        2 (N - 1) / N S        reduce, then gather
    all-gather          (N - 1) / N S
    reduce-scatter      (N - 1) / N S
    all-to-all          (N - 1) / N S        S of one process
    send                            S

`traffic` is a function of the model's shape, the mesh and the rows; `Counted` adds up what is asked
of process groups while it is on. Numbers of a few bytes, such as the loss that is told, are in
neither.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import _resolve_process_group
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groundup.model import ModelConfig, Transformer

SHARES = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1}
FLOAT = 4


class Sent(NamedTuple):
    """One kind of collective of a step."""

    dimension: str
    what: str
    collective: str
    processes: int
    bytes: float
    """Of all calls of a step, of one process."""


class Load(NamedTuple):
    """What a process computes in a step."""

    rows: int
    """Of one micro-batch, on this process."""
    length: int
    micro_batches: int = 1
    compute_bytes: int = FLOAT
    """Of a number of matrix products: 2 in bfloat16."""


def sent(collective: str, processes: int, size: float) -> float:
    """Bytes that one of some processes sends in a collective of so many bytes.

    >>> sent("all-reduce", 4, 1000)
    1500.0
    """
    return size if collective == "send" else SHARES[collective] * (processes - 1) / processes * size


def traffic(
    config: ModelConfig, sizes: Mapping[str, int], load: Load, *, zero: int = 3
) -> list[Sent]:
    """What a process sends in a step, along data, shard and tensor.

    sizes  of the mesh's dimensions
    zero   stage along `shard`

    Queries and keys that are normed over all heads (`qk_norm="all"`) send more than this along
    `tensor`: features of all heads, which DTensor adds up and divides again.
    """
    parts, shards, copies = (sizes.get(name, 1) for name in ("tensor", "shard", "data"))
    shapes = own_shapes(config, parts)
    times = load.micro_batches if shards > 1 and zero > 1 else 1  # that gradients are added up
    found = along_tensor(config, shapes, parts, load, times) if parts > 1 else []
    gradients = FLOAT * sum(shape.numel() for shape in shapes.values())
    if shards > 1:
        found += along_shard(shapes, shards, load, zero)
        if zero > 1:  # each micro-batch's, and only a shard of them
            own = sum(padded(shape, shards) // shards for shape in shapes.values())
            gradients = times * FLOAT * own
    if copies > 1:
        found.append(row("data", "gradients", "all-reduce", copies, gradients))
    return found


def row(dimension: str, what: str, collective: str, processes: int, size: float) -> Sent:
    """What collectives of so many bytes send."""
    return Sent(dimension, what, collective, processes, sent(collective, processes, size))


def along_shard(shapes: Mapping[str, torch.Size], parts: int, load: Load, zero: int) -> list[Sent]:
    """Weights that are gathered, and gradients that are scattered."""
    whole = {name: padded(shape, parts) for name, shape in shapes.items()}
    inner = sum(size for name, size in whole.items() if is_inner(name))
    outer = sum(whole.values()) - inner
    times = load.micro_batches
    if zero == 1:
        gathered, scattered = FLOAT * (inner + outer), FLOAT * (inner + outer)
    else:
        passes = 2 if zero == 3 else 1  # backward gathers a block's weights again
        gathered = times * (passes * load.compute_bytes * inner + FLOAT * outer)
        scattered = times * FLOAT * (inner + outer)
    return [
        row("shard", "weights", "all-gather", parts, gathered),
        row("shard", "gradients", "reduce-scatter", parts, scattered),
    ]


def along_tensor(
    config: ModelConfig, shapes: Mapping[str, torch.Size], parts: int, load: Load, times: int
) -> list[Sent]:
    """Hidden states between positions and features, the loss, and whole weights' gradients."""
    tokens = load.rows * load.length * load.micro_batches
    hidden = tokens * config.width
    ends = 1 + (config.position.kind == "learned")  # tables of ids and of places
    gathers, scatters = 2 * config.layers, 2 * config.layers
    # Forward gathers what a matrix reads in float32 and scatters products; backward the reverse.
    gathered = gathers * FLOAT * hidden + scatters * load.compute_bytes * hidden
    scattered = scatters * load.compute_bytes * hidden + gathers * FLOAT * hidden
    gathered += FLOAT * hidden * (1 + ends)
    scattered += FLOAT * hidden * (1 + ends)
    # A bias of sums meets the whole gradient; a norm's weight that of some positions or heads.
    norms = times * FLOAT * sum(
        shape.numel() for name, shape in shapes.items()
        if "norm" in name and not is_divided(name, config)
    )  # fmt: skip
    return [
        row("tensor", "hidden states", "all-gather", parts, gathered),
        row("tensor", "hidden states", "reduce-scatter", parts, scattered),
        row("tensor", "loss", "all-reduce", parts, 3 * FLOAT * tokens),
        row("tensor", "gradients of norms", "all-reduce", parts, norms),
    ]


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """Shapes of a model's parameters, of which none is made."""
    with torch.device("meta"):
        made: nn.Module = Transformer(config, seed=None)
    return {name: parameter.shape for name, parameter in made.named_parameters()}


def is_inner(name: str) -> bool:
    """Whether a parameter is a block's, which is gathered when the block computes."""
    return ".layers." in f".{name}"


def is_divided(name: str, config: ModelConfig) -> bool:
    """Whether tensor parallel divides a parameter; norms and biases of sums stay whole."""
    if "q_norm" in name or "k_norm" in name:
        return config.attention.qk_norm == "all"
    return not ("norm" in name or name.endswith(("o_proj.bias", "down_proj.bias")))


def own_shapes(config: ModelConfig, parts: int) -> dict[str, torch.Size]:
    """Shapes of what the first of some tensor-parallel processes holds."""
    found = shapes_of(config)
    for name, shape in found.items():
        if parts > 1 and is_divided(name, config):
            along = 1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0
            sizes = list(shape)
            sizes[along] = -(-sizes[along] // parts)
            found[name] = torch.Size(sizes)
    return found


def padded(shape: torch.Size, parts: int) -> int:
    """Numbers that travel of what is divided by rows: rows up to a multiple.

    >>> padded(torch.Size([3, 10]), 2)
    40
    """
    return -(-shape[0] // parts) * parts * math.prod(shape[1:])


KINDS = {
    "allreduce_": "all-reduce", "all_reduce": "all-reduce", "all_reduce_": "all-reduce",
    "_allgather_base_": "all-gather", "all_gather_into_tensor": "all-gather",
    "allgather_into_tensor_coalesced_": "all-gather",
    "_reduce_scatter_base_": "reduce-scatter", "reduce_scatter_tensor": "reduce-scatter",
    "alltoall_base_": "all-to-all", "all_to_all_single": "all-to-all", "send": "send",
}  # fmt: skip


class Counted(TorchDispatchMode):
    """Adds up, by collective, the bytes that this process sends while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a collective and let it happen; a DTensor's are asked for while it computes."""
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        found = func(*args, **(kwargs or {}))
        name = KINDS.get(func.overloadpacket.__name__)
        if name is not None and func.namespace in ("c10d", "_c10d_functional"):
            tensors = [leaf for leaf in tree_leaves((args, found)) if isinstance(leaf, Tensor)]
            size = max((tensor.nbytes for tensor in tensors), default=0)
            amount = sent(name, processes_of(args), size)
            self.bytes[name] = self.bytes.get(name, 0.0) + amount
            self.calls[name] = self.calls.get(name, 0) + 1
        return found


def processes_of(given: Any) -> int:
    """Size of the group of a collective's arguments."""
    for leaf in tree_leaves(given):
        if isinstance(leaf, str) and leaf not in ("sum", "max", "min", "avg"):
            return _resolve_process_group(cast(Any, leaf)).size()
        if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type()):
            return ProcessGroup.unbox(leaf).size()
    return 1
