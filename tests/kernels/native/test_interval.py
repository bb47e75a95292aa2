"""The native loop computes the masked definition, and is asked where it can."""

import sys

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ShapeError, device
from groundup.kernels import AttentionPattern, Mask, attention, reference_attention, visible_mask
from groundup.kernels.native.interval import (
    MIN_QUERIES,
    KeyIntervals,
    _check_intervals,
    _interval_library,
    interval_attention,
    key_intervals,
    uses_native_loop,
)

needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
CPU = torch.device("cpu")
LOCAL = [
    AttentionPattern(),
    AttentionPattern("window", window=7),
    AttentionPattern("window", window=400),
    AttentionPattern("block", window=33),
]
DOCUMENTS = [
    None,
    torch.tensor([[0] * 90 + [1] * 50 + [2] * 10, [-1] * 20 + [0] * 130]),
    torch.tensor([[0] * 149 + [-1], [-1] * 60 + [3] + [-1] * 9 + [5] * 80]),
]


def tensors(B=2, H=4, G=2, T=150, K=8, W=5, S=None):
    generator = torch.Generator().manual_seed(T + K)
    q = torch.randn(B, H, T, K, generator=generator)
    k = torch.randn(B, G, S or T, K, generator=generator)
    return q, k, torch.randn(B, G, S or T, W, generator=generator)


def near(found, q, k, v, mask, atol=2e-6):
    exact = reference_attention(q.double(), k.double(), v.double(), mask=mask)
    assert_close(found.double(), exact, atol=atol, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("documents", DOCUMENTS, ids=["one", "packed", "padded"])
@pytest.mark.parametrize("pattern", LOCAL, ids=lambda p: f"{p.kind}{p.window}")
def test_intervals_are_what_the_mask_says(pattern, documents, causal):
    mask = Mask(causal, pattern, documents)
    for T in (150, 41, 1):
        seen = visible_mask(mask, T, 150, "cpu")
        found = key_intervals(mask, T, 150, CPU)
        keys = torch.arange(150)
        run = (keys >= found.low[:, :, None]) & (keys < found.high[:, :, None])
        assert torch.equal(run.expand_as(seen), seen)


@needs_compiler
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("documents", DOCUMENTS, ids=["one", "packed", "padded"])
@pytest.mark.parametrize("pattern", LOCAL, ids=lambda p: f"{p.kind}{p.window}")
def test_the_loop_is_the_masked_definition(pattern, documents, causal):
    q, k, v = tensors()
    mask = Mask(causal, pattern, documents)
    found = interval_attention(q, k, v, key_intervals(mask, 150, 150, CPU))
    near(found, q, k, v, mask)
    if documents is not None:  # padding computes zeros
        assert not found.transpose(1, 2)[documents < 0].any()


@needs_compiler
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1, 1, 1), (1, 3, 1, 31, 17, 1), (3, 6, 6, 33, 64, 64), (1, 8, 2, 70, 128, 96)],
)
def test_odd_shapes(shape):
    q, k, v = tensors(*shape)
    near(
        interval_attention(q, k, v, key_intervals(Mask(), shape[3], shape[3], CPU)), q, k, v, Mask()
    )


@needs_compiler
def test_runs_longer_than_a_block_keep_one_softmax():
    q, k, v = tensors(1, 2, 1, 40, 16, 16, S=1700)
    k[:, :, :600] *= 20  # the maximum falls and rises from block to block
    k[:, :, 1100:1150] *= 30
    for causal in (True, False):  # scores of 100 have seven digits: weights have five
        mask = Mask(causal)
        found = interval_attention(q, k, v, key_intervals(mask, 40, 1700, CPU))
        near(found, q, k, v, mask, atol=3e-5)


@needs_compiler
def test_memory_may_lie_as_projections_leave_it():
    q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors(K=8, W=8))
    near(interval_attention(q, k, v, key_intervals(Mask(), 150, 150, CPU)), q, k, v, Mask())
    wide = torch.randn(2, 150, 3, 4, 8)  # one projection for all three
    q, k, v = (each.transpose(1, 2) for each in wide.unbind(2))
    near(interval_attention(q, k, v, key_intervals(Mask(), 150, 150, CPU)), q, k, v, Mask())
    turned = q.mT.contiguous().mT  # a token's numbers lie apart
    assert torch.equal(
        interval_attention(turned, k, v, key_intervals(Mask(), 150, 150, CPU)),
        interval_attention(q, k, v, key_intervals(Mask(), 150, 150, CPU)),
    )


@needs_compiler
def test_sixteen_bits_are_computed_as_thirty_two():
    q, k, v = (x.bfloat16() for x in tensors())
    found = interval_attention(q, k, v, key_intervals(Mask(), 150, 150, CPU), scale=0.3)
    same = interval_attention(q.float(), k.float(), v.float(), key_intervals(Mask(), 150, 150, CPU),
                              scale=0.3)  # fmt: skip
    assert found.dtype == torch.bfloat16 and torch.equal(found, same.bfloat16())


@needs_compiler
def test_a_query_does_not_know_its_neighbours():
    q, k, v = tensors(1, 2, 2, 700, 16, 16)
    whole = interval_attention(q, k, v, key_intervals(Mask(), 700, 700, CPU))
    k[:, :, 300:], v[:, :, 300:] = 1e6, -1e6
    cut = interval_attention(q, k, v, key_intervals(Mask(), 700, 700, CPU))
    assert torch.equal(whole[:, :, :300], cut[:, :, :300])


@needs_compiler
def test_threads_do_not_change_a_bit():
    q, k, v = tensors(T=400)
    seen, threads = key_intervals(Mask(), 400, 400, CPU), torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            found.append(interval_attention(q, k, v, seen))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@needs_compiler
@pytest.mark.parametrize(("T", "S"), [(64, 5), (33, 1), (200, 64)])
def test_more_queries_than_keys_of_a_source(T, S):
    q, k, v = tensors(T=T, S=S)
    with torch.inference_mode():
        near(attention(q, k, v, mask=Mask(causal=False)), q, k, v, Mask(causal=False))


def test_nothing_beyond_what_is_given_is_read():
    _, k, v = tensors()
    seen = key_intervals(Mask(), 150, 150, CPU)
    _check_intervals(seen, (2, 150), k, v)
    for values in (v[:, :, :20], v[:, :1], v[:1]):
        with pytest.raises(ShapeError, match="values"):
            _check_intervals(seen, (2, 150), k, values)
    for wrong in (
        KeyIntervals(seen.low[:, :9], seen.high[:, :9]),
        KeyIntervals(seen.low, seen.high + 1),
        KeyIntervals(seen.low - 1, seen.high),
        KeyIntervals(seen.low.long(), seen.high.long()),
        KeyIntervals(seen.low, seen.high.expand(2, -1).contiguous()),
    ):
        with pytest.raises(ShapeError):
            _check_intervals(wrong, (2, 150), k, v)


@needs_compiler
def test_what_is_no_number_is_seen_where_it_is_read():
    for part in range(2):  # of a query, then of a key that all later queries read
        given = tensors()
        given[part][:, :, 70, 0] = float("nan")
        found = interval_attention(*given, key_intervals(Mask(), 150, 150, CPU))
        assert found[:, :, 70].isnan().all() and found[:, :, :70].isfinite().all()
        assert found[:, :, 71:].isnan().all() if part else found[:, :, 71:].isfinite().all()
    q, k, v = tensors()
    q[:, :, 70, 0] = float("inf")
    assert interval_attention(q, k, v, key_intervals(Mask(), 150, 150, CPU))[:, :, 70].isnan().any()


@needs_compiler
def test_where_it_is_asked(monkeypatch):
    calls = []
    monkeypatch.setattr(
        sys.modules["groundup.kernels.attention"],
        "interval_attention",
        lambda *given, **more: calls.append(1) or interval_attention(*given, **more),
    )
    q, k, v = tensors()
    attention(q, k, v)
    assert not calls, "it has no gradient"
    with torch.inference_mode():
        near(attention(q, k, v), q, k, v, Mask())
        assert len(calls) == 1
        attention(q.double(), k.double(), v.double())
        attention(
            q[:, :, : MIN_QUERIES - 1], k[:, :, : MIN_QUERIES - 1], v[:, :, : MIN_QUERIES - 1]
        )
        attention(q, k, v, mask=Mask(prefix=torch.zeros(2, 150, dtype=torch.bool)))
        attention(q, k, v, mask=Mask(pattern=AttentionPattern("strided", window=3, stride=14)))
        scattered = torch.tensor([[0] * 50 + [-1] * 50 + [0] * 50] * 2)
        near(attention(q, k, v, mask=Mask(documents=scattered)), q, k, v, Mask(documents=scattered))
        assert len(calls) == 1


def test_without_a_compiler_torch_does_it(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    q, k, v = tensors()
    with torch.inference_mode():
        assert _interval_library() is None and not uses_native_loop(q)
        near(attention(q, k, v), q, k, v, Mask())
