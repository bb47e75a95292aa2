"""The loop: one generator serves pre-training, fine-tuning and all else with batches and a loss.

    for step in saving(logging(train(model, batches, loss, optimizer, rate, plan))):
        ...

Services (services.py) wrap the iterator, so no caller owns a body. The loss of a step is the sum
over its micro-batches divided once by the sum of their weights: however a batch is split, the
gradient is the same.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from groundup.core import DataError
from groundup.kernels import LossSum

from .batches import Batch, Batches
from .optim import Optimizer, Schedule

Loss = Callable[[Any, Batch], LossSum]
"""Takes the model, of whatever class the loss is for, and a micro-batch."""


class Plan(NamedTuple):
    """From where to where to train, and in what precision."""

    steps: int
    """Last step, exclusive."""
    start: int = 0
    """First step: the number of steps already done."""
    dtype: torch.dtype = torch.float32
    """What matrix products compute in; weights stay as they are."""


class Step(NamedTuple):
    """What one optimizer step did."""

    number: int
    """Counted from 0."""
    loss: float
    """Mean nats over the step's weight."""
    weight: float
    """Number of weighted targets."""
    tokens: int
    """Number of positions computed, padding included."""
    gradient_norm: float
    """Before clipping."""
    rate: float
    """Multiplier of the learning rates."""
    seconds: float


def train(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    optimizer: Optimizer,
    rate: Schedule,
    plan: Plan,
) -> Iterator[Step]:
    """Train and yield after each optimizer step.

    Raises DataError naming the step and the documents if a loss or gradient is not finite, the
    weights as they were before that step, and if a step has no target at all.
    """
    model.train()
    for number in range(plan.start, plan.steps):
        started = time.perf_counter()
        micro_batches = batches(number)
        weight = sum(float(batch.weights.sum(dtype=torch.float64)) for batch in micro_batches)
        if weight == 0:
            raise DataError(
                f"Step {number} has no target to learn from: in {sources(micro_batches)} nothing "
                "is to be told. All labels are masked, or the rows are too short for the objective "
                "to hide a token; give longer rows or more of them."
            )
        total = 0.0
        for batch in micro_batches:
            total += backward(model, batch, loss, weight, plan.dtype)
        norm = optimizer.step(rate(number)) if math.isfinite(total) else math.nan
        optimizer.zero_grad()
        if not math.isfinite(norm):
            raise DataError(
                f"The loss of step {number} is {total} and its gradient's norm {norm}; its "
                f"documents were {sources(micro_batches)}. Lower the learning rate, or read them."
            )
        tokens = sum(batch.ids.numel() for batch in micro_batches)
        seconds = time.perf_counter() - started
        yield Step(number, total, weight, tokens, norm, rate(number), seconds)


def backward(
    model: nn.Module, batch: Batch, loss: Loss, weight: float, dtype: torch.dtype
) -> float:
    """Add a micro-batch's share of the step's gradient; return its share of the mean loss."""
    device = batch.ids.device.type
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        found = loss(model, batch)
    share = found.total / weight
    share.backward()
    return float(share.detach())


def sources(micro_batches: Sequence[Batch]) -> str:
    """Name at most five documents of a step."""
    names = [name for batch in micro_batches for name in batch.names]
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 5} more" if len(unique) > 5 else ""
    return ", ".join(unique[:5]) + more if unique else "unnamed"
