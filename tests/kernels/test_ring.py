"""A ring of processes finds what one process finds for whole rows, and so do its gradients."""

from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, distributed

from groundup.core import ConfigError, ShapeError
from groundup.kernels import (
    AttentionPattern,
    Mask,
    Ring,
    ScoreOptions,
    reference_attention,
    ring_attention,
    shard_positions,
)
from tests.train.parallel.processes import run

LENGTH = 16


class Case(NamedTuple):
    """What attention is asked."""

    mask: Mask = Mask()
    scores: ScoreOptions = ScoreOptions()
    dtype: torch.dtype = torch.float64
    chunk: int = 512
    bfloat16: bool = False


def packed() -> Tensor:
    """Two rows of documents of many lengths, with padding before, between and behind them."""
    return torch.tensor(
        [[-1, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, -1, -1],
         [0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, 4, 4, 4, 4, 4]]
    )  # fmt: skip


def prefixes() -> Tensor:
    """The first places of some documents."""
    prefix = torch.zeros(2, 16, dtype=torch.bool)
    prefix[0, 1:3] = prefix[0, 6:9] = prefix[1, :5] = True
    return prefix


CASES = {
    "causal": Case(),
    "all see all": Case(Mask(causal=False)),
    "documents": Case(Mask(documents=packed())),
    "documents of an encoder": Case(Mask(causal=False, documents=packed())),
    "prefixes": Case(Mask(documents=packed(), prefix=prefixes())),
    "window": Case(Mask(pattern=AttentionPattern("window", window=3), documents=packed())),
    "strided": Case(Mask(pattern=AttentionPattern("strided", window=2, stride=3))),
    "blocks": Case(Mask(pattern=AttentionPattern("block", window=5))),
    "softcap and scale": Case(Mask(documents=packed()), ScoreOptions(0.7, None, 1.5)),
    "bfloat16": Case(Mask(documents=packed()), dtype=torch.float32, bfloat16=True),
    "float32": Case(Mask(documents=packed()), dtype=torch.float32),
    "many pieces": Case(Mask(documents=packed()), chunk=1),
}


def inputs(case: Case) -> list[Tensor]:
    """Queries of four heads, keys and values of two, and a gradient, of whole rows."""
    generator = torch.Generator().manual_seed(1)
    made = [
        torch.randn(2, heads, LENGTH, width, generator=generator, dtype=torch.float64)
        for heads, width in ((4, 6), (2, 6), (2, 5), (4, 5))
    ]
    return [each.to(case.dtype) for each in made]


def shared(tensor: Tensor | None, ring: Ring, dim: int) -> Tensor | None:
    """A process's places of whole rows."""
    return None if tensor is None else tensor.index_select(dim, shard_positions(LENGTH, ring))


def every_case(size: int) -> dict[str, list[Any]]:
    """What this process of a ring finds in each case."""
    return {name: in_a_ring(size, case) for name, case in CASES.items()}


@cache
def found_by(size: int) -> list[dict[str, list[Any]]]:
    """The same of all processes, started once."""
    return run(size, every_case, size)


def in_a_ring(size: int, case: Case) -> list[Any]:
    """Output and gradients of this process's places."""
    ring = Ring(size, distributed.get_rank(), distributed.group.WORLD)
    q, k, v, grad = (shared(x, ring, 2) for x in inputs(case))
    leaves = [x.requires_grad_() for x in (q, k, v) if x is not None]
    mask = case.mask._replace(
        documents=shared(case.mask.documents, ring, 1),
        prefix=shared(case.mask.prefix, ring, 1),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=case.bfloat16):
        out = ring_attention(*leaves, ring=ring, mask=mask, scores=case.scores, chunk=case.chunk)
    assert grad is not None
    found = torch.autograd.grad(out, leaves, grad.to(out.dtype))
    return [
        x.detach().float().numpy() if case.bfloat16 else x.detach().numpy() for x in (out, *found)
    ]


def alone(case: Case, attend) -> list[Tensor]:
    """Output and gradients of whole rows."""
    *leaves, grad = inputs(case)
    leaves = [x.requires_grad_() for x in leaves]
    out = attend(*leaves, mask=case.mask, scores=case.scores)
    return [x.detach() for x in (out, *torch.autograd.grad(out, leaves, grad.to(out.dtype)))]


def together(size: int, name: str) -> list[Tensor]:
    """Whole rows of what the processes found."""
    parts = [found[name] for found in found_by(size)]
    order = torch.cat([shard_positions(LENGTH, Ring(len(parts), r)) for r in range(len(parts))])
    return [
        torch.cat([torch.from_numpy(x) for x in each], dim=2)[:, :, order.argsort()]
        for each in zip(*parts, strict=True)
    ]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", [name for name in CASES if name != "bfloat16"])
def test_a_ring_gives_what_whole_rows_give(name: str, size: int):
    case = CASES[name]
    tolerance = 1e-10 if case.dtype == torch.float64 else 1e-5
    found = together(size, name)
    for mine, wanted in zip(found, alone(case, reference_attention), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=tolerance, atol=tolerance)


def test_bfloat16_products_are_as_near_as_bfloat16_allows():
    case = CASES["bfloat16"]
    found = together(2, "bfloat16")
    for mine, wanted in zip(found, alone(case, reference_attention), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0.04, atol=0.04)


def test_a_ring_of_one_is_plain_attention():
    for case in (CASES["documents"], CASES["prefixes"], CASES["window"]):
        mine = alone(case, lambda *given, **kept: ring_attention(*given, ring=Ring(), **kept))
        places = shard_positions(LENGTH, Ring())
        assert places.tolist() == list(range(16))
        for one, two in zip(mine, alone(case, reference_attention), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_every_process_meets_equally_many_keys():
    from groundup.kernels.ring import RingSchedule

    for size in (2, 4):
        work = []
        for place in range(size):
            walk = RingSchedule(Ring(size, place), Mask(), ScoreOptions(), 512)
            pieces = [p for source in range(size) for p in walk.blocks(source, 8)]
            work.append(
                sum(
                    (p.query_slice.stop - p.query_slice.start)
                    * (p.key_slice.stop - p.key_slice.start)
                    for p in pieces
                )
            )
        assert len(set(work)) == 1 and work[0] < (8 * size) * 8  # and skips what is later


def test_what_shares_of_rows_cannot_say_is_refused():
    q, k, v, _ = inputs(Case())
    for mask, scores, told in (
        (Mask(), ScoreOptions(bias=torch.zeros(1, 4, 16, 16)), "position.kind='rope'"),
        (
            Mask(pattern=AttentionPattern("block", window=4), documents=packed()),
            ScoreOptions(),
            "'block'.*window",
        ),
    ):
        with pytest.raises(ConfigError, match=told):
            ring_attention(q, k, v, ring=Ring(2, 0), mask=mask, scores=scores)
    with pytest.raises(ShapeError, match="shard has 15 tokens.*even"):
        ring_attention(q[:, :, :15], k[:, :, :15], v[:, :, :15], ring=Ring(2, 0))
    with pytest.raises(ShapeError, match="18 tokens.*multiple of 4, such as 20"):
        shard_positions(18, Ring(2, 0))
