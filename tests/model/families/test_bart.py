"""BART: states and gradients equal Transformers', files go both ways, and refusals name the key."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import NormConfig, OutputConfig, preset
from groundup.model.families import FAMILIES, choose_family
from groundup.model.families.bart import BART, EMBEDDING_COPIES
from tests.model.families.encoder_decoders import (
    OURS,
    Peer,
    check_gradients,
    check_saved,
    check_states,
    names,
    shape,
)

PLAIN = OURS["bart"]["ours"]


@pytest.mark.parametrize("name", names("bart"))
def test_states_and_logits_are_transformers(name):
    check_states("bart", name)


def test_gradients_are_transformers():
    check_gradients("bart", "scaled_free")


@pytest.mark.parametrize("config", [*OURS["bart"].values(), preset("bart-large").config])
def test_configurations_go_there_and_back(config):
    assert BART.from_hf_config(BART.to_hf_config(config)) == config
    assert choose_family(config) is FAMILIES["bart"]


def test_a_directory_that_we_save_opens_again(tmp_path):
    check_saved("bart", "scaled_free", tmp_path)


def test_a_missing_bias_of_the_logits_is_zero_and_a_free_model_has_three_tables():
    model = Peer("bart", "scaled_free").model
    state = BART.to_hf_state_dict(model.state_dict(), model.config)
    assert all(torch.equal(state[name], state["model.shared.weight"]) for name in EMBEDDING_COPIES)
    del state["final_logits_bias"]
    assert not BART.from_hf_state_dict(state, model.config)["lm_bias"].any()
    state[EMBEDDING_COPIES[0]] = state[EMBEDDING_COPIES[0]] + 1
    with pytest.raises(ArtifactError, match="model.encoder.embed_tokens.weight differs"):
        BART.from_hf_state_dict(state, model.config)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"normalize_before": True}, "normalize_before=True"),
        ({"static_position_embeddings": True}, "static_position_embeddings=True"),
        ({"decoder_ffn_dim": 9}, "encoder_ffn_dim=12 and decoder_ffn_dim=9"),
        ({"encoder_attention_heads": 3, "decoder_attention_heads": 3}, "not a multiple of"),
        ({"activation_function": "mish"}, "activation_function='mish'"),
        ({"d_model": None}, "no d_model, which bart requires"),
        ({"d_model": "8"}, "d_model='8'; expected an integer"),
        ({"encoder_layers": 2.0}, "encoder_layers=2.0; expected an integer"),
        ({"encoder_attention_heads": 0}, "encoder_attention_heads=0; expected an integer"),
        ({"scale_embedding": 1}, "scale_embedding=1; expected true or false"),
    ],
)
def test_what_we_do_not_compute_is_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        BART.from_hf_config(BART.to_hf_config(PLAIN) | changes)


@pytest.mark.parametrize(
    "config, message",
    [
        (shape(), "cannot be written as bart"),
        (PLAIN.model_copy(update={"output": OutputConfig()}), "OutputConfig.bias=False"),
        (PLAIN.model_copy(update={"norm": NormConfig(kind="layer", eps=1e-3, place="post")}),
         "NormConfig.eps=0.001"),
    ],
)  # fmt: skip
def test_what_no_bart_can_say_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        BART.to_hf_config(config)
