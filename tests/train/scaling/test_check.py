"""A run is held to its forecast: inside, outside, too late, or another run."""

import pytest

from groundup.core import DataError, GateFailed, produce, write_json
from groundup.measure import read_verdict
from groundup.train import PretrainConfig, pretrain
from groundup.train.scaling.check import check_forecast
from groundup.train.scaling.fit import FitConfig, fit_sweep, open_input
from groundup.train.scaling.forecast import ForecastConfig, forecast
from groundup.train.scaling.sweep import sweep
from tests.train.scaling.test_sweep import LADDER
from tests.train.small import small, without_compiler

LATER, EARLIER = "2999-01-01T00:00:00Z", "2000-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def made(own_fit, tmp_path_factory):
    return forecast(
        ForecastConfig(budget=1.92e14), own_fit, tmp_path_factory.mktemp("check") / "forecast"
    )


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
    assert verdict.passed and verdict.checks[0]["interval"]["estimate"] == pytest.approx(0.1)
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


def test_the_whole_way_on_real_runs(tmp_path):
    made = small(tmp_path / "small")
    ladder = LADDER.model_copy(update={"budgets": (3e9, 5e9, 7e9)})
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
