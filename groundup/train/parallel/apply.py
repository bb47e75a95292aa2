"""Parallelise a model on a mesh: what the loop trains on each process.

    tensor, context, expert   change the model in place
    pipeline                  keeps some layers on this process, and computes gradients itself
    data, shard               sum gradients over processes with other targets

Parameters keep the names of the single-process model, so checkpoints of all meshes share their
names. A parameter is a plain tensor where it is replicated, and a DTensor where it is sharded.
Along a pipeline a parameter has one owner; a process with a copy (the output's tied embedding)
refreshes it in `synchronise`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from groundup.core import ConfigError
from groundup.model import ModelConfig, ModelWithHead, Transformer

from ..batches import MicroBatch
from ..loop import Gradients, Loss, accumulate_gradients
from ..precision import Precision
from .context import apply_ring_attention, check_context
from .data import (
    ZeroOneRows,
    ZeroStage,
    apply_fully_shard,
    overlapped_gradients,
    shard_head,
    sum_gradients,
    summed_gradients,
)
from .expert import check_experts, shard_experts
from .mesh import Mesh
from .pipeline import ScheduleName, apply_pipeline, check_layers
from .tensor import apply_tensor_parallel
from .tensor import check_tensor_parallel as check_tensor


def _no_synchronisation() -> None:
    """No synchronisation needed: every process updates all weights it computes with."""


class ParallelModel(NamedTuple):
    """A parallelised model on one process."""

    model: nn.Module
    """Losses and validation call it as an unsharded model."""
    parameters: dict[str, nn.Parameter]
    """What the optimizer updates and a checkpoint saves, under the model's full names."""
    gradients: Gradients | None
    """How the loop computes gradients; None: by gradient accumulation."""
    synchronise: Callable[[], None] = _no_synchronisation
    """Called after parameters were updated or loaded, before the model computes."""
    loss: Loss | None = None
    """Validation loss where it differs from the given one; valid on every pipeline process."""
    names: tuple[str, ...] | None = None
    """All parameter names of the model, where this process has only some: the optimizer's rules by
    name need all.
    """


def parallelise(
    model: nn.Module,
    loss: Loss,
    precision: Precision,
    mesh: Mesh,
    *,
    zero: ZeroStage = 3,
    schedule: ScheduleName = "1f1b",
) -> ParallelModel:
    """Parallelise a model over a mesh; every process passes the same complete model.

    loss       of the model on a micro-batch, as for the loop
    precision  compute dtype; ZeRO stages 2 and 3 communicate weights in it
    zero       ZeRO stage along the dimension `shard`
    schedule   pipeline schedule

    Raises ConfigError for unsupported models and combinations.
    """
    check_mesh_supported(_transformer_of(model).config, mesh.sizes, zero)
    if "tensor" in mesh.dimensions:
        apply_tensor_parallel(_transformer_of(model), mesh.submesh("tensor"))
    if "context" in mesh.dimensions:
        apply_ring_attention(_transformer_of(model), mesh.submesh("context"))
    if "expert" in mesh.dimensions:
        shard_experts(_transformer_of(model), mesh.submesh("expert"))
    if "pipeline" in mesh.dimensions:
        return _parallelise_pipeline(model, loss, precision, mesh, schedule)
    accumulate = accumulate_gradients(model, loss, precision)
    if "shard" in mesh.dimensions and zero > 1:
        _apply_zero_2_or_3(model, mesh, precision, keeps_weights=zero == 2)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if "shard" in mesh.dimensions and zero == 1:
        return _apply_zero_1(model, accumulate, mesh)
    if set(mesh.dimensions) <= {"data", "context"} and mesh.dimensions:
        group = mesh.submesh(*mesh.dimensions).get_group()
        return ParallelModel(model, parameters, overlapped_gradients(model, loss, precision, group))
    return ParallelModel(
        model, parameters, summed_gradients(accumulate, list(parameters.values()), mesh)
    )


def _parallelise_pipeline(
    model: nn.Module, loss: Loss, precision: Precision, mesh: Mesh, schedule: ScheduleName
) -> ParallelModel:
    """A pipeline stage, with gradients summed over the processes with the same layers."""
    if not isinstance(model, Transformer):
        raise ConfigError("Mesh dimension pipeline does not support this objective's head; use "
                          "data or shard.")  # fmt: skip
    names = tuple(name for name, _ in model.named_parameters())
    stage = apply_pipeline(model, loss, precision, mesh, schedule=schedule)
    gradients = summed_gradients(stage.gradients, list(stage.parameters.values()), mesh)
    return ParallelModel(model, stage.parameters, gradients, stage.synchronise, stage.loss, names)


def _apply_zero_2_or_3(
    model: nn.Module, mesh: Mesh, precision: Precision, *, keeps_weights: bool
) -> None:
    """Shard a model's weights by ZeRO stage 2 or 3, replicated along `data`."""
    line = mesh.submesh("shard", "context")
    if "data" in mesh.dimensions:
        assert mesh.device_mesh is not None, "it has dimensions"
        line = mesh.device_mesh["data", "shard"]
    apply_fully_shard(_transformer_of(model), line, precision, keep_gathered=keeps_weights)
    if isinstance(model, ModelWithHead):
        shard_head(model.head, line)


def _apply_zero_1(model: nn.Module, accumulate: Gradients, mesh: Mesh) -> ParallelModel:
    """ZeRO stage 1: gradients are reduced to the owners of rows, updated rows are gathered."""
    parameters = dict(model.named_parameters())
    rows = ZeroOneRows(parameters, mesh.submesh("shard"))
    others = [name for name in mesh.dimensions if name != "shard"]

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        loss_share = accumulate(micro_batches, weight)
        sum_gradients(parameters.values(), mesh, others)
        rows.reduce_scatter_gradients()
        return loss_share

    return ParallelModel(model, rows.parameters, gradients, rows.all_gather_weights)


def _transformer_of(model: nn.Module) -> Transformer:
    body = model.model if isinstance(model, ModelWithHead) else model
    assert isinstance(body, Transformer), "training stages train Transformers"
    return body


def check_mesh_supported(config: ModelConfig, sizes: Mapping[str, int], zero: ZeroStage) -> None:
    """Raise ConfigError naming what a mesh does not divide, or dimensions that cannot be combined.

    sizes  processes along each dimension of the mesh, as from `parse`
    """
    if zero not in (1, 2, 3):
        raise ConfigError(f"zero={zero} is not a ZeRO stage; expected 1, 2 or 3.")
    if "tensor" in sizes:
        check_tensor(config, sizes["tensor"])
    dimensions = set(sizes)
    excluded = sorted(dimensions & {"shard", "expert", "tensor"})
    if "pipeline" in dimensions and excluded:
        raise ConfigError(f"Mesh dimension pipeline combines with data and context, not with "
                          f"{excluded[0]}; omit one of them.")  # fmt: skip
    if "expert" in dimensions and "shard" in dimensions:
        raise ConfigError("Mesh dimension expert combines with data and context, not with shard; "
                          "omit one of them.")  # fmt: skip
    if {"shard", "tensor"} <= dimensions and zero == 1:
        raise ConfigError("zero=1 needs replicated weights, and mesh dimension tensor shards them; "
                          "use zero=2 or 3.")  # fmt: skip
    if zero > 1 and {"data", "shard", "context"} <= dimensions:
        raise ConfigError("A mesh of data, shard and context has no ZeRO stage 2 or 3; omit data, "
                          "or use zero=1.")  # fmt: skip
    if "context" in dimensions:
        check_context(config)
    if "expert" in dimensions:
        check_experts(config, sizes["expert"])
    if "pipeline" in dimensions:
        check_layers(config, sizes["pipeline"])
