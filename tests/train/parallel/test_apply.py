"""Steps on any mesh are those of one process, under the same names."""

import pytest

from groundup.model import ExpertsConfig, FeedForwardConfig
from tests.train.parallel.plans import Case, alone, apart, far, gradients, shape, trained
from tests.train.parallel.processes import run

TWO = [Case("data=2"), Case("shard=2", 1), Case("shard=2", 2), Case("shard=2", 3), Case("tensor=2")]
FOUR = [
    Case(mesh, zero, config=shape(layers=1), micro_batches=1)
    for mesh, zero in (
        ("data=4", 3), ("shard=4", 3), ("data=2,shard=2", 1), ("data=2,shard=2", 3),
        ("data=2,tensor=2", 3), ("shard=2,tensor=2", 3),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    ("world", "cases"), [(2, TWO), pytest.param(4, FOUR, marks=pytest.mark.slow)]
)
def test_steps_on_a_mesh_are_those_of_one_process(world: int, cases: list[Case]):
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


OTHERS = {
    "experts": shape(feedforward=FeedForwardConfig(width=24, experts=ExpertsConfig(count=4))),
    "encoder_decoder": shape(kind="encoder_decoder", encoder_layers=2),
}


def test_experts_and_encoder_decoders_divide_by_rows():
    cases = [
        Case(mesh, zero, config)
        for config in OTHERS.values()
        for mesh, zero in (("data=2", 3), ("shard=2", 1), ("shard=2", 2), ("shard=2", 3))
    ]
    for case, found in zip(cases, run(2, gradients, cases)[0], strict=True):
        (one,) = gradients([alone(case)])
        assert far(found, one) < 1e-6, (case.config.kind, case.mesh, case.zero)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["data=2", "shard=2", "tensor=2"])
def test_compiled_blocks_take_the_same_steps(mesh: str):
    case = Case(mesh, is_compiled=True)
    (one,) = trained([alone(case)._replace(is_compiled=False)], 4)
    assert apart(run(2, trained, [case], 4, seconds=300)[0][0], one) < 5e-5  # other rounding
