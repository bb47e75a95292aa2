"""Rules say how weights are moved; without one, what is usual is done."""

import pytest
import torch
from torch import nn

from groundup.core import ConfigError
from groundup.model import Transformer, preset
from groundup.train import OptimConfig
from groundup.train.optim.config import RuleConfig
from groundup.train.optim.parameter_groups import GroupSettings, _weight_kind, group_parameters
from tests.train.test_loop import tiny_model


def by_name(config: OptimConfig, model: nn.Module) -> dict[str, GroupSettings]:
    found = group_parameters(dict(model.named_parameters()), config)
    return {name: group for group, own in found.items() for name in own}


def test_matrices_of_blocks_go_to_muon_and_nothing_else_does():
    found = by_name(OptimConfig(), tiny_model())
    assert all((g.optimizer == "muon") == ("proj" in name) for name, g in found.items())
    assert {"muon", "adamw"} == {group.optimizer for group in found.values()}


def test_matrices_decay_and_vectors_do_not():
    found = by_name(OptimConfig(weight_decay=0.1), tiny_model())
    for name, weight in tiny_model().named_parameters():
        assert found[name].decay == (0.1 if weight.ndim >= 2 else 0.0)


def test_every_kind_is_known_by_name_and_dimensions():
    with torch.device("meta"):
        model = Transformer(preset("mixtral-tiny").config, seed=None)
    kinds = {name: _weight_kind(name, weight) for name, weight in model.named_parameters()}
    assert kinds["embed_tokens.weight"] == "embedding" and kinds["lm_head.weight"] == "head"
    assert kinds["norm.weight"] == "vector"
    assert kinds["layers.0.experts.up_proj"] == "expert"
    assert kinds["layers.0.experts.router.weight"] == "matrix"


def test_the_first_rule_that_fits_counts_and_changes_only_what_it_says():
    rules = (
        RuleConfig(names=r"layers\.0\.", kinds=("matrix",), learning_rate=0.5),
        RuleConfig(kinds=("matrix",), optimizer="sgd", state="bfloat16", weight_decay=0.2),
        RuleConfig(names="norm", learning_rate=0),
    )
    found = by_name(OptimConfig(rules=rules), Transformer(preset("llama-tiny").config, seed=0))
    q = "attention.q_proj.weight"
    assert found[f"layers.0.{q}"] == GroupSettings("muon", 0.5, 0.0, "float32", 0)
    assert found[f"layers.1.{q}"] == GroupSettings("sgd", 4e-3, 0.2, "bfloat16", 1)
    assert found["norm.weight"] == GroupSettings("adamw", 0.0, 0.0, "float32", 2)
    assert found["lm_head.weight"] == GroupSettings("adamw", 4e-3, 0.0, "float32", None)


def test_a_rule_that_fits_nothing_is_a_mistake_but_not_in_a_share_of_a_model():
    config, named = (
        OptimConfig(rules=(RuleConfig(names="q_prj"),)),
        dict(tiny_model().named_parameters()),
    )
    with pytest.raises(ConfigError, match=r"rules\[0\] \(names='q_prj'\) matches no weight"):
        group_parameters(named, config)
    assert group_parameters(named, config, names=[*named, "lm_head.weight"])


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="not a regular expression"):
        by_name(OptimConfig(rules=(RuleConfig(names="("),)), tiny_model())
