"""Tables of words: both ways, layer by layer, and refusals that name the key."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import ModelConfig, NormConfig, RopeScaling
from groundup.model.families.names import (
    activation,
    edited,
    needed,
    only,
    renamed,
    rope_of,
    rope_parameters,
    unsaid,
)

PAIRS = (("h.{}.attn.", "layers.{}.attention."), ("wte.", "embed_tokens."))


def test_names_go_there_and_back_and_unknown_ones_stay():
    names = ["layers.12.attention.q_proj.weight", "embed_tokens.weight", "x.layers.1.attention.b"]
    ours = {name: torch.tensor(i) for i, name in enumerate(names)}
    theirs = renamed(ours, PAIRS, to_theirs=True)
    assert list(theirs) == ["h.12.attn.q_proj.weight", "wte.weight", "x.layers.1.attention.b"]
    assert renamed(theirs, PAIRS) == ours


def test_editing_touches_what_matches_alone():
    state = {"a.norm.weight": torch.zeros(2), "a.weight": torch.zeros(2)}
    found = edited(state, r"norm\.weight", lambda t: t + 1)
    assert found["a.norm.weight"].tolist() == [1, 1]
    assert found["a.weight"].tolist() == [0, 0]


SCALINGS = [
    RopeScaling(),
    RopeScaling(kind="linear", factor=8.0),
    RopeScaling(kind="llama3", factor=8.0, original_length=8192, low=1.0, high=4.0),
    RopeScaling(kind="yarn", factor=4.0, original_length=32768, low=1.0, high=32.0),
    RopeScaling(kind="yarn", factor=4.0, high=16.0, attention=1.5, truncate=False),
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: s.kind)
def test_scalings_go_there_and_back(scaling):
    values = {"rope_parameters": rope_parameters(1e6, scaling, "llama")}
    assert rope_of(values) == (1e6, scaling)


def test_older_files_say_it_differently():
    assert rope_of({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}) == (
        5e5, RopeScaling(kind="linear", factor=2.0)
    )  # fmt: skip
    assert rope_of({}) == (10_000.0, RopeScaling())


def test_what_cannot_be_read_or_written_names_the_key():
    with pytest.raises(ArtifactError, match="rope_type 'longrope'"):
        rope_of({"rope_scaling": {"rope_type": "longrope"}})
    with pytest.raises(ConfigError, match="base \\* factor"):
        rope_parameters(1e4, RopeScaling(kind="ntk", factor=2.0), "llama")
    with pytest.raises(ArtifactError, match="no hidden_size; a llama needs it"):
        needed({}, "hidden_size", "llama")
    with pytest.raises(ArtifactError, match="attention_bias=True"):
        only({"attention_bias": True}, {"attention_bias": (False, None)})
    with pytest.raises(ArtifactError, match="hidden_act='mish'"):
        activation({"hidden_act": "mish"}, "hidden_act", "silu")
    assert activation({}, "hidden_act", "gelu_new") == "gelu_tanh"


def test_a_configuration_that_would_change_names_the_part():
    unsaid(ModelConfig(), ModelConfig(), "llama")
    with pytest.raises(ConfigError, match="NormConfig.place='post' cannot be written as llama"):
        unsaid(ModelConfig(norm=NormConfig(place="post")), ModelConfig(), "llama")
