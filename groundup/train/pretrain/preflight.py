"""Preflight checks: an impossible run is rejected before its model is built.

Text, schedule, optimizer, mesh and memory are checked from the settings alone. Memory is first
estimated by a formula; only near the limit is a step traced, which takes some seconds and tells
what would fit.
"""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import nn

from groundup.core import CapacityError, ConfigError, DataError, device, record
from groundup.model import ModelConfig, ModelWithHead, Transformer, from_depth
from groundup.tokenizer import TokenShards

from ..optim.optimizer import group_parameters, optimizer_state_bytes
from ..optim.schedule import make_lr_schedule
from ..parallel.apply import check_mesh_supported
from ..parallel.data import ZeroStage
from ..parallel.mesh import Mesh
from ..plan.stage import BATCH_CATEGORIES, PlanConfig, PlannedStep, largest_micro_batch
from ..plan.step import IMPORTS_BYTES, trace_step
from .config import PretrainConfig, RunOptions
from .phases import make_training_schedule

ESTIMATE_TRUSTED_SHARE = 0.5
"""Share of the memory below which the cheap estimate is trusted."""

MAX_TRACED_TOKENS = 2**14
"""Most tokens of a traced micro-batch; larger ones are extrapolated linearly."""


def preflight(
    config: PretrainConfig,
    shape: ModelConfig,
    train: TokenShards,
    held_out: TokenShards,
    mesh: Mesh,
    options: RunOptions,
) -> None:
    """Reject a run that cannot be trained.

    Raises ConfigError for settings, DataError for missing text, and CapacityError for a step that
    does not fit in memory, naming what would.
    """
    if not any(len(shard) for shard in held_out.shards):
        raise DataError(
            "The tokens have no validation split; make the corpus with a larger validation_share."
        )
    run = make_training_schedule(config, train)
    make_lr_schedule(config.optim, run.steps)
    with torch.device("meta"):
        model: nn.Module = Transformer(shape, seed=None)
        head = config.resolved_objective().head
        model = model if head is None else ModelWithHead(model, head(shape))
    group_parameters(dict(model.named_parameters()), config.optim)
    _check_micro_batches(config, [count // mesh.batch_rank[1] for count in run.sequence_counts()])
    _check_mesh(config, shape, mesh.sizes, options.zero)
    if not options.ignore_memory:
        problem = _memory_problem(config, shape, model, mesh, options.zero) if mesh.is_first else ""
        if problem := mesh.broadcast_text(problem):  # an error on every process
            raise CapacityError(problem)


def _check_micro_batches(config: PretrainConfig, row_counts: Sequence[int]) -> None:
    """Reject more micro-batches than sequences per step; warn if some steps have fewer."""
    count, most, fewest = config.micro_batches, max(row_counts), min(row_counts)
    if count > most:
        raise ConfigError(
            f"micro_batches={count} exceeds the {most} sequences per step and process; use at most "
            f"{most}, or a larger batch_tokens."
        )
    if count > fewest:
        record.log(
            f"Some steps have only {fewest} sequences per process and use {fewest} micro-batches "
            f"instead of micro_batches={count}."
        )


def _check_mesh(
    config: PretrainConfig, shape: ModelConfig, sizes: Mapping[str, int], zero: ZeroStage
) -> None:
    """Reject a mesh that does not divide the model, suggesting default shapes that it divides."""
    unsupported = sorted(set(sizes) - {"data", "shard"})
    for name in ("dropout", "label_smoothing", "z_loss"):
        if unsupported and getattr(config, name):
            raise ConfigError(
                f"{name} supports only the mesh dimensions data and shard, and this mesh has "
                f"{unsupported[0]}; omit one of them."
            )
    try:
        check_mesh_supported(shape, sizes, zero)
    except ConfigError as error:
        is_derived = config.preset is None and shape.layers == config.depth
        if "tensor" not in sizes or not is_derived:
            raise
        supports = partial(_supports_tensor_parallel, shape, sizes["tensor"])
        near = sorted(filter(supports, range(1, 65)), key=lambda depth: abs(depth - config.depth))
        fits = " or ".join(f"depth={depth}" for depth in sorted(near[:2])) or "another mesh"
        widths = range(shape.width, 64 * shape.width, 64)
        width = next((width for width in widths if supports(config.depth, width)), None)
        fits += f", or width={width} at this depth" if width else ""
        raise ConfigError(f"{str(error).removesuffix('.')}; of the default shapes it divides "
                          f"{fits}.") from None  # fmt: skip


def _supports_tensor_parallel(
    shape: ModelConfig, tensor: int, depth: int, width: int | None = None
) -> bool:
    other = from_depth(depth, shape.vocab_size, shape.context_length, width=width).config
    try:
        check_mesh_supported(other, {"tensor": tensor}, 3)
    except ConfigError:
        return False
    return True


def _memory_problem(
    config: PretrainConfig, shape: ModelConfig, model: nn.Module, mesh: Mesh, zero: ZeroStage
) -> str:
    """Why a step does not fit in memory and what would; empty if it fits."""
    settings = {name: getattr(config, name) for name in PretrainConfig.model_fields}
    sizes, room = dict(mesh.sizes), _available_bytes()
    settings |= {"zero": zero, "compiled": bool(device.compiler())}
    asked = PlanConfig(**settings)
    step = largest_micro_batch(asked, shape, sizes)
    if _estimate_step_bytes(step, shape, model) < ESTIMATE_TRUSTED_SHARE * room:
        return ""
    record.log("Tracing a step to see whether it fits in memory …")
    rows = step.rows or 1
    try:
        fixed, each = _fit_memory(step, shape, sizes)
        needed = round(fixed + each * rows)
        if needed <= room:
            return ""
        # With accumulation, the second micro-batch starts with gradients allocated.
        split = step.model_copy(update={"micro_batches": 2})
        fixed, each = _fit_memory(split, shape, sizes)
    finally:
        trace_step.close()  # its memory is the run's
    fitting = math.floor((room - fixed) / each)
    remedy = "not even one sequence fits: use a smaller model, recompute=all or a shorter context"
    if fitting >= 1:
        remedy = f"micro_batches={-(-rows * step.micro_batches // fitting)} fits"
    return (
        f"A step needs {record.format_bytes(needed)} of memory per process, of "
        f"{record.format_bytes(room)} available; {remedy}. `groundup plan` takes the same "
        "settings; --ignore-memory skips this check."
    )


def _fit_memory(step: PlanConfig, shape: ModelConfig, sizes: dict[str, int]) -> tuple[float, float]:
    """Bytes of a step as (fixed, per sequence), by tracing a small batch: a large one is slow."""
    rows = max(1, min(step.rows or 1, MAX_TRACED_TOKENS // (step.length or 1)))
    asked = PlannedStep(shape, step.model_copy(update={"rows": rows}), sizes, _device_type())
    parts = max(asked.ranks(), key=lambda parts: sum(parts.values()))
    imports = trace_step(shape, asked.work).imports if _device_type() == "cpu" else 0
    each = max(1.0, sum(parts.get(name, 0) for name in BATCH_CATEGORIES) / rows)
    return sum(parts.values()) + imports - each * rows, each


def _estimate_step_bytes(step: PlanConfig, shape: ModelConfig, model: nn.Module) -> int:
    """An upper estimate of a step's memory: nothing sharded, nothing recomputed."""
    weights = sum(weight.numel() for weight in model.parameters())
    part, tokens = shape.attention, (step.rows or 1) * (step.length or 1)
    numbers = 12 * shape.width + 6 * shape.feedforward.width + 6 * part.heads * part.head_dim
    scores = 2 * part.heads * (step.length or 1)
    layers = shape.layers + shape.encoder_layers
    held = 8 * weights + optimizer_state_bytes(model.named_parameters(), step.optim)
    return IMPORTS_BYTES + held + 4 * tokens * layers * (numbers + scores)


def _device_type() -> Literal["cpu", "cuda"]:
    return "cuda" if device.default_device().type == "cuda" else "cpu"


def _available_bytes() -> int:
    """Memory of the GPU, or this process's share of the machine's."""
    if _device_type() == "cuda":
        return torch.cuda.get_device_properties(device.default_device()).total_memory
    return device.total_memory_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
