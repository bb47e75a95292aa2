"""A killed sweep goes on where it was; its ladder is sizes by budgets, and its report is true."""

import os
import time
from pathlib import Path

import pytest

from groundup.core import MANIFEST, ConfigError, record
from groundup.model import Transformer
from groundup.train import CheckpointConfig, OptimConfig, PretrainConfig
from groundup.train.scaling.sweep import (
    SweepConfig,
    SweepTraining,
    _smooth_curve,
    candidate_shapes,
    format_ladder,
    ladder_runs,
    make_ladder_run,
    read_sweep,
    sweep,
)
from tests.train.parallel.processes import CONTEXT
from tests.train.scaling.ladders import LADDER, VOCABULARY
from tests.train.small import Small, small, without_compiler


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


SMALL = SweepConfig(
    shapes=((1, 64), (2, 64)), budgets=(4e9, 7e9), min_steps=4,
    training=SweepTraining(batch_tokens=512, length=64, context_length=64, validation_tokens=512),
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def undisturbed(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, sweep(SMALL, made.tokens, made.tokenizer, out)


def sweep_until_killed(config: SweepConfig, made: Small, out: Path) -> None:
    os.environ["GROUNDUP_COMPILE"] = "0"
    sweep(config, made.tokens, made.tokenizer, out)


def test_a_killed_sweep_keeps_what_is_done_and_ends_like_another(made, undisturbed, tmp_path):
    out = tmp_path / "killed"
    config = SMALL.model_copy(
        update={
            "training": SMALL.training.model_copy(
                update={"checkpoints": CheckpointConfig(every_seconds=0.0)}
            )
        }
    )
    process = CONTEXT.Process(target=sweep_until_killed, args=(config, made, out))
    process.start()
    end = time.monotonic() + 120
    while not list(out.glob("2x64-4e09/.scratch/step-*")):
        assert process.is_alive() and time.monotonic() < end, "it ended before it was killed"
        time.sleep(0.005)
    process.kill()
    process.join(60)
    done = out / "1x64-4e09" / MANIFEST
    before = done.stat().st_mtime_ns
    assert not (out / "sweep" / MANIFEST).exists()
    plan = sweep(config, made.tokens, made.tokenizer, out, dry_run=True)
    assert [seconds == 0 for seconds in plan.seconds] == [True, False, False, False]
    found = sweep(config, made.tokens, made.tokenizer, out)
    assert done.stat().st_mtime_ns == before
    assert [run.loss for run in found.runs] == [run.loss for run in undisturbed[1].runs]
    again = sweep(config, made.tokens, made.tokenizer, out)
    assert again.artifact.id == found.artifact.id and set(again.seconds) == {0.0}


def test_the_report_tells_what_the_runs_did(undisturbed):
    out, found = undisturbed
    told = read_sweep(found.artifact)
    assert told.config == SMALL and told.vocab_size == 300 and told.runs == found.runs
    for run in told.runs:
        rows = record.read_metrics(out / run.name / "log" / "metrics.jsonl")
        assert run.loss == [row["validation"] for row in rows if "validation" in row][-1]
        assert rows[-1]["step"] == run.tokens // 512 - 1 and "validation" in rows[-1]
        assert run.curve.tokens[-1] == run.tokens
        assert run.flops == run.flops_per_token * run.tokens
        assert 0 < run.bits_per_byte < run.loss
    assert {parent.name for parent in found.artifact.parents} >= {"tokens", "1x64-4e09"}
    assert "nats" in str(found) and "1x64-7e09" in str(found)
    assert len(found._asdict()["results"]) == 4


def test_a_dry_run_tells_and_makes_nothing(made, tmp_path):
    plan = sweep(SMALL, made.tokens, made.tokenizer, tmp_path / "x", dry_run=True)
    assert not (tmp_path / "x").exists()
    assert "53,568" in str(plan) and "FLOPs in all" in str(plan)
    assert all(seconds > 0 for seconds in plan.seconds) and plan._asdict()["report"] is None


def test_more_tokens_than_there_are_is_refused_before_anything_starts(made, tmp_path):
    config = SMALL.model_copy(update={"budgets": (1e12,)})
    with pytest.raises(ConfigError, match="1x64-1e12 needs .* repeated text"):
        sweep(config, made.tokens, made.tokenizer, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_another_artifact_is_no_sweep(made):
    with pytest.raises(ConfigError, match="scaling sweep"):
        read_sweep(made.tokens)


def test_a_curve_is_a_mean_of_steps_and_ends_at_the_last():
    found = _smooth_curve([float(x) for x in range(1000)], 10)
    assert found.tokens[0] == 80 and found.tokens[-1] == 10_000 and len(found.tokens) <= 60
    assert found.loss[-1] == pytest.approx(sum(range(950, 1000)) / 50)
    assert _smooth_curve([2.0, 1.0], 10).loss == [1.5]
