"""Traffic: the bytes that a process sends in a step, by formula and by counting.

A collective over N processes of S bytes in all, in rings, sends from each

    all-reduce        2 (N - 1) / N S        reduce, then gather
    all-gather          (N - 1) / N S
    reduce-scatter      (N - 1) / N S
    all-to-all          (N - 1) / N S        S of one process
    send                            S

`traffic` is a function of the model's shape, the mesh and the rows, for every dimension of a mesh;
`Counted` adds up what is asked of process groups while it is on. How many rows travel to experts is
the routers' choice: the formula takes it that all experts are chosen equally often. Numbers of a
few bytes that are no part of gradients, such as the loss that is told, are in neither.
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
    """One kind of collective of a step."""

    dimension: str
    """Several that are made into one have commas between them."""
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
    """Of a whole row, however many processes share it."""
    micro_batches: int = 1
    compute_bytes: int = FLOAT
    """Of a number of matrix products: 2 in bfloat16."""
    mark_bytes: int = 4
    """Of what goes round a ring beside a token's keys: 4 of its document's number, 0 of unpacked
    rows; 1 more of the mark of a prefix."""
    place: int = 0
    """Of this process in a pipeline."""

    def hidden(self, config: ModelConfig, sizes: Mapping[str, int]) -> int:
        """Numbers of a micro-batch's hidden states on this process."""
        return self.rows * self.length // sizes.get("context", 1) * config.width


def sent(collective: str, processes: int, size: float) -> float:
    """Bytes that one of some processes sends in a collective of so many bytes.

    >>> sent("all-reduce", 4, 1000)
    1500.0
    """
    return size if collective == "send" else SHARES[collective] * (processes - 1) / processes * size


def traffic(
    config: ModelConfig, sizes: Mapping[str, int], load: Load, *, zero: int = 3
) -> list[Sent]:
    """What a process sends in a step, along every dimension of a mesh.

    sizes  of the mesh's dimensions
    zero   stage along `shard`

    Queries and keys that are normed over all heads (`qk_norm="all"`) send more than this along
    `tensor`: features of all heads, which DTensor adds up and divides again. An encoder's experts
    are taken to read sources as long as the targets.
    """
    shapes = own_shapes(config, sizes, load.place)
    found = [
        *along_tensor(config, shapes, sizes, load, zero),
        *along_pipeline(config, sizes, load),
        *along_context(config, shapes, sizes, load),
        *to_experts(config, shapes, sizes, load),
        *along_shard(shapes, sizes, load, zero),
        *added_up(shapes, sizes, load, zero),
    ]
    return [one for one in found if one.bytes]


def row(
    sizes: Mapping[str, int], dimensions: Sequence[str], what: str, collective: str, size: float
) -> Sent:
    """What collectives of so many bytes send along some dimensions, those apart that are not."""
    there = [name for name in dimensions if sizes.get(name, 1) > 1]
    processes = math.prod(sizes[name] for name in there)
    return Sent(",".join(there), what, collective, processes, sent(collective, processes, size))


def line_of(sizes: Mapping[str, int], zero: int) -> tuple[str, ...]:
    """Dimensions over which weights are divided by rows; stages 2 and 3 take in `context`."""
    if sizes.get("shard", 1) == 1:
        return ()
    return ("shard", "context") if zero > 1 else ("shard",)


def along_shard(
    shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: Load, zero: int
) -> list[Sent]:
    """Weights that are gathered, and gradients that are scattered."""
    line = line_of(sizes, zero)
    parts, times = math.prod(sizes.get(name, 1) for name in line), load.micro_batches
    whole = {name: padded(shape, parts) for name, shape in shapes.items()}
    inner = sum(size for name, size in whole.items() if is_inner(name))
    outer = sum(whole.values()) - inner
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
    """Gradients of processes that saw other targets, as far as their weights are not divided."""
    line = line_of(sizes, zero)
    is_early = bool(line) and zero > 1  # each micro-batch's, and only a share of them
    parts = math.prod(sizes.get(name, 1) for name in line) if is_early else 1
    apart: Counter[tuple[str, ...]] = Counter()
    for name, shape in shapes.items():
        placed = {"shard", *line, *(["expert"] if is_expert(name) else [])}
        along = tuple(each for each in SEES_OTHER_TARGETS if each not in placed)
        apart[along] += FLOAT * padded(shape, parts) // parts
    times = load.micro_batches if is_early else 1
    return [row(sizes, along, "gradients", "all-reduce", times * n) for along, n in apart.items()]


def along_tensor(
    config: ModelConfig,
    shapes: Mapping[str, torch.Size],
    sizes: Mapping[str, int],
    load: Load,
    zero: int,
) -> list[Sent]:
    """Hidden states between positions and features, the loss, and whole weights' gradients."""
    hidden = load.hidden(config, sizes) * load.micro_batches
    ends = 1 + (config.position.kind == "learned")  # tables of ids and of places
    gathers, scatters = 2 * config.layers, 2 * config.layers
    # Forward gathers what a matrix reads in float32 and scatters products; backward the reverse.
    gathered = gathers * FLOAT * hidden + scatters * load.compute_bytes * hidden
    scattered = scatters * load.compute_bytes * hidden + gathers * FLOAT * hidden
    gathered += FLOAT * hidden * (1 + ends)
    scattered += FLOAT * hidden * (1 + ends)
    # A bias of sums meets the whole gradient; a norm's weight that of some positions or heads.
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
    """Hidden states to the process behind, their gradients to the one before, and tied weights.

    Hidden states between processes are float32 whatever products are in. The last process sends the
    first one the tied embedding's gradient once a step, and gets its new weights.
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
    """Keys and values, and their gradients, round the rings of the layers that are here."""
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
    """Rows to their experts and back, forward and backward, and the statistics of routers' losses.

    A layer's statistics of E experts are 3 E + 4 numbers: choices, shares of the softmax and their
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


def is_expert(name: str) -> bool:
    """Whether a parameter is experts', stacked, of which a process holds some."""
    return name.endswith(DIVIDED)


def is_at(name: str, config: ModelConfig, parts: int, place: int) -> bool:
    """Whether the process at a place of a pipeline owns a parameter."""
    if is_inner(name):
        return int(name.split(".")[1]) in parts_of(config.layers, parts)[place]
    return place == (0 if name.startswith("embed_") else parts - 1)


def own_shapes(
    config: ModelConfig, sizes: Mapping[str, int], place: int = 0
) -> dict[str, torch.Size]:
    """Shapes of what a process owns before `shard` divides it: the first of those along `tensor`.

    place  in a pipeline
    """
    found = shapes_of(config)
    parts, stages = sizes.get("tensor", 1), sizes.get("pipeline", 1)
    if stages > 1:
        found = {name: s for name, s in found.items() if is_at(name, config, stages, place)}
    for name, shape in found.items():
        rows = list(shape)
        if parts > 1 and is_divided(name, config):
            along = 1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0
            rows[along] = -(-rows[along] // parts)
        if is_expert(name):
            rows[0] //= sizes.get("expert", 1)
        found[name] = torch.Size(rows)
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
            amount = to_others(func.overloadpacket.__name__, args)
            if amount is None:
                tensors = [leaf for leaf in tree_leaves((args, found)) if isinstance(leaf, Tensor)]
                size = max((tensor.nbytes for tensor in tensors), default=0)
                amount = sent(name, processes_of(args), size)
            self.bytes[name] = self.bytes.get(name, 0.0) + amount
            self.calls[name] = self.calls.get(name, 0) + 1
        return found


def to_others(name: str, given: Sequence[Any]) -> float | None:
    """Bytes to all but itself of an exchange of unequal parts; None: equal ones, or no exchange."""
    if name != "alltoall_base_" or not given[4]:
        return None
    rows, group, parts = given[1], ProcessGroup.unbox(given[2]), given[4]
    return float((sum(parts) - parts[group.rank()]) * rows[:1].nbytes)


def processes_of(given: Any) -> int:
    """Size of the group of a collective's arguments."""
    for leaf in tree_leaves(given):
        if isinstance(leaf, str) and leaf not in ("sum", "max", "min", "avg"):
            return _resolve_process_group(cast(Any, leaf)).size()
        if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type()):
            return ProcessGroup.unbox(leaf).size()
    return 1
