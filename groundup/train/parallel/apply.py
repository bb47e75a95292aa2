"""Applying a mesh: from a model and a loss to what the loop trains on these processes.

    tensor, context, expert   change the model in place
    pipeline                  leaves this process some of its layers, and computes gradients itself
    data, shard               sum gradients over processes that saw other targets

What comes out names every parameter as one process does, so that checkpoints of any mesh share
their names. A parameter is a plain tensor where this process holds all of it, and a DTensor where
it holds a share. Along a pipeline a parameter has one owner; who has a copy of it (the output's
tied embedding) refreshes it in `settle`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from groundup.core import ConfigError
from groundup.model import ModelConfig, Transformer, WithHead

from ..batches import Batch
from ..loop import Gradients, Loss, accumulation
from ..precision import Precision
from .context import check_context, spread_rows
from .data import overlapped, sum_gradients, summed
from .expert import check_experts, spread_experts
from .layers import check_layers
from .mesh import Mesh
from .pipeline import ScheduleName, pipelined
from .tensor import check as check_tensor
from .tensor import split_matrices
from .zero import OwnRows, Stage, shard, shard_head


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
    loss: Loss | None = None
    """For validation where the loss is not the one given; every process of a pipeline gets it."""
    names: tuple[str, ...] | None = None
    """Of the whole model's parameters, where this process has some of them: what an optimizer
    decides by names it decides by all of them."""


def parallelise(
    model: nn.Module,
    loss: Loss,
    precision: Precision,
    mesh: Mesh,
    *,
    zero: Stage = 3,
    schedule: ScheduleName = "1f1b",
) -> Parallel:
    """Divide a model over the processes of a mesh; every process holds the same whole one.

    loss       of the model on a micro-batch, as the loop is given it
    precision  of products; stages 2 and 3 send weights in it
    zero       stage along the dimension `shard`: what of weights, gradients and states is divided
    schedule   order of passes along the dimension `pipeline`

    Raises ConfigError for what cannot be divided so.
    """
    check(body_of(model).config, mesh.sizes, zero)
    if "tensor" in mesh.dimensions:
        split_matrices(body_of(model), mesh.line("tensor"))
    if "context" in mesh.dimensions:
        spread_rows(body_of(model), mesh.line("context"))
    if "expert" in mesh.dimensions:
        spread_experts(body_of(model), mesh.line("expert"))
    if "pipeline" in mesh.dimensions:
        return in_pipeline(model, loss, precision, mesh, schedule)
    accumulate = accumulation(model, loss, precision)
    if "shard" in mesh.dimensions and zero > 1:
        shard_all(model, mesh, precision, keeps_weights=zero == 2)
    parameters = dict(model.named_parameters())
    if "shard" in mesh.dimensions and zero == 1:
        return with_own_rows(model, accumulate, mesh)
    if set(mesh.dimensions) <= {"data", "context"} and mesh.dimensions:
        group = mesh.line(*mesh.dimensions).get_group()
        return Parallel(model, parameters, overlapped(model, loss, precision, group))
    return Parallel(model, parameters, summed(accumulate, list(parameters.values()), mesh))


def in_pipeline(
    model: nn.Module, loss: Loss, precision: Precision, mesh: Mesh, schedule: ScheduleName
) -> Parallel:
    """Some of the layers, their gradients summed over the processes that have the same ones."""
    if not isinstance(model, Transformer):
        raise ConfigError("Mesh dimension pipeline cuts a model, and this objective trains one "
                          "with a head; use data or shard.")  # fmt: skip
    names = tuple(name for name, _ in model.named_parameters())
    made = pipelined(model, loss, precision, mesh, schedule=schedule)
    gradients = summed(made.gradients, list(made.parameters.values()), mesh)
    return Parallel(model, made.parameters, gradients, made.settle, made.loss, names)


def shard_all(model: nn.Module, mesh: Mesh, precision: Precision, *, keeps_weights: bool) -> None:
    """Divide a model's weights by stage 2 or 3, whole along `data`."""
    line = mesh.line("shard", "context")
    if "data" in mesh.dimensions:
        assert mesh.grid is not None, "it has dimensions"
        line = mesh.grid["data", "shard"]
    shard(body_of(model), line, precision, keeps_weights=keeps_weights)
    if isinstance(model, WithHead):
        shard_head(model.head, line)


def with_own_rows(model: nn.Module, accumulate: Gradients, mesh: Mesh) -> Parallel:
    """Stage 1: gradients go to the owners of their rows, and moved rows to all."""
    whole = dict(model.named_parameters())
    rows = OwnRows(whole, mesh.line("shard"))
    others = [name for name in mesh.dimensions if name != "shard"]

    def gradients(micro_batches: Sequence[Batch], weight: float) -> float:
        found = accumulate(micro_batches, weight)
        sum_gradients(whole.values(), mesh, others)
        rows.scatter()
        return found

    return Parallel(model, rows.parameters, gradients, rows.gather)


def body_of(model: nn.Module) -> Transformer:
    """The model under a head, or the model itself."""
    body = model.model if isinstance(model, WithHead) else model
    assert isinstance(body, Transformer), "the stages of training train Transformers"
    return body


def check(config: ModelConfig, sizes: Mapping[str, int], zero: Stage) -> None:
    """Raise ConfigError naming what a mesh does not divide, or what it cannot be joined with.

    sizes  processes along each dimension that the mesh has, as `parse` gives them
    """
    if zero not in (1, 2, 3):
        raise ConfigError(f"zero={zero} is no stage of ZeRO; expected 1, 2 or 3.")
    if "tensor" in sizes:
        check_tensor(config, sizes["tensor"])
    dimensions = set(sizes)
    apart = sorted(dimensions & {"shard", "expert", "tensor"})
    if "pipeline" in dimensions and apart:
        raise ConfigError(f"Mesh dimension pipeline joins with data and context, not with "
                          f"{apart[0]}; leave one of them out.")  # fmt: skip
    if "expert" in dimensions and "shard" in dimensions:
        raise ConfigError("Mesh dimension expert joins with data and context, not with shard; "
                          "leave one of them out.")  # fmt: skip
    if {"shard", "tensor"} <= dimensions and zero == 1:
        raise ConfigError("zero=1 divides whole weights, and mesh dimension tensor leaves none "
                          "whole; use zero=2 or 3.")  # fmt: skip
    if zero > 1 and {"data", "shard", "context"} <= dimensions:
        raise ConfigError("A mesh of data, shard and context has no stage 2 or 3; leave data out, "
                          "or use zero=1.")  # fmt: skip
    if "context" in dimensions:
        check_context(config)
    if "expert" in dimensions:
        check_experts(config, sizes["expert"])
    if "pipeline" in dimensions:
        check_layers(config, sizes["pipeline"])
