"""Ten steps of a tiny model on a mesh, and on one process, to be compared."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.train import Batch, OptimConfig, Optimizer, Plan, Precision, causal, split, train
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.data import own_rows
from groundup.train.parallel.mesh import ALONE, Mesh, open_mesh, sizes_for

ADAMW = OptimConfig(matrices="adamw", learning_rate=1e-2, embedding_learning_rate=1e-2, epsilon=1e-6)


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


def ragged(step: int, rows: int = 8, length: int = 12) -> Batch:
    """Packed documents, masks with holes, a row with padding: the whole batch of a step."""
    generator = torch.Generator().manual_seed(100 + step)
    ids = torch.randint(37, (rows, length + 1), generator=generator)
    weights = (torch.rand(rows, length, generator=generator) < 0.6).float()
    weights[-1] = 0.0
    documents = torch.zeros(rows, length, dtype=torch.int32)
    documents[:, 7:] = 1
    documents[1, 10:], weights[1, 10:] = -1, 0.0
    names = tuple(f"row {row}" for row in range(rows))
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), weights, documents, names)


def trained(
    text: str, world: int, config: ModelConfig, micro_batches: int = 1, zero: int = 3,
    optim: OptimConfig = ADAMW, steps: int = 10,
) -> Run:  # fmt: skip
    """Train on a mesh over the processes there are."""
    mesh = open_mesh(sizes_for(text, world), "cpu") if world > 1 else ALONE
    return trained_on(mesh, config, micro_batches, zero, optim, steps)


def trained_on(
    mesh: Mesh, config: ModelConfig, micro_batches: int, zero: int, optim: OptimConfig, steps: int
) -> Run:
    """Train a tiny model for some steps."""
    precision = Precision()
    made = parallelise(tiny(config), causal, precision, mesh, zero=zero)
    optimizer = Optimizer(made.parameters.items(), optim)
    plan = Plan(steps, 0, precision, mesh)

    def batches(step: int) -> list[Batch]:
        return split(own_rows(ragged(step), mesh), micro_batches)

    done = list(
        train(
            made.model, batches, causal, optimizer, lambda step: 1.0, plan,
            gradients=made.gradients, settle=made.settle,
        )
    )  # fmt: skip
    weights = {name: whole(parameter) for name, parameter in made.parameters.items()}
    return Run([s.loss for s in done], [s.gradient_norm for s in done], weights)


def whole(tensor: Tensor) -> Any:
    """All of a tensor as an array; every process must ask."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).numpy().copy()


def gradients(text: str, world: int, config: ModelConfig, micro_batches: int, zero: int) -> Any:
    """The whole gradient of one step, by name."""
    mesh = open_mesh(sizes_for(text, world), "cpu") if world > 1 else ALONE
    made = parallelise(tiny(config), causal, Precision(), mesh, zero=zero)
    parts = split(own_rows(ragged(0), mesh), micro_batches)
    weight = mesh.sum(sum(float(part.weights.sum()) for part in parts))
    found = made.gradients or plain(made.model)
    found(parts, weight)
    return {name: whole(p.grad) for name, p in made.parameters.items() if p.grad is not None}


def plain(model: nn.Module) -> Any:
    """Gradients of one process."""
    from groundup.train.loop import accumulation

    return accumulation(model, causal, Precision())


def apart(one: Run, other: Run) -> float:
    """Largest difference of losses, norms and weights."""
    assert one.weights.keys() == other.weights.keys()
    numbers = [(one.losses, other.losses), (one.norms, other.norms)]
    numbers += [(one.weights[name], other.weights[name]) for name in one.weights]
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in numbers)
