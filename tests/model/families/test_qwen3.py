"""Qwen3's words: there and back, and what we do not compute is refused."""

import pytest
import torch

from groundup.core import ArtifactError
from groundup.model import ModelConfig
from groundup.model.families.qwen3 import (
    from_hf_config,
    from_hf_state_dict,
    to_hf_config,
    to_hf_state_dict,
)
from tests.model.shapes import tiny_config, tiny_model


def test_configurations_and_names_go_there_and_back():
    for config in (tiny_config(), tiny_config(tied=False), ModelConfig()):
        assert from_hf_config(to_hf_config(config)) == config
    for name in tiny_model(tiny_config(tied=False)).state_dict():
        written = to_hf_state_dict({name: torch.ones(1)}, ModelConfig())
        assert list(from_hf_state_dict(written, ModelConfig())) == [name]
        assert name not in written or name.startswith("lm_head")


def test_older_files_without_rope_parameters_open():
    values = to_hf_config(tiny_config())
    del values["rope_parameters"], values["head_dim"], values["layer_types"]
    values |= {"rope_theta": 1e6, "rope_scaling": None}
    assert from_hf_config(values).position.base == 1e6
    assert from_hf_config(values).attention.head_dim == 128  # as Transformers has it


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
        from_hf_config(to_hf_config(tiny_config()) | changes)


def test_missing_keys_are_named():
    values = to_hf_config(tiny_config())
    del values["hidden_size"]
    with pytest.raises(ArtifactError, match="no hidden_size"):
        from_hf_config(values)
