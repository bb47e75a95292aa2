"""8- and 4-bit linear maps: near the original, and equal to what their integers stand for."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.testing import assert_close

from groundup.core import ShapeError
from groundup.kernels import QuantizedLinear, quantize_groups
from groundup.kernels.linear import MAX_FUSED_ROWS


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(1e-6, 1e6), st.sampled_from([8, 4]))
def test_no_weight_moves_by_more_than_half_a_step(seed, size, bits):
    weight = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed)) * size
    integers, scales = quantize_groups(weight, bits=bits, group=3)
    step = scales.double().repeat_interleave(3, 1)
    error = (weight.double() - integers.double() * step).abs()
    assert (error <= step * (0.5 + 1e-5)).all()
    assert integers.abs().unflatten(1, (2, 3)).amax(-1).eq(2 ** (bits - 1) - 1).all()


def test_a_group_of_zeros_stays_zeros():
    integers, scales = quantize_groups(torch.zeros(2, 3), bits=8, group=3)
    assert not integers.any()
    assert scales.isfinite().all()


@pytest.mark.parametrize(("bits", "group"), [(8, 4), (4, 4), (4, 2), (4, None)])
def test_a_layer_holds_the_nearest_integers_and_multiplies_what_they_stand_for(bits, group):
    linear, x = nn.Linear(12, 5), torch.randn(3, 12)
    layer = QuantizedLinear.from_linear(linear, bits=bits, group=group)
    integers, scales = quantize_groups(linear.weight, bits=bits, group=group or 12)
    assert torch.equal(layer.integers(), integers) and torch.equal(layer.scale, scales)
    assert layer.weight.numel() * 8 == integers.numel() * bits
    weight = integers * scales.repeat_interleave(group or 12, 1)
    assert_close(layer(x), nn.functional.linear(x, weight, linear.bias))
    assert torch.equal(layer.to_linear().weight, weight)


@pytest.mark.parametrize(("width", "bits", "group"), [(12, 8, 5), (12, 4, 24), (3, 4, None)])
def test_groups_divide_the_inputs_and_4_bits_fill_bytes(width, bits, group):
    with pytest.raises(ShapeError, match="groups must divide the inputs"):
        QuantizedLinear(width, 2, bits=bits, group=group)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("rows", [1, MAX_FUSED_ROWS, MAX_FUSED_ROWS + 1])
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-6), (torch.float32, 1e-5), (torch.bfloat16, 0.04)]
)
def test_the_product_is_that_of_the_dequantized_weight(rows, dtype, tolerance, has_bias):
    linear = nn.Linear(32, 20, bias=has_bias).to(dtype)
    rounded = QuantizedLinear.from_linear(linear)
    x = torch.randn(rows, 32, dtype=dtype)
    with torch.no_grad():
        found = rounded(x)
    assert found.dtype == dtype
    expected = x.double() @ rounded.dequantize().double().T
    if has_bias:
        expected = expected + linear.bias.double()
    assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("width", [1, 6, 8, 12, 24, 30, 48])
def test_rows_that_do_not_fill_a_vector_are_multiplied_whole(width):
    rounded = QuantizedLinear.from_linear(nn.Linear(width, 5, bias=False))
    x = torch.randn(3, width, dtype=torch.bfloat16)
    with torch.no_grad():
        found = rounded(x).double()
    expected = x.double() @ rounded.dequantize().double().T
    assert_close(found, expected, atol=0.04, rtol=0.04)


def test_gradients_flow_through_to_the_input():
    rounded = QuantizedLinear.from_linear(nn.Linear(8, 6, bias=False))
    x = torch.randn(2, 3, 8, requires_grad=True)
    rounded(x).sum().backward()
    assert_close(x.grad, rounded.dequantize().sum(0).expand(2, 3, 8))
