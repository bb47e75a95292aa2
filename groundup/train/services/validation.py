"""Validation: held-out text scored during a run."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn

from groundup.core import record

from ..batches import Batch
from ..loop import Loss, Step
from ..objectives.losses import causal
from ..precision import Precision

BITS = "validation bits per byte"


def validating(
    steps: Iterable[Step],
    evaluate: Callable[[], dict[str, float]],
    every: int,
    metrics: record.Metrics,
) -> Iterator[Step]:
    """Call `evaluate` after every so many steps and write what it finds."""
    for step in steps:
        if (step.number + 1) % every == 0:
            metrics.write(step=step.number, **evaluate())
        yield step


def scoring(
    model: nn.Module,
    batches: Sequence[Batch],
    precision: Precision,
    *,
    loss: Loss = causal,
    sizes: Int[Tensor, " V"] | None = None,
) -> Callable[[], dict[str, float]]:
    """A function for `validating`: mean nats a weighted target over held-out batches.

    sizes  bytes of text of each id; with them the nats are told as bits a byte too
    """
    place = batches[0].ids.device.type

    @torch.no_grad()
    def score() -> dict[str, float]:
        model.eval()
        with precision.autocast(place):
            parts = [loss(model, batch) for batch in batches]
        model.train()
        weight = sum(float(part.weight) for part in parts)
        nats = sum(float(part.total) for part in parts)
        found = {"validation": round(nats / weight, 5)}
        if sizes is None:
            return found
        told = sum(float((sizes[batch.targets] * batch.weights).sum()) for batch in batches)
        return found | {BITS: round(nats / math.log(2) / told, 5)}

    return score
