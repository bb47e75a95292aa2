"""LLaMA's words, and what its successors share: sizes, patterns, and refusals that name the key."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import FeedForwardConfig, PositionConfig, RopeScaling, preset
from groundup.model.families import choose_family, read_config
from groundup.model.families.llama import (
    _shortest_cycle,
    from_hf_config,
    from_hf_state_dict,
    parse_layer_types,
    to_hf_config,
    to_hf_state_dict,
    to_layer_types,
)
from tests.model.shapes import heads, shape, tiny_model

FULL, WINDOW = AttentionPattern(), AttentionPattern("window", 4)
PLAIN = shape(attention=heads(kv_heads=2), tied_embeddings=False)


def test_configurations_go_there_and_back():
    biased = shape(attention=heads(bias="all"), feedforward=FeedForwardConfig(width=20, bias=True))
    llama3 = RopeScaling(kind="llama3", factor=8.0, original_length=16)
    stretched = shape(position=PositionConfig(base=5e5, scaling=llama3))
    for config in (PLAIN, biased, stretched):
        assert from_hf_config(to_hf_config(config)) == config


def test_names_go_there_and_back_and_tables_of_angles_are_left_out():
    state = tiny_model(PLAIN).state_dict()
    written = to_hf_state_dict(dict(state), PLAIN)
    assert "model.layers.2.self_attn.q_proj.weight" in written
    written["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    assert from_hf_state_dict(written, PLAIN).keys() == state.keys()


def test_published_files_of_three_ages_open():
    first = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000,
        "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32,
        "rms_norm_eps": 1e-06, "hidden_act": "silu", "tie_word_embeddings": False,
        "torch_dtype": "float16", "pad_token_id": -1,
    }  # fmt: skip
    assert from_hf_config(first) == preset("llama-7b").config
    scaling = {
        "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3",
    }  # fmt: skip
    third = {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "head_dim": 64,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "vocab_size": 128256, "mlp_bias": False,
        "rope_scaling": scaling, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "attention_bias": False, "pretraining_tp": 1,
    }  # fmt: skip
    assert from_hf_config(third) == preset("llama-3.2-1b").config
    fifth = {name: value for name, value in third.items() if not name.startswith("rope")}
    fifth["rope_parameters"] = scaling | {"rope_theta": 500000.0}
    assert from_hf_config(fifth) == from_hf_config(third)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_size": "64"}, "hidden_size='64'; expected an integer"),
        ({"hidden_size": 64.0}, "hidden_size=64.0"),
        ({"hidden_size": -8}, "hidden_size=-8"),
        ({"hidden_size": None}, "no hidden_size, which llama requires"),
        ({"hidden_size": 10**30}, "hidden_size=1000"),
        ({"num_attention_heads": 0}, "num_attention_heads=0"),
        ({"num_attention_heads": True}, "num_attention_heads=True"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000"),
        ({"num_key_value_heads": 3}, "kv_heads=3"),
        ({"head_dim": 5}, "head_dim=5 must be even"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps=-1e-06"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps='small'"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings='yes'; expected true or false"),
        ({"attention_bias": 1}, "attention_bias=1"),
        ({"mlp_bias": "true"}, "mlp_bias='true'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"hidden_act": ["silu"]}, "hidden_act="),
        ({"rope_parameters": "none"}, "rope_parameters='none'; expected an object"),
        ({"rope_parameters": {"rope_theta": 0}}, "rope_theta=0"),
        ({"rope_parameters": {"rope_theta": 0.5}}, "base"),
        ({"rope_parameters": {"rope_type": ["yarn"]}}, "rope_type"),
        ({"rope_parameters": {"rope_type": "linear"}}, "no factor"),
        ({"rope_parameters": {"rope_type": "linear", "factor": "2"}}, "factor='2'"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "no low_freq_factor"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": -1.0}}, "factor=-1.0"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
    ],
)
def test_what_cannot_be_and_what_we_do_not_compute_names_the_key(changes, message):
    values = to_hf_config(PLAIN) | {"rope_scaling": None} | changes
    with pytest.raises(ArtifactError, match=message) as error:
        read_config(values, "config.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "config, message",
    [
        (shape(attention=heads(qk_norm="head")), "qk_norm='head'"),
        (shape(attention=heads(softcap=2.0)), "softcap=2.0"),
        (shape(attention=heads(patterns=(WINDOW,))), "patterns"),
        (shape(width=18, attention=heads(head_dim=6)), "multiple of heads=4"),
        (shape(position=PositionConfig(kind="alibi")), "kind='alibi'"),
    ],
)
def test_what_a_llama_cannot_be_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        to_hf_config(config)


def test_a_width_that_is_no_multiple_of_the_heads_is_written_as_a_family_that_opens_it():
    config = shape(width=18, attention=heads(head_dim=6))
    assert choose_family(config).to_hf_config(config)["model_type"] == "mistral"


def test_patterns_are_the_shortest_cycle_of_the_layers_types():
    assert _shortest_cycle((WINDOW, WINDOW, FULL) * 3) == (WINDOW, WINDOW, FULL)
    assert _shortest_cycle((WINDOW, FULL, FULL)) == (WINDOW, FULL, FULL)
    assert _shortest_cycle((FULL,)) == (FULL,)
    config = shape(layers=5, attention=heads(patterns=(WINDOW, FULL)))
    types, window = to_layer_types(config, "x")
    values = {"layer_types": types, "sliding_window": window, "num_hidden_layers": 5}
    assert parse_layer_types(values, "x") == (WINDOW, FULL)
    assert parse_layer_types({"num_hidden_layers": 5}, "x") == (FULL,)


@pytest.mark.parametrize(
    "types", [["full_attention"] * 2, ["chunked_attention"] * 3, "full", [["full_attention"]] * 3]
)
def test_types_of_layers_that_do_not_fit_are_refused(types):
    with pytest.raises(ArtifactError, match="layer_types="):
        read_config(
            to_hf_config(shape()) | {"layer_types": types, "model_type": "qwen3"}, "config.json"
        )


def test_windows_of_two_sizes_and_other_patterns_have_no_words():
    for patterns in ((WINDOW, AttentionPattern("window", 5)), (AttentionPattern("block", 4),)):
        with pytest.raises(ConfigError, match="windows of one size"):
            to_layer_types(shape(attention=heads(patterns=patterns)), "mistral")
