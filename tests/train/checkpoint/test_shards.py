"""Every number is written once, by one of those who hold it, and found again by any mesh.

States go into tensors and back.
"""

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from groundup.core import ShapeError
from groundup.train.checkpoint.shards import (
    MIN_SPLIT_BYTES,
    Bounds,
    RandomState,
    TensorShard,
    TensorState,
    assign_writers,
    local_shard,
    tensor_shards,
)


def piece(starts, sizes, shape, name="w") -> TensorShard:
    return TensorShard("model", name, "float32", shape, Bounds(starts, sizes), 4)


def covered(pieces: list[TensorShard], shape: tuple[int, ...]) -> torch.Tensor:
    """How often each number of a tensor is in a piece."""
    counts = torch.zeros(shape, dtype=torch.int32)
    for each in pieces:
        counts[each.box.within(Bounds((0,) * len(shape), shape))] += 1
    return counts


def test_a_plain_tensor_is_one_piece_under_its_own_name():
    tensor = torch.arange(6.0).view(2, 3)
    [found] = tensor_shards("model", "w", tensor)
    assert found == piece((0, 0), (2, 3), (2, 3)) and found.key == "w"
    assert local_shard(tensor).local.data_ptr() == tensor.data_ptr()
    [scalar] = tensor_shards("optimizer", "steps", torch.tensor(3))
    assert scalar.box == Bounds((), ()) and scalar.bytes == 8
    [empty] = tensor_shards("part", "none", torch.empty(0, 4))
    assert empty.bytes == 0


def test_replicas_are_written_once_and_the_work_is_even():
    rows = [piece((0, 0), (1024, 1024), (1024, 1024), f"w{n}") for n in range(3)]
    small = [piece((0,), (16,), (16,), f"b{n}") for n in range(5)]
    writes = assign_writers([rows + small] * 4)
    for one in rows:
        mine = [p for p in itertools.chain(*writes) if p.name == one.name]
        assert bool((covered(mine, one.shape) == 1).all())
        assert len(mine) == 4 and all(p.bytes >= MIN_SPLIT_BYTES for p in mine)
    names = sorted(p.name for p in itertools.chain(*writes) if p.name.startswith("b"))
    assert names == sorted(p.name for p in small)
    loads = [sum(p.bytes for p in mine) for mine in writes]
    assert max(loads) - min(loads) <= 2 * 64


def test_each_writes_only_what_it_holds():
    halves = [[piece((0, 0), (3, 4), (5, 4))], [piece((3, 0), (2, 4), (5, 4))]]
    assert assign_writers(halves) == halves
    assert [p.key for p in itertools.chain(*halves)] == ["w@0,0", "w@3,0"]


@pytest.mark.parametrize(
    "pieces, said",
    [
        ([piece((0,), (3,), (5,))], "do not cover its .*: 3 elements in 1 pieces"),
        ([piece((0,), (3,), (5,)), piece((1,), (2,), (5,))], "2 pieces that overlap"),
        ([piece((0,), (5,), (5,)), piece((0,), (6,), (6,))], "float32 .5,. and float32 .6,."),
    ],
)
def test_shares_that_do_not_make_a_whole_are_refused(pieces, said):
    with pytest.raises(ShapeError, match=said):
        assign_writers([[p] for p in pieces])


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    old=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    new=st.tuples(st.integers(1, 3), st.integers(1, 4)),
)
def test_any_grid_is_found_again_by_any_other(shape, old, new):
    whole = torch.arange(shape[0] * shape[1]).view(shape)
    pieces = grid(shape, old)
    assert bool((covered(pieces, shape) == 1).all())
    origin = Bounds((0, 0), shape)
    for wanted in grid(shape, new):
        target = torch.full(wanted.box.sizes, -1)
        for each in pieces:
            if common := wanted.box.overlap(each.box):
                stored = whole[each.box.within(origin)]
                target[common.within(wanted.box)] = stored[common.within(each.box)]
        assert torch.equal(target, whole[wanted.box.within(origin)])


def grid(shape, parts) -> list[TensorShard]:
    """Boxes of a grid, as even as they can be."""
    edges = [
        [size * n // count for n in range(count + 1)]
        for size, count in zip(shape, parts, strict=True)
    ]
    spans = [[(a, b - a) for a, b in itertools.pairwise(edge) if b > a] for edge in edges]
    return [piece((a[0], b[0]), (a[1], b[1]), shape) for a, b in itertools.product(*spans)]


@pytest.mark.parametrize("rows", [1021, 1022, 1023, 1025])
def test_rows_that_do_not_divide_are_all_written_once(rows):
    whole = piece((0, 0), (rows, 4096), (rows, 4096))
    writes = assign_writers([[whole]] * 4)
    assert [len(each) for each in writes] == [1, 1, 1, 1]
    assert (covered([cut for each in writes for cut in each], whole.shape) == 1).all()


def draws() -> list[float]:
    """Draws of all kinds; Python's right after its state is set, for checks of types draw too."""
    return [np.random.rand(), np.random.randn(), float(torch.rand(()))]


def test_random_states_are_taken_up_where_they_were():
    random.gauss(0, 1), np.random.randn()  # both keep a second value for later
    states = RandomState(3)
    kept = states.state()
    assert all(name.startswith("00003.") for name in kept)
    python = random.getstate()
    expected = draws()
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    states.load_state(kept)
    assert draws() == expected
    kept["00003.python"] = torch.tensor(python[1])
    states.load_state(kept)
    found = random.getstate()
    assert found[0] == python[0] and found[2] == python[2]


def test_derived_states_differ_by_process_and_are_always_the_same():
    found = []
    for number in (0, 1, 0):
        RandomState(number).seed_from(torch.arange(8))
        found.append(draws())
    assert found[0] == found[2] != found[1]


def test_a_shared_weight_is_kept_once_and_buffers_are_kept():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    state = TensorState(model).state()
    assert "0.weight" in state and "2.weight" not in state
    assert state["1.num_batches_tracked"].dtype == torch.long
    assert state["0.weight"].data_ptr() == model[0].weight.data_ptr()
    TensorState(model).load_state({name: torch.ones_like(tensor) for name, tensor in state.items()})
    assert float(model[2].weight.detach().sum()) == 9.0 and int(model[1].num_batches_tracked) == 1


def test_named_tensors_are_a_part_too():
    weights = {"w": nn.Parameter(torch.zeros(2))}
    part = TensorState(weights)
    part.load_state({"w": torch.ones(2)})
    assert weights["w"].tolist() == [1.0, 1.0]
