"""What a process sends is what the formula says, to the byte."""

from collections import Counter

import pytest

from groundup.model import AttentionConfig, FeedForwardConfig, NormConfig, PositionConfig
from groundup.train import Precision, split
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.data import own_rows
from groundup.train.parallel.traffic import Counted, Load, sent, traffic
from tests.train.parallel.plans import Case, mesh_of, ragged, shape, tiny
from tests.train.parallel.processes import run

GPT2 = shape(
    position=PositionConfig(kind="learned"), norm=NormConfig(kind="layer"),
    feedforward=FeedForwardConfig(width=24, bias=True, gated=False, activation="gelu_tanh"),
    attention=AttentionConfig(heads=2, kv_heads=2, head_dim=8, bias="all", qk_norm="none"),
)  # fmt: skip
TWO = [
    Case("data=2"), Case("shard=2", 1), Case("shard=2", 2), Case("shard=2", 3), Case("tensor=2"),
    Case("tensor=2", config=GPT2),
]  # fmt: skip
FOUR = [
    Case(mesh, zero, config=shape(layers=1))
    for mesh, zero in (
        ("data=2,shard=2", 1), ("data=2,shard=2", 3), ("data=2,tensor=2", 3),
        ("shard=2,tensor=2", 2), ("shard=2,tensor=2", 3), ("shard=4", 3),
    )
]  # fmt: skip


def counted(cases: list[Case]) -> list[dict[str, float]]:
    """Bytes that this process sends for one step's gradients and weights, by collective."""
    found = []
    for case in cases:
        mesh = mesh_of(case)
        made = parallelise(tiny(case.config), case.loss, Precision(), mesh, zero=case.zero)
        parts = split(own_rows(ragged(0), mesh), case.micro_batches)
        assert made.gradients is not None
        with Counted() as count:
            made.gradients(parts, 100.0)
            made.settle()
        found.append(count.bytes)
    return found


@pytest.mark.parametrize(("world", "cases"), [(2, TWO), (4, FOUR)])
def test_what_is_sent_is_what_the_formula_says(world: int, cases: list[Case]):
    for case, bytes_sent in zip(cases, run(world, counted, cases)[0], strict=True):
        assert bytes_sent == pytest.approx(formula(case)), (case.mesh, case.zero)


def formula(case: Case) -> dict[str, float]:
    """Bytes by collective of the test's batch."""
    sizes = {name: int(size) for name, _, size in (p.partition("=") for p in case.mesh.split(","))}
    rows = 8 // (sizes.get("data", 1) * sizes.get("shard", 1) * case.micro_batches)
    found: Counter[str] = Counter()
    for one in traffic(case.config, sizes, Load(rows, 12, case.micro_batches), zero=case.zero):
        found[one.collective] += one.bytes  # type: ignore[assignment]
    return dict(found)


def test_rings_send_twice_for_a_sum_that_all_get():
    assert sent("all-reduce", 2, 10) == 10 == 2 * sent("reduce-scatter", 2, 10)
    assert sent("send", 2, 10) == 10
