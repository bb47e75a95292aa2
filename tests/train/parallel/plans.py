"""Some steps of a tiny model on a mesh, and on one process, to be compared."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    sequence_to_sequence_loss,
    split_batch,
    train,
)
from groundup.train.loop import Loss, accumulate_gradients
from groundup.train.parallel.apply import _transformer_of, parallelise
from groundup.train.parallel.data import call_blocks_through_hooks, local_sequences
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh

ADAMW = OptimConfig(
    matrix_optimizer="adamw", learning_rate=1e-2, embedding_learning_rate=1e-2, epsilon=1e-6
)


class Run(NamedTuple):
    """What a run is compared by."""

    losses: list[float]
    norms: list[float]
    weights: dict[str, Any]
    """Whole, as arrays."""


def shape(**changes: Any) -> ModelConfig:
    """Two layers, four heads on two, 37 ids."""
    sizes: dict[str, Any] = {
        "vocab_size": 37, "width": 16, "layers": 2, "context_length": 16,
        "attention": AttentionConfig(heads=4, kv_heads=2, head_dim=8, bias="all"),
        "feedforward": FeedForwardConfig(width=24, bias=True),
    }  # fmt: skip
    return ModelConfig(**(sizes | changes))


def tiny(config: ModelConfig, dtype: torch.dtype = torch.float32) -> Transformer:
    """A model whose every weight has a gradient: output projections start at zero otherwise."""
    model = Transformer(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype)


def ragged(step: int, rows: int = 8, length: int = 12) -> MicroBatch:
    """Packed documents, masks with holes, a row with padding: the whole batch of a step."""
    generator = torch.Generator().manual_seed(100 + step % 2)
    ids = torch.randint(37, (rows, length + 1), generator=generator)
    weights = (torch.rand(rows, length, generator=generator) < 0.6).float()
    weights[-1] = 0.0
    documents = torch.zeros(rows, length, dtype=torch.int32)
    documents[:, 7:] = 1
    documents[1, 10:], weights[1, 10:] = -1, 0.0
    names = tuple(f"row {row}" for row in range(rows))
    return MicroBatch(
        ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights, documents, names,
        source=ids.flip(1)[:, 1:].contiguous(), source_documents=documents,
    )  # fmt: skip


class Case(NamedTuple):
    """A model on a mesh."""

    mesh: str
    zero: int = 3
    config: ModelConfig = shape()
    micro_batches: int = 2
    optim: OptimConfig = ADAMW
    dtype: torch.dtype = torch.float32
    is_compiled: bool = False

    @property
    def loss(self) -> Loss:
        """What its kind of model is trained by."""
        return sequence_to_sequence_loss if self.config.kind == "encoder_decoder" else causal_loss


def alone(case: Case) -> Case:
    """The same model on one process."""
    return case._replace(mesh="")


def mesh_of(case: Case) -> Mesh:
    """The case's mesh over the processes that there are."""
    if not case.mesh:
        return SINGLE_PROCESS
    return open_mesh(mesh_sizes(case.mesh, distributed.get_world_size()), "cpu")


def trained(cases: Sequence[Case], steps: int = 3) -> list[Run]:
    """Train a tiny model for some steps on each mesh."""
    return [train_one(case, steps) for case in cases]


def train_one(case: Case, steps: int) -> Run:
    """One run; every process has its own rows and tells the same."""
    mesh, precision = mesh_of(case), Precision()
    made = parallelise(tiny(case.config, case.dtype), case.loss, precision, mesh, zero=case.zero)
    if case.is_compiled:
        os.environ["GROUNDUP_COMPILE"] = "1"
        assert _transformer_of(made.model).compile_blocks()
        call_blocks_through_hooks(_transformer_of(made.model))
    optimizer = Optimizer(made.parameters.items(), case.optim)
    plan = LoopOptions(steps, 0, precision, mesh)

    def batches(step: int) -> list[MicroBatch]:
        return split_batch(local_sequences(ragged(step), mesh), case.micro_batches)

    done = list(
        train(
            made.model, batches, case.loss, optimizer, lambda step: 1.0, plan,
            gradients=made.gradients, after_update=made.synchronise,
        )
    )  # fmt: skip
    weights = {name: whole(parameter) for name, parameter in made.parameters.items()}
    return Run([s.loss for s in done], [s.grad_norm for s in done], weights)


def gradients(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The whole gradient of one step on each mesh, by name."""
    found = []
    for case in cases:
        mesh = mesh_of(case)
        made = parallelise(
            tiny(case.config, case.dtype), case.loss, Precision(), mesh, zero=case.zero
        )
        parts = split_batch(local_sequences(ragged(0), mesh), case.micro_batches)
        weight = mesh.sum(sum(float(part.weights.sum()) for part in parts))
        (made.gradients or accumulate_gradients(made.model, case.loss, Precision()))(parts, weight)
        learnt = {n: p for n, p in made.parameters.items() if p.grad is not None}
        found.append({name: whole(p.grad) for name, p in learnt.items() if p.grad is not None})
    return found


def whole(tensor: Tensor) -> Any:
    """All of a tensor as an array; every process must ask."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).numpy().copy()


def apart(one: Run, other: Run) -> float:
    """Largest difference of losses, norms and weights."""
    assert one.weights.keys() == other.weights.keys()
    numbers = [(one.losses, other.losses), (one.norms, other.norms)]
    numbers += [(one.weights[name], other.weights[name]) for name in one.weights]
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in numbers)


def far(found: dict[str, Any], one: dict[str, Any]) -> float:
    """Largest difference of gradients of the same names."""
    assert found.keys() == one.keys()
    return max(float(np.abs(found[name] - one[name]).max()) for name in one)
