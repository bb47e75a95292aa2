"""LLaMA and its kin: config.json and tensors go there and back; the rest is refused."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import (
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    RopeScaling,
    preset,
)
from groundup.model.families import choose_family, read_config
from groundup.model.families.llama import (
    LLAMA,
    MISTRAL,
    OLMO2,
    QWEN2,
    QWEN3,
    _shortest_cycle,
    parse_layer_types,
    to_layer_types,
)
from tests.model.shapes import heads, shape, tiny_config, tiny_model

FULL, WINDOW = AttentionPattern(), AttentionPattern("window", 4)
PLAIN = shape(attention=heads(kv_heads=2), tied_embeddings=False)


def test_configurations_go_there_and_back():
    biased = shape(attention=heads(bias="all"), feedforward=FeedForwardConfig(width=20, bias=True))
    llama3 = RopeScaling(kind="llama3", factor=8.0, original_length=16)
    stretched = shape(position=PositionConfig(base=5e5, scaling=llama3))
    for config in (PLAIN, biased, stretched):
        assert LLAMA.from_hf_config(LLAMA.to_hf_config(config)) == config


def test_names_go_there_and_back_and_tables_of_angles_are_left_out():
    state = tiny_model(PLAIN).state_dict()
    written = LLAMA.to_hf_state_dict(dict(state), PLAIN)
    assert "model.layers.2.self_attn.q_proj.weight" in written
    written["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    assert LLAMA.from_hf_state_dict(written, PLAIN).keys() == state.keys()


def test_published_files_of_three_ages_open():
    first = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000,
        "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32,
        "rms_norm_eps": 1e-06, "hidden_act": "silu", "tie_word_embeddings": False,
        "torch_dtype": "float16", "pad_token_id": -1,
    }  # fmt: skip
    assert LLAMA.from_hf_config(first) == preset("llama-7b").config
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
    assert LLAMA.from_hf_config(third) == preset("llama-3.2-1b").config
    fifth = {name: value for name, value in third.items() if not name.startswith("rope")}
    fifth["rope_parameters"] = scaling | {"rope_theta": 500000.0}
    assert LLAMA.from_hf_config(fifth) == LLAMA.from_hf_config(third)


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
    values = LLAMA.to_hf_config(PLAIN) | {"rope_scaling": None} | changes
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
        LLAMA.to_hf_config(config)


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
            LLAMA.to_hf_config(shape()) | {"layer_types": types, "model_type": "qwen3"},
            "config.json",
        )


def test_windows_of_two_sizes_and_other_patterns_have_no_words():
    for patterns in ((WINDOW, AttentionPattern("window", 5)), (AttentionPattern("block", 4),)):
        with pytest.raises(ConfigError, match="windows of one size"):
            to_layer_types(shape(attention=heads(patterns=patterns)), "mistral")


WINDOW = AttentionPattern("window", 4)
PUBLISHED = {
    "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 32000,
}  # fmt: skip


def test_configurations_go_there_and_back_of_mistral():
    for patterns in ((WINDOW,), (AttentionPattern(),)):
        config = shape(attention=heads(patterns=patterns))
        assert MISTRAL.from_hf_config(MISTRAL.to_hf_config(config)) == config
    assert MISTRAL.from_hf_config(PUBLISHED) == preset("mistral-7b").config


def test_no_window_is_full_attention():
    assert MISTRAL.from_hf_config(PUBLISHED | {"sliding_window": None}).attention.patterns == (
        AttentionPattern(),
    )


@pytest.mark.parametrize("window", [0, -4, "4096", 4096.0])
def test_a_window_is_a_whole_number(window):
    with pytest.raises(ArtifactError, match="sliding_window="):
        MISTRAL.from_hf_config(PUBLISHED | {"sliding_window": window})


def test_layers_that_differ_are_refused():
    types = ["full_attention", "sliding_attention"] * 16
    with pytest.raises(ArtifactError, match="layers of mistral have the same type"):
        MISTRAL.from_hf_config(PUBLISHED | {"layer_types": types})
    same = ["sliding_attention"] * 32
    assert MISTRAL.from_hf_config(PUBLISHED | {"layer_types": same}) == MISTRAL.from_hf_config(
        PUBLISHED
    )
    with pytest.raises(ConfigError, match="patterns"):
        MISTRAL.to_hf_config(shape(attention=heads(patterns=(WINDOW, AttentionPattern()))))


QWEN2_WINDOW = AttentionPattern("window", 4)
QWEN2_PUBLISHED = {
    "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip


def test_configurations_go_there_and_back_of_qwen2():
    for patterns in (
        (AttentionPattern(),),
        (QWEN2_WINDOW,),
        (QWEN2_WINDOW, AttentionPattern()),
        (AttentionPattern(), QWEN2_WINDOW, QWEN2_WINDOW),
    ):
        config = shape(attention=heads(bias="qkv", patterns=patterns))
        assert QWEN2.from_hf_config(QWEN2.to_hf_config(config)) == config
    assert QWEN2.from_hf_config(QWEN2_PUBLISHED) == preset("qwen-2-0.5b").config


def test_windows_of_older_files_begin_at_a_layer():
    old = QWEN2_PUBLISHED | {
        "use_sliding_window": True,
        "max_window_layers": 21,
        "sliding_window": 64,
    }
    patterns = QWEN2.from_hf_config(old).attention.patterns
    assert patterns == (AttentionPattern(),) * 21 + (AttentionPattern("window", 64),) * 3
    assert QWEN2.from_hf_config(old | {"max_window_layers": 0}).attention.patterns == (
        AttentionPattern("window", 64),
    )
    assert QWEN2.from_hf_config(old | {"max_window_layers": 24}).attention.patterns == (
        AttentionPattern(),
    )
    assert QWEN2.from_hf_config(old | {"sliding_window": None}).attention.patterns == (
        AttentionPattern(),
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"use_sliding_window": "no"}, "use_sliding_window='no'"),
        ({"use_sliding_window": True, "max_window_layers": -1}, "max_window_layers=-1"),
        ({"use_sliding_window": True, "sliding_window": 0, "max_window_layers": 0}, "window=0"),
        ({"layer_types": ["sliding_attention"] * 24}, "without use_sliding_window; set it to"),
    ],
)
def test_windows_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        read_config(QWEN2_PUBLISHED | changes, "config.json")


@pytest.mark.parametrize("bias", ["none", "all"])
def test_other_biases_are_refused(bias):
    with pytest.raises(ConfigError, match=f"bias='{bias}'"):
        QWEN2.to_hf_config(shape(attention=heads(bias=bias)))


def test_configurations_and_names_go_there_and_back():
    for config in (tiny_config(), tiny_config(tied=False), ModelConfig()):
        assert QWEN3.from_hf_config(QWEN3.to_hf_config(config)) == config
    for name in tiny_model(tiny_config(tied=False)).state_dict():
        written = QWEN3.to_hf_state_dict({name: torch.ones(1)}, ModelConfig())
        assert list(QWEN3.from_hf_state_dict(written, ModelConfig())) == [name]
        assert name not in written or name.startswith("lm_head")


def test_older_files_without_rope_parameters_open():
    values = QWEN3.to_hf_config(tiny_config())
    del values["rope_parameters"], values["head_dim"], values["layer_types"]
    values |= {"rope_theta": 1e6, "rope_scaling": None}
    assert QWEN3.from_hf_config(values).position.base == 1e6
    assert QWEN3.from_hf_config(values).attention.head_dim == 128  # as Transformers has it


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_bias": 1}, "attention_bias=1"),
        ({"use_sliding_window": True, "layer_types": ["chunked_attention"] * 2}, "layer_types="),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e6}}, "rope_type 'longrope'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic"}}, "rope_type 'dynamic'"),
    ],
)
def test_what_we_do_not_compute_is_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        QWEN3.from_hf_config(QWEN3.to_hf_config(tiny_config()) | changes)


def test_missing_keys_are_named():
    values = QWEN3.to_hf_config(tiny_config())
    del values["hidden_size"]
    with pytest.raises(ArtifactError, match="no hidden_size"):
        QWEN3.from_hf_config(values)


OUTPUT = NormConfig(place="output", eps=1e-5)
OLMO2_PUBLISHED = {
    "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu", "hidden_size": 5120,
    "intermediate_size": 27648, "max_position_embeddings": 4096, "num_attention_heads": 40,
    "num_hidden_layers": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False,
    "vocab_size": 100352,
}  # fmt: skip


def test_configurations_go_there_and_back_of_olmo2():
    for bias in ("none", "all"):
        config = shape(attention=heads(kv_heads=2, qk_norm="all", bias=bias), norm=OUTPUT)
        assert OLMO2.from_hf_config(OLMO2.to_hf_config(config)) == config
    assert OLMO2.from_hf_config(OLMO2_PUBLISHED) == preset("olmo-2-32b").config
    silent = {name: value for name, value in OLMO2_PUBLISHED.items() if name != "rms_norm_eps"}
    assert OLMO2.from_hf_config(silent).norm.eps == 1e-5


def test_norms_stand_behind_each_part():
    config = shape(attention=heads(kv_heads=2, qk_norm="all"), norm=OUTPUT)
    state = tiny_model(config).state_dict()
    written = OLMO2.to_hf_state_dict(dict(state), config)
    assert "model.layers.0.post_attention_layernorm.weight" in written
    assert "model.layers.0.input_layernorm.weight" not in written
    assert written["model.layers.0.self_attn.k_norm.weight"].shape == (8,)
    assert OLMO2.from_hf_state_dict(written, config).keys() == state.keys()


@pytest.mark.parametrize("qk_norm", ["none", "head"])
def test_other_norms_of_queries_are_refused(qk_norm):
    with pytest.raises(ConfigError, match=f"qk_norm='{qk_norm}'"):
        OLMO2.to_hf_config(shape(attention=heads(qk_norm=qk_norm), norm=OUTPUT))
