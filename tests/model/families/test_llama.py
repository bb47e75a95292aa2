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
from groundup.model.families import FAMILIES, choose_family, read_config
from groundup.model.families.decoder_keys import parse_layer_types, shortest_cycle, to_layer_types
from tests.model.shapes import heads, shape, tiny_config, tiny_model

LLAMA, MISTRAL, QWEN2, QWEN3, OLMO2 = (
    FAMILIES[name] for name in ("llama", "mistral", "qwen2", "qwen3", "olmo2")
)
FULL, WINDOW = AttentionPattern(), AttentionPattern("window", 4)
PLAIN = shape(attention=heads(kv_heads=2), tied_embeddings=False)
OUTPUT = NormConfig(place="output", eps=1e-5)
LLAMA3 = {
    "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}  # fmt: skip
PUBLISHED = {
    "llama-7b": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000,
        "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 32,
        "rms_norm_eps": 1e-06, "hidden_act": "silu", "tie_word_embeddings": False,
        "torch_dtype": "float16", "pad_token_id": -1,
    },
    "llama-3.2-1b": {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "head_dim": 64,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "vocab_size": 128256, "mlp_bias": False,
        "rope_scaling": LLAMA3, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "attention_bias": False, "pretraining_tp": 1,
    },
    "mistral-7b": {
        "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "vocab_size": 32000,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    },
    "qwen-2-0.5b": {
        "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
        "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14,
        "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True,
        "use_sliding_window": False, "vocab_size": 151936,
    },
    "olmo-2-32b": {
        "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu", "hidden_size": 5120,
        "intermediate_size": 27648, "max_position_embeddings": 4096, "num_attention_heads": 40,
        "num_hidden_layers": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False,
        "vocab_size": 100352,
    },
    "mixtral-8x7b": {
        "model_type": "mixtral", "hidden_act": "silu", "hidden_size": 4096, "vocab_size": 32000,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
        "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "router_aux_loss_coef": 0.02, "sliding_window": None, "tie_word_embeddings": False,
    },
}  # fmt: skip
MISTRAL_7B, QWEN2_05B = PUBLISHED["mistral-7b"], PUBLISHED["qwen-2-0.5b"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_open(name):
    values = PUBLISHED[name]
    assert FAMILIES[values["model_type"]].from_hf_config(values) == preset(name).config


def test_keys_of_three_ages_are_the_same():
    third = PUBLISHED["llama-3.2-1b"]
    fifth = {name: value for name, value in third.items() if not name.startswith("rope")}
    fifth["rope_parameters"] = LLAMA3 | {"rope_theta": 500000.0}
    assert LLAMA.from_hf_config(fifth) == LLAMA.from_hf_config(third)
    older = QWEN3.to_hf_config(tiny_config())
    del older["rope_parameters"], older["head_dim"], older["layer_types"]
    older |= {"rope_theta": 1e6, "rope_scaling": None}
    assert QWEN3.from_hf_config(older).position.base == 1e6
    assert QWEN3.from_hf_config(older).attention.head_dim == 128  # as Transformers has it
    silent = {k: value for k, value in PUBLISHED["olmo-2-32b"].items() if k != "rms_norm_eps"}
    assert OLMO2.from_hf_config(silent).norm.eps == 1e-5


BIASED = FeedForwardConfig(width=20, bias=True)
STRETCHED = RopeScaling(kind="llama3", factor=8.0, original_length=16)
GROWING = shape(
    position=PositionConfig(scaling=RopeScaling(kind="dynamic", factor=4.0, original_length=16))
)
THERE_AND_BACK = {
    "llama": [
        PLAIN, shape(attention=heads(bias="all"), feedforward=BIASED), GROWING,
        shape(position=PositionConfig(base=5e5, scaling=STRETCHED)),
    ],
    "mistral": [shape(attention=heads(patterns=patterns)) for patterns in ((WINDOW,), (FULL,))],
    "qwen2": [
        shape(attention=heads(bias="qkv", patterns=patterns))
        for patterns in ((FULL,), (WINDOW,), (WINDOW, FULL), (FULL, WINDOW, WINDOW))
    ],
    "qwen3": [tiny_config(), tiny_config(tied=False), ModelConfig()],
    "olmo2": [
        shape(attention=heads(kv_heads=2, qk_norm="all", bias=bias), norm=OUTPUT)
        for bias in ("none", "all")
    ],
}  # fmt: skip


def test_dynamic_scaling_extends_the_context_by_its_factor_and_no_further():
    written = LLAMA.to_hf_config(GROWING)
    assert written["max_position_embeddings"] == 16 and GROWING.context_length == 64
    assert written["rope_scaling"] == {"rope_type": "dynamic", "factor": 4.0}
    with pytest.raises(ConfigError, match="context_length=60 cannot be written as llama, .* 64"):
        LLAMA.to_hf_config(GROWING.model_copy(update={"context_length": 60}))


@pytest.mark.parametrize("family", THERE_AND_BACK)
def test_configurations_go_there_and_back(family):
    for config in THERE_AND_BACK[family]:
        written = FAMILIES[family].to_hf_config(config)
        assert FAMILIES[family].from_hf_config(written) == config


def test_names_go_there_and_back_and_tables_of_angles_are_left_out():
    state = tiny_model(PLAIN).state_dict()
    written = LLAMA.to_hf_state_dict(dict(state), PLAIN)
    assert "model.layers.2.self_attn.q_proj.weight" in written
    written["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    assert LLAMA.from_hf_state_dict(written, PLAIN).keys() == state.keys()
    for name in tiny_model(tiny_config(tied=False)).state_dict():
        written = QWEN3.to_hf_state_dict({name: torch.ones(1)}, ModelConfig())
        assert list(QWEN3.from_hf_state_dict(written, ModelConfig())) == [name]
        assert name not in written or name.startswith("lm_head")


def test_norms_of_olmo_stand_behind_each_part():
    config = THERE_AND_BACK["olmo2"][0]
    state = tiny_model(config).state_dict()
    written = OLMO2.to_hf_state_dict(dict(state), config)
    assert "model.layers.0.post_attention_layernorm.weight" in written
    assert "model.layers.0.input_layernorm.weight" not in written
    assert written["model.layers.0.self_attn.k_norm.weight"].shape == (8,)
    assert OLMO2.from_hf_state_dict(written, config).keys() == state.keys()


DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}
UPPER = {"use_sliding_window": True}
REFUSED = [
    (LLAMA.to_hf_config(PLAIN) | {"rope_scaling": None}, [
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
        ({"rope_parameters": DYNAMIC | {"factor": None}}, "no factor, .* type dynamic"),
        ({"rope_parameters": DYNAMIC | {"factor": 0.5}}, "RopeScaling.factor: .* to 1; got 0.5"),
        ({"rope_parameters": DYNAMIC | {"original_max_position_embeddings": 9}},
         "original_max_position_embeddings=9 .* max_position_embeddings=64"),
        ({"rope_parameters": DYNAMIC, "hidden_size": 8, "head_dim": 2}, "one pair of rotated"),
    ]),
    (LLAMA.to_hf_config(shape()) | {"model_type": "qwen3"}, [
        ({"layer_types": types}, "layer_types=") for types in (
            ["full_attention"] * 2, ["chunked_attention"] * 3, "full", [["full_attention"]] * 3)
    ]),
    (MISTRAL_7B, [
        *(({"sliding_window": window}, "sliding_window=") for window in (0, -4, "4096", 4096.0)),
        ({"layer_types": ["full_attention", "sliding_attention"] * 16},
         "layers of mistral have the same type"),
    ]),
    (QWEN2_05B, [
        ({"use_sliding_window": "no"}, "use_sliding_window='no'"),
        (UPPER | {"max_window_layers": -1}, "max_window_layers=-1"),
        (UPPER | {"sliding_window": 0, "max_window_layers": 0}, "window=0"),
        ({"layer_types": ["sliding_attention"] * 24}, "without use_sliding_window; set it to"),
    ]),
    (QWEN3.to_hf_config(tiny_config()), [
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"attention_bias": 1}, "attention_bias=1"),
        ({"hidden_size": None}, "no hidden_size"),
        (UPPER | {"layer_types": ["chunked_attention"] * 2}, "layer_types="),
        ({"rope_parameters": {"rope_type": "axial", "rope_theta": 1e6}}, "rope_type 'axial'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "axial"}}, "rope_type 'axial'"),
    ]),
]  # fmt: skip
"""Of each family a config.json, and changes that cannot be or are not computed."""


@pytest.mark.parametrize(
    "values, changes, message",
    [(values, *wrong) for values, changes in REFUSED for wrong in changes],
)
def test_what_cannot_be_and_what_we_do_not_compute_names_the_key(values, changes, message):
    with pytest.raises(ArtifactError, match=message) as error:
        read_config(values | changes, "config.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family, parts, message", [
    ("llama", {"attention": heads(qk_norm="head")}, "qk_norm='head'"),
    ("llama", {"attention": heads(softcap=2.0)}, "softcap=2.0"),
    ("llama", {"attention": heads(patterns=(WINDOW,))}, "patterns"),
    ("llama", {"width": 18, "attention": heads(head_dim=6)}, "multiple of heads=4"),
    ("llama", {"position": PositionConfig(kind="alibi")}, "kind='alibi'"),
    ("mistral", {"attention": heads(patterns=(WINDOW, FULL))}, "patterns"),
    ("qwen2", {"attention": heads(bias="none")}, "bias='none'"),
    ("qwen2", {"attention": heads(bias="all")}, "bias='all'"),
    ("olmo2", {"attention": heads(qk_norm="none"), "norm": OUTPUT}, "qk_norm='none'"),
    ("olmo2", {"attention": heads(qk_norm="head"), "norm": OUTPUT}, "qk_norm='head'"),
])  # fmt: skip
def test_what_a_family_cannot_be_is_not_written(family, parts, message):
    with pytest.raises(ConfigError, match=message):
        FAMILIES[family].to_hf_config(shape(**parts))


def test_a_width_that_is_no_multiple_of_the_heads_is_written_as_a_family_that_opens_it():
    config = shape(width=18, attention=heads(head_dim=6))
    assert choose_family(config).to_hf_config(config)["model_type"] == "mistral"


def test_patterns_are_theshortest_cycle_of_the_layers_types():
    assert shortest_cycle((WINDOW, WINDOW, FULL) * 3) == (WINDOW, WINDOW, FULL)
    assert shortest_cycle((WINDOW, FULL, FULL)) == (WINDOW, FULL, FULL)
    assert shortest_cycle((FULL,)) == (FULL,)
    config = shape(layers=5, attention=heads(patterns=(WINDOW, FULL)))
    types, window = to_layer_types(config, "x")
    values = {"layer_types": types, "sliding_window": window, "num_hidden_layers": 5}
    assert parse_layer_types(values, "x") == (WINDOW, FULL)
    assert parse_layer_types({"num_hidden_layers": 5}, "x") == (FULL,)
    for patterns in ((WINDOW, AttentionPattern("window", 5)), (AttentionPattern("block", 4),)):
        with pytest.raises(ConfigError, match="windows of one size"):
            to_layer_types(shape(attention=heads(patterns=patterns)), "mistral")


NEAR = AttentionPattern("window", 64)


@pytest.mark.parametrize("values, patterns", [
    (MISTRAL_7B | {"sliding_window": None}, (FULL,)),
    (MISTRAL_7B | {"layer_types": ["sliding_attention"] * 32}, (AttentionPattern("window", 4096),)),
    (QWEN2_05B | UPPER | {"max_window_layers": 21, "sliding_window": 64},
     (FULL,) * 21 + (NEAR,) * 3),
    (QWEN2_05B | UPPER | {"max_window_layers": 0, "sliding_window": 64}, (NEAR,)),
    (QWEN2_05B | UPPER | {"max_window_layers": 24, "sliding_window": 64}, (FULL,)),
    (QWEN2_05B | UPPER | {"max_window_layers": 21, "sliding_window": None}, (FULL,)),
])  # fmt: skip
def test_windows_of_files_old_and_new(values, patterns):
    config = read_config(values, "config.json")
    assert config.attention.patterns == patterns
    published = preset("mistral-7b" if values["model_type"] == "mistral" else "qwen-2-0.5b").config
    part = config.attention.model_copy(update={"patterns": published.attention.patterns})
    assert config.model_copy(update={"attention": part}) == published
