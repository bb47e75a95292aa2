"""Packed 8-bit weights: every value comes back, and other quantisations are refused."""

import copy

import pytest
import torch

from groundup.core import ArtifactError
from groundup.model.weights.packed import (
    QUANTIZATION_CONFIG,
    _pack_int8,
    _unpack_int8,
    install_packed_weights,
    is_packed,
)
from tests.model.shapes import tiny_model


@pytest.mark.parametrize("width", [1, 3, 4, 5, 256])
def test_every_value_comes_back(width):
    values = torch.randint(-128, 128, (7, width)).to(torch.int8)
    words = _pack_int8(values)
    assert words.shape == (7, -(-width // 4))
    assert torch.equal(_unpack_int8(words, width), values)


def test_only_this_layout_is_opened():
    assert not is_packed({})
    assert is_packed({"quantization_config": QUANTIZATION_CONFIG})
    for key, value in (("num_bits", 4), ("strategy", "group"), ("symmetric", False)):
        other = copy.deepcopy(QUANTIZATION_CONFIG)
        other["config_groups"]["group_0"]["weights"][key] = value
        with pytest.raises(ArtifactError, match="groundup supports"):
            is_packed({"quantization_config": other})
    with pytest.raises(ArtifactError, match="gptq"):
        is_packed({"quantization_config": {"quant_method": "gptq"}})


def test_a_packed_weight_without_its_scale_or_shape_is_an_error():
    name = "layers.0.attention.q_proj"
    words = _pack_int8(torch.zeros(24, 16, dtype=torch.int8))
    with pytest.raises(ArtifactError, match=f"{name} has no scale"):
        install_packed_weights(tiny_model(), {f"{name}.weight_packed": words})
    wrong = {f"{name}.weight_packed": words[:5], f"{name}.weight_scale": torch.ones(5, 1)}
    with pytest.raises(ArtifactError, match="does not have the shape"):
        install_packed_weights(tiny_model(), wrong)
