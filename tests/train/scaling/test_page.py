"""The page shows every budget, approach and run, in three pictures."""

import re

import numpy as np
import pytest

from groundup.train.scaling.fit import PAGE
from groundup.train.scaling.page import _as_dots


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
