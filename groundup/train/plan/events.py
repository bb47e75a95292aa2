"""Memory events of some code, in order; and the events of compiled code without compiling it.

`MemoryRecorder` records every allocation and release of tensor memory. It works on fake tensors,
whose memory is never really allocated, and on real ones. Memory is counted by storage: views are
free. Temporary memory within a single operation is not seen.

`simulated_compilation` lets the compiler's front end make the graphs of forward and backward and
decide what is saved between them. Only some results of these graphs are ever in memory: those of
matrix products, their inputs, and the graph's outputs; everything else is fused into the loops that
read it. A graph is replaced by the allocations of these results.
"""

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class MemoryEvent(NamedTuple):
    """An allocation or release of one storage."""

    storage: int
    """Number of the storage, from 0."""
    size_bytes: int
    """Negative for a release."""


class MemoryRecorder(TorchDispatchMode):
    """Records allocations and releases while active; afterwards only releases."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[MemoryEvent] = []
        self.categories: list[str] = []
        """Category of each storage, by its number."""
        self.category = "other"
        """Category of new storages."""
        self.storage_numbers: dict[int, int] = {}

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Let torch.compile work under it, as under fake tensors: it changes no result."""
        return True

    def __torch_dispatch__(
        self, op: Any, types: Any, inputs: Any = (), settings: Any = None
    ) -> Any:
        """Run an operation and record the storages of its results."""
        result = op(*inputs, **(settings or {}))
        for each in tree_iter(result):
            if isinstance(each, Tensor):
                self.record_storage(each)
        return result

    def record_storage(self, tensor: Tensor) -> int:
        """Number of a tensor's storage; a new one is an event."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.storage_numbers:
            number = self.storage_numbers[key] = len(self.categories)
            self.categories.append(self.category)
            self.events.append(MemoryEvent(number, storage.nbytes()))
            weakref.finalize(storage, self.record_release, key, storage.nbytes()).atexit = False
        return self.storage_numbers[key]

    def record_release(self, key: int, size_bytes: int) -> None:
        """Record a release."""
        self.events.append(MemoryEvent(self.storage_numbers.pop(key), -size_bytes))

    def set_category(self, tensor: Tensor, part: str) -> None:
        """Set the category of a tensor's storage."""
        self.categories[self.record_storage(tensor)] = part

    @contextmanager
    def allocating(self, part: str) -> Iterator[None]:
        """Context in which new storages have the category `category`."""
        before, self.category = self.category, part
        try:
            yield
        finally:
            self.category = before


class MemoryPeak(NamedTuple):
    """The moment of the highest memory use."""

    total_bytes: int
    by_category: dict[str, int]
    """Bytes by category."""


def memory_peak(recorded: MemoryRecorder, start: int = 0, end: int | None = None) -> MemoryPeak:
    """Highest memory use between two events, by category."""
    sizes: dict[str, int] = {}
    best, total = MemoryPeak(0, {}), 0
    for number, event in enumerate(recorded.events[:end]):
        part = recorded.categories[event.storage]
        sizes[part] = sizes.get(part, 0) + event.size_bytes
        total += event.size_bytes
        if number >= start and total > best.total_bytes:
            best = MemoryPeak(total, {name: size for name, size in sizes.items() if size})
    return best


aten: Any = torch.ops.aten
UNFUSED_OPERATIONS = {
    aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}  # fmt: skip
"""Operations that the compiler calls and cannot fuse, in addition to our C++ kernels; their inputs
are in memory.
"""
VIEW_OPERATIONS = {
    "view", "reshape", "permute", "t", "transpose", "expand", "unsqueeze", "squeeze", "slice",
    "select", "as_strided", "alias", "split", "split_with_sizes", "unbind", "_unsafe_view",
    "detach", "getitem",
}  # fmt: skip
"""Operations whose result shares the memory of their first input."""
REDUCTION_RATIO = 8
"""A result this many times smaller than its input is a reduction, and is in memory."""


def _operation_name(node: fx.Node) -> str:
    name = getattr(node.target, "__name__", str(node.target))
    return name.split(".")[0]


def _storage_node(node: fx.Node) -> fx.Node:
    while node.op == "call_function" and _operation_name(node) in VIEW_OPERATIONS:
        first = node.args[0]
        assert isinstance(first, fx.Node), "a view is of a tensor"
        node = first
    return node


def size_bytes(node: fx.Node) -> int:
    """Memory of a node's result."""
    value = node.meta.get("val")
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return sum(each.numel() * each.itemsize for each in parts if isinstance(each, Tensor))


def _materialised_nodes(graph: fx.Graph, results: Sequence[Any]) -> set[fx.Node]:
    nodes = {_storage_node(each) for each in results if isinstance(each, fx.Node)}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in UNFUSED_OPERATIONS or getattr(node.target, "namespace", "") == "groundup":
            nodes.add(node)
            nodes |= {_storage_node(each) for each in node.all_input_nodes}
        elif _operation_name(node) not in VIEW_OPERATIONS and node.all_input_nodes:
            widest = max(size_bytes(each) for each in node.all_input_nodes)
            if 0 < size_bytes(node) * REDUCTION_RATIO <= widest:
                nodes.add(node)
    return {node for node in nodes if node.op == "call_function"}


def _materialised_inputs(node: fx.Node, materialised: set[fx.Node]) -> set[fx.Node]:
    """The nodes in memory, and inputs, that a result is computed from."""
    sources, pending, seen = set(), list(node.all_input_nodes), set()
    while pending:
        each = _storage_node(pending.pop())
        if each in seen:
            continue
        seen.add(each)
        if each in materialised or each.op != "call_function":
            sources.add(each)
        else:
            pending += each.all_input_nodes
    return sources


def _allocation_only(module: fx.GraphModule, examples: Any) -> Callable[..., Any]:
    """A function that allocates and frees memory as the compiled graph would."""
    graph = module.graph
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    stored = _materialised_nodes(graph, results)
    order: list[fx.Node] = [node for node in graph.nodes if node in stored]
    last_user: dict[fx.Node, fx.Node] = {}
    for node in order:
        last_user |= dict.fromkeys(_materialised_inputs(node, stored), node)
    outputs = {_storage_node(each) for each in results if isinstance(each, fx.Node)}

    def run(inputs: list[Any]) -> list[Any]:
        live: dict[fx.Node, Any] = dict(zip(placeholders, inputs, strict=True))
        inputs.clear()
        for node in placeholders:
            if node not in last_user and node not in outputs:
                live.pop(node)
        for node in order:
            live[node] = _allocate_result(node)
            for each in [n for n, user in last_user.items() if user is node and n not in outputs]:
                live.pop(each, None)
        return [_output_view(each, live) if isinstance(each, fx.Node) else each for each in results]

    run._boxed_call = True  # type: ignore[attr-defined]
    return run


def _allocate_result(node: fx.Node) -> Tensor:
    """Memory of a result, as one row of bytes, on the device of its value."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, (tuple, list)) else value
    return torch.empty(size_bytes(node), dtype=torch.uint8, device=first.device)


def _output_view(node: fx.Node, there: dict[fx.Node, Any]) -> Any:
    """An output of the graph: an input, or a view of a result's memory."""
    base, value = _storage_node(node), node.meta["val"]
    if base is node and node.op != "call_function":
        return there[node]
    if not isinstance(value, Tensor):
        return value
    flat = there[base]
    flat = flat.view(value.dtype) if flat.dtype == torch.uint8 and flat.ndim == 1 else flat
    return flat.as_strided(value.shape, value.stride(), value.storage_offset())


@contextmanager
def simulated_compilation(*compiled: Any) -> Iterator[None]:
    """Context in which torch.compile makes functions that only allocate and free memory.

    compiled  cached factories of compiled functions; their caches are cleared before and after
    """
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import min_cut_rematerialization_partition
    from torch._inductor.decomposition import select_decomp_table

    backend = aot_autograd(
        fw_compiler=_allocation_only,
        bw_compiler=_allocation_only,
        partition_fn=functools.partial(min_cut_rematerialization_partition, compiler="inductor"),
        decompositions=select_decomp_table,
    )
    real = torch.compile

    def compile(function: Callable[..., Any], dynamic: bool = False) -> Any:
        return real(function, dynamic=dynamic, backend=backend)

    for factory in compiled:
        factory.cache_clear()
    torch._dynamo.reset()  # a function compiled for many shapes would no longer be compiled
    torch.compile = compile
    try:
        yield
    finally:
        torch.compile = real
        for factory in compiled:
            factory.cache_clear()
