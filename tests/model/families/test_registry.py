"""Families: a model_type finds its words, and an unknown one is named."""

import json

import pytest
import torch

from groundup.core import ArtifactError
from groundup.model import PositionConfig, Transformer, preset, presets
from groundup.model.families import FAMILIES, family_for, family_of, read_config
from tests.model.shapes import tiny_config


def test_our_default_model_is_written_as_a_qwen3_and_what_no_peer_computes_as_our_own():
    assert family_for(tiny_config()) is FAMILIES["qwen3"]
    gopher = tiny_config().model_copy(update={"position": PositionConfig(kind="transformer_xl")})
    assert family_for(gopher) is FAMILIES["groundup"]
    assert FAMILIES["groundup"].read(FAMILIES["groundup"].write(gopher)) == gopher


OURS = {
    "BERT": "bert", "SpanBERT": "bert", "RoBERTa": "roberta", "ModernBERT": "modernbert",
    "GPT-1": "openai-gpt", "GPT-2": "gpt2", "Jurassic-1": "gpt2", "GPT-3": "groundup",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, each in presets().items() if each.family in OURS])
def test_presets_of_berts_and_gpts_kind_are_written_as_their_family(name):
    found = preset(name)
    family = FAMILIES[OURS[found.family]]
    assert family_for(found.config) is family
    assert family.read(json.loads(json.dumps(family.write(found.config)))) == found.config


@pytest.mark.parametrize("name", ["bert", "spanbert", "roberta", "modernbert", "gpt-1", "gpt-2"])
def test_tensors_of_tiny_presets_go_there_and_back(name):
    config = preset(f"{name}-tiny").config
    family, state = family_for(config), Transformer(config, seed=0).state_dict()
    again = family.ours(family.theirs(state, config), config)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], tensor) for key, tensor in state.items())


def test_eight_bits_are_written_where_the_files_can_hold_them():
    gpt, bert = preset("gpt-2-tiny").config, preset("bert-tiny").config
    assert family_for(gpt) is FAMILIES["gpt2"]
    assert family_for(gpt, packed=True) is FAMILIES["groundup"]
    assert family_for(bert, packed=True) is FAMILIES["bert"]


@pytest.mark.parametrize("changes, message", [
    ({"groundup": None}, "no valid 'groundup' configuration"),
    ({"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "architectures": 3},
     "architectures='3'; expected a list of names"),
    ({"model_type": "gpt2", "activation_function": ["gelu"]}, "that is invalid for gpt2"),
])  # fmt: skip
def test_a_value_of_another_kind_is_an_error_of_one_line(changes, message):
    with pytest.raises(ArtifactError, match=message) as caught:
        read_config({"model_type": "groundup"} | changes, "x")
    assert "\n" not in str(caught.value)


def test_an_unknown_family_is_named_with_the_known_ones():
    with pytest.raises(ArtifactError, match="x/config.json has model_type 'rwkv'.*qwen3"):
        family_of({"model_type": "rwkv"}, "x/config.json")
