"""Norms: unit size whatever comes in, computed exactly whatever the dtype."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.model import NormConfig, Transformer
from groundup.model.norm import LayerNorm, RMSNorm, build_norm
from tests.model.shapes import shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_both_norms_have_unit_size_even_in_half_precision(dtype):
    x = torch.randn(3, 64, dtype=torch.float64) * 1000 + 300
    for made in (RMSNorm(64, 1e-6), LayerNorm(64, NormConfig(kind="layer", eps=1e-6))):
        out = made(x.to(dtype))
        assert out.dtype == dtype
        assert_close(out.double().square().mean(-1), torch.ones(3).double(), atol=0.01, rtol=0)
    assert_close(out.double().mean(-1), torch.zeros(3).double(), atol=0.01, rtol=0)


def test_each_is_its_formula():
    x, weight, bias = torch.randn(3, 5, dtype=torch.float64)
    rms, layer = RMSNorm(5, 0.1).double(), LayerNorm(5, NormConfig(kind="layer", eps=0.1)).double()
    rms.weight.data, layer.weight.data, layer.bias.data = weight, weight, bias
    assert_close(rms(x), weight * x / (x.square().mean() + 0.1).sqrt())
    centred = x - x.mean()
    assert_close(layer(x), weight * centred / (centred.square().mean() + 0.1).sqrt() + bias)


def test_a_layer_norm_may_lack_its_bias():
    assert build_norm(NormConfig(kind="layer", bias=False), 4).bias is None
    assert isinstance(build_norm(NormConfig(), 4), RMSNorm)


def test_a_zero_centred_norm_keeps_differences_from_one():
    plain, centred = RMSNorm(4, 1e-6), RMSNorm(4, 1e-6, zero_centred=True)
    x = torch.randn(3, 4)
    assert torch.equal(centred.weight, torch.zeros(4))
    assert torch.equal(plain(x), centred(x))
    plain.weight.data += torch.arange(4.0)
    centred.weight.data += torch.arange(4.0)
    assert torch.equal(plain(x), centred(x))


def test_half_precision_holds_what_lies_near_one_only_around_zero():
    small = torch.full((4,), 0.001953125)
    centred = RMSNorm(4, 1e-6, zero_centred=True)
    centred.weight.data = small
    centred = centred.to(torch.bfloat16)
    assert torch.equal(centred.weight.float(), small)
    assert torch.equal((small + 1).to(torch.bfloat16).float(), torch.ones(4))
    x = torch.ones(1, 4)
    assert_close(centred(x), torch.full((1, 4), 1.001953125), atol=1e-6, rtol=0)


def test_new_models_scale_by_one_either_way():
    for zero_centred in (False, True):
        model = Transformer(shape(norm=NormConfig(zero_centred=zero_centred)), seed=0)
        x = torch.randn(2, 16)
        assert_close(model.norm(x).square().mean(-1), torch.ones(2), atol=1e-3, rtol=0)
    centred = LayerNorm(16, NormConfig(kind="layer", zero_centred=True))
    assert centred.weight.eq(0).all() and not centred.weight.eq(1).any()
    assert_close(centred(x), F.layer_norm(x, (16,), eps=1e-6))


def test_layer_norms_may_have_no_weights():
    config, x = NormConfig(kind="layer", weights=False, bias=False, eps=1e-5), torch.randn(2, 6)
    plain = LayerNorm(6, config)
    assert not list(plain.parameters()) and torch.equal(plain(x), F.layer_norm(x, (6,)))
    for wrong in ({"kind": "rms"}, {"bias": True}, {"zero_centred": True}):
        with pytest.raises(ConfigError, match="weights=false has"):
            NormConfig(**(config.model_dump() | wrong))
