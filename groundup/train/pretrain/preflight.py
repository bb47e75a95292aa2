"""Preflight: a run that cannot be made is refused before its model is.

Text, schedule, optimizer, mesh and memory are looked at with nothing but the settings. Memory is
estimated by sums that cost nothing; only where they come near to what there is, a step is traced,
which takes some seconds and says what would fit.
"""

import math
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn

from groundup.core import CapacityError, ConfigError, DataError, device, record
from groundup.model import ModelConfig, Transformer, WithHead, from_depth
from groundup.tokenizer import Reading

from ..optim.groups import groups
from ..optim.optimizer import state_bytes
from ..optim.schedule import schedule
from ..parallel.apply import check
from ..parallel.mesh import Mesh
from ..parallel.zero import Stage as ZeroStage
from ..plan.stage import BY_ROW, Asked, PlanConfig, step_of
from ..plan.step import IMPORTS_BYTES, Tracer
from .config import PretrainConfig
from .stretches import course

SAFE_SHARE = 0.5
"""Share of the memory below which the cheap estimate is believed."""


TRACED_TOKENS = 2**14
"""Of a micro-batch that is traced; what more take is a line over their rows."""


class Setup(NamedTuple):
    """On what a run is made."""

    mesh: Mesh
    zero: ZeroStage = 3
    ignores_memory: bool = False


def preflight(
    config: PretrainConfig, shape: ModelConfig, train: Reading, held_out: Reading, setup: Setup
) -> None:
    """Refuse what cannot be trained.

    Raises ConfigError for settings, DataError for text that is not there, and CapacityError for a
    step that has no room in memory, naming what would have.
    """
    if not any(len(shard) for shard in held_out.shards):
        raise DataError(
            "The tokens have no held-out text (split validation), by which the run is judged; make "
            "the corpus with a larger validation_share."
        )
    run = course(config, train)
    schedule(config.optim, run.steps)
    with torch.device("meta"):
        model: nn.Module = Transformer(shape, seed=None)
        head = config.wanted().head
        model = model if head is None else WithHead(model, head(shape))
    groups(dict(model.named_parameters()), config.optim)
    check_micro_batches(config, [count // setup.mesh.rows[1] for count in run.row_counts()])
    check_mesh(config, shape, setup)
    if not setup.ignores_memory:
        check_memory(config, shape, model, setup)


def check_micro_batches(config: PretrainConfig, row_counts: Sequence[int]) -> None:
    """Refuse more parts of a step than it ever has rows; say so if it has fewer at times."""
    parts, most, fewest = config.micro_batches, max(row_counts), min(row_counts)
    if parts > most:
        raise ConfigError(
            f"micro_batches={parts} cuts a step into more parts than the {most} rows that a process"
            f" computes of it; give {most} at most, or a larger batch_tokens."
        )
    if parts > fewest:
        record.say(
            f"Some steps have {fewest} rows a process, and are computed in so many parts in the "
            f"place of micro_batches={parts}."
        )


def check_mesh(config: PretrainConfig, shape: ModelConfig, setup: Setup) -> None:
    """Refuse a mesh that does not divide the model, naming shapes of ours that it divides."""
    sizes = setup.mesh.sizes
    apart = sorted(set(sizes) - {"data", "shard"})
    for name in ("dropout", "label_smoothing", "z_loss"):
        if apart and getattr(config, name):
            raise ConfigError(
                f"{name} trains on meshes of data and shard, and this one has {apart[0]}; leave "
                "one of them out."
            )
    try:
        check(shape, sizes, setup.zero)
    except ConfigError as error:
        is_ours = config.preset is None and shape.layers == config.depth
        if "tensor" not in sizes or not is_ours:
            raise
        fitting = [depth for depth in range(1, 65) if divides(depth, shape, sizes["tensor"])]
        near = sorted(sorted(fitting, key=lambda depth: abs(depth - config.depth))[:2])
        told = " or ".join(f"depth={depth}" for depth in near) or "another mesh"
        width = next((w for w in range(shape.width, 64 * shape.width, 64)
                      if divides(config.depth, shape, sizes["tensor"], w)), None)  # fmt: skip
        told += f", or width={width} at this depth" if width else ""
        raise ConfigError(f"{str(error).removesuffix('.')}; of the default shapes it divides "
                          f"{told}.") from None  # fmt: skip


def divides(depth: int, shape: ModelConfig, tensor: int, width: int | None = None) -> bool:
    """Whether matrices of a depth's shape divide among so many processes."""
    other = from_depth(depth, shape.vocab_size, shape.context_length, width=width).config
    try:
        check(other, {"tensor": tensor}, 3)
    except ConfigError:
        return False
    return True


def check_memory(
    config: PretrainConfig, shape: ModelConfig, model: nn.Module, setup: Setup
) -> None:
    """Refuse a step that has no room; every process hears what the first found."""
    found = memory_trouble(config, shape, model, setup) if setup.mesh.is_first else ""
    if found := setup.mesh.told(found):
        raise CapacityError(found)


def memory_trouble(
    config: PretrainConfig, shape: ModelConfig, model: nn.Module, setup: Setup
) -> str:
    """What is wrong with a step's memory, and what would do; empty if it fits."""
    settings = {name: getattr(config, name) for name in PretrainConfig.model_fields}
    sizes, room = dict(setup.mesh.sizes), room_bytes()
    settings |= {"zero": setup.zero, "compiled": bool(device.compiler())}
    asked = PlanConfig(**settings)
    step = step_of(asked, shape, sizes)
    if estimated_bytes(step, shape, model) < SAFE_SHARE * room:
        return ""
    record.say("Tracing a step, whether it fits this machine's memory …")
    rows = step.rows or 1
    with Tracer(shape) as tracer:
        line = line_of(step, shape, sizes, tracer)
        if line.total(rows) <= room:
            return ""
        # Of several parts, the second begins with gradients there.
        split = line_of(step.model_copy(update={"micro_batches": 2}), shape, sizes, tracer)
    fitting = math.floor((room - split.fixed) / split.each)
    remedy = "not even a row fits: a smaller model, recompute=all or a shorter context would"
    if fitting >= 1:
        remedy = f"micro_batches={-(-rows * step.micro_batches // fitting)} fits"
    return (
        f"A step needs {record.size(line.total(rows))} of memory in a process, and there are "
        f"{record.size(room)}; {remedy}. `groundup plan` takes the same settings; --ignore-memory "
        "starts all the same."
    )


class Line(NamedTuple):
    """Memory over the rows of a micro-batch, bytes."""

    fixed: float
    each: float

    def total(self, rows: int) -> int:
        """Of so many rows."""
        return round(self.fixed + self.each * rows)


def line_of(step: PlanConfig, shape: ModelConfig, sizes: dict[str, int], tracer: Tracer) -> Line:
    """The line through a trace of few rows: a trace of many takes long."""
    rows = max(1, min(step.rows or 1, TRACED_TOKENS // (step.length or 1)))
    asked = Asked(tracer, step.model_copy(update={"rows": rows}), sizes, device_kind())
    parts = max(asked.ranks(), key=lambda parts: sum(parts.values()))
    imports = tracer(asked.work).imports if device_kind() == "cpu" else 0
    each = max(1.0, sum(parts.get(name, 0) for name in BY_ROW) / rows)
    return Line(sum(parts.values()) + imports - each * rows, each)


def estimated_bytes(step: PlanConfig, shape: ModelConfig, model: nn.Module) -> int:
    """About what a step holds, rather too much: nothing is divided or computed again."""
    weights = sum(weight.numel() for weight in model.parameters())
    part, tokens = shape.attention, (step.rows or 1) * (step.length or 1)
    numbers = 12 * shape.width + 6 * shape.feedforward.width + 6 * part.heads * part.head_dim
    scores = 2 * part.heads * (step.length or 1)
    layers = shape.layers + shape.encoder_layers
    held = 8 * weights + state_bytes(model.named_parameters(), step.optim)
    return IMPORTS_BYTES + held + 4 * tokens * layers * (numbers + scores)


def device_kind() -> Literal["cpu", "cuda"]:
    """What the run computes on, as a plan names it."""
    return "cuda" if device.pick().type == "cuda" else "cpu"


def room_bytes() -> int:
    """Memory of the card, or this process's part of the machine's."""
    if device_kind() == "cuda":
        return torch.cuda.get_device_properties(device.pick()).total_memory
    return device.memory_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
