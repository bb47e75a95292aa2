"""Communication volume: the bytes that a process sends in a step, by formula and by counting.

A ring collective over N processes of S bytes in total sends from each

    all-reduce        2 (N - 1) / N S        reduce, then gather
    all-gather          (N - 1) / N S
    reduce-scatter      (N - 1) / N S
    all-to-all          (N - 1) / N S        S of one process
    send                            S

`traffic` is a function of the model's shape, the mesh and the batch, for every mesh dimension;
`Counted` adds up the calls to process groups while it is active. How many tokens are sent to
experts depends on the router: the formula assumes a balanced load. A few bytes that are not
gradients, such as the logged loss, are in neither.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import _resolve_process_group
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groundup.model import ModelConfig, Transformer

from .context import ring_bytes
from .expert import DIVIDED
from .layers import parts_of
from .mesh import SEES_OTHER_TARGETS

SHARES = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1}
FLOAT = 4


class Sent(NamedTuple):
    """One kind of collective in a step."""

    dimension: str
    """Several flattened dimensions are separated by commas."""
    what: str
    collective: str
    processes: int
    bytes: float
    """Sent by one process in all calls of a step."""


class Load(NamedTuple):
    """What a process computes in a step."""

    rows: int
    """Sequences of one micro-batch on this process."""
    length: int
    """Full sequence length, however many processes share it."""
    micro_batches: int = 1
    compute_bytes: int = FLOAT
    """Per element in matrix products: 2 in bfloat16."""
    mark_bytes: int = 4
    """Per token sent round a ring with its key: 4 for the document number, 0 for unpacked
    sequences; 1 more for a prefix mask.
    """
    place: int = 0
    """This process's rank in a pipeline."""

    def hidden(self, config: ModelConfig, sizes: Mapping[str, int]) -> int:
        """Elements of a micro-batch's hidden states on this process."""
        return self.rows * self.length // sizes.get("context", 1) * config.width


def sent(collective: str, processes: int, size: float) -> float:
    """Bytes that one process sends in a collective of a total size.

    >>> sent("all-reduce", 4, 1000)
    1500.0
    """
    return size if collective == "send" else SHARES[collective] * (processes - 1) / processes * size


def traffic(
    config: ModelConfig, sizes: Mapping[str, int], load: Load, *, zero: int = 3
) -> list[Sent]:
    """What a process sends in a step, along every dimension of a mesh.

    sizes  of the mesh's dimensions
    zero   ZeRO stage along `shard`

    Queries and keys that are normed over all heads (`qk_norm="all"`) send more than this along
    `tensor`: features of all heads, which DTensor reduces and shards again. An encoder's experts
    are assumed to read sources as long as the targets.
    """
    shapes = own_shapes(config, sizes, load.place)
    collectives = [
        *along_tensor(config, shapes, sizes, load, zero),
        *along_pipeline(config, sizes, load),
        *along_context(config, shapes, sizes, load),
        *to_experts(config, shapes, sizes, load),
        *along_shard(shapes, sizes, load, zero),
        *added_up(shapes, sizes, load, zero),
    ]
    return [each for each in collectives if each.bytes]


def row(
    sizes: Mapping[str, int], dimensions: Sequence[str], what: str, collective: str, size: float
) -> Sent:
    """Bytes sent by collectives along those of some dimensions that the mesh has."""
    used = [name for name in dimensions if sizes.get(name, 1) > 1]
    processes = math.prod(sizes[name] for name in used)
    return Sent(",".join(used), what, collective, processes, sent(collective, processes, size))


def line_of(sizes: Mapping[str, int], zero: int) -> tuple[str, ...]:
    """Dimensions over which weights are sharded by rows; stages 2 and 3 include `context`."""
    if sizes.get("shard", 1) == 1:
        return ()
    return ("shard", "context") if zero > 1 else ("shard",)


def along_shard(
    shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: Load, zero: int
) -> list[Sent]:
    """Gathered weights and scattered gradients (ZeRO)."""
    line = line_of(sizes, zero)
    parts, times = math.prod(sizes.get(name, 1) for name in line), load.micro_batches
    counts = {name: padded(shape, parts) for name, shape in shapes.items()}
    inner = sum(size for name, size in counts.items() if is_inner(name))
    outer = sum(counts.values()) - inner
    if zero == 1:
        gathered, scattered = FLOAT * (inner + outer), FLOAT * (inner + outer)
    else:
        passes = 2 if zero == 3 else 1  # backward gathers a block's weights again
        gathered = times * (passes * load.compute_bytes * inner + FLOAT * outer)
        scattered = times * FLOAT * (inner + outer)
    return [
        row(sizes, line, "weights", "all-gather", gathered),
        row(sizes, line, "gradients", "reduce-scatter", scattered),
    ]


def added_up(
    shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: Load, zero: int
) -> list[Sent]:
    """All-reduced gradients, of weights that are not sharded along the dimension."""
    line = line_of(sizes, zero)
    is_early = bool(line) and zero > 1  # in each micro-batch, and only a shard
    parts = math.prod(sizes.get(name, 1) for name in line) if is_early else 1
    counts: Counter[tuple[str, ...]] = Counter()
    for name, shape in shapes.items():
        placed = {"shard", *line, *(["expert"] if is_expert(name) else [])}
        along = tuple(each for each in SEES_OTHER_TARGETS if each not in placed)
        counts[along] += FLOAT * padded(shape, parts) // parts
    times = load.micro_batches if is_early else 1
    return [row(sizes, along, "gradients", "all-reduce", times * n) for along, n in counts.items()]


def along_tensor(
    config: ModelConfig,
    shapes: Mapping[str, torch.Size],
    sizes: Mapping[str, int],
    load: Load,
    zero: int,
) -> list[Sent]:
    """Hidden states between positions and features, the loss, and gradients of norms."""
    hidden = load.hidden(config, sizes) * load.micro_batches
    ends = 1 + (config.position.kind == "learned")  # token and position embeddings
    gathers, scatters = 2 * config.layers, 2 * config.layers
    # Forward gathers what a matrix reads in float32 and scatters products; backward the reverse.
    gathered = gathers * FLOAT * hidden + scatters * load.compute_bytes * hidden
    scattered = scatters * load.compute_bytes * hidden + gathers * FLOAT * hidden
    gathered += FLOAT * hidden * (1 + ends)
    scattered += FLOAT * hidden * (1 + ends)
    # A bias of sums sees the complete gradient; a norm's weight only some positions or heads.
    times = load.micro_batches if line_of(sizes, zero) and zero > 1 else 1
    norms = times * FLOAT * sum(
        shape.numel() for name, shape in shapes.items()
        if "norm" in name and not is_divided(name, config)
    )  # fmt: skip
    line = ("tensor",)
    return [
        row(sizes, line, "hidden states", "all-gather", gathered),
        row(sizes, line, "hidden states", "reduce-scatter", scattered),
        row(sizes, line, "loss", "all-reduce", 3 * FLOAT * (hidden // config.width)),
        row(sizes, line, "gradients of norms", "all-reduce", norms),
    ]


def along_pipeline(config: ModelConfig, sizes: Mapping[str, int], load: Load) -> list[Sent]:
    """Hidden states to the next process, gradients to the previous one, and tied weights.

    Hidden states are sent in float32 in any precision. The last process sends the first one the
    tied embedding's gradient once per step, and receives its updated weights.
    """
    line, last = ("pipeline",), sizes.get("pipeline", 1) - 1
    hidden = FLOAT * load.hidden(config, sizes) * load.micro_batches
    tied = FLOAT * config.vocab_size * config.width if config.tied_embeddings and last else 0
    return [
        row(sizes, line, "hidden states", "send", hidden if load.place < last else 0),
        row(sizes, line, "gradients of hidden states", "send", hidden if load.place > 0 else 0),
        row(sizes, line, "tied weights", "send", tied if load.place == 0 else 0),
        row(sizes, line, "gradients of tied weights", "send", tied if load.place == last else 0),
    ]


def along_context(
    config: ModelConfig, shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: Load
) -> list[Sent]:
    """Keys and values, and their gradients, round the rings of this process's layers."""
    layers = sum(name.endswith("k_proj.weight") for name in shapes)
    heads = config.attention.kv_heads // sizes.get("tensor", 1)
    attention = config.attention.model_copy(update={"kv_heads": heads})
    own = config.model_copy(update={"layers": layers, "attention": attention})
    each = ring_bytes(
        own, load.rows, load.length, sizes.get("context", 1),
        itemsize=load.compute_bytes, documents=load.mark_bytes,
    )  # fmt: skip
    return [row(sizes, ("context",), "keys and values", "send", load.micro_batches * each)]


def to_experts(
    config: ModelConfig, shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: Load
) -> list[Sent]:
    """Tokens to their experts and back, forward and backward, and the statistics of router losses.

    A layer's statistics of E experts are 3 E + 4 numbers: choices, softmax shares and their
    gradients by expert; tokens twice, the sum of squares and its gradient.
    """
    experts = config.feedforward.experts
    if experts is None:
        return []
    times = load.micro_batches * sum(name.endswith("up_proj") for name in shapes)
    rows = experts.chosen * load.hidden(config, sizes) * load.compute_bytes
    statistics = FLOAT * (3 * experts.count + 4)
    return [
        row(sizes, ("expert",), "rows", "all-to-all", 4 * times * rows),
        row(sizes, ("expert",), "numbers of rows", "all-to-all", 8 * times * experts.count),
        row(sizes, SEES_OTHER_TARGETS, "statistics of routers", "all-reduce", times * statistics),
    ]


def shapes_of(config: ModelConfig) -> dict[str, torch.Size]:
    """Shapes of a model's parameters, without allocating them."""
    with torch.device("meta"):
        model: nn.Module = Transformer(config, seed=None)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def is_inner(name: str) -> bool:
    """Whether a parameter is in a block, and gathered when the block computes."""
    return ".layers." in f".{name}"


def is_divided(name: str, config: ModelConfig) -> bool:
    """Whether tensor parallelism shards a parameter; norms and biases of sums are replicated."""
    if "q_norm" in name or "k_norm" in name:
        return config.attention.qk_norm == "all"
    return not ("norm" in name or name.endswith(("o_proj.bias", "down_proj.bias")))


def is_expert(name: str) -> bool:
    """Whether a parameter is a stack of experts, of which a process has some."""
    return name.endswith(DIVIDED)


def is_at(name: str, config: ModelConfig, parts: int, place: int) -> bool:
    """Whether a pipeline process owns a parameter."""
    if is_inner(name):
        return int(name.split(".")[1]) in parts_of(config.layers, parts)[place]
    return place == (0 if name.startswith("embed_") else parts - 1)


def own_shapes(
    config: ModelConfig, sizes: Mapping[str, int], place: int = 0
) -> dict[str, torch.Size]:
    """Shapes of a process's parameters before ZeRO, for the first process along `tensor`.

    place  rank in the pipeline
    """
    shapes = shapes_of(config)
    parts, stages = sizes.get("tensor", 1), sizes.get("pipeline", 1)
    if stages > 1:
        shapes = {name: s for name, s in shapes.items() if is_at(name, config, stages, place)}
    for name, shape in shapes.items():
        rows = list(shape)
        if parts > 1 and is_divided(name, config):
            along = 1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0
            rows[along] = -(-rows[along] // parts)
        if is_expert(name):
            rows[0] //= sizes.get("expert", 1)
        shapes[name] = torch.Size(rows)
    return shapes


def padded(shape: torch.Size, parts: int) -> int:
    """Elements of a tensor with its rows padded to a multiple of `parts`.

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
    """Counts the bytes that this process sends, by collective, while active."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count and run a collective; a DTensor's are dispatched when it computes."""
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        name = KINDS.get(func.overloadpacket.__name__)
        if name is not None and func.namespace in ("c10d", "_c10d_functional"):
            amount = to_others(func.overloadpacket.__name__, args)
            if amount is None:
                tensors = [leaf for leaf in tree_leaves((args, result)) if isinstance(leaf, Tensor)]
                size = max((tensor.nbytes for tensor in tensors), default=0)
                amount = sent(name, processes_of(args), size)
            self.bytes[name] = self.bytes.get(name, 0.0) + amount
            self.calls[name] = self.calls.get(name, 0) + 1
        return result


def to_others(name: str, given: Sequence[Any]) -> float | None:
    """Bytes sent to other processes in an uneven all-to-all; None for any other call."""
    if name != "alltoall_base_" or not given[4]:
        return None
    rows, group, parts = given[1], ProcessGroup.unbox(given[2]), given[4]
    return float((sum(parts) - parts[group.rank()]) * rows[:1].nbytes)


def processes_of(given: Any) -> int:
    """Group size of a collective's arguments."""
    for leaf in tree_leaves(given):
        if isinstance(leaf, str) and leaf not in ("sum", "max", "min", "avg"):
            return _resolve_process_group(cast(Any, leaf)).size()
        if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type()):
            return ProcessGroup.unbox(leaf).size()
    return 1
