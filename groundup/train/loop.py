"""The loop: one generator serves pre-training, fine-tuning and all else with batches and a loss.

    for step in saving(logging(train(model, batches, loss, optimizer, rate, plan))):
        ...

Services (services/) wrap the iterator, so no caller owns a body. The loss of a step is the sum over
its micro-batches and processes divided once by the sum of their weights: however a batch is split,
the gradient is the same.
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
from .optim.optimizer import Optimizer
from .optim.schedule import Schedule
from .parallel.mesh import ALONE, SEES_OTHER_TARGETS, Mesh
from .precision import Precision

Loss = Callable[[Any, Batch], LossSum]
"""Takes the model, of whatever class the loss is for, and a micro-batch."""

Gradients = Callable[[Sequence[Batch], float], float]
"""Adds to the gradients those of micro-batches, their losses divided by a weight; returns this
process's share of the mean loss. A pipeline is one; `accumulation` is the plain one."""

Accept = Callable[[int, float, float], bool]
"""Whether a step is to be made, by its number, loss and gradient norm; it may raise to stop. A step
that is not finite is left out if it is not to be made, and an error if it is."""


class Plan(NamedTuple):
    """From where to where to train, and in what precision."""

    steps: int
    """Last step, exclusive."""
    start: int = 0
    """First step: the number of steps already done."""
    precision: Precision | None = None
    """What matrix products compute in; None: float32. Weights stay as they are."""
    mesh: Mesh = ALONE
    """The processes that train together; each is given its own batches."""


class Step(NamedTuple):
    """What one optimizer step did."""

    number: int
    """Counted from 0."""
    loss: float
    """Mean nats over the step's weight, of all processes."""
    weight: float
    """Number of weighted targets, of all processes."""
    tokens: int
    """Number of positions computed, padding included, of all processes."""
    gradient_norm: float
    """Before clipping."""
    rate: float
    """Multiplier of the learning rates."""
    seconds: float
    is_applied: bool = True
    """Whether the weights were moved; not if the gradient overflowed or was not accepted."""


def train(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    optimizer: Optimizer,
    rate: Schedule,
    plan: Plan,
    *,
    gradients: Gradients | None = None,
    accept: Accept | None = None,
    settle: Callable[[], None] | None = None,
) -> Iterator[Step]:
    """Train and yield after each optimizer step.

    gradients  how the gradients of a step are found; None: by `accumulation`
    accept     whether a step is made; None: always
    settle     called when the weights were moved: processes tell each other theirs

    Raises DataError naming the step and the documents if a loss or gradient is not finite, the
    weights as they were before that step, and if a step has no target at all. In float16 a gradient
    that is not finite is an overflow: the step is left out and the scale of the loss lowered.
    """
    model.train()
    precision = plan.precision or Precision()
    gradients = gradients or accumulation(model, loss, precision)
    for number in range(plan.start, plan.steps):
        started = time.perf_counter()
        micro_batches = batches(number)
        weight = weight_of(number, micro_batches, plan.mesh)
        total = plan.mesh.sum(gradients(micro_batches, weight), LOSS_IS_ADDED)
        norm = optimizer.clip(precision.scale, plan.mesh)
        try:
            is_applied = not has_overflowed(total, norm, precision)
            is_applied = is_applied and (accept is None or accept(number, total, norm))
            if is_applied:
                check_finite(number, total, norm, micro_batches)
                optimizer.step(rate(number))
                if settle is not None:
                    settle()
        finally:
            optimizer.zero_grad()
        tokens = round(plan.mesh.sum(sum(batch.ids.numel() for batch in micro_batches)))
        seconds = time.perf_counter() - started
        yield Step(number, total, weight, tokens, norm, rate(number), seconds, is_applied)


def weight_of(number: int, micro_batches: Sequence[Batch], mesh: Mesh) -> float:
    """Weight of a step's targets on all processes; DataError if there is none."""
    own = sum(float(batch.weights.sum(dtype=torch.float64)) for batch in micro_batches)
    weight = mesh.sum(own)
    if weight == 0:
        raise DataError(
            f"Step {number} has no target to learn from: in {sources(micro_batches)} nothing is to "
            "be told. All labels are masked, or the rows are too short for the objective to hide a "
            "token; give longer rows or more of them."
        )
    return weight


LOSS_IS_ADDED = (*SEES_OTHER_TARGETS, "pipeline")
"""Along a pipeline the last process has the loss, the others have none of it."""


def has_overflowed(loss: float, norm: float, precision: Precision) -> bool:
    """Whether the gradient of a finite loss overflowed in float16; the scale learns of it."""
    is_finite = math.isfinite(loss) and math.isfinite(norm)
    if is_finite:
        precision.went_well()
    elif math.isfinite(loss) and precision.is_scaled:
        precision.overflowed()
        return True
    return False


def check_finite(number: int, loss: float, norm: float, micro_batches: Sequence[Batch]) -> None:
    """Raise DataError naming the step and its documents if loss or gradient is not finite."""
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DataError(
            f"The loss of step {number} is {loss} and its gradient's norm {norm}; its documents "
            f"were {sources(micro_batches)}. Lower the learning rate, or read them."
        )


def accumulation(model: nn.Module, loss: Loss, precision: Precision) -> Gradients:
    """Gradients of one micro-batch after the other."""

    def gradients(micro_batches: Sequence[Batch], weight: float) -> float:
        return sum(backward(model, batch, loss, weight, precision) for batch in micro_batches)

    return gradients


def backward(
    model: nn.Module, batch: Batch, loss: Loss, weight: float, precision: Precision
) -> float:
    """Add a micro-batch's share of the step's gradient; return its share of the mean loss."""
    with precision.autocast(batch.ids.device.type):
        found = loss(model, batch)
    share = found.total / weight
    (share * precision.scale).backward()
    return float(share.detach())


def sources(micro_batches: Sequence[Batch]) -> str:
    """Name at most five documents of a step."""
    names = [name for batch in micro_batches for name in batch.names]
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 5} more" if len(unique) > 5 else ""
    return ", ".join(unique[:5]) + more if unique else "unnamed"
