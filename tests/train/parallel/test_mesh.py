"""A mesh of one process is no mesh at all."""

from groundup.train.parallel.mesh import ALONE


def test_alone_is_the_first_of_one_along_every_dimension():
    assert ALONE.is_first and ALONE.dimensions == ()
    assert (ALONE.size("data"), ALONE.place("tensor"), ALONE.sum(2.5)) == (1, 0, 2.5)
