"""What is computed again is the same; what is kept follows the rule of its kind."""

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from groundup.kernels import matmul_attention, with_recompute
from groundup.train.plan.events import MemoryRecorder

KINDS = ("none", "selective", "all")
WIDTH = 32


class Counting(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, op, types, inputs=(), settings=None):
        self.counts[op.overloadpacket.__name__] += 1
        return op(*inputs, **(settings or {}))


def weights() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(WIDTH, WIDTH, generator=generator).requires_grad_() for _ in range(3)]


def layer(hidden: Tensor, maps: list[Tensor]) -> Tensor:
    """Attention with one head, and a gated map."""
    q = (hidden @ maps[0]).tanh()
    out = matmul_attention(q[:, None], q[:, None], hidden[:, None])[:, 0]
    return torch.nn.functional.silu(out @ maps[1]) * (out @ maps[2])


def passes(kind: str, length: int = 128):
    maps, generator = weights(), torch.Generator().manual_seed(1)
    hidden = torch.randn(2, length, WIDTH, generator=generator).requires_grad_()
    recorder = MemoryRecorder()
    with recorder:
        out = with_recompute(lambda given: layer(given, maps), kind)(hidden)
        held = sum(event.size_bytes for event in recorder.events)
    with Counting() as counting:
        out.square().sum().backward()
    return held, counting.counts, [hidden.grad, *(each.grad for each in maps)]


def softmaxes(counts) -> int:
    return counts["_softmax"] + counts["interval_softmax"]


@pytest.mark.parametrize("kind", ["selective", "all"])
def test_gradients_are_the_same_to_the_bit(kind: str):
    _, _, plain = passes("none")
    _, _, again = passes(kind)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_each_kind_holds_less_than_the_one_before():
    none, selective, every = (passes(kind)[0] for kind in KINDS)
    assert none > 1.8 * selective > 1.8 * 2 * every


def test_selective_computes_scores_again_and_no_other_product():
    plain, selective, every = (passes(kind)[1] for kind in KINDS)
    assert selective["mm"] == plain["mm"]
    assert selective["bmm"] == plain["bmm"] + 1  # q k, whose result is larger than q and k
    assert softmaxes(selective) == softmaxes(plain) + 1
    assert every["mm"] == plain["mm"] + 3


def test_scores_that_are_small_are_kept():
    counts = passes("selective", length=16)[1]
    assert counts["bmm"] == passes("none", length=16)[1]["bmm"]


def test_without_gradients_nothing_changes():
    with torch.no_grad():
        assert with_recompute(layer, "all") is layer
