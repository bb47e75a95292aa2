"""Every fast way of attention computes what the definition says, and can be replayed."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.kernels import (
    AttentionBackend,
    AttentionPattern,
    AttentionShape,
    Mask,
    ScoreOptions,
    attention,
    attention_shape,
    chosen_backends,
    flash_attention,
    matmul_attention,
    reference_attention,
    restore_backends,
    set_backend,
    tiled_attention,
)
from groundup.kernels.attention import MAX_MATMUL_LENGTH, backend_for

TILED = partial(tiled_attention, tile=3)
WAYS = [matmul_attention, partial(matmul_attention, chunk=2), flash_attention, TILED, attention]


def tensors(batch, heads, kv_heads, queries, keys, dtype=torch.float64):
    q = torch.randn(batch, heads, queries, 8, dtype=dtype)
    return q, *torch.randn(2, batch, kv_heads, keys, 8, dtype=dtype)


def packed(keys):
    """Left padding, several documents, and a whole row of padding."""
    rows = [[-1] * 2 + [0] * 3 + [1] * (keys - 5), list(range(keys)), [-1] * keys]
    return torch.tensor(rows)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("heads, kv_heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("queries, keys", [(1, 7), (3, 7), (7, 7)])
@pytest.mark.parametrize("has_documents", [False, True])
def test_fast_ways_equal_the_definition(way, heads, kv_heads, queries, keys, has_documents):
    q, k, v = tensors(3, heads, kv_heads, queries, keys)
    documents = packed(keys) if has_documents else None
    expected = reference_attention(q, k, v, mask=Mask(documents=documents))
    assert_close(way(q, k, v, mask=Mask(documents=documents)), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_the_definition(way):
    q, k, v = (x.requires_grad_() for x in tensors(3, 4, 2, 7, 7))
    out = torch.randn(3, 4, 7, 8, dtype=torch.float64)
    documents = packed(7)
    expected = torch.autograd.grad(
        reference_attention(q, k, v, mask=Mask(documents=documents)), (q, k, v), out
    )
    found = torch.autograd.grad(way(q, k, v, mask=Mask(documents=documents)), (q, k, v), out)
    for name, one, other in zip("qkv", found, expected, strict=True):
        assert_close(one, other, atol=1e-12, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("way", WAYS)
def test_neither_the_future_nor_another_document_is_seen(way):
    q, k, v = tensors(1, 2, 1, 6, 6)
    documents = torch.tensor([[0, 0, 0, 1, 1, 1]])
    before = way(q, k, v, mask=Mask(documents=documents))
    k[:, :, [1, 5]] += 3.0
    v[:, :, [1, 5]] -= 7.0
    after = way(q, k, v, mask=Mask(documents=documents))
    assert torch.equal(before[:, :, [0, 3, 4]], after[:, :, [0, 3, 4]])
    assert not torch.allclose(before[:, :, [1, 2, 5]], after[:, :, [1, 2, 5]])


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_sees_nothing_is_zero_and_so_are_its_gradients(way):
    q, k, v = (x.requires_grad_() for x in tensors(1, 2, 1, 3, 3, torch.float32))
    out = way(q, k, v, mask=Mask(documents=torch.tensor([[-1, -1, -1]])))
    out.sum().backward()
    assert not out.any()
    assert not any(x.grad.any() for x in (q, k, v))


@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_is_close(way):
    q, k, v = tensors(2, 4, 2, 16, 16, torch.float32)
    exact = way(q, k, v)
    rounded = way(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert_close(rounded.float(), exact, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("has_documents", [False, True])
def test_biases_scales_and_patterns_are_those_of_the_definition(way, causal, has_documents):
    q, k, v = tensors(3, 4, 2, 7, 7)
    documents = packed(7) if has_documents else None
    mask = Mask(causal, AttentionPattern("global", window=2, tokens=1), documents)
    scores = ScoreOptions(0.7, torch.randn(1, 4, 7, 7, dtype=torch.float64))
    expected = reference_attention(q, k, v, mask=mask, scores=scores)
    assert_close(way(q, k, v, mask=mask, scores=scores), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("way", [matmul_attention, TILED, attention])
def test_capped_scores_are_those_of_the_definition(way):
    q, k, v = tensors(2, 4, 2, 3, 7)
    scores = ScoreOptions(2.0, torch.randn(2, 4, 3, 7, dtype=torch.float64), softcap=1.5)
    expected = reference_attention(q, k, v, scores=scores)
    assert_close(way(q, k, v, scores=scores), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_keys_from_elsewhere_are_read_by_their_own_document(way):
    q, k, v = tensors(2, 4, 2, 5, 7)
    source = torch.tensor([[0, 0, 0, 1, 1, 1, -1], [0] * 7])
    own = torch.tensor([[0, 0, 1, 1, -1], [0] * 5])
    mask = Mask(causal=False, documents=source, queries=own)
    expected = reference_attention(q, k, v, mask=mask)
    assert_close(way(q, k, v, mask=mask), expected, atol=1e-12, rtol=0)
    alone = reference_attention(
        q[:1, :, 2:4], k[:1, :, 3:6], v[:1, :, 3:6], mask=Mask(causal=False)
    )
    assert_close(expected[:1, :, 2:4], alone, atol=1e-12, rtol=0)
    assert not expected[0, :, 4].any()


@pytest.mark.parametrize("way", WAYS)
def test_a_prefix_is_seen_by_what_comes_before_it(way):
    q, k, v = tensors(1, 2, 1, 6, 6)
    prefix = torch.tensor([[True, True, True, False, False, False]])
    found = way(q, k, v, mask=Mask(prefix=prefix))
    both = reference_attention(q[:, :, :3], k[:, :, :3], v[:, :, :3], mask=Mask(causal=False))
    assert_close(found[:, :, :3], both, atol=1e-12, rtol=0)
    assert_close(found[:, :, 3:], reference_attention(q, k, v)[:, :, 3:], atol=1e-12, rtol=0)


@pytest.fixture(autouse=True)
def own_ways():
    before = chosen_backends()
    yield
    restore_backends(before)


def rows(length=24, dtype=torch.float64):
    return [
        torch.randn(2, heads, length, 8, dtype=dtype, requires_grad=True) for heads in (4, 2, 2)
    ]


def documents(length=24):
    return torch.tensor([[0] * 9 + [1] * (length - 12) + [-1] * 3, [3] * length])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "way",
    [AttentionBackend("flash"), AttentionBackend("matmul", 7), AttentionBackend("matmul", 64)],
)
def test_the_chosen_way_has_the_reference_s_values_and_gradients(way, packed):
    q, k, v = rows()
    mask = Mask(documents=documents() if packed else None)
    set_backend(attention_shape(q, k, packed), way)
    found, expected = attention(q, k, v, mask=mask), reference_attention(q, k, v, mask=mask)
    assert_close(found, expected, atol=1e-12, rtol=1e-12)
    probe = torch.randn_like(found)
    gradients = torch.autograd.grad(found, (q, k, v), probe)
    for one, other in zip(gradients, torch.autograd.grad(expected, (q, k, v), probe), strict=True):
        assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_a_choice_is_for_its_class_of_rows_alone():
    q, k, _ = rows()
    shape = attention_shape(q, k, True)
    assert shape == AttentionShape(4, 2, 8, 32, True, "float64")
    set_backend(shape, AttentionBackend("flash"))
    assert backend_for(*shape).kind == "flash"
    assert backend_for(*shape._replace(is_packed=False)).kind == "matmul"
    assert backend_for(*shape._replace(length=64)).kind == "matmul"


def test_without_a_choice_long_rows_go_by_flash_and_others_by_products():
    kept = AttentionShape(4, 4, 64, 2048, True, "bfloat16")
    assert backend_for(*kept) == AttentionBackend("matmul", 512)
    assert backend_for(*kept._replace(length=4096)).kind == "flash"


def test_what_a_run_chose_is_replayed_and_nothing_else():
    shape, other = (
        AttentionShape(1, 1, 8, 32, True, "float32"),
        AttentionShape(1, 1, 8, 64, True, "float32"),
    )
    set_backend(shape, AttentionBackend("flash"))
    contract = chosen_backends()
    set_backend(other, AttentionBackend("flash"))
    restore_backends(contract)
    assert chosen_backends() == contract and list(contract) == [shape.key]
    assert backend_for(*shape).kind == "flash" and backend_for(*other).kind == "matmul"


def test_a_contract_that_names_no_way_is_refused():
    with pytest.raises(ConfigError, match="not an attention backend"):
        restore_backends({"rows": ["sparse", 3]})


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compiled_code_follows_a_new_choice():
    q, k, v = rows(256, torch.float32)
    mask = Mask()
    traced = []

    def counted(q, k, v):
        traced.append(backend_for(*attention_shape(q, k, False)))
        return attention(q, k, v, mask=mask)

    compiled = torch.compile(counted, dynamic=False, backend="aot_eager")
    for way in (AttentionBackend("matmul", 64), AttentionBackend("flash")):
        set_backend(attention_shape(q, k, False), way)
        assert_close(compiled(q, k, v), matmul_attention(q, k, v), atol=1e-5, rtol=1e-5)
    assert traced == [AttentionBackend("matmul", 64), AttentionBackend("flash")]


def test_capped_scores_of_long_sequences_are_never_all_stored():
    q, k = torch.randn(1, 1, 3, 4), torch.randn(1, 1, MAX_MATMUL_LENGTH + 5, 4)
    scores = ScoreOptions(softcap=3.0)
    with torch.no_grad():
        found = attention(q, k, k, scores=scores)
    assert_close(found, reference_attention(q, k, k, scores=scores), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", [matmul_attention, partial(matmul_attention, chunk=2), TILED,
                                 attention])  # fmt: skip
@pytest.mark.parametrize("has_documents", [False, True])
def test_sinks_take_weight_from_all_keys(way, has_documents):
    q, k, v = tensors(3, 4, 2, 5, 7)
    mask = Mask(documents=packed(7) if has_documents else None)
    scores = ScoreOptions(sinks=torch.randn(4, dtype=torch.float64))
    out = way(q, k, v, mask=mask, scores=scores)
    assert_close(out, reference_attention(q, k, v, mask=mask, scores=scores))
    plain = attention(q, k, torch.ones_like(v), mask=mask, scores=ScoreOptions())
    taken = way(q, k, torch.ones_like(v), mask=mask, scores=scores)
    is_seen = plain > 0
    assert (taken[is_seen] < 1).all() and not taken[~is_seen].any()


def test_a_sink_alone_is_the_whole_softmax_and_a_lowest_one_takes_nothing():
    q, k, v = tensors(1, 2, 2, 3, 3)
    drowned = attention(q, k, v, scores=ScoreOptions(sinks=torch.tensor([1e3, -1e3]).double()))
    assert_close(drowned[:, 0], torch.zeros_like(drowned[:, 0]))
    assert_close(drowned[:, 1], attention(q, k, v)[:, 1])
