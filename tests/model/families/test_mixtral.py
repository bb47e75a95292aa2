"""Mixtral's words: experts apart in files, stacked here."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import ExpertsConfig, FeedForwardConfig, NormConfig
from groundup.model.families import FAMILIES, choose_family, read_config
from groundup.model.families.decoders.mixtral import MIXTRAL
from tests.model.shapes import shape, tiny_model

CONFIG = shape(
    feedforward=FeedForwardConfig(width=20, experts=ExpertsConfig(count=3)),
    norm=NormConfig(eps=1e-5), tied_embeddings=False,
)  # fmt: skip
EXPERT = "model.layers.1.block_sparse_moe.experts.2.w1.weight"


def test_configurations_go_there_and_back():
    assert MIXTRAL.from_hf_config(MIXTRAL.to_hf_config(CONFIG)) == CONFIG


def test_experts_are_stacked_and_taken_apart():
    state = tiny_model(CONFIG).state_dict()
    written = MIXTRAL.to_hf_state_dict(dict(state), CONFIG)
    assert torch.equal(written[EXPERT], state["layers.1.experts.gate_proj"][2])
    assert written[EXPERT.replace("w1", "w2")].shape == (16, 20)
    assert "model.layers.0.block_sparse_moe.gate.weight" in written
    again = MIXTRAL.from_hf_state_dict(written, CONFIG)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_stacks_of_transformers_5_open():
    state = tiny_model(CONFIG).state_dict()
    joined = {}
    for name, tensor in MIXTRAL.to_hf_state_dict(dict(state), CONFIG).items():
        if ".experts." not in name:
            joined[name.replace("block_sparse_moe", "mlp")] = tensor
    for i in range(CONFIG.layers):
        parts = [state[f"layers.{i}.experts.{part}_proj"] for part in ("gate", "up")]
        joined[f"model.layers.{i}.mlp.experts.gate_up_proj"] = torch.cat(parts, 1)
        joined[f"model.layers.{i}.mlp.experts.down_proj"] = state[f"layers.{i}.experts.down_proj"]
    again = MIXTRAL.from_hf_state_dict(joined, CONFIG)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_experts_that_are_missing_or_misshapen_are_named():
    written = MIXTRAL.to_hf_state_dict(dict(tiny_model(CONFIG).state_dict()), CONFIG)
    without = {name: t for name, t in written.items() if name != EXPERT.replace(".2.", ".1.")}
    with pytest.raises(ArtifactError, match=r"layers.1.experts.gate_proj lack expert 1"):
        MIXTRAL.from_hf_state_dict(without, CONFIG)
    with pytest.raises(ArtifactError, match="different shapes"):
        MIXTRAL.from_hf_state_dict(written | {EXPERT: torch.ones(2, 2)}, CONFIG)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_local_experts": 0}, "num_local_experts=0"),
        ({"num_local_experts": 1}, "count"),
        ({"num_experts_per_tok": 9}, "chosen=9"),
        ({"num_experts_per_tok": "2"}, "num_experts_per_tok='2'"),
    ],
)
def test_experts_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ArtifactError, match=message):
        read_config(MIXTRAL.to_hf_config(CONFIG) | changes, "config.json")


def test_what_a_mixtral_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="experts=None"):
        MIXTRAL.to_hf_config(shape())
    for experts in (ExpertsConfig(every=2), ExpertsConfig(normalised=False)):
        config = shape(feedforward=FeedForwardConfig(width=20, experts=experts))
        with pytest.raises(ConfigError, match="ExpertsConfig"):
            MIXTRAL.to_hf_config(config)


def test_packed_ones_are_our_own_since_transformers_wants_their_experts_packed_too():
    assert choose_family(CONFIG) == FAMILIES["mixtral"]
    assert choose_family(CONFIG, packed=True) == FAMILIES["groundup"]
