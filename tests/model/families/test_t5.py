"""T5: states and gradients equal Transformers', files go both ways, and refusals name the key."""

import math

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import FeedForwardConfig, OutputConfig, preset
from groundup.model.families import FAMILIES, choose_family
from groundup.model.families.t5 import (
    UNUSED_TENSOR,
    _parse_feed_forward_proj,
    from_hf_config,
    from_hf_state_dict,
    to_hf_config,
    to_hf_state_dict,
)
from tests.model.families.encoder_decoders import (
    OURS,
    Peer,
    check_gradients,
    check_saved,
    check_states,
    names,
    shape,
)

FREE = OURS["t5"]["ours_free"]


@pytest.mark.parametrize("name", names("t5"))
def test_states_and_logits_are_transformers(name):
    check_states("t5", name)


def test_gradients_are_transformers():
    check_gradients("t5", "narrow_heads")


@pytest.mark.parametrize("config", [*OURS["t5"].values(), preset("t5-base").config])
def test_configurations_go_there_and_back(config):
    assert from_hf_config(to_hf_config(config)) == config
    assert choose_family(config) is FAMILIES["t5"]


def test_a_directory_that_we_save_opens_again(tmp_path):
    check_saved("t5", "gates_free", tmp_path)


def test_old_and_new_files_tell_a_free_head_differently():
    values = to_hf_config(FREE)
    del values["scale_decoder_outputs"]  # as published: no scale where tie_word_embeddings is false
    assert from_hf_config(values) == FREE
    new = values | {"tie_word_embeddings": True, "scale_decoder_outputs": False}
    assert from_hf_config(new) == FREE
    tied = from_hf_config(values | {"tie_word_embeddings": True})
    assert tied.tied_embeddings
    assert math.isclose(tied.output.scale, 1 / math.sqrt(8))


def test_a_head_that_was_never_freed_is_a_copy():
    state = to_hf_state_dict(Peer("t5", "gates_free").model.state_dict(), FREE)
    del state["lm_head.weight"]
    found = from_hf_state_dict(state, FREE)
    assert torch.equal(found["lm_head.weight"], found["embed_tokens.weight"])


def test_repeated_embeddings_are_one_and_the_unused_table_is_dropped():
    model = Peer("t5", "narrow_heads").model
    state = to_hf_state_dict(model.state_dict(), model.config)
    table = state.pop("shared.weight")
    state |= {"encoder.embed_tokens.weight": table, "decoder.embed_tokens.weight": table.clone()}
    state[UNUSED_TENSOR] = torch.zeros(8, 3)
    assert from_hf_state_dict(state, model.config).keys() == model.state_dict().keys()
    state["decoder.embed_tokens.weight"] += 1
    with pytest.raises(
        ArtifactError, match="decoder.embed_tokens.weight differs from shared.weight"
    ):
        from_hf_state_dict(state, model.config)


def test_gates_have_their_names():
    assert _parse_feed_forward_proj("relu") == (False, "relu")
    assert _parse_feed_forward_proj("gated-silu") == (True, "silu")
    assert _parse_feed_forward_proj("gated-gelu") == (True, "gelu_tanh")
    with pytest.raises(ArtifactError, match="feed_forward_proj='gated-mish'"):
        _parse_feed_forward_proj("gated-mish")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"is_encoder_decoder": False}, "is_encoder_decoder=False"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"feed_forward_proj": "tanh"}, "feed_forward_proj='tanh'"),
        ({"d_kv": None}, "no d_kv, which t5 requires"),
        ({"d_model": True}, "d_model=True; expected an integer"),
        ({"d_model": "8"}, "d_model='8'; expected an integer"),
        ({"num_layers": 3.0}, "num_layers=3.0; expected an integer"),
        ({"n_positions": 0}, "n_positions=0; expected an integer"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings='no'; expected true or false"),
        ({"layer_norm_epsilon": "x"}, "layer_norm_epsilon='x'; expected a number"),
        ({"feed_forward_proj": 3}, "feed_forward_proj=3"),
    ],
)
def test_what_we_do_not_compute_is_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        from_hf_config(to_hf_config(shape()) | changes)


@pytest.mark.parametrize(
    "config, message",
    [
        (shape(output=OutputConfig(scale=0.5)), "OutputConfig.scale=0.5"),
        (shape(feedforward=FeedForwardConfig(width=12, activation="gelu")), "activation='gelu'"),
        (shape(output=OutputConfig()), "cannot be written as t5"),
    ],
)
def test_what_no_t5_can_say_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        to_hf_config(config)
