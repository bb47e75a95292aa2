"""Statistics and ranking measures equal scipy's, statsmodels', scikit-learn's, trec_eval's."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location(
    "agreement_stats", ROOT / "benchmarks" / "measure" / "agreement_stats.py"
)
stats = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stats)


@pytest.mark.parametrize("name", stats.OURS)
def test_every_case_is_the_peers(name):
    row = stats.compared(name)
    assert row.cases >= 1000
    assert row.largest < 1e-11
    assert bool(row.only_ours + row.only_peer) == bool(row.note)


def test_every_measure_of_the_peers_has_ours():
    assert set(stats.OURS) == set(stats.fixture()["expected"])
