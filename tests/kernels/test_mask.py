"""Masks by their own words; skipping what a pattern hides computes what masking it does."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ShapeError
from groundup.kernels import (
    AttentionPattern,
    Mask,
    attention,
    document_positions,
    reference_attention,
    sparse_attention,
    visible_mask,
)
from groundup.kernels.mask import drop_unreachable_keys, is_sparse_worthwhile
from tests.checking import unchecked


def seen(mask, queries, keys):
    return visible_mask(mask, queries, keys, "cpu").int().tolist()


def test_patterns_are_what_their_papers_draw():
    rows = {
        AttentionPattern("window", window=2): [0, 0, 0, 0, 1, 1],
        AttentionPattern("block", window=4): [0, 0, 0, 0, 1, 1],
        AttentionPattern("strided", window=2, stride=3): [0, 0, 1, 0, 1, 1],
        AttentionPattern("fixed", stride=4, tokens=1): [0, 0, 0, 1, 1, 1],
        AttentionPattern("global", window=2, tokens=1): [1, 0, 0, 0, 1, 1],
    }
    for pattern, row in rows.items():
        assert seen(Mask(pattern=pattern), 1, 6) == [[row]], pattern


def test_without_order_a_window_has_two_sides():
    mask = Mask(causal=False, pattern=AttentionPattern("window", window=2))
    assert seen(mask, 4, 4)[0] == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]


def test_a_pattern_starts_anew_with_every_document():
    mask = Mask(
        pattern=AttentionPattern("block", window=2), documents=torch.tensor([[0, 0, 0, 1, 1, 1]])
    )
    assert seen(mask, 6, 6)[0][3:] == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]


def test_places_start_anew_even_if_a_number_comes_back():
    assert document_positions(torch.tensor([[4, 4, 7, 4, 4]])).tolist() == [[0, 1, 0, 0, 1]]


def test_a_prefix_stays_within_its_document():
    prefix = torch.tensor([[1, 1, 0, 1, 0]]).bool()
    mask = Mask(documents=torch.tensor([[0, 0, 0, 1, 1]]), prefix=prefix)
    assert seen(mask, 5, 5)[0][0] == [1, 1, 0, 0, 0]
    assert seen(mask, 5, 5)[0][4] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "heads, keys, mask, message",
    [
        ((2, 5), (2, 4), Mask(), "5 queries cannot be the last of 4 keys"),
        ((2, 5), (2, 4), Mask(False, documents=torch.zeros(1, 4).long()), "5 queries"),
        ((3, 4), (2, 4), Mask(), "H a multiple of G"),
        ((2, 4), (2, 4), Mask(documents=torch.zeros(1, 3).long()), r"documents.*\(1, 3\)"),
        ((2, 4), (2, 4), Mask(prefix=torch.zeros(2, 4).bool()), r"prefix.*\(2, 4\)"),
    ],
)
def test_queries_keys_and_masks_that_do_not_fit_are_refused(heads, keys, mask, message):
    q, k = torch.zeros(1, *heads, 8), torch.zeros(1, *keys, 8)
    with unchecked(), pytest.raises(ShapeError, match=message):
        attention(q, k, k, mask=mask)
    more, few = torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 4, 8)  # of elsewhere: as many as wanted
    assert attention(more, few, few, mask=Mask(causal=False)).shape == (1, 2, 5, 8)


PATTERNS = [
    AttentionPattern("window", window=5),
    AttentionPattern("window", window=70),
    AttentionPattern("block", window=33),
    AttentionPattern("strided", window=3, stride=14),
    AttentionPattern("strided", window=14, stride=14),
    AttentionPattern("fixed", stride=17, tokens=2),
    AttentionPattern("global", window=9, tokens=3),
]
LOCAL = [pattern for pattern in PATTERNS if pattern.kind in ("window", "block")]


def tensors(length, dtype=torch.float64):
    q = torch.randn(1, 2, length, 4, dtype=dtype)
    return q, *torch.randn(2, 1, 1, length, 4, dtype=dtype)


def gradients(way, q, k, v, mask):
    q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    way(q, k, v, mask=mask).square().sum().backward()
    return q.grad, k.grad, v.grad


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: f"{p.kind}{p.window}")
def test_bands_equal_the_masked_definition(pattern, causal):
    q, k, v = tensors(150)
    mask = Mask(causal, pattern)
    expected = reference_attention(q, k, v, mask=mask)
    assert_close(sparse_attention(q, k, v, mask=mask), expected, atol=1e-12, rtol=0)
    pairs = zip(
        gradients(sparse_attention, q, k, v, mask), gradients(reference_attention, q, k, v, mask),
        strict=True,
    )  # fmt: skip
    for found, wanted in pairs:
        assert_close(found, wanted, atol=1e-11, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pattern", LOCAL, ids=lambda p: f"{p.kind}{p.window}")
def test_packed_documents_keep_their_own_places(pattern, causal):
    q, k, v = tensors(150)
    documents = torch.tensor([[-1] * 5 + [0] * 70 + [1] * 67 + [-1] * 8])
    mask = Mask(causal, pattern, documents)
    found = sparse_attention(q, k, v, mask=mask)
    assert_close(found, reference_attention(q, k, v, mask=mask), atol=1e-12, rtol=0)
    own = [x[:, :, 75:142] for x in (q, k, v)]
    alone = reference_attention(*own, mask=Mask(causal, pattern))
    assert_close(found[:, :, 75:142], alone, atol=1e-12, rtol=0)
    assert not found[:, :, :5].any()


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: f"{p.kind}{p.window}")
def test_later_keys_are_not_read(pattern):
    q, k, v = tensors(150)
    before = sparse_attention(q, k, v, mask=Mask(pattern=pattern))
    k[:, :, 100:] = 1e6
    v[:, :, 100:] = -1e6
    after = sparse_attention(q, k, v, mask=Mask(pattern=pattern))
    assert torch.equal(before[:, :, :100], after[:, :, :100])


def test_short_rows_and_far_keys_of_packed_rows_are_masked_instead():
    documents = torch.zeros(1, 400, dtype=torch.long)
    for pattern in PATTERNS:
        assert not is_sparse_worthwhile(Mask(pattern=pattern), 10, 10) or pattern.window < 3
        assert not is_sparse_worthwhile(Mask(pattern=pattern), 1, 400)
        is_local = pattern in LOCAL
        assert (
            is_sparse_worthwhile(Mask(pattern=pattern, documents=documents), 400, 400) is is_local
        )
    assert not is_sparse_worthwhile(Mask(), 400, 400)


def test_cached_keys_behind_a_window_are_left_out():
    q, k, v = tensors(50)
    mask = Mask(pattern=AttentionPattern("window", window=5), documents=torch.zeros(1, 50).long())
    kept, _, narrow = drop_unreachable_keys(k, v, mask, 2)
    assert kept.shape[2] == 6
    assert narrow.documents.shape == (1, 6)
    found = attention(q[:, :, -2:], k, v, mask=mask)
    assert_close(found, reference_attention(q, k, v, mask=mask)[:, :, -2:], atol=1e-12, rtol=0)


def test_a_document_that_comes_again_is_masked_instead():
    q, k, v = tensors(400)
    documents = torch.tensor([[0] * 100 + [1] * 200 + [0] * 100])
    mask = Mask(pattern=AttentionPattern("window", window=5), documents=documents)
    assert not is_sparse_worthwhile(mask, 400, 400)
    for T in (400, 10):
        expected = reference_attention(q[:, :, -T:], k, v, mask=mask)
        assert_close(attention(q[:, :, -T:], k, v, mask=mask), expected, atol=1e-12, rtol=0)
