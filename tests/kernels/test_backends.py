"""Every way of attention gives the same numbers, and a run's ways can be replayed."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.kernels import (
    AttentionBackend,
    AttentionShape,
    Mask,
    attention,
    attention_shape,
    chosen_backends,
    matmul_attention,
    reference_attention,
    restore_backends,
    set_backend,
)
from groundup.kernels.backends import backend_for


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
