"""What a process holds, sends and waits for in a step: by formula, and by counting.

A ring collective over N processes of S bytes in total sends from each

    all-reduce        2 (N - 1) / N S        reduce, then gather
    all-gather          (N - 1) / N S
    reduce-scatter      (N - 1) / N S
    all-to-all          (N - 1) / N S        S of one process
    send                            S

`communication_volume` is a function of the model's shape, the mesh and the batch, for every mesh
dimension;
`CommunicationCounter` adds up the calls to process groups while it is active. How many tokens are
sent to experts depends on the router: the formula assumes a balanced load. A few bytes that are not
gradients, such as the logged loss, are in neither.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import _resolve_process_group
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groundup.model import ModelConfig, Transformer
from groundup.train.parallel.data import ZeroStage
from groundup.train.parallel.expert import EXPERT_WEIGHTS
from groundup.train.parallel.mesh import LOSS_DIMENSIONS, RankOf
from groundup.train.parallel.pipeline import Action, _message_sources, split_layers

RING_FACTORS = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1, "all-to-all": 1}
FLOAT_BYTES = 4


class CollectiveVolume(NamedTuple):
    """One kind of collective in a step."""

    dimension: str
    """Several flattened dimensions are separated by commas."""
    what: str
    collective: str
    processes: int
    bytes: float
    """Sent by one process in all calls of a step."""


class StepWorkload(NamedTuple):
    """What a process computes in a step."""

    sequences: int
    """Sequences of one micro-batch on this process."""
    length: int
    """Full sequence length, however many processes share it."""
    micro_batches: int = 1
    compute_bytes: int = FLOAT_BYTES
    """Per element in matrix products: 2 in bfloat16."""
    document_bytes: int = 4
    """Per token sent round a ring with its key: 4 for the document number, 0 for unpacked
    sequences; 1 more for a prefix mask.
    """
    pipeline_rank: int = 0
    """This process's rank in a pipeline."""

    def hidden_elements(self, config: ModelConfig, sizes: Mapping[str, int]) -> int:
        """Elements of a micro-batch's hidden states on this process."""
        return self.sequences * self.length // sizes.get("context", 1) * config.width


def _collective_bytes(collective: str, processes: int, size: float) -> float:
    """Bytes that one process sends in a collective of a total size.

    >>> _collective_bytes("all-reduce", 4, 1000)
    1500.0
    """
    return (
        size
        if collective == "send"
        else RING_FACTORS[collective] * (processes - 1) / processes * size
    )


def communication_volume(
    config: ModelConfig, sizes: Mapping[str, int], load: StepWorkload, *, zero: int = 3
) -> list[CollectiveVolume]:
    """What a process sends in a step, along every dimension of a mesh.

    sizes  of the mesh's dimensions
    zero   ZeRO stage along `shard`

    Queries and keys that are normed over all heads (`qk_norm="all"`) send more than this along
    `tensor`: features of all heads, which DTensor reduces and shards again. An encoder's experts
    are assumed to read sources as long as the targets.
    """
    shapes = _local_shapes(config, sizes, load.pipeline_rank)
    collectives = [
        *_tensor_volume(config, shapes, sizes, load, zero),
        *_pipeline_volume(config, sizes, load),
        *_context_volume(config, shapes, sizes, load),
        *_expert_volume(config, shapes, sizes, load),
        *_zero_volume(shapes, sizes, load, zero),
        *_gradient_volume(shapes, sizes, load, zero),
    ]
    return [each for each in collectives if each.bytes]


def _volume_along(
    sizes: Mapping[str, int], dimensions: Sequence[str], what: str, collective: str, size: float
) -> CollectiveVolume:
    """Bytes sent by collectives along those of some dimensions that the mesh has."""
    used = [name for name in dimensions if sizes.get(name, 1) > 1]
    processes = math.prod(sizes[name] for name in used)
    return CollectiveVolume(
        ",".join(used), what, collective, processes, _collective_bytes(collective, processes, size)
    )


def _weight_shard_dimensions(sizes: Mapping[str, int], zero: int) -> tuple[str, ...]:
    """Dimensions over which weights are sharded by rows; stages 2 and 3 include `context`."""
    if sizes.get("shard", 1) == 1:
        return ()
    return ("shard", "context") if zero > 1 else ("shard",)


def _zero_volume(
    shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: StepWorkload, zero: int
) -> list[CollectiveVolume]:
    """Gathered weights and scattered gradients (ZeRO)."""
    line = _weight_shard_dimensions(sizes, zero)
    parts, times = math.prod(sizes.get(name, 1) for name in line), load.micro_batches
    counts = {name: _padded_elements(shape, parts) for name, shape in shapes.items()}
    inner = sum(size for name, size in counts.items() if _is_block_parameter(name))
    outer = sum(counts.values()) - inner
    if zero == 1:
        gathered, scattered = FLOAT_BYTES * (inner + outer), FLOAT_BYTES * (inner + outer)
    else:
        passes = 2 if zero == 3 else 1  # backward gathers a block's weights again
        gathered = times * (passes * load.compute_bytes * inner + FLOAT_BYTES * outer)
        scattered = times * FLOAT_BYTES * (inner + outer)
    return [
        _volume_along(sizes, line, "weights", "all-gather", gathered),
        _volume_along(sizes, line, "gradients", "reduce-scatter", scattered),
    ]


def _gradient_volume(
    shapes: Mapping[str, torch.Size], sizes: Mapping[str, int], load: StepWorkload, zero: int
) -> list[CollectiveVolume]:
    """All-reduced gradients, of weights that are not sharded along the dimension."""
    line = _weight_shard_dimensions(sizes, zero)
    is_early = bool(line) and zero > 1  # in each micro-batch, and only a shard
    parts = math.prod(sizes.get(name, 1) for name in line) if is_early else 1
    counts: Counter[tuple[str, ...]] = Counter()
    for name, shape in shapes.items():
        placed = {"shard", *line, *(["expert"] if _is_expert_parameter(name) else [])}
        along = tuple(each for each in LOSS_DIMENSIONS if each not in placed)
        counts[along] += FLOAT_BYTES * _padded_elements(shape, parts) // parts
    times = load.micro_batches if is_early else 1
    return [
        _volume_along(sizes, along, "gradients", "all-reduce", times * n)
        for along, n in counts.items()
    ]


def _tensor_volume(
    config: ModelConfig,
    shapes: Mapping[str, torch.Size],
    sizes: Mapping[str, int],
    load: StepWorkload,
    zero: int,
) -> list[CollectiveVolume]:
    """Hidden states between positions and features, the loss, and gradients of norms."""
    hidden = load.hidden_elements(config, sizes) * load.micro_batches
    ends = 1 + (config.position.kind == "learned")  # token and position embeddings
    gathers, scatters = 2 * config.layers, 2 * config.layers
    # Forward gathers what a matrix reads in float32 and scatters products; backward the reverse.
    gathered = gathers * FLOAT_BYTES * hidden + scatters * load.compute_bytes * hidden
    scattered = scatters * load.compute_bytes * hidden + gathers * FLOAT_BYTES * hidden
    gathered += FLOAT_BYTES * hidden * (1 + ends)
    scattered += FLOAT_BYTES * hidden * (1 + ends)
    # A bias of sums sees the complete gradient; a norm's weight only some positions or heads.
    times = load.micro_batches if _weight_shard_dimensions(sizes, zero) and zero > 1 else 1
    norms = times * FLOAT_BYTES * sum(
        shape.numel() for name, shape in shapes.items()
        if "norm" in name and not _is_tensor_sharded(name, config)
    )  # fmt: skip
    line = ("tensor",)
    return [
        _volume_along(sizes, line, "hidden states", "all-gather", gathered),
        _volume_along(sizes, line, "hidden states", "reduce-scatter", scattered),
        _volume_along(
            sizes, line, "loss", "all-reduce", 3 * FLOAT_BYTES * (hidden // config.width)
        ),
        _volume_along(sizes, line, "gradients of norms", "all-reduce", norms),
    ]


def _pipeline_volume(
    config: ModelConfig, sizes: Mapping[str, int], load: StepWorkload
) -> list[CollectiveVolume]:
    """Hidden states to the next process, gradients to the previous one, and tied weights.

    Hidden states are sent in float32 in any precision. The last process sends the first one the
    tied embedding's gradient once per step, and receives its updated weights.
    """
    line, last = ("pipeline",), sizes.get("pipeline", 1) - 1
    hidden = FLOAT_BYTES * load.hidden_elements(config, sizes) * load.micro_batches
    tied = FLOAT_BYTES * config.vocab_size * config.width if config.tied_embeddings and last else 0
    return [
        _volume_along(
            sizes, line, "hidden states", "send", hidden if load.pipeline_rank < last else 0
        ),
        _volume_along(
            sizes,
            line,
            "gradients of hidden states",
            "send",
            hidden if load.pipeline_rank > 0 else 0,
        ),
        _volume_along(sizes, line, "tied weights", "send", tied if load.pipeline_rank == 0 else 0),
        _volume_along(
            sizes,
            line,
            "gradients of tied weights",
            "send",
            tied if load.pipeline_rank == last else 0,
        ),
    ]


def _context_volume(
    config: ModelConfig,
    shapes: Mapping[str, torch.Size],
    sizes: Mapping[str, int],
    load: StepWorkload,
) -> list[CollectiveVolume]:
    """Keys and values, and their gradients, round the rings of this process's layers."""
    layers = sum(name.endswith("k_proj.weight") for name in shapes)
    heads = config.attention.kv_heads // sizes.get("tensor", 1)
    attention = config.attention.model_copy(update={"kv_heads": heads})
    own = config.model_copy(update={"layers": layers, "attention": attention})
    each = ring_bytes(
        own, load.sequences, load.length, sizes.get("context", 1),
        itemsize=load.compute_bytes, documents=load.document_bytes,
    )  # fmt: skip
    return [
        _volume_along(sizes, ("context",), "keys and values", "send", load.micro_batches * each)
    ]


def _expert_volume(
    config: ModelConfig,
    shapes: Mapping[str, torch.Size],
    sizes: Mapping[str, int],
    load: StepWorkload,
) -> list[CollectiveVolume]:
    """Tokens to their experts and back, forward and backward, and the statistics of router losses.

    A layer's statistics of E experts are 3 E + 4 numbers: choices, softmax shares and their
    gradients by expert; tokens twice, the sum of squares and its gradient.
    """
    experts = config.feedforward.experts
    if experts is None:
        return []
    times = load.micro_batches * sum(name.endswith("up_proj") for name in shapes)
    rows = experts.chosen * load.hidden_elements(config, sizes) * load.compute_bytes
    statistics = FLOAT_BYTES * (3 * experts.count + 4)
    return [
        _volume_along(sizes, ("expert",), "rows", "all-to-all", 4 * times * rows),
        _volume_along(
            sizes, ("expert",), "numbers of rows", "all-to-all", 8 * times * experts.count
        ),
        _volume_along(
            sizes, LOSS_DIMENSIONS, "statistics of routers", "all-reduce", times * statistics
        ),
    ]


def _parameter_shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """Shapes of a model's parameters, without allocating them."""
    with torch.device("meta"):
        model: nn.Module = Transformer(config, seed=None)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def _is_block_parameter(name: str) -> bool:
    """Whether a parameter is in a block, and gathered when the block computes."""
    return ".layers." in f".{name}"


def _is_tensor_sharded(name: str, config: ModelConfig) -> bool:
    """Whether tensor parallelism shards a parameter; norms and biases of sums are replicated."""
    if "q_norm" in name or "k_norm" in name:
        return config.attention.qk_norm == "all"
    return not ("norm" in name or name.endswith(("o_proj.bias", "down_proj.bias")))


def _is_expert_parameter(name: str) -> bool:
    """Whether a parameter is a stack of experts, of which a process has some."""
    return name.endswith(EXPERT_WEIGHTS)


def _is_on_stage(name: str, config: ModelConfig, parts: int, place: int) -> bool:
    """Whether a pipeline process owns a parameter."""
    if _is_block_parameter(name):
        return int(name.split(".")[1]) in split_layers(config.layers, parts)[place]
    return place == (0 if name.startswith("embed_") else parts - 1)


def _local_shapes(
    config: ModelConfig, sizes: Mapping[str, int], place: int = 0
) -> dict[str, torch.Size]:
    """Shapes of a process's parameters before ZeRO, for the first process along `tensor`.

    place  rank in the pipeline
    """
    shapes = _parameter_shapes(config)
    parts, stages = sizes.get("tensor", 1), sizes.get("pipeline", 1)
    if stages > 1:
        shapes = {
            name: s for name, s in shapes.items() if _is_on_stage(name, config, stages, place)
        }
    for name, shape in shapes.items():
        rows = list(shape)
        if parts > 1 and _is_tensor_sharded(name, config):
            along = 1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0
            rows[along] = -(-rows[along] // parts)
        if _is_expert_parameter(name):
            rows[0] //= sizes.get("expert", 1)
        shapes[name] = torch.Size(rows)
    return shapes


def _padded_elements(shape: torch.Size, parts: int) -> int:
    """Elements of a tensor with its rows padded to a multiple of `parts`.

    >>> _padded_elements(torch.Size([3, 10]), 2)
    40
    """
    return -(-shape[0] // parts) * parts * math.prod(shape[1:])


COLLECTIVE_NAMES = {
    "allreduce_": "all-reduce", "all_reduce": "all-reduce", "all_reduce_": "all-reduce",
    "_allgather_base_": "all-gather", "all_gather_into_tensor": "all-gather",
    "allgather_into_tensor_coalesced_": "all-gather",
    "_reduce_scatter_base_": "reduce-scatter", "reduce_scatter_tensor": "reduce-scatter",
    "alltoall_base_": "all-to-all", "all_to_all_single": "all-to-all", "send": "send",
}  # fmt: skip


class CommunicationCounter(TorchDispatchMode):
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
        name = COLLECTIVE_NAMES.get(func.overloadpacket.__name__)
        if name is not None and func.namespace in ("c10d", "_c10d_functional"):
            amount = _uneven_exchange_bytes(func.overloadpacket.__name__, args)
            if amount is None:
                tensors = [leaf for leaf in tree_leaves((args, result)) if isinstance(leaf, Tensor)]
                size = max((tensor.nbytes for tensor in tensors), default=0)
                amount = _collective_bytes(name, _group_size(args), size)
            self.bytes[name] = self.bytes.get(name, 0.0) + amount
            self.calls[name] = self.calls.get(name, 0) + 1
        return result


def _uneven_exchange_bytes(name: str, given: Sequence[Any]) -> float | None:
    """Bytes sent to other processes in an uneven all-to-all; None for any other call."""
    if name != "alltoall_base_" or not given[4]:
        return None
    rows, group, parts = given[1], ProcessGroup.unbox(given[2]), given[4]
    return float((sum(parts) - parts[group.rank()]) * rows[:1].nbytes)


def _group_size(given: Any) -> int:
    """Group size of a collective's arguments."""
    for leaf in tree_leaves(given):
        if isinstance(leaf, str) and leaf not in ("sum", "max", "min", "avg"):
            return _resolve_process_group(cast(Any, leaf)).size()
        if isinstance(leaf, torch.ScriptObject) and "ProcessGroup" in str(leaf._type()):
            return ProcessGroup.unbox(leaf).size()
    return 1


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

    rows, length  of the global micro-batch
    parts         processes of the ring
    itemsize      bytes per element of a key: 4, or 2 in bfloat16
    documents     bytes of a document number, which travels with the keys; 0 for unpacked sequences

    A shard passes P - 1 times forward and as often backward; its gradients, in float32, pass P
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


class TrainingStateBytes(NamedTuple):
    """Bytes of training state per process, at its largest between two passes."""

    weights: int
    """Between forward and backward."""
    gradients: int
    """Between backward and the optimizer step."""
    states: int
    """Of the optimizer."""


def _training_state_bytes(
    shapes: Mapping[str, torch.Size], share: RankOf, zero: ZeroStage, *, compute_bytes: int = 4
) -> TrainingStateBytes:
    """Bytes per process at a ZeRO stage with AdamW, by formula; stage 0 shards nothing.

    share          this process's rank in the line, and the line's size
    compute_bytes  per element of a gathered block: 2 in bfloat16

    Shards of stages 2 and 3 are padded to equal rows, optimizer states are not. In stage 3 the
    block that is gathered while it computes comes on top.
    """
    total = sum(shape.numel() for shape in shapes.values())
    if zero == 0:
        return TrainingStateBytes(4 * total, 4 * total, 8 * total)
    states = 8 * sum(_rows_of_rank(s, share) * s[1:].numel() for s in shapes.values())
    if zero == 1:
        return TrainingStateBytes(4 * total, 4 * total, states)
    each = {name: -(-s[0] // share.parts) * s[1:].numel() for name, s in shapes.items()}
    outer = sum(size for name, size in each.items() if ".layers." not in f".{name}")
    inner = sum(each.values()) - outer
    gathered = 4 * outer + (compute_bytes * inner if zero == 2 else 0)
    own = 4 * (inner + outer)
    return TrainingStateBytes(own + gathered * share.parts, own, states)


def _rows_of_rank(shape: torch.Size, share: RankOf) -> int:
    """Rows of a tensor on one of several processes.

    >>> [_rows_of_rank(torch.Size([5, 2]), RankOf(rank, 4)) for rank in range(4)]
    [2, 2, 1, 0]
    """
    each = -(-shape[0] // share.parts)
    return max(0, min(each, shape[0] - share.rank * each))


def _local_storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the local storage of some tensors; shared storage counts once."""
    own = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    stores = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in own}
    return sum(stores.values())


def max_in_flight(plan: Sequence[Action]) -> int:
    """Largest number of micro-batches whose activations a process keeps at one time.

    >>> [max_in_flight(pipeline_actions(name, 0, 4, 16)) for name in ("gpipe", "1f1b")]
    [16, 4]
    """
    in_flight = most = 0
    for action in plan:
        in_flight += 1 if action.kind == "forward" else -1
        most = max(most, in_flight)
    return most


def bubble_share(parts: int, micro_batches: int) -> float:
    """Share of a step in which a process waits, if all micro-batches take equally long.

    >>> round(bubble_share(4, 8), 3)
    0.273
    """
    return (parts - 1) / (micro_batches + parts - 1)


def simulated_bubble_share(
    plans: Sequence[Sequence[Action]], forward: float = 1, backward: float = 2
) -> float:
    """The same, by simulating the actions of all processes.

    plans              actions of each process
    forward, backward  time of a pass; messages take none
    """
    took = {"forward": forward, "backward": backward}
    ends: dict[tuple[int, Action], float] = {}
    clocks, nexts = [0.0] * len(plans), [0] * len(plans)
    while any(done < len(plan) for done, plan in zip(nexts, plans, strict=True)):
        before = sum(nexts)
        for rank, plan in enumerate(plans):
            while nexts[rank] < len(plan):
                action = plan[nexts[rank]]
                needed = [
                    (rank + step, action) for step in _message_sources(action, rank, len(plans))
                ]
                if any(each not in ends for each in needed):
                    break
                start = max([clocks[rank], *(ends[each] for each in needed)])
                clocks[rank] = ends[rank, action] = start + took[action.kind]
                nexts[rank] += 1
        assert sum(nexts) > before, "the processes are deadlocked"
    busy = sum(took[action.kind] for plan in plans for action in plan)
    return 1 - busy / (max(clocks) * len(plans))
