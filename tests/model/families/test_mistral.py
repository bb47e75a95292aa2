"""Mistral's words: a window in all layers or in none."""

import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import preset
from groundup.model.families.mistral import from_hf_config, to_hf_config
from tests.model.shapes import heads, shape

WINDOW = AttentionPattern("window", 4)
PUBLISHED = {
    "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 32000,
}  # fmt: skip


def test_configurations_go_there_and_back():
    for patterns in ((WINDOW,), (AttentionPattern(),)):
        config = shape(attention=heads(patterns=patterns))
        assert from_hf_config(to_hf_config(config)) == config
    assert from_hf_config(PUBLISHED) == preset("mistral-7b").config


def test_no_window_is_full_attention():
    assert from_hf_config(PUBLISHED | {"sliding_window": None}).attention.patterns == (
        AttentionPattern(),
    )


@pytest.mark.parametrize("window", [0, -4, "4096", 4096.0])
def test_a_window_is_a_whole_number(window):
    with pytest.raises(ArtifactError, match="sliding_window="):
        from_hf_config(PUBLISHED | {"sliding_window": window})


def test_layers_that_differ_are_refused():
    types = ["full_attention", "sliding_attention"] * 16
    with pytest.raises(ArtifactError, match="layers of mistral have the same type"):
        from_hf_config(PUBLISHED | {"layer_types": types})
    same = ["sliding_attention"] * 32
    assert from_hf_config(PUBLISHED | {"layer_types": same}) == from_hf_config(PUBLISHED)
    with pytest.raises(ConfigError, match="patterns"):
        to_hf_config(shape(attention=heads(patterns=(WINDOW, AttentionPattern()))))
