"""Fused: what compiled code holds in memory, found without compiling it.

The compiler's own front end makes the graphs of forward and backward and decides what is kept
between them. Of these graphs only some results ever lie in memory: those of products, what products
read, and what leaves the graph; the rest is fused into the loops that read it. A graph is replaced
by the sequence of these.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx

aten: Any = torch.ops.aten
EXTERN = {
    aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}  # fmt: skip
"""Operations that the compiler calls and cannot fuse, beside ours in C++; what they read lies in
memory."""
VIEWS = {
    "view", "reshape", "permute", "t", "transpose", "expand", "unsqueeze", "squeeze", "slice",
    "select", "as_strided", "alias", "split", "split_with_sizes", "unbind", "_unsafe_view",
    "detach", "getitem",
}  # fmt: skip
"""Operations whose result lies where their first input does."""
REDUCED = 8
"""A result this many times smaller than what it is made of is a reduction's: it is made once."""


def own_name(node: fx.Node) -> str:
    """Name of a node's operation without its namespace and variant."""
    name = getattr(node.target, "__name__", str(node.target))
    return name.split(".")[0]


def base_of(node: fx.Node) -> fx.Node:
    """The node in whose memory a view lies."""
    while node.op == "call_function" and own_name(node) in VIEWS:
        first = node.args[0]
        assert isinstance(first, fx.Node), "a view is of a tensor"
        node = first
    return node


def size_bytes(node: fx.Node) -> int:
    """Memory of a node's result."""
    found = node.meta.get("val")
    parts = found if isinstance(found, (tuple, list)) else (found,)
    return sum(each.numel() * each.itemsize for each in parts if isinstance(each, Tensor))


def in_memory(graph: fx.Graph, results: Sequence[Any]) -> set[fx.Node]:
    """The nodes whose results lie in memory of their own."""
    found = {base_of(each) for each in results if isinstance(each, fx.Node)}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in EXTERN or getattr(node.target, "namespace", "") == "groundup":
            found.add(node)
            found |= {base_of(each) for each in node.all_input_nodes}
        elif own_name(node) not in VIEWS and node.all_input_nodes:
            widest = max(size_bytes(each) for each in node.all_input_nodes)
            if 0 < size_bytes(node) * REDUCED <= widest:
                found.add(node)
    return {node for node in found if node.op == "call_function"}


def reads(node: fx.Node, lying: set[fx.Node]) -> set[fx.Node]:
    """What a result in memory is made of, itself in memory or given."""
    found, left, seen = set(), list(node.all_input_nodes), set()
    while left:
        each = base_of(left.pop())
        if each in seen:
            continue
        seen.add(each)
        if each in lying or each.op != "call_function":
            found.add(each)
        else:
            left += each.all_input_nodes
    return found


def counted(module: fx.GraphModule, examples: Any) -> Callable[..., Any]:
    """A function that takes and gives back memory as the compiled graph would."""
    graph = module.graph
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    given = [node for node in graph.nodes if node.op == "placeholder"]
    lying = in_memory(graph, results)
    order: list[fx.Node] = [node for node in graph.nodes if node in lying]
    last: dict[fx.Node, fx.Node] = {}
    for node in order:
        last |= dict.fromkeys(reads(node, lying), node)
    kept = {base_of(each) for each in results if isinstance(each, fx.Node)}

    def run(inputs: list[Any]) -> list[Any]:
        there: dict[fx.Node, Any] = dict(zip(given, inputs, strict=True))
        inputs.clear()
        for node in given:
            if node not in last and node not in kept:
                there.pop(node)
        for node in order:
            there[node] = room_for(node)
            for each in [n for n, user in last.items() if user is node and n not in kept]:
                there.pop(each, None)
        return [seen_as(each, there) if isinstance(each, fx.Node) else each for each in results]

    run._boxed_call = True  # type: ignore[attr-defined]
    return run


def room_for(node: fx.Node) -> Tensor:
    """Memory of a result, as one row of bytes, on the device of its value."""
    found = node.meta["val"]
    first = found[0] if isinstance(found, (tuple, list)) else found
    return torch.empty(size_bytes(node), dtype=torch.uint8, device=first.device)


def seen_as(node: fx.Node, there: dict[fx.Node, Any]) -> Any:
    """A result as the graph gives it: an input, or a tensor that lies in a result's memory."""
    base, value = base_of(node), node.meta["val"]
    if base is node and node.op != "call_function":
        return there[node]
    if not isinstance(value, Tensor):
        return value
    flat = there[base]
    flat = flat.view(value.dtype) if flat.dtype == torch.uint8 and flat.ndim == 1 else flat
    return flat.as_strided(value.shape, value.stride(), value.storage_offset())


@contextmanager
def without_compiling(*compiled: Any) -> Iterator[None]:
    """Context in which torch.compile makes functions that only take and give back memory.

    compiled  cached makers of compiled functions, which forget what they made, before and after
    """
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import min_cut_rematerialization_partition
    from torch._inductor.decomposition import select_decomp_table

    backend = aot_autograd(
        fw_compiler=counted,
        bw_compiler=counted,
        partition_fn=functools.partial(min_cut_rematerialization_partition, compiler="inductor"),
        decompositions=select_decomp_table,
    )
    real = torch.compile

    def compile(function: Callable[..., Any], dynamic: bool = False) -> Any:
        return real(function, dynamic=dynamic, backend=backend)

    for made in compiled:
        made.cache_clear()
    try:
        with mock.patch.object(torch, "compile", compile):
            yield
    finally:
        for made in compiled:
            made.cache_clear()
