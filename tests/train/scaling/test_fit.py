"""A fit tells its law and approaches with intervals, draws them, and can be read again."""

import json
import re

import numpy as np
import pytest

from groundup.core import ConfigError, DataError
from groundup.train.scaling.fit import (
    FILE,
    PAGE,
    FitConfig,
    _as_dots,
    _fit_all,
    fit_sweep,
    open_input,
    read_fit,
)
from groundup.train.scaling.laws import predict_loss
from groundup.train.scaling.sweep import read_sweep
from tests.train.scaling.conftest import QUICK
from tests.train.scaling.ladders import LADDER, TRUTH, law, swept


@pytest.fixture(scope="module")
def made(planted):
    return planted.sweep, planted.fit


def test_it_tells_the_laws_and_approaches_with_intervals(made):
    told = made[1].content
    for name, truth in TRUTH.items():
        estimate, low, high = told["laws"]["parametric"][name]
        assert low < estimate < high and estimate == pytest.approx(truth, rel=0.6)
    assert set(told["exponents"]) == {"envelope", "isoflop", "parametric"}
    estimate, low, high = told["exponents"]["parametric"]["N"]
    assert low < TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"]) < high
    assert [row["flops"] for row in told["frontier"]["parametric"]] == sorted(LADDER.budgets)
    assert max(map(abs, told["residuals_percent"].values())) < 1
    assert 6 < told["per_weight"] < 7.5


def test_what_was_written_is_what_is_read(made):
    known = read_fit(made[1].artifact)
    assert known.config == QUICK and known.parametric.thetas.shape == (60, 5)
    interval = predict_loss(known.parametric, 3e6, 1e7)
    assert interval.low < float(law(3e6, 1e7)) < interval.high
    assert open_input(made[1].artifact, "sweep").id == made[0].id


def test_the_same_fit_twice_is_one_artifact_and_says_the_same(made):
    sweep, first = made
    again = fit_sweep(QUICK, sweep, first.artifact.path)
    assert again.artifact.id == first.artifact.id and str(again) == str(first)
    assert "parametric" in str(again) and again._asdict()["laws"] == first.content["laws"]


def test_json_holds_numbers_or_nothing(made):
    text = made[1].artifact.file(FILE).read_text()
    assert "NaN" not in text and "Infinity" not in text and json.loads(text)
    assert made[1].artifact.file(PAGE).stat().st_size > 10_000


def test_which_weights_are_counted_moves_the_exponent(made):
    other, _ = _fit_all(FitConfig(resamples=50, count="total"), read_sweep(made[0]).runs)
    ours = made[1].content["exponents"]["parametric"]["N"][0]
    assert abs(other["exponents"]["parametric"]["N"][0] - ours) > 1e-3


def test_too_few_runs_and_other_artifacts_are_told(made, tmp_path):
    small = swept(tmp_path / "s", ladder=LADDER.model_copy(update={"budgets": (6e12,)}))
    with pytest.raises(DataError, match="has 4 runs"):
        fit_sweep(QUICK, small, tmp_path / "fit")
    with pytest.raises(ConfigError, match="scaling sweep"):
        fit_sweep(QUICK, made[1].artifact, tmp_path / "fit")
    with pytest.raises(ConfigError, match="scaling fit"):
        read_fit(made[0])


@pytest.fixture(scope="module")
def shown(planted) -> str:
    return planted.fit.artifact.file(PAGE).read_text(encoding="utf-8")


def test_every_budget_approach_and_run_is_there(shown):
    for words in ("6e12 FLOPs", "4.8e13 FLOPs", "envelope", "isoflop", "4x256-1.2e13"):
        assert words in shown
    assert shown.count("<svg") >= 3 and "No points were recorded" not in shown


def test_nothing_is_written_as_no_number(shown):
    assert not re.search(r"\b(nan|inf)\b", shown.partition("<body>")[2])


def test_dots_stand_alone():
    assert _as_dots(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == (
        [1.0, 1.0, 2.0, 2.0],
        [3.0, None, 4.0, None],
    )
