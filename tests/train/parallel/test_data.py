"""Rows are dealt out so that all processes together see the batch of one."""

import pytest
import torch

from groundup.core import ConfigError
from groundup.train.parallel.data import gradient_buckets, local_sequences
from groundup.train.parallel.mesh import SINGLE_PROCESS
from tests.train.parallel.plans import Case, mesh_of, ragged
from tests.train.parallel.processes import run


def dealt() -> list[int]:
    """The first ids of this process's rows, on a mesh where two processes share rows."""
    return local_sequences(ragged(0), mesh_of(Case("data=2,tensor=2"))).ids[:, 0].tolist()


def test_processes_together_have_the_rows_of_one_in_order():
    found, whole = run(4, dealt), ragged(0).ids[:, 0].tolist()
    assert found[0] == found[1] == whole[:4] and found[2] == found[3] == whole[4:]


def refused() -> str:
    """What a batch of seven rows brings on two processes."""
    try:
        local_sequences(ragged(0, rows=7), mesh_of(Case("shard=2")))
    except ConfigError as error:
        return str(error)
    return "nothing"


def test_rows_that_do_not_divide_are_refused():
    assert (
        "A batch of 7 sequences does not divide among 2 data-parallel processes"
        in run(2, refused)[0]
    )


def test_one_process_has_all_rows():
    batch = ragged(0)
    assert local_sequences(batch, SINGLE_PROCESS) is batch


@pytest.mark.parametrize(("limit", "lengths"), [(8, [1, 1, 1, 1]), (16, [2, 1, 1]), (99, [3, 1])])
def test_what_travels_together_is_of_one_kind_and_not_too_large(limit: int, lengths: list[int]):
    tensors = [torch.zeros(2) for _ in range(3)] + [torch.zeros(2, dtype=torch.float64)]
    runs = list(gradient_buckets(tensors, limit))
    assert [len(one) for one in runs] == lengths
    assert all(a is b for a, b in zip(sum(runs, []), tensors, strict=True))
