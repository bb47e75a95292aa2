"""Runs on meshes whose processes hold shares of layers, rows or experts, to be compared with one.

As in plans.py, but batches come as a stage makes them (rows, then positions of this process), and a
run tells the weights that this process owns.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import distributed

from groundup.model import (
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
)
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    RouterConfig,
    split_batch,
    train,
)
from groundup.train.loop import Loss
from groundup.train.objectives.losses import add_router_losses, causal_loss, masked_loss
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.context import local_positions
from groundup.train.parallel.data import local_sequences
from groundup.train.parallel.expert import summing_function
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh
from groundup.train.parallel.pipeline import ScheduleName
from tests.train.parallel.plans import ADAMW, Run, ragged, shape, tiny, whole
from tests.train.parallel.processes import run

EXPERTS = FeedForwardConfig(width=12, experts=ExpertsConfig(count=4, chosen=2))
RATES = {"learning_rate": 1e-3, "embedding_learning_rate": 1e-3}
SLOW = ADAMW.model_copy(update=RATES | {"epsilon": 1e-4})
"""At ten times the rate, or where AdamW makes whole steps of gradients that are nearly nothing,
rounding alone drives five layers apart by 1e-5 in ten steps: one process differs as much from
itself when it takes other micro-batches."""
TIED, UNTIED = shape(layers=5), shape(layers=4, tied_embeddings=False)


class Case(NamedTuple):
    """A model on a mesh."""

    mesh: str
    config: ModelConfig = TIED
    micro_batches: int = 2
    schedule: ScheduleName = "1f1b"
    steps: int = 2
    """The second sees what the first one changed; later ones do what it does."""
    length: int = 16
    optim: OptimConfig = SLOW
    precision: torch.dtype = torch.float32
    routers: bool = True
    """Whether routers have losses; these are of a micro-batch, however processes share it."""

    def loss(self, mesh: Mesh) -> Loss:
        """What its kind of model is trained by."""
        own = masked_loss if self.config.kind == "encoder" else causal_loss
        experts = self.config.feedforward.experts
        if experts is None or not self.routers:
            return own
        return add_router_losses(
            own, RouterConfig(balance=0.5, z=0.1), experts.chosen, add=summing_function(mesh)
        )


def batch_of(case: Case, step: int, mesh: Mesh) -> list[MicroBatch]:
    """This process's micro-batches of a step."""
    made = ragged(step, rows=8, length=case.length)._replace(source=None, source_documents=None)
    return split_batch(
        local_positions(local_sequences(made, mesh), case.config, mesh), case.micro_batches
    )


def train_one(case: Case, mesh: Mesh) -> Run:
    """One run: losses and norms of the whole mesh, weights of this process."""
    precision, loss = Precision(case.precision), case.loss(mesh)
    made = parallelise(tiny(case.config), loss, precision, mesh, schedule=case.schedule)
    optimizer = Optimizer(made.parameters.items(), case.optim, names=made.names)
    plan = LoopOptions(case.steps, 0, precision, mesh)
    done = list(
        train(
            made.model, lambda step: batch_of(case, step, mesh), loss, optimizer, lambda _: 1.0,
            plan, gradients=made.gradients, after_update=made.synchronise,
        )
    )  # fmt: skip
    weights = {name: whole(parameter) for name, parameter in made.parameters.items()}
    return Run([s.loss for s in done], [s.grad_norm for s in done], weights)


def train_all(cases: Sequence[Case]) -> list[Run]:
    """One run after the other, each on its mesh over the processes there are."""
    world = distributed.get_world_size()
    return [train_one(case, open_mesh(mesh_sizes(case.mesh, world), "cpu")) for case in cases]


def check_equal(world: int, cases: Sequence[Case], tolerance: float = 1e-5) -> None:
    """Fail unless every process's losses, norms and weights are those of one process."""
    found = run(world, train_all, cases, seconds=150.0)
    for place, case in enumerate(cases):
        wanted, names = train_one(case, SINGLE_PROCESS), set()
        for runs in found:
            mine = runs[place]
            names |= mine.weights.keys()
            far = [apart(mine.losses, wanted.losses), apart(mine.norms, wanted.norms)]
            far += [apart(mine.weights[name], wanted.weights[name]) for name in mine.weights]
            assert max(far) < tolerance, (case.mesh, far)
        assert names == wanted.weights.keys()


def apart(one: Any, other: Any) -> float:
    """Largest difference of two lists of numbers."""
    return float(np.abs(np.subtract(one, other)).max())
