"""A forecast is registered once, says when, and cannot be changed in silence."""

import json
import math
import shutil

import pytest

from groundup.core import ArtifactError, ConfigError, DataError, load_config, record
from groundup.train import CheckpointConfig, OptimConfig, PretrainConfig
from groundup.train.optim.config import RuleConfig
from groundup.train.scaling.fit import open_input
from groundup.train.scaling.forecast import (
    FILE,
    SETTINGS,
    ForecastConfig,
    _forecast_ledger,
    _settings_to_toml,
    forecast,
    read_forecast,
)
from groundup.train.scaling.ladder import make_ladder_run
from groundup.train.scaling.sweep import missing_tokens_message, read_sweep
from tests.train.scaling.ladders import law

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
