"""Applying a mesh: from a model and a loss to what the loop trains on these processes.

    tensor, context, expert   change the model in place
    pipeline                  leaves this process some of its layers, and computes gradients itself
    data, shard               sum gradients over processes that saw other targets

What comes out names every parameter as one process does, so that checkpoints of any mesh share
their names. A parameter is a plain tensor where this process holds all of it, and a DTensor where
it holds a share. Along a pipeline a parameter has one owner; who has a copy of it (the output's
tied embedding) refreshes it in `settle`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from ..loop import Gradients, Loss
from ..precision import Precision
from .mesh import Mesh


def nothing() -> None:
    """What there is to settle when every process has moved all that it computes with."""


class Parallel(NamedTuple):
    """What one process of a mesh trains."""

    model: nn.Module
    """Losses and validation call it as if it were whole."""
    parameters: dict[str, nn.Parameter]
    """What the optimizer moves and a checkpoint keeps, under the whole model's names."""
    gradients: Gradients | None
    """How the loop finds gradients; None: one micro-batch after the other."""
    settle: Callable[[], None] = nothing
    """To be called when parameters were moved or loaded, before the model computes."""


def parallelise(model: nn.Module, loss: Loss, precision: Precision, mesh: Mesh) -> Parallel:
    """Divide a model over the processes of a mesh."""
    return Parallel(model, dict(model.named_parameters()), None)
