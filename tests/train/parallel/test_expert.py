"""Experts spread over processes train as all of them on one process do."""

import numpy as np
import pytest
import torch
from torch import distributed
from torch.distributed.tensor import DTensor, Shard
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.kernels import ExpertWeights, reference_experts, route_tokens
from groundup.model import ExpertsConfig, FeedForwardConfig, balance_loss, z_loss
from groundup.train.parallel.expert import _dispatch_to_experts, check_experts, summing_function
from groundup.train.parallel.mesh import mesh_sizes, open_mesh
from tests.train.parallel.plans import shape
from tests.train.parallel.processes import run
from tests.train.parallel.shares import EXPERTS, Case, check_equal, train_one

MIXTURE = shape(feedforward=EXPERTS)
UNGATED = shape(
    feedforward=FeedForwardConfig(
        width=12, gated=False, activation="relu", experts=ExpertsConfig(count=8, chosen=1)
    )
)
PLANS = {
    2: [Case("expert=2", MIXTURE, 1), Case("expert=2", UNGATED, 1)],
    4: [
        Case("expert=4", MIXTURE, 1),
        Case("data=2,expert=2", MIXTURE, 1),
        Case("expert=2,context=2", MIXTURE, 1),
    ],
}


@pytest.mark.parametrize("world", PLANS)
def test_steps_of_spread_experts_are_those_of_one_process(world: int):
    check_equal(world, PLANS[world])


def tokens_and_weights(chosen: int = 2) -> tuple[torch.Tensor, torch.Tensor, ExpertWeights]:
    """Twelve tokens, their router's logits, and four gated experts, in float64."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    return drawn(12, 6), drawn(12, 4), ExpertWeights(drawn(4, 5, 6), drawn(4, 6, 5), drawn(4, 5, 6))


def logits_of(kind: str) -> torch.Tensor:
    """Router logits: as drawn, all to the last expert, or such that one process has no token."""
    logits = tokens_and_weights()[1]
    if kind == "one expert":
        logits[:, 3] += 100
    return logits


def shares(kind: str, world: int) -> list[int]:
    """Tokens of each process."""
    if kind == "idle":
        return [0, *[12 // (world - 1)] * (world - 1)]
    return [12 // world] * world


def travelled(kinds: list[str]) -> dict[str, list]:
    """Output, and gradients of this process's tokens and experts, of each kind."""
    world, rank = distributed.get_world_size(), distributed.get_rank()
    line = open_mesh(mesh_sizes(f"expert={world}", world), "cpu").submesh("expert")
    found = {}
    for kind in kinds:
        given, _, whole = tokens_and_weights()
        hidden = given.split(shares(kind, world))[rank].clone().requires_grad_()
        own = [w.chunk(world)[rank].clone().requires_grad_() for w in whole if w is not None]
        divided = ExpertWeights(*(DTensor.from_local(w, line, [Shard(0)]) for w in own))
        chosen = 1 if kind == "one expert" else 2
        choice = route_tokens(
            logits_of(kind).split(shares(kind, world))[rank], chosen, normalised=True
        )
        out = _dispatch_to_experts(hidden, divided, choice, F.silu, line=line)
        out.square().sum().backward()
        made = [torch.zeros_like(w) if w.grad is None else w.grad for w in own]
        assert hidden.grad is not None
        found[kind] = [x.detach().numpy() for x in (out, hidden.grad, *made)]
    return found


KINDS = ["as drawn", "one expert", "idle"]


@pytest.mark.parametrize("world", [2, 4])
def test_tokens_find_their_experts_wherever_they_are_and_gradients_find_home(world: int):
    parts = run(world, travelled, KINDS)
    for kind in KINDS:
        found = [np.concatenate(each) for each in zip(*(part[kind] for part in parts), strict=True)]
        hidden, _, weights = tokens_and_weights()
        leaves = [hidden, *(w for w in weights if w is not None)]
        for leaf in leaves:
            leaf.requires_grad_()
        chosen = 1 if kind == "one expert" else 2
        choice = route_tokens(logits_of(kind), chosen, normalised=True)
        out = reference_experts(hidden, weights, choice, F.silu)
        out.square().sum().backward()
        wanted = [out, *(leaf.grad for leaf in leaves)]
        for mine, theirs in zip(found, wanted, strict=True):
            assert theirs is not None
            np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def statistics() -> list:
    """The routers' losses of this process's tokens together with the others', and gradients."""
    world, rank = distributed.get_world_size(), distributed.get_rank()
    add = summing_function(open_mesh(mesh_sizes(f"expert={world}", world), "cpu"))
    logits = tokens_and_weights()[1].split([9, 3])[rank].clone().requires_grad_()
    is_real = torch.arange(12).split([9, 3])[rank] != 10
    total = balance_loss(logits, 2, is_real, add) + z_loss(logits, is_real, add)
    (total * (0.75 if rank == 0 else 0.25)).backward()
    assert logits.grad is not None
    return [total.detach().numpy(), logits.grad.numpy()]


def test_balance_is_of_all_processes_tokens():
    found = run(2, statistics)
    logits = tokens_and_weights()[1].requires_grad_()
    is_real = torch.arange(12) != 10
    total = balance_loss(logits, 2, is_real) + z_loss(logits, is_real)
    total.backward()
    assert logits.grad is not None
    for place, part in enumerate(logits.grad.split([9, 3])):
        np.testing.assert_allclose(found[place][0], total.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(found[place][1], part.numpy(), rtol=1e-10, atol=1e-14)


def with_capacity() -> list[float]:
    """Losses of a model whose experts serve few tokens."""
    factor = ExpertsConfig(count=4, chosen=2, capacity_factor=0.75)
    config = shape(feedforward=FeedForwardConfig(width=12, experts=factor))
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    mesh = open_mesh(mesh_sizes(f"expert={world}", world), "cpu")
    case = Case("", config, 2 // world, steps=3)
    return train_one(case._replace(routers=False), mesh).losses


def test_capacity_is_counted_as_of_a_micro_batch_of_each_process():
    wanted = with_capacity()
    for found in run(2, with_capacity):
        assert found == pytest.approx(wanted, abs=1e-6)


def test_experts_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="count=4 does not divide.*expert=3"):
        check_experts(MIXTURE, 3)
    with pytest.raises(ConfigError, match="this model is dense; use data"):
        check_experts(shape(), 2)
