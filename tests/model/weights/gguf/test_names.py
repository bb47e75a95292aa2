"""Names and layouts go to llama.cpp's and come back."""

import pytest
import torch

from groundup.model import Transformer
from groundup.model.positions.rotary import compute_rotation, rope_frequencies, rotate
from groundup.model.weights.gguf.names import (
    _deinterleave,
    _interleave,
    from_gguf_state_dict,
    to_gguf_state_dict,
)
from tests.model.shapes import ENCODERS
from tests.model.weights.gguf.models import MODELS, exact_model

ARCHITECTURES = {name: name.partition("_")[0] for name in MODELS} | {"mixtral": "llama"}


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_comes_back(name):
    config, state = MODELS[name], exact_model(MODELS[name]).state_dict()
    named = to_gguf_state_dict(state, config, ARCHITECTURES[name])
    assert not {key for key in named if key.startswith(("layers", "embed", "norm", "lm_head"))}
    again = from_gguf_state_dict(named, config, ARCHITECTURES[name])
    assert again.keys() == state.keys()
    for key, weight in state.items():
        torch.testing.assert_close(again[key], weight, rtol=0, atol=1e-7)


def test_one_tensor_at_a_time_gives_the_same():
    config, state = MODELS["gpt2"], exact_model(MODELS["gpt2"]).state_dict()
    named = to_gguf_state_dict(state, config, "gpt2")
    assert named["blk.1.attn_qkv.weight"].shape == (48, 16)
    again = {}
    for key, weight in named.items():
        again |= from_gguf_state_dict({key: weight}, config, "gpt2")
    assert all(torch.equal(again[key], weight) for key, weight in state.items())


def test_berts_norms_have_names_of_their_own():
    config = ENCODERS["bert"]
    state = Transformer(config, seed=0).state_dict()
    named = to_gguf_state_dict(state, config, "bert")
    assert {"blk.0.attn_output_norm.bias", "blk.0.layer_output_norm.weight"} <= named.keys()
    assert from_gguf_state_dict(named, config, "bert").keys() == state.keys()


def test_interleaved_pairs_turn_as_halves_do():
    x, by = (
        torch.randn(1, 1, 6, 8),
        compute_rotation(torch.arange(6)[None], rope_frequencies(8, 100.0)),
    )
    by_pairs = _interleave(x[0, 0].T, 8).T.reshape(1, 1, 6, 4, 2)
    cos, sin = by.cos, by.sin
    a, b = by_pairs.unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    torch.testing.assert_close(_deinterleave(turned[0, 0].T, 8).T[None, None], rotate(x, by))
