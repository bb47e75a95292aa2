"""A forecast is registered once, its run is held to it, and a budget buys the best size."""

import json
import math
import shutil

import numpy as np
import pytest

from groundup.core import (
    ArtifactError,
    ConfigError,
    DataError,
    GateFailed,
    load_config,
    produce,
    record,
    write_json,
)
from groundup.measure import read_verdict
from groundup.train import CheckpointConfig, OptimConfig, PretrainConfig, pretrain
from groundup.train.optim.config import RuleConfig
from groundup.train.scaling.fit import FitConfig, fit_sweep, open_input
from groundup.train.scaling.forecast import (
    FILE,
    SETTINGS,
    ForecastConfig,
    _forecast_ledger,
    _interpolate_speed,
    _settings_to_toml,
    budget_table,
    check_forecast,
    forecast,
    read_forecast,
)
from groundup.train.scaling.laws import _optimal_allocation
from groundup.train.scaling.sweep import make_ladder_run, missing_tokens_message, read_sweep, sweep
from tests.train.scaling.ladders import TRUTH, law
from tests.train.scaling.test_sweep import SMALL
from tests.train.small import small, without_compiler

LARGER = ForecastConfig(budget=1.92e14)


@pytest.fixture(scope="module")
def fit(own_fit):
    return own_fit


@pytest.fixture(scope="module")
def made(fit, tmp_path_factory):
    return forecast(LARGER, fit, tmp_path_factory.mktemp("made") / "forecast")


def test_it_foretells_the_best_shape_near_the_truth(made):
    known = made.forecast
    run = PretrainConfig(**known.run)
    size = made.artifact.numbers
    assert known.flops == pytest.approx(1.92e14, rel=0.01) and run.tokens > 1e6
    assert known.loss.half_width < 0.03 and size["low"] < size["loss"] < size["high"]
    assert known.loss.low * 0.99 < float(law(*weights_and_tokens(run))) < known.loss.high * 1.01
    assert f"{run.depth}x{run.width}" in str(made) and "half-width" in str(made)


def weights_and_tokens(run: PretrainConfig) -> tuple[int, int]:
    from groundup.model import count_parameters

    count = count_parameters(run.model_config_for(8192))
    return count.total - count.embedding, run.tokens


def test_the_written_settings_are_the_run(made):
    read = load_config(PretrainConfig, made.artifact.file(SETTINGS))
    assert read.to_dict() == made.forecast.run


def test_it_is_registered_once_with_a_date(fit, made):
    again = forecast(LARGER, fit, made.artifact.path)
    assert again.forecast == made.forecast
    assert len(list(_forecast_ledger(fit).read())) == 1
    assert again._asdict()["when"].endswith("Z")


def test_a_changed_forecast_is_noticed(made, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(made.artifact.path, folder)
    content = json.loads((folder / FILE).read_text())
    content["loss"][0] = 1.0
    (folder / FILE).write_text(json.dumps(content))
    from groundup.core import Artifact

    with pytest.raises(ArtifactError):
        Artifact.open(folder)


def test_a_changed_ledger_is_noticed_and_a_missing_line_too(made, fit):
    path = _forecast_ledger(fit).path
    whole = path.read_text()
    try:
        path.write_text(whole.replace('"who": "', '"who": "x'))
        with pytest.raises(ArtifactError, match="edited"):
            read_forecast(made.artifact)
        path.unlink()
        with pytest.raises(DataError, match="never registered"):
            read_forecast(made.artifact)
    finally:
        path.write_text(whole)


def test_another_forecast_of_the_same_run_is_counted(fit, made, tmp_path):
    other = ForecastConfig(budget=1.92e14, max_half_width=2.5)
    assert forecast(other, fit, tmp_path / "other").forecast.others == 1
    assert read_forecast(made.artifact).others == 1


def test_text_that_is_not_there_and_a_size_beyond_the_ladder_are_told(fit, tmp_path, capsys):
    told = read_sweep(open_input(fit, "sweep"))
    assert told.train_tokens == math.inf  # a report from before it was noted
    made = make_ladder_run(told.config, (3, 192), 1.92e14, told.vocab_size)
    assert not missing_tokens_message(made, made.config.tokens)
    assert "the laws do not model repeated text" in missing_tokens_message(
        made, made.config.tokens - 1
    )
    record.set_output_mode("plain")
    forecast(ForecastConfig(budget=1e12, shape=(1, 64), max_half_width=99), fit, tmp_path / "a")
    assert "1x64 has" in capsys.readouterr().err


def test_what_is_not_worth_foretelling_is_refused(fit, made, tmp_path):
    with pytest.raises(DataError, match="half-width of"):
        forecast(ForecastConfig(budget=1.92e14, max_half_width=0.01), fit, tmp_path / "a")
    with pytest.raises(ConfigError, match="3x192-4.8e13 is in the sweep"):
        forecast(ForecastConfig(budget=4.8e13, shape=(3, 192)), fit, tmp_path / "b")
    with pytest.raises(ConfigError, match="scaling fit"):
        forecast(LARGER, made.artifact, tmp_path / "c")
    with pytest.raises(ConfigError, match="scaling forecast"):
        read_forecast(fit)
    assert not list(tmp_path.iterdir())


def test_settings_of_any_kind_are_written_as_they_are_read(tmp_path):
    rule = RuleConfig(names='^a"b', kinds=("head",), learning_rate=0.1)
    by_steps = CheckpointConfig(every_seconds=None, every_steps=9)
    settings = PretrainConfig(
        tokens=4096, optim=OptimConfig(rules=(rule,), clip=0.5), checkpoints=by_steps
    )
    (tmp_path / "run.toml").write_text(_settings_to_toml(settings))
    assert load_config(PretrainConfig, tmp_path / "run.toml") == settings


LATER, EARLIER = "2999-01-01T00:00:00Z", "2000-01-01T00:00:00Z"


@pytest.fixture
def ended(made, tmp_path):
    """A function that gives the run of the forecast as if it had ended at a loss."""

    def run(loss: float, began: str | None = LATER, **changes):
        told = open_input(made.artifact, "sweep")
        inputs = {name: open_input(told, name) for name in ("tokens", "tokenizer")}

        def write(draft):
            draft.numbers |= {"validation loss": loss} | ({"began": began} if began else {})
            write_json(draft.file("config.json"), {})

        config = PretrainConfig(**(made.forecast.run | changes))
        return produce(tmp_path / "run", kind="model", stage="pretrain", version=2, config=config,
                       parents=inputs, write=write)  # fmt: skip

    return run


def test_a_loss_inside_passes_and_tells_its_error(made, ended, tmp_path):
    loss = 1.001 * made.forecast.loss.estimate
    found = check_forecast(ended(loss), made.artifact, tmp_path / "verdict")
    assert found.error_percent == pytest.approx(0.1)
    assert "+0.10 % of the forecast" in str(found) and "inside" in str(found)
    verdict = read_verdict(found.verdict)
    interval = verdict.checks[0]["interval"]
    assert verdict.passed and interval["estimate"] == pytest.approx(0.1)
    assert (interval["n"], interval["groups"]) == (1, 1)
    assert {p.name: p.id for p in found.verdict.parents}["baseline"] == made.artifact.id
    assert made.forecast.when in verdict.author


@pytest.mark.parametrize("factor, name", [(1.05, "not above"), (0.95, "not below")])
def test_a_loss_outside_fails_on_either_side(made, ended, tmp_path, factor, name):
    run = ended(factor * made.forecast.loss.estimate)
    with pytest.raises(GateFailed, match=name) as failure:
        check_forecast(run, made.artifact, tmp_path / "verdict")
    assert "residuals of the fit" in failure.value.__notes__[0]


@pytest.mark.parametrize("began", [EARLIER, None])
def test_a_run_that_began_before_or_does_not_tell_is_refused(made, ended, tmp_path, began):
    run = ended(made.forecast.loss.estimate, began)
    with pytest.raises(DataError, match="register a forecast before its run begins"):
        check_forecast(run, made.artifact, tmp_path / "verdict")
    assert not (tmp_path / "verdict").exists()


def test_another_run_is_refused_by_what_differs(made, ended, tmp_path):
    run = ended(made.forecast.loss.estimate, seed=9)
    with pytest.raises(DataError, match="seed differ"):
        check_forecast(run, made.artifact, tmp_path / "verdict")


@pytest.mark.slow
def test_the_whole_way_on_real_runs(tmp_path):
    made = small(tmp_path / "small")
    ladder = SMALL.model_copy(update={"budgets": (3e9, 5e9, 7e9)})
    with without_compiler():
        report = sweep(ladder, made.tokens, made.tokenizer, tmp_path / "ladder").artifact
        fit = fit_sweep(FitConfig(resamples=50), report, tmp_path / "fit").artifact
        config = ForecastConfig(budget=6e9, shape=(1, 128), max_half_width=1e6)
        known = forecast(config, fit, tmp_path / "forecast")
        run = PretrainConfig(**known.forecast.run)
        model = pretrain(run, made.tokens, made.tokenizer, tmp_path / "run")
        early = pretrain(run.model_copy(update={"seed": 1}), made.tokens, made.tokenizer,
                         tmp_path / "early")  # fmt: skip
    low, loss, high = (
        known.forecast.loss.low,
        model.numbers["validation loss"],
        known.forecast.loss.high,
    )
    assert model.numbers["began"] >= known.forecast.when
    if low <= loss <= high:
        assert check_forecast(model, known.artifact, tmp_path / "verdict").loss == loss
    else:
        with pytest.raises(GateFailed):
            check_forecast(model, known.artifact, tmp_path / "verdict")
    with pytest.raises(DataError, match="seed differ"):
        check_forecast(early, known.artifact, tmp_path / "other")


def test_larger_budgets_buy_larger_models_at_a_lower_loss(planted):
    rows = budget_table([1e15, 1e14], fit=planted.fit.artifact).rows
    assert [row.flops for row in rows] == pytest.approx([1e14, 1e15], rel=0.01)
    small, large = rows
    assert small.weights < large.weights and small.tokens < large.tokens
    assert small.loss.estimate > large.loss.estimate
    for row in rows:
        n, _, loss = _optimal_allocation(TRUTH, np.array([row.flops / 6.3]))
        assert float(law(row.weights, row.tokens)) < 1.01 * loss[0]  # as good as the true optimum
        assert row.weights == pytest.approx(n[0], rel=0.6)
        assert row.loss.low < float(law(row.weights, row.tokens)) < row.loss.high
        assert row.seconds == pytest.approx(row.flops / 1e11)
        assert row.training_bytes == 16 * row.parameters


def test_speed_lies_between_those_measured(planted):
    told = read_sweep(planted.sweep)
    runs = tuple(run._replace(flops_per_second=float(run.width)) for run in told.runs)
    told = told._replace(runs=runs)
    sizes = {run.width: run.computing for run in runs}
    assert _interpolate_speed(told, sizes[192]) == pytest.approx(192)
    assert 64 < _interpolate_speed(told, (sizes[64] + sizes[128]) // 2) < 128
    assert (_interpolate_speed(told, 1), _interpolate_speed(told, 10**12)) == (64, 320)


def test_it_is_told_as_a_table_and_as_json(planted):
    found = budget_table([1e14], fit=planted.fit.artifact)
    assert len(str(found).splitlines()) == 2 and "MB" in str(found)
    assert found._asdict()["rows"][0]["loss"]["low"] < found.rows[0].loss.estimate


@pytest.mark.parametrize("budgets", [[], [0.0], [1e14, -1.0], [float("nan")], [float("inf")]])
def test_no_budget_is_no_table(planted, budgets):
    with pytest.raises(ConfigError, match="above 0"):
        budget_table(budgets, fit=planted.fit.artifact)
