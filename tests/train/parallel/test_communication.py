"""What a process sends is what the formula says, to the byte."""

from collections import Counter
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, distributed

from benchmarks.train.communication import (
    CommunicationCounter,
    StepWorkload,
    _collective_bytes,
    _local_shapes,
    _parameter_shapes,
    communication_volume,
)
from groundup.kernels import ExpertRouting
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    feedforward,
)
from groundup.train import Precision, RouterConfig, causal_loss, split_batch
from groundup.train.loop import Loss
from groundup.train.objectives.losses import add_router_losses
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.context import local_positions
from groundup.train.parallel.data import local_sequences
from groundup.train.parallel.expert import _all_to_all_rows, summing_function
from groundup.train.parallel.mesh import Mesh, open_mesh, parse_dimensions
from groundup.train.parallel.pipeline import ScheduleName
from tests.train.parallel.plans import ragged, shape, tiny
from tests.train.parallel.processes import run
from tests.train.parallel.shares import EXPERTS


class Case(NamedTuple):
    """A model on a mesh."""

    mesh: str
    zero: int = 3
    config: ModelConfig = shape()
    micro_batches: int = 2
    schedule: ScheduleName = "1f1b"
    dtype: torch.dtype = torch.float32

    def loss(self, mesh: Mesh) -> Loss:
        """Of next tokens, and of routers where there are experts."""
        experts = self.config.feedforward.experts
        if experts is None:
            return causal_loss
        return add_router_losses(
            causal_loss, RouterConfig(), experts.chosen, add=summing_function(mesh)
        )


GPT2 = shape(
    position=PositionConfig(kind="learned"), norm=NormConfig(kind="layer"),
    feedforward=FeedForwardConfig(width=24, bias=True, gated=False, activation="gelu_tanh"),
    attention=AttentionConfig(heads=2, kv_heads=2, head_dim=8, bias="all", qk_norm="none"),
)  # fmt: skip
UNTIED = shape(layers=3, tied_embeddings=False)
MIXTURE = shape(feedforward=EXPERTS)
TWO = [
    Case("data=2"), Case("shard=2", 1), Case("shard=2", 2), Case("shard=2", 3), Case("tensor=2"),
    Case("tensor=2", config=GPT2), Case("pipeline=2"), Case("pipeline=2", config=UNTIED),
    Case("pipeline=2", config=GPT2, schedule="gpipe"), Case("context=2"),
    Case("context=2", config=GPT2, micro_batches=1), Case("expert=2", config=MIXTURE),
    Case("data=2", config=MIXTURE), Case("context=2", dtype=torch.bfloat16),
    Case("expert=2", config=MIXTURE, dtype=torch.bfloat16),
    Case("pipeline=2", dtype=torch.bfloat16),
]  # fmt: skip
FOUR = [
    Case(mesh, zero, config=shape(layers=1))
    for mesh, zero in (
        ("data=2,shard=2", 1), ("data=2,shard=2", 3), ("data=2,tensor=2", 3),
        ("shard=2,tensor=2", 2), ("shard=2,tensor=2", 3), ("shard=4", 3), ("context=4", 3),
        ("data=2,context=2", 3), ("shard=2,context=2", 1), ("shard=2,context=2", 2),
        ("shard=2,context=2", 3), ("context=2,tensor=2", 3),
    )
] + [
    Case("pipeline=4", config=shape(layers=5)),
    Case("pipeline=4", config=shape(layers=4, tied_embeddings=False), schedule="gpipe"),
    Case("pipeline=2,data=2"), Case("pipeline=2,context=2", config=UNTIED),
    Case("expert=4", config=MIXTURE), Case("data=2,expert=2", config=MIXTURE),
    Case("expert=2,context=2", config=MIXTURE),
]  # fmt: skip


class Found(NamedTuple):
    """What a process sent."""

    place: int
    """In its pipeline."""
    is_counted: bool
    """Others along `tensor` have fewer rows of tables of an odd number of ids."""
    bytes: dict[str, float]


def counted(cases: list[Case]) -> list[Found]:
    """Bytes that this process sends for one step's gradients and weights, by collective."""
    feedforward.route_tokens = in_turn
    found = []
    for case in cases:
        mesh, precision = open_mesh(parse_dimensions(case.mesh), "cpu"), Precision(case.dtype)
        made = parallelise(
            tiny(case.config), case.loss(mesh), precision, mesh,
            zero=case.zero, schedule=case.schedule,
        )  # fmt: skip
        rows = local_sequences(
            ragged(0, length=16)._replace(source=None, source_documents=None), mesh
        )
        parts = split_batch(local_positions(rows, case.config, mesh), case.micro_batches)
        assert made.gradients is not None
        with CommunicationCounter() as count:
            made.gradients(parts, 100.0)
            made.synchronise()
        is_counted = mesh.rank_along("tensor") == 0
        found.append(Found(mesh.rank_along("pipeline"), is_counted, count.bytes))
    return found


def in_turn(logits: Tensor, chosen: int, **_: object) -> ExpertRouting:
    """Experts one after the other, whatever a router says: what even routing is."""
    experts = torch.arange(len(logits) * chosen).view(-1, chosen) % logits.shape[1]
    return ExpertRouting(experts, logits.softmax(-1).gather(1, experts))


@pytest.mark.parametrize(
    ("world", "cases"), [(2, TWO), pytest.param(4, FOUR, marks=pytest.mark.slow)]
)
def test_what_is_sent_is_what_the_formula_says(world: int, cases: list[Case]):
    for found in run(world, counted, cases):
        for case, (place, is_counted, bytes_sent) in zip(cases, found, strict=True):
            if is_counted:
                assert bytes_sent == formula(case, place), (case.mesh, case.zero, place)


def formula(case: Case, place: int) -> dict[str, float]:
    """Bytes by collective of the test's batch."""
    sizes = parse_dimensions(case.mesh)
    others = sizes.get("data", 1) * sizes.get("shard", 1) * sizes.get("expert", 1)
    compute = 2 if case.dtype == torch.bfloat16 else 4
    load = StepWorkload(
        8 // (others * case.micro_batches), 16, case.micro_batches, compute, pipeline_rank=place
    )
    found: Counter[str] = Counter()
    for one in communication_volume(case.config, sizes, load, zero=case.zero):
        found[one.collective] += one.bytes  # type: ignore[assignment]
    return dict(found)


def test_rings_send_twice_for_a_sum_that_all_get():
    assert (
        _collective_bytes("all-reduce", 2, 10)
        == 10
        == 2 * _collective_bytes("reduce-scatter", 2, 10)
    )
    assert _collective_bytes("send", 2, 10) == 10


def unequal() -> float:
    """Bytes that this process sends: the first one three rows away and five to itself."""
    to, back = ([5, 3], [5, 1]) if distributed.get_rank() == 0 else ([1, 2], [3, 2])
    group = distributed.group.WORLD
    assert group is not None
    with CommunicationCounter() as count:
        _all_to_all_rows(torch.zeros(sum(to), 10), to, back, group)
    return count.bytes["all-to-all"]


def test_rows_to_oneself_are_not_sent():
    assert run(2, unequal) == [3 * 10 * 4, 1 * 10 * 4]


def test_every_weight_has_one_owner_in_a_pipeline():
    for config in (shape(layers=5), UNTIED, GPT2):
        whole, sizes = _parameter_shapes(config), {"pipeline": 2}
        parts = [_local_shapes(config, sizes, place) for place in range(2)]
        assert parts[0] | parts[1] == whole and not parts[0].keys() & parts[1].keys()
