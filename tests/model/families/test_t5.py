"""T5, Switch and BART: what their files say differently, and experts as tensors of their own."""

import math

import pytest
import torch

from groundup.core import ArtifactError
from groundup.model.families import FAMILIES
from groundup.model.families.bart import BART, EMBEDDING_COPIES
from groundup.model.families.t5 import (
    SWITCH,
    T5,
    UNUSED_TENSOR,
    _hf_sparse_layers,
    _parse_feed_forward_proj,
)
from tests.model.families.encoder_decoders import OURS, Peer

FREE = OURS["t5"]["ours_free"]


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


FAMILY = "switch_transformers"
PLAIN = OURS[FAMILY]["ours"]


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
    values = SWITCH.to_hf_config(PLAIN) | {"num_layers": 10**8, "num_decoder_layers": 2**16}
    values |= {"num_sparse_encoder_layers": 5 * 10**7, "num_sparse_decoder_layers": 2**15}
    assert (
        SWITCH.from_hf_config(values).encoder_layers == 10**8
    )  # refused where there are too few weights for it
    with pytest.raises(ArtifactError, match="layers 1 and 1, 3, 5, 7, …"):
        SWITCH.from_hf_config(values | {"num_sparse_encoder_layers": 1})
    with pytest.raises(ArtifactError, match="num_decoder_layers=65537; expected an integer from 1"):
        SWITCH.from_hf_config(values | {"num_decoder_layers": 2**16 + 1})


def test_a_capacity_below_the_context_is_kept():
    values = SWITCH.to_hf_config(PLAIN) | {"expert_capacity": 2}
    experts = SWITCH.from_hf_config(values).feedforward.experts
    assert experts is not None and experts.capacity == 2
    assert SWITCH.to_hf_config(SWITCH.from_hf_config(values))["expert_capacity"] == 2
    assert SWITCH.from_hf_config(SWITCH.to_hf_config(PLAIN)) == PLAIN


def test_a_missing_bias_of_the_logits_is_zero_and_a_free_model_has_three_tables():
    model = Peer("bart", "scaled_free").model
    state = BART.to_hf_state_dict(model.state_dict(), model.config)
    assert all(torch.equal(state[name], state["model.shared.weight"]) for name in EMBEDDING_COPIES)
    del state["final_logits_bias"]
    assert not BART.from_hf_state_dict(state, model.config)["lm_bias"].any()
    state[EMBEDDING_COPIES[0]] = state[EMBEDDING_COPIES[0]] + 1
    with pytest.raises(ArtifactError, match="model.encoder.embed_tokens.weight differs"):
        BART.from_hf_state_dict(state, model.config)
