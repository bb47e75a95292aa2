"""Of a compiled graph only what products read and what leaves it lies in memory."""

import torch
from torch import Tensor, fx

from groundup.train.plan.compiled_memory import _allocation_only, _materialised_nodes, size_bytes
from groundup.train.plan.events import MemoryRecorder


def traced(function, *inputs: Tensor) -> fx.GraphModule:
    """A graph whose nodes know their values, as the compiler's front end gives it."""
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(function, tracing_mode="fake")(*inputs)


def chain(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Fused steps, a product of their result, and a fused result."""
    y = ((x + 1) * 2).tanh()
    return ((y @ w).exp() + 1,)


X, W = torch.zeros(64, 32), torch.zeros(32, 16)


def test_fused_steps_take_no_memory():
    graph = traced(chain, X, W).graph
    results = next(node for node in graph.nodes if node.op == "output").args[0]
    lying = _materialised_nodes(graph, results)
    assert sorted(size_bytes(node) for node in lying) == [64 * 16 * 4] * 2 + [64 * 32 * 4]


def test_the_sequence_gives_back_what_is_read_no_more():
    run = _allocation_only(traced(chain, X, W), None)
    with MemoryRecorder() as recorder:
        (out,) = run([X, W])
    assert out.shape == (64, 16) and out.dtype == torch.float32
    sizes = [event.size_bytes for event in recorder.events if abs(event.size_bytes) > 64]
    assert sizes == [8192, 4096, -8192, 4096, -4096]
