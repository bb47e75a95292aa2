"""Packed weights: every value comes back, and other quantisations are refused."""

import copy

import pytest
import torch
from torch import nn

from groundup.compress import quantize_weights
from groundup.core import ArtifactError
from groundup.kernels import QuantizedLinear
from groundup.model.weights.packed import (
    _pack_words,
    _unpack_words,
    install_packed_weights,
    is_packed,
    quantization_config,
)
from tests.model.shapes import tiny_model


@pytest.mark.parametrize("width", [1, 3, 4, 5, 256])
def test_every_value_comes_back(width):
    layer = QuantizedLinear(width, 7)
    layer.weight = torch.randint(-128, 128, (7, width)).to(torch.int8)
    words = _pack_words(layer)
    assert words.shape == (7, -(-width // 4))
    assert torch.equal(_unpack_words(words, layer), layer.weight)


@pytest.mark.parametrize("width", [2, 6, 8, 10, 256])
def test_eight_integers_of_4_bits_fill_a_word_the_first_in_its_lowest_bits(width):
    layer = QuantizedLinear.from_linear(nn.Linear(width, 7), bits=4, group=2)
    words, integers = _pack_words(layer), layer.integers()
    assert words.shape == (7, -(-width // 8))
    assert torch.equal(_unpack_words(words, layer), layer.weight)
    for at in range(width):
        found = (words[:, at // 8] >> 4 * (at % 8)) & 15
        assert torch.equal(found - 8, integers[:, at].int())


def quantized_model(bits=8, group=None):
    model = tiny_model()
    quantize_weights(model, bits, group)
    return model


def test_only_this_layout_is_opened():
    assert not is_packed({}) and quantization_config(tiny_model()) == {}
    config = quantization_config(quantized_model())
    assert is_packed({"quantization_config": config})
    assert is_packed({"quantization_config": quantization_config(quantized_model(4, 4))})
    for key, value in (
        ("num_bits", 2), ("strategy", "block"), ("symmetric", False), ("type", "float"),
        ("actorder", "group"),
    ):  # fmt: skip
        other = copy.deepcopy(config)
        other["config_groups"]["group_0"]["weights"][key] = value
        with pytest.raises(ArtifactError, match="groundup supports"):
            is_packed({"quantization_config": other})
    with pytest.raises(ArtifactError, match="gptq"):
        is_packed({"quantization_config": {"quant_method": "gptq"}})


def test_a_packed_weight_without_its_scale_or_shape_is_an_error():
    name = "layers.0.attention.q_proj"
    words = torch.zeros(24, 4, dtype=torch.int32)
    with pytest.raises(ArtifactError, match=f"{name} has no scale"):
        install_packed_weights(tiny_model(), {f"{name}.weight_packed": words})
    for wrong, scale in ((words[:5], 5), (words, 5), (words[:, :3], 24)):
        state = {f"{name}.weight_packed": wrong, f"{name}.weight_scale": torch.ones(scale, 1)}
        with pytest.raises(ArtifactError, match="does not have the shape"):
            install_packed_weights(tiny_model(), state)
    state = {f"{name}.weight_packed": words, f"{name}.weight_scale": torch.ones(24, 5)}
    with pytest.raises(ArtifactError, match="does not have the shape"):
        install_packed_weights(tiny_model(), state)
