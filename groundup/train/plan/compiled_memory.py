"""Memory of compiled code, found without compiling it.

The compiler's front end makes the graphs of forward and backward and decides what is saved between
them. Only some results of these graphs are ever in memory: those of matrix products, their inputs,
and the graph's outputs; everything else is fused into the loops that read it. A graph is replaced
by the allocations of these results.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx

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
    """Name of a node's operation without its namespace and overload."""
    name = getattr(node.target, "__name__", str(node.target))
    return name.split(".")[0]


def _storage_node(node: fx.Node) -> fx.Node:
    """The node whose memory a view shares."""
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
    """The nodes whose results have memory of their own."""
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
    try:
        with mock.patch.object(torch, "compile", compile):
            yield
    finally:
        for factory in compiled:
            factory.cache_clear()
