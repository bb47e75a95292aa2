"""Other sequences on every process give the step of one; ZeRO holds what its formula says."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.train.communication import (
    TrainingStateBytes,
    _local_storage_bytes,
    _parameter_shapes,
    _training_state_bytes,
)
from groundup.core import ConfigError
from groundup.kernels import LossSum
from groundup.train import (
    LoopOptions,
    MicroBatch,
    Optimizer,
    Precision,
    WeightAverage,
    split_batch,
    train,
)
from groundup.train.parallel.apply import check_mesh_supported, parallelise
from groundup.train.parallel.data import _copy_padded_rows, gradient_buckets, local_sequences
from groundup.train.parallel.mesh import SINGLE_PROCESS, RankOf
from tests.train.parallel.plans import Case, far, mesh_of, ragged, tiny, whole
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


STAGES = {0: "data=2", 1: "shard=2", 2: "shard=2", 3: "shard=2"}


def measured(case: Case, compute: torch.dtype) -> TrainingStateBytes:
    """The most that this process holds in a step."""
    mesh, weights, grads = mesh_of(case), [0], [0]

    def loss(model: nn.Module, batch: MicroBatch) -> LossSum:
        found = case.loss(model, batch)
        now = [*body.parameters(), *made.parameters.values()]
        weights.append(_local_storage_bytes(now))
        return found

    def noted(_: Any = None) -> None:
        grads.append(_local_storage_bytes(p.grad for p in body.parameters() if p.grad is not None))

    body = tiny(case.config)
    if case.zero < 2:
        for parameter in body.parameters():
            parameter.register_post_accumulate_grad_hook(noted)
    precision = Precision(compute)
    made = parallelise(body, loss, precision, mesh, zero=max(1, case.zero))
    optimizer = Optimizer(made.parameters.items(), case.optim)
    assert made.gradients is not None
    made.gradients([local_sequences(ragged(0), mesh)], 1.0)
    noted()
    states = [t for name, t in optimizer.state().items() if name != "steps"]
    size = sum(t.to_local().nbytes if hasattr(t, "to_local") else t.nbytes for t in states)
    return TrainingStateBytes(max(weights), max(grads), size)


def every_stage() -> list[TrainingStateBytes]:
    """Of each stage in float32, and of the second in bfloat16."""
    cases = [(zero, torch.float32) for zero in STAGES] + [(2, torch.bfloat16)]
    return [measured(Case(STAGES[zero], zero), compute) for zero, compute in cases]


def test_every_stage_holds_what_its_formula_says():
    shapes = _parameter_shapes(Case("").config)
    for rank, (*plain, half) in enumerate(run(2, every_stage)):
        for zero, found in enumerate(plain):
            assert found == _training_state_bytes(shapes, RankOf(rank, 2), zero), zero
        assert half == _training_state_bytes(shapes, RankOf(rank, 2), 2, compute_bytes=2)


def test_rows_are_spread_over_processes_and_the_last_padded():
    columns = torch.zeros(2, 4)
    _copy_padded_rows(torch.arange(6.0).view(3, 2), columns)
    assert columns.tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]


def test_a_stage_that_there_is_not_is_refused():
    try:
        check_mesh_supported(Case("").config, {}, 4)
    except ConfigError as error:
        assert "zero=4 is not a ZeRO stage" in str(error)
    else:
        raise AssertionError("stage 4 was taken")


def averaged(mesh_text: str) -> list[dict[str, Any]]:
    """Whole means of ten steps, and the weights of the model where they are in their place."""
    case = Case(mesh_text, 1)
    mesh, body, precision = mesh_of(case), tiny(case.config), Precision()
    made = parallelise(body, case.loss, precision, mesh, zero=1)
    optimizer = Optimizer(made.parameters.items(), case.optim)
    mean = WeightAverage(made.parameters.items(), 0.8)
    steps = train(
        made.model,
        lambda step: split_batch(local_sequences(ragged(step), mesh), 2),
        case.loss,
        optimizer,
        lambda step: 1.0,
        LoopOptions(10, 0, precision, mesh),
        gradients=made.gradients,
        after_update=made.synchronise,
    )
    for _ in steps:
        mean.update()
    last = {name: whole(weight) for name, weight in body.named_parameters()}
    with mean.swapped_in(made.model):
        made.synchronise()
        inside = {name: whole(weight) for name, weight in body.named_parameters()}
    made.synchronise()
    assert all((whole(weight) == last[name]).all() for name, weight in body.named_parameters())
    return [{name: whole(one) for name, one in mean.means.items()}, inside, last]


def test_the_mean_of_stage_one_is_that_of_one_process_and_every_process_computes_with_it():
    mean, inside, last = averaged("")
    assert far(mean, inside) == 0 and far(mean, last) > 1e-3
    for found in run(2, averaged, "shard=2"):
        assert far(found[0], mean) < 1e-5 and far(found[1], found[0]) == 0
        assert far(found[2], last) < 1e-5


def loaded() -> list[list[float]]:
    """Whole weights after each process gave its own rows a value, as a checkpoint does."""
    mesh, body = mesh_of(Case("shard=2")), tiny(Case("").config)
    made = parallelise(body, Case("").loss, Precision(), mesh, zero=1)
    with torch.no_grad():
        for parameter in made.parameters.values():
            parameter.copy_(torch.full_like(parameter, float(mesh.rank_along("shard"))))
    made.synchronise()
    return [body.norm.weight.tolist(), body.embed_tokens.weight[:, 0].tolist()]


def test_rows_that_were_loaded_reach_every_process():
    for norm, table in run(2, loaded):
        assert norm == [0.0] * 8 + [1.0] * 8 and table == [0.0] * 19 + [1.0] * 18
