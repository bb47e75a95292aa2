"""Ten steps on any mesh are the ten steps of one process, under the same names."""

import pytest

from tests.train.parallel.plans import apart, shape, trained
from tests.train.parallel.processes import run


@pytest.mark.parametrize(
    ("mesh", "world", "zero"),
    [
        ("data=2", 2, 3),
        ("shard=2", 2, 1),
        ("shard=2", 2, 2),
        ("shard=2", 2, 3),
        ("tensor=2", 2, 3),
        ("data=4", 4, 3),
        ("shard=4", 4, 3),
        ("data=2,shard=2", 4, 1),
        ("data=2,shard=2", 4, 3),
        ("data=2,tensor=2", 4, 3),
        ("shard=2,tensor=2", 4, 3),
    ],
)
def test_ten_steps_on_a_mesh_are_those_of_one_process(mesh: str, world: int, zero: int):
    alone = trained("", 1, shape(), 2)
    for found in run(world, trained, mesh, world, shape(), 2, zero):
        assert apart(found, alone) < 1e-5
