"""Norms: unit size whatever comes in, computed exactly whatever the dtype."""

import pytest
import torch
from torch.testing import assert_close

from groundup.model import NormConfig
from groundup.model.norm import LayerNorm, RMSNorm, norm


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_both_norms_have_unit_size_even_in_half_precision(dtype):
    x = torch.randn(3, 64, dtype=torch.float64) * 1000 + 300
    for made in (RMSNorm(64, 1e-6), LayerNorm(64, 1e-6, has_bias=True)):
        out = made(x.to(dtype))
        assert out.dtype == dtype
        assert_close(out.double().square().mean(-1), torch.ones(3).double(), atol=0.01, rtol=0)
    assert_close(out.double().mean(-1), torch.zeros(3).double(), atol=0.01, rtol=0)


def test_each_is_its_formula():
    x, weight, bias = torch.randn(3, 5, dtype=torch.float64)
    rms, layer = RMSNorm(5, 0.1).double(), LayerNorm(5, 0.1, has_bias=True).double()
    rms.weight.data, layer.weight.data, layer.bias.data = weight, weight, bias
    assert_close(rms(x), weight * x / (x.square().mean() + 0.1).sqrt())
    centred = x - x.mean()
    assert_close(layer(x), weight * centred / (centred.square().mean() + 0.1).sqrt() + bias)


def test_a_layer_norm_may_lack_its_bias():
    assert norm(NormConfig(kind="layer", bias=False), 4).bias is None
    assert isinstance(norm(NormConfig(), 4), RMSNorm)
