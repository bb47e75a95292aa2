"""Qwen 2's words: biases of queries, keys and values, and windows by layer."""

import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import preset
from groundup.model.families import read_config
from groundup.model.families.qwen2 import from_hf_config, to_hf_config
from tests.model.shapes import heads, shape

WINDOW = AttentionPattern("window", 4)
PUBLISHED = {
    "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip


def test_configurations_go_there_and_back():
    for patterns in (
        (AttentionPattern(),),
        (WINDOW,),
        (WINDOW, AttentionPattern()),
        (AttentionPattern(), WINDOW, WINDOW),
    ):
        config = shape(attention=heads(bias="qkv", patterns=patterns))
        assert from_hf_config(to_hf_config(config)) == config
    assert from_hf_config(PUBLISHED) == preset("qwen-2-0.5b").config


def test_windows_of_older_files_begin_at_a_layer():
    old = PUBLISHED | {"use_sliding_window": True, "max_window_layers": 21, "sliding_window": 64}
    patterns = from_hf_config(old).attention.patterns
    assert patterns == (AttentionPattern(),) * 21 + (AttentionPattern("window", 64),) * 3
    assert from_hf_config(old | {"max_window_layers": 0}).attention.patterns == (
        AttentionPattern("window", 64),
    )
    assert from_hf_config(old | {"max_window_layers": 24}).attention.patterns == (
        AttentionPattern(),
    )
    assert from_hf_config(old | {"sliding_window": None}).attention.patterns == (
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
        read_config(PUBLISHED | changes, "config.json")


@pytest.mark.parametrize("bias", ["none", "all"])
def test_other_biases_are_refused(bias):
    with pytest.raises(ConfigError, match=f"bias='{bias}'"):
        to_hf_config(shape(attention=heads(bias=bias)))
