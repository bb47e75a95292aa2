"""One fit of planted runs, made once for all of these tests."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from groundup.core import Artifact
from groundup.train.scaling.fit import FitConfig, FitReport, fit_sweep
from tests.train.scaling.ladders import swept

QUICK = FitConfig(resamples=60)


class Planted(NamedTuple):
    """A sweep's report and its fit, both in one folder."""

    folder: Path
    sweep: Artifact
    fit: FitReport


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Planted:
    """Runs around a known law, and the laws fitted to them."""
    folder = tmp_path_factory.mktemp("planted")
    sweep = swept(folder, noise=0.002)
    return Planted(folder, sweep, fit_sweep(QUICK, sweep, folder / "fit"))


@pytest.fixture(scope="module")
def own_fit(planted, tmp_path_factory) -> Artifact:
    """A copy of the fit with an empty ledger, for one file's forecasts."""
    folder = tmp_path_factory.mktemp("own") / "planted"
    shutil.copytree(planted.folder, folder)
    return Artifact.open(folder / "fit")
