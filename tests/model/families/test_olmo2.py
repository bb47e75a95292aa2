"""OLMo 2's words: norms after each part, and of all queries and keys together."""

import pytest

from groundup.core import ConfigError
from groundup.model import NormConfig, preset
from groundup.model.families.olmo2 import (
    from_hf_config,
    from_hf_state_dict,
    to_hf_config,
    to_hf_state_dict,
)
from tests.model.shapes import heads, shape, tiny_model

OUTPUT = NormConfig(place="output", eps=1e-5)
PUBLISHED = {
    "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu", "hidden_size": 5120,
    "intermediate_size": 27648, "max_position_embeddings": 4096, "num_attention_heads": 40,
    "num_hidden_layers": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False,
    "vocab_size": 100352,
}  # fmt: skip


def test_configurations_go_there_and_back():
    for bias in ("none", "all"):
        config = shape(attention=heads(kv_heads=2, qk_norm="all", bias=bias), norm=OUTPUT)
        assert from_hf_config(to_hf_config(config)) == config
    assert from_hf_config(PUBLISHED) == preset("olmo-2-32b").config
    silent = {name: value for name, value in PUBLISHED.items() if name != "rms_norm_eps"}
    assert from_hf_config(silent).norm.eps == 1e-5


def test_norms_stand_behind_each_part():
    config = shape(attention=heads(kv_heads=2, qk_norm="all"), norm=OUTPUT)
    state = tiny_model(config).state_dict()
    written = to_hf_state_dict(dict(state), config)
    assert "model.layers.0.post_attention_layernorm.weight" in written
    assert "model.layers.0.input_layernorm.weight" not in written
    assert written["model.layers.0.self_attn.k_norm.weight"].shape == (8,)
    assert from_hf_state_dict(written, config).keys() == state.keys()


@pytest.mark.parametrize("qk_norm", ["none", "head"])
def test_other_norms_of_queries_are_refused(qk_norm):
    with pytest.raises(ConfigError, match=f"qk_norm='{qk_norm}'"):
        to_hf_config(shape(attention=heads(qk_norm=qk_norm), norm=OUTPUT))
