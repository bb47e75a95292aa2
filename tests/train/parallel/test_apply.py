"""Ten steps on any mesh are the ten steps of one process, under the same names."""

from typing import Any

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.train.parallel.apply import check
from tests.train.parallel.plans import Case, alone, apart, gradients, shape, trained
from tests.train.parallel.processes import run

TWO = [Case("data=2"), Case("shard=2", 1), Case("shard=2", 2), Case("shard=2", 3), Case("tensor=2")]
FOUR = [
    Case("data=4"), Case("shard=4"), Case("data=2,shard=2", 1), Case("data=2,shard=2"),
    Case("data=2,tensor=2"), Case("shard=2,tensor=2"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "cases"), [(2, TWO), (4, FOUR)])
def test_ten_steps_on_a_mesh_are_those_of_one_process(world: int, cases: list[Case]):
    (one,) = trained([alone(cases[0])])
    assert one.losses[-1] < 0.95 * one.losses[0]
    by_rank = run(world, trained, cases)
    for case, *runs in zip(cases, *by_rank, strict=True):
        for found in runs:
            assert apart(found, one) < 1e-5, case.mesh
            assert found.norms == runs[0].norms, case.mesh  # the same bits


def test_gradients_of_two_processes_are_those_of_one():
    (one,) = gradients([alone(TWO[0])])
    for case, found in zip(TWO, run(2, gradients, TWO)[0], strict=True):
        assert far(found, one) < 1e-6, (case.mesh, case.zero)


def far(found: dict[str, Any], one: dict[str, Any]) -> float:
    """Largest difference of gradients of the same names."""
    assert found.keys() == one.keys()
    return max(float(np.abs(found[name] - one[name]).max()) for name in one)
