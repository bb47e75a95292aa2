"""Allocations are counted by storage, once; of compiled graphs what products read, and results."""

import torch
from torch import Tensor, fx

from groundup.train.plan.events import (
    MemoryEvent,
    MemoryRecorder,
    _allocation_only,
    _materialised_nodes,
    memory_peak,
    size_bytes,
)


def test_views_are_free_and_what_is_dropped_is_given_back():
    with MemoryRecorder() as recorder:
        whole = torch.zeros(1024)
        half = whole[:512].view(2, 256)
        del whole
        assert [event.size_bytes for event in recorder.events] == [4096]
        del half
    assert recorder.events == [MemoryEvent(0, 4096), MemoryEvent(0, -4096)]


def test_the_peak_is_told_by_part():
    with MemoryRecorder() as recorder:
        with recorder.allocating("small"):
            kept = torch.zeros(16)
        with recorder.allocating("large"):
            torch.zeros(1024)
        late = torch.zeros(32)
    found = memory_peak(recorder)
    assert (found.total_bytes, found.by_category) == (4096 + 64, {"small": 64, "large": 4096})
    assert memory_peak(recorder, start=3).by_category == {"small": 64, "other": 128}
    assert len(kept) + len(late) == 48


def test_a_storage_is_named_after_the_fact():
    with MemoryRecorder() as recorder:
        made = torch.zeros(8)
        recorder.set_category(made, "gradients")
    assert memory_peak(recorder).by_category == {"gradients": 32}


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
