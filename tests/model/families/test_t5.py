"""T5 and Switch: the states, logits and gradients of Transformers, there and back."""

import math

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import FeedForwardConfig, OutputConfig, preset
from groundup.model.families import FAMILIES, choose_family
from groundup.model.families.registry import read_config
from groundup.model.families.t5 import (
    SWITCH,
    T5,
    UNUSED_TENSOR,
    _hf_sparse_layers,
    _parse_feed_forward_proj,
)
from tests.model.families.encoder_decoders import (
    EXPERTS,
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
    assert T5.from_hf_config(T5.to_hf_config(config)) == config
    assert choose_family(config) is FAMILIES["t5"]


def test_a_directory_that_we_save_opens_again(tmp_path):
    check_saved("t5", "gates_free", tmp_path)


def test_old_and_new_files_tell_a_free_head_differently():
    values = T5.to_hf_config(FREE)
    del values["scale_decoder_outputs"]  # as published: no scale where tie_word_embeddings is false
    assert T5.from_hf_config(values) == FREE
    new = values | {"tie_word_embeddings": True, "scale_decoder_outputs": False}
    assert T5.from_hf_config(new) == FREE
    tied = T5.from_hf_config(values | {"tie_word_embeddings": True})
    assert tied.tied_embeddings
    assert math.isclose(tied.output.scale, 1 / math.sqrt(8))


def test_a_head_that_was_never_freed_is_a_copy():
    state = T5.to_hf_state_dict(Peer("t5", "gates_free").model.state_dict(), FREE)
    del state["lm_head.weight"]
    found = T5.from_hf_state_dict(state, FREE)
    assert torch.equal(found["lm_head.weight"], found["embed_tokens.weight"])


def test_repeated_embeddings_are_one_and_the_unused_table_is_dropped():
    model = Peer("t5", "narrow_heads").model
    state = T5.to_hf_state_dict(model.state_dict(), model.config)
    table = state.pop("shared.weight")
    state |= {"encoder.embed_tokens.weight": table, "decoder.embed_tokens.weight": table.clone()}
    state[UNUSED_TENSOR] = torch.zeros(8, 3)
    assert T5.from_hf_state_dict(state, model.config).keys() == model.state_dict().keys()
    state["decoder.embed_tokens.weight"] += 1
    with pytest.raises(
        ArtifactError, match="decoder.embed_tokens.weight differs from shared.weight"
    ):
        T5.from_hf_state_dict(state, model.config)


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
        T5.from_hf_config(T5.to_hf_config(shape()) | changes)


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
        T5.to_hf_config(config)


FAMILY = "switch_transformers"
PLAIN = OURS[FAMILY]["ours"]


def with_experts(layers: int, encoder_layers: int, **parts):
    """A Switch of these depths."""
    experts = EXPERTS.model_copy(update=parts)
    feed = FeedForwardConfig(width=10, activation="relu", gated=False, experts=experts)
    return shape(layers=layers, encoder_layers=encoder_layers, feedforward=feed)


@pytest.mark.parametrize("name", names(FAMILY))
def test_states_and_logits_are_transformers_of_switch(name):
    check_states(FAMILY, name)


def test_gradients_are_transformers_of_switch():
    check_gradients(FAMILY, "every_second")


@pytest.mark.parametrize(
    "config",
    [PLAIN, with_experts(5, 4, every=1), with_experts(2, 12), preset("switch-base-8").config,
     preset("switch-c").config],
)  # fmt: skip
def test_configurations_go_there_and_back_of_switch(config):
    assert SWITCH.from_hf_config(SWITCH.to_hf_config(config)) == config
    assert choose_family(config) is FAMILIES[FAMILY]


def test_a_directory_that_we_save_opens_again_of_switch(tmp_path):
    check_saved(FAMILY, "all_free", tmp_path)


def test_each_expert_is_a_tensor_there_and_a_missing_one_is_named(tmp_path):
    model = Peer(FAMILY, "every_second").model
    written = SWITCH.to_hf_state_dict(model.state_dict(), model.config)
    wi = written["decoder.block.1.layer.2.mlp.experts.expert_2.wi.weight"]
    experts = model.layers[1].experts
    assert experts is not None
    assert torch.equal(wi, experts.up_proj[2])
    del written["decoder.block.1.layer.2.mlp.experts.expert_2.wi.weight"]
    found = FAMILIES[FAMILY].from_hf_state_dict(written, model.config)
    assert "layers.1.experts.up_proj" not in found


def test_their_experts_are_in_the_second_of_every_so_many_layers():
    for layers, count, expected in [
        (12, 6, [1, 3, 5, 7, 9, 11]),
        (12, 3, [1, 5, 9]),
        (3, 1, [1]),
        (4, 0, [1]),  # none were asked for, and theirs has one all the same
        (2, 5, [0, 1]),
    ]:
        assert [*_hf_sparse_layers(layers, count)] == expected


def test_a_hundred_million_layers_are_counted_not_listed():
    values = SWITCH.to_hf_config(PLAIN) | {"num_layers": 10**8, "num_decoder_layers": 10**8}
    values |= {"num_sparse_encoder_layers": 5 * 10**7, "num_sparse_decoder_layers": 5 * 10**7}
    assert (
        SWITCH.from_hf_config(values).layers == 10**8
    )  # refused where there are too few weights for it
    with pytest.raises(ArtifactError, match="layers 1 and 1, 3, 5, 7, …"):
        SWITCH.from_hf_config(values | {"num_sparse_encoder_layers": 1})


def test_a_capacity_below_the_context_is_kept():
    values = SWITCH.to_hf_config(PLAIN) | {"expert_capacity": 2}
    experts = SWITCH.from_hf_config(values).feedforward.experts
    assert experts is not None and experts.capacity == 2
    assert SWITCH.to_hf_config(SWITCH.from_hf_config(values))["expert_capacity"] == 2
    assert SWITCH.from_hf_config(SWITCH.to_hf_config(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"router_bias": True}, "router_bias=True"),
        ({"router_dtype": "bfloat16"}, "router_dtype='bfloat16'"),
        ({"encoder_sparse_step": 9}, "encoder_sparse_step=9"),
        ({"expert_capacity": 0}, "expert_capacity=0"),
        ({"num_layers": 12, "num_sparse_encoder_layers": 3}, "experts in layers 1, 5, 9 and"),
        ({"num_layers": 4, "num_sparse_encoder_layers": 4}, "the same in both stacks"),
        ({"dense_act_fn": "gated-gelu"}, "dense_act_fn='gated-gelu'"),
        ({"num_experts": None}, "no num_experts, which switch_transformers requires"),
        ({"num_experts": "4"}, "num_experts='4'; expected an integer"),
        ({"capacity_factor": -1}, "capacity_factor=-1; expected a number above 0"),
        ({"num_sparse_encoder_layers": True}, "num_sparse_encoder_layers=True"),
    ],
)
def test_what_we_do_not_compute_is_refused_of_switch(changes, message):
    with pytest.raises(ArtifactError, match=message):
        read_config(SWITCH.to_hf_config(PLAIN) | changes, "config.json")


@pytest.mark.parametrize(
    "config, message",
    [
        (shape(), "FeedForwardConfig.experts=None"),
        (with_experts(6, 6, every=3), "every=3 of 6 layers"),
        (with_experts(2, 2, chosen=2), "ExpertsConfig.chosen=2"),
        (with_experts(2, 2, normalised=True), "ExpertsConfig.normalised=True"),
    ],
)
def test_what_no_switch_can_say_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        SWITCH.to_hf_config(config)
