"""Packed products compute the plain ones, and a row's bits do not depend on its company."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from groundup.core import CapacityError, ShapeError, device
from groundup.kernels import (
    BlockCache,
    LayerWeights,
    NormWeights,
    StackShape,
    StackWeights,
    multiply_rows,
    pack_matrix,
    quantize_groups,
)

pytestmark = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")


@pytest.fixture(autouse=True)
def one_thread():
    """Products this small cost less than waking a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def packed(weight, bits, bias=None, group=32):
    """The packed weight, and the weight that it stands for."""
    if bits > 8:
        kept = weight.bfloat16() if bits == 16 else weight
        return pack_matrix(kept, bits=bits, bias=bias), kept.double()
    numbers, scales = quantize_groups(weight, bits=bits, group=group)
    exact = numbers.double().unflatten(1, (-1, group)) * scales[..., None].double()
    return pack_matrix(numbers, bits=bits, scales=scales, bias=bias), exact.flatten(1)


@settings(max_examples=40)
@given(
    st.sampled_from([32, 16, 8, 4]), st.integers(1, 40), st.integers(1, 70), st.integers(1, 5),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_a_product_is_the_plain_one_and_each_row_its_own(bits, rows, outputs, groups, biased, seed):
    torch.manual_seed(seed)
    inputs = 32 * groups if bits <= 8 else 7 * groups
    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    if bits == 16:
        x = x.bfloat16().float()  # some processors multiply halves with halves
    bias = torch.randn(outputs) if biased else None
    matrix, exact = packed(weight, bits, bias)
    out = multiply_rows(matrix, x)
    wanted = x.double() @ exact.T + (0 if bias is None else bias)
    # Bytes of activations round by up to 1/254 of their group's largest.
    tolerance = 1e-5 if bits > 8 else 0.02 * float(x.abs().max()) * float(exact.abs().sum(1).max())
    assert_close(out.double(), wanted, rtol=1e-5, atol=tolerance)
    for row in range(rows):
        assert torch.equal(multiply_rows(matrix, x[row : row + 1])[0], out[row])


def test_integers_are_exact_where_nothing_is_rounded():
    x = torch.randint(-127, 128, (9, 64)).float()
    x[:, [0, 32]] = 127.0  # so the scale of every group is one
    for bits in (8, 4):
        numbers = torch.randint(-7, 8, (50, 64), dtype=torch.int8)
        matrix = pack_matrix(numbers, bits=bits, scales=torch.ones(50, 2))
        assert torch.equal(multiply_rows(matrix, x), x @ numbers.float().T)


def test_threads_change_no_bit():
    x, weight = torch.randn(13, 96), torch.randn(333, 96)
    alone = multiply_rows(packed(weight, 32)[0], x)
    torch.set_num_threads(2)
    assert torch.equal(multiply_rows(packed(weight, 32)[0], x), alone)


@pytest.mark.parametrize("bits", [32, 16, 8])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_seen(bits, value):
    x = torch.randn(3, 64)
    x[1, 5] = value
    out = multiply_rows(packed(torch.randn(20, 64), bits)[0], x)
    assert not torch.isfinite(out[1]).any() and torch.isfinite(out[[0, 2]]).all()


def test_torch_computes_as_before_after_a_product():
    x, weight = torch.randn(40, 96).bfloat16(), torch.randn(64, 96).bfloat16()
    before = x @ weight.T
    for rows in (1, 40):
        multiply_rows(packed(weight, 16)[0], x[:rows])  # sets the tiles of AMX up in its way
        assert torch.equal(x @ weight.T, before)


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match="multiples of 32"):
        pack_matrix(torch.zeros(4, 48, dtype=torch.int8), bits=8, scales=torch.ones(4, 1))
    with pytest.raises(ShapeError, match="have 5 inputs and the weight 6"):
        multiply_rows(pack_matrix(torch.zeros(4, 6), bits=32), torch.zeros(1, 5))


@pytest.mark.parametrize(
    ("dtype", "bytes_of_a_token"), [(torch.float32, 64), (torch.bfloat16, 32), (torch.int8, 24)]
)
def test_a_cache_takes_what_its_formula_says(dtype, bytes_of_a_token):
    shape = StackShape(8, 2, 1, 8, 8, "silu", True, False, False, False, 1.0, 0.0, 1.0, 0.0)
    matrix = pack_matrix(torch.zeros(8, 8), bits=32)
    layer = (NormWeights(),) * 6 + (matrix,) * 4
    weights = StackWeights(shape, [LayerWeights(*layer)], NormWeights(), matrix)
    cache = BlockCache(weights, 3, dtype)
    assert cache.keys[0].numel() in (3 * 32 * 8, 3 * 32 * 32)  # halves come in steps of 32
    assert cache.bytes >= 3 * 32 * bytes_of_a_token  # more where a head fills no vector
    with pytest.raises(CapacityError, match="0 blocks"):
        BlockCache(weights, 0, dtype)
