"""A ladder spends each budget, counts what the model has, and changes size and rates alone."""

import pytest

from groundup.core import ConfigError
from groundup.model import Transformer
from groundup.train import OptimConfig, PretrainConfig
from groundup.train.scaling.ladder import (
    SweepConfig,
    SweepTraining,
    candidate_shapes,
    format_ladder,
    ladder_runs,
    make_ladder_run,
)
from tests.train.scaling.ladders import LADDER, VOCABULARY


def test_every_run_spends_its_budget_but_for_a_step():
    for each in ladder_runs(LADDER, VOCABULARY):
        step = each.config.batch_tokens * each.config.validations * each.size.flops_per_token
        assert abs(each.flops - each.budget) <= step / 2
        assert each.config.tokens % (each.config.batch_tokens * each.config.validations) == 0


def test_weights_are_counted_apart_as_the_model_has_them():
    each = make_ladder_run(LADDER, (3, 192), 6e12, 512)
    model = Transformer(each.config.model_config_for(512))
    count = {name: p.numel() for name, p in model.named_parameters()}
    assert each.size.embedding == sum(n for name, n in count.items() if "embed" in name)
    assert each.size.output == sum(n for name, n in count.items() if "head" in name)
    assert each.size.embedding + each.size.computing == sum(count.values())
    assert 6 * each.size.computing < each.size.flops_per_token < 7 * each.size.computing


def test_runs_differ_in_size_tokens_and_rates_alone():
    config = SweepConfig(adamw_power=-0.5, muon_power=0.25)
    base = PretrainConfig(**config.training.to_dict()).to_dict()
    for each in ladder_runs(config, VOCABULARY):
        own, factor = each.config.to_dict(), each.size.width / 256
        changed = {name for name in own if own[name] != base[name]}
        assert changed <= {"depth", "width", "tokens", "optim"}
        optim = each.config.optim
        assert optim.learning_rate == pytest.approx(4e-3 * factor**-0.5)
        assert optim.embedding_learning_rate == pytest.approx(0.2 * factor**-0.5)
        assert optim.muon_learning_rate == pytest.approx(0.025 * factor**0.25)


def test_runs_too_short_to_tell_anything_are_left_out():
    names = [each.name for each in ladder_runs(LADDER, VOCABULARY)]
    assert len(names) == 19 and "6x320-6e12" not in names and "6x320-1.2e13" in names


def test_settings_of_the_ladder_itself_are_refused_by_name():
    with pytest.raises(ConfigError, match="training.tokens is set"):
        SweepConfig(training=SweepTraining(tokens=5))
    with pytest.raises(ConfigError, match="must be distinct and not empty"):
        SweepConfig(budgets=(1e12, 1e12))
    with pytest.raises(ConfigError, match="above 0"):
        SweepConfig(budgets=(-1.0, 1e12))
    with pytest.raises(ConfigError, match="No size has 100 steps"):
        ladder_runs(SweepConfig(budgets=(1e9,)), VOCABULARY)
    with pytest.raises(ConfigError, match="multiple of 64; try 128"):
        ladder_runs(SweepConfig(shapes=((2, 100),)), VOCABULARY)


def test_shapes_for_a_budget_grow_with_it():
    small, large = (candidate_shapes(LADDER, VOCABULARY, budget) for budget in (6e12, 1e15))
    assert set(small) < set(large)
    assert all(32 <= width / depth <= 96 for depth, width in large)
    with pytest.raises(ConfigError, match="too few to train any model"):
        candidate_shapes(LADDER, VOCABULARY, 1e9)


def test_a_nested_setting_keeps_the_others():
    config = SweepConfig(training={"optim": OptimConfig(beta2=0.9)})
    assert config.training.length == 256 and config.training.long_share == 0


def test_the_table_has_a_line_for_each_run():
    ladder = ladder_runs(LADDER, VOCABULARY)
    lines = format_ladder(ladder, ["1 s"] * len(ladder)).splitlines()
    assert len(lines) == 20 and "1,291,968" in lines[3]
