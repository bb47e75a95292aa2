"""Qwen 2's words: biases of queries, keys and values, and windows by layer."""

import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import Pattern
from groundup.model import preset
from groundup.model.families import read_config
from groundup.model.families.qwen2 import read, write
from tests.model.shapes import heads, shape

WINDOW = Pattern("window", 4)
PUBLISHED = {
    "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip


def test_configurations_go_there_and_back():
    for patterns in ((Pattern(),), (WINDOW,), (WINDOW, Pattern()), (Pattern(), WINDOW, WINDOW)):
        config = shape(attention=heads(bias="qkv", patterns=patterns))
        assert read(write(config)) == config
    assert read(PUBLISHED) == preset("qwen-2-0.5b").config


def test_windows_of_older_files_begin_at_a_layer():
    old = PUBLISHED | {"use_sliding_window": True, "max_window_layers": 21, "sliding_window": 64}
    patterns = read(old).attention.patterns
    assert patterns == (Pattern(),) * 21 + (Pattern("window", 64),) * 3
    assert read(old | {"max_window_layers": 0}).attention.patterns == (Pattern("window", 64),)
    assert read(old | {"max_window_layers": 24}).attention.patterns == (Pattern(),)
    assert read(old | {"sliding_window": None}).attention.patterns == (Pattern(),)


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
        write(shape(attention=heads(bias=bias)))
