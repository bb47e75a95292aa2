"""The training loop: one generator for pre-training, fine-tuning and anything with a loss.

    steps = train(model, batches, loss, optimizer, lr_schedule, options)
    for step in save_checkpoints(log_steps(steps, metrics), checkpoints):
        ...

It knows no logging, validation or saving: those are services, which wrap its iterator in the order
of `SERVICES` in pretrain/run.py.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from groundup.core import DataError
from groundup.kernels import LossSum

from .batches import BatchSource, MicroBatch
from .optim.optimizer import Optimizer
from .optim.schedule import LRSchedule
from .parallel.mesh import LOSS_DIMENSIONS, SINGLE_PROCESS, Mesh
from .precision import Precision

Loss = Callable[[Any, MicroBatch], LossSum]
"""(model, micro-batch) -> loss sum; the model's class is the loss's business."""

Gradients = Callable[[Sequence[MicroBatch], float], float]
"""(micro-batches, weight): accumulates the gradients of their losses divided by the weight, returns
this process's share of the mean loss. `accumulate_gradients` is the default; a pipeline is
another."""

Accept = Callable[[int, float, float], bool]
"""(step, loss, gradient norm): whether to apply the step; it may raise to stop. A non-finite step
that is rejected is skipped, one that is accepted is an error."""


class LoopOptions(NamedTuple):
    """First and last step, precision and processes of a training loop."""

    steps: int
    """Last step, exclusive."""
    start: int = 0
    """First step: the number of completed steps."""
    precision: Precision | None = None
    """Compute dtype of matrix products; None: float32. Weights keep their dtype."""
    mesh: Mesh = SINGLE_PROCESS
    """The processes that train together; each gets its own batches."""


class TrainStep(NamedTuple):
    """The result of one optimizer step."""

    number: int
    """Counted from 0."""
    loss: float
    """Mean nats per weighted target, over all processes."""
    weight: float
    """Sum of the target weights, over all processes."""
    tokens: int
    """Positions computed, padding included, over all processes."""
    grad_norm: float
    """Before clipping."""
    lr_multiplier: float
    """Multiplier of the learning rates."""
    seconds: float
    is_applied: bool = True
    """Whether the weights were updated: not if the gradient overflowed or was rejected."""


def train(
    model: nn.Module,
    batches: BatchSource,
    loss: Loss,
    optimizer: Optimizer,
    lr_schedule: LRSchedule,
    options: LoopOptions,
    *,
    gradients: Gradients | None = None,
    accept: Accept | None = None,
    after_update: Callable[[], None] | None = None,
) -> Iterator[TrainStep]:
    """Train and yield after each optimizer step.

    gradients     computes the gradients of a step; None: `accumulate_gradients`
    accept        whether to apply a step; None: always
    after_update  called after each update, to synchronise weights between processes

    Raises DataError naming the step and the documents if a loss or gradient is not finite (the
    weights are unchanged), and if a step has no target. In float16 a non-finite gradient is an
    overflow: the step is skipped and the loss scale lowered.
    """
    model.train()
    precision = options.precision or Precision()
    gradients = gradients or accumulate_gradients(model, loss, precision)
    for number in range(options.start, options.steps):
        started = time.perf_counter()
        micro_batches = batches(number)
        # The loss is a sum over all micro-batches and processes, divided once by the sum of their
        # weights: so the gradient does not depend on how a batch is split.
        weight = _global_target_count(number, micro_batches, options.mesh)
        total = options.mesh.sum(gradients(micro_batches, weight), LOSS_SUM_DIMENSIONS)
        norm = optimizer.clip_gradients(precision.scale, options.mesh)
        try:
            # Every process decides alike, since loss and norm are sums over all of them.
            is_applied = not _update_loss_scale(total, norm, precision)
            is_applied = is_applied and (accept is None or accept(number, total, norm))
            if is_applied:
                _require_finite_step(number, total, norm, micro_batches)
                optimizer.step(lr_schedule(number))
                if after_update is not None:
                    after_update()
        finally:  # also after an error: whoever catches it may train on from clean gradients
            optimizer.zero_grad()
        tokens = round(options.mesh.sum(sum(batch.ids.numel() for batch in micro_batches)))
        seconds = time.perf_counter() - started
        yield TrainStep(
            number, total, weight, tokens, norm, lr_schedule(number), seconds, is_applied
        )


def _global_target_count(number: int, micro_batches: Sequence[MicroBatch], mesh: Mesh) -> float:
    """Weight of a step's targets on all processes; DataError if there is none."""
    own = sum(float(batch.weights.sum(dtype=torch.float64)) for batch in micro_batches)
    weight = mesh.sum(own)
    if weight == 0:
        raise DataError(
            f"Step {number} has no target tokens in {_describe_documents(micro_batches)}: all "
            "labels are masked, or sequences too short for the objective; give longer or more "
            "sequences."
        )
    return weight


LOSS_SUM_DIMENSIONS = (*LOSS_DIMENSIONS, "pipeline")
"""Dimensions to sum the loss over; in a pipeline only the last process has one."""


def _update_loss_scale(loss: float, norm: float, precision: Precision) -> bool:
    """Whether the gradient of a finite loss overflowed in float16; updates the loss scale."""
    if math.isfinite(loss) and math.isfinite(norm):
        precision.record_finite_step()
    elif math.isfinite(loss) and precision.is_scaled:  # a loss that is not finite has another cause
        precision.record_overflow()
        return True
    return False


def _require_finite_step(
    number: int, loss: float, norm: float, micro_batches: Sequence[MicroBatch]
) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DataError(
            f"Step {number} has loss {loss} and gradient norm {norm}; its documents were "
            f"{_describe_documents(micro_batches)}. Lower the learning rate, or inspect them."
        )


def accumulate_gradients(model: nn.Module, loss: Loss, precision: Precision) -> Gradients:
    """Gradient accumulation: one micro-batch after the other."""

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        # Each backward pass frees its activations before the next micro-batch computes.
        return sum(backward(model, batch, loss, weight, precision) for batch in micro_batches)

    return gradients


def backward(
    model: nn.Module, batch: MicroBatch, loss: Loss, weight: float, precision: Precision
) -> float:
    """Add a micro-batch's share of the step's gradient; return its share of the mean loss."""
    with precision.autocast(batch.ids.device.type):
        loss_sum = loss(model, batch)
    share = loss_sum.total / weight
    (share * precision.scale).backward()
    return float(share.detach())


def _describe_documents(micro_batches: Sequence[MicroBatch]) -> str:
    names = [name for batch in micro_batches for name in batch.names]
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - 5} more" if len(unique) > 5 else ""
    return ", ".join(unique[:5]) + more if unique else "unnamed"
