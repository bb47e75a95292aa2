"""Memory plan: a training step's device memory, estimated before anything starts.

The step is traced on fake tensors (step.py) and divided by the mesh (sharding.py); the overhead of
libraries, imports and the allocator is added. `benchmarks/train/memory.py` compares the numbers
with measured peaks; see docs/reference/train/memory.md.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import ConfigError, device, record, write_json
from groundup.model import ModelConfig, describe, from_depth

from ..parallel.apply import check_mesh_supported
from ..parallel.mesh import BATCH_DIMENSIONS
from ..precision import resolve_precision
from ..pretrain.config import PretrainConfig
from .deepspeed import deepspeed_settings
from .sharding import MeshPosition, Zero, parse_mesh, process_memory
from .step import StepWork, trace_step

PROGRAM_OVERHEAD_BYTES = {("cpu", False): 75 * 2**20, ("cpu", True): 105 * 2**20,
                 ("cuda", False): 2**29, ("cuda", True): 2**29}  # fmt: skip
"""Overhead of a process by device and compilation, beyond torch's import: libraries in use,
temporary memory of operations, the compiler; on a GPU its context. On a CPU fitted to the shapes
that `benchmarks/train/memory.py` marks as fitted; for a GPU an allowance, not measured.
"""
SHARDING_OVERHEAD_BYTES = {"cpu": 48 * 2**20, "cuda": 0}
"""Further overhead of a process with sharded tensors (ZeRO 2 and 3, tensor, expert), in PyTorch.
Fitted on a CPU to one mesh, `shard=2` at depth 5.
"""
ALLOCATOR_OVERHEAD = {"cpu": 0.05, "cuda": 0.05}
"""Overhead of the allocator as a share of the tensors; fitted as above."""
VOCAB_SIZE = 8192
"""Vocabulary of a model without a tokenizer."""
MEASURED_RANGE = (0.94, 1.25)
"""Range of measured peaks relative to their plans; see docs/reference/train/memory.md."""
BATCH_CATEGORIES = ("activations", "loss", "working")
"""Categories that grow with the number of sequences."""
MAX_SEQUENCES = 2**16


class PlanConfig(PretrainConfig):
    """Training settings: a run's, as for `pretrain`, or a single micro-batch.

    With any setting of `pretrain` that a single step does not have, such as `batch_tokens`, the
    largest step of the run is planned; otherwise `rows` and `length` set the micro-batch.
    """

    rows: int | None = Field(default=None, ge=1, le=MAX_SEQUENCES)
    """Sequences per micro-batch and device; None: the run's, or 8 without a run."""
    length: int | None = Field(default=None, ge=1)  # pyright: ignore[reportIncompatibleVariableOverride]
    """Sequence length; None: the run's, or the model's context, at most 1,024."""
    compiled: bool = True
    """Whether blocks and loss are compiled."""
    zero: Zero = 3
    """ZeRO stage along the mesh dimension `shard`."""

    @property
    def is_run(self) -> bool:
        """Whether settings of a complete run are given."""
        return bool(self.model_fields_set & RUN_SETTINGS)


STEP_SETTINGS = {"rows", "compiled", "zero", "length", "micro_batches", "precision", "recompute",
            "optim"}  # fmt: skip
RUN_SETTINGS = PlanConfig.model_fields.keys() - STEP_SETTINGS
"""Settings of a run that a single step does not have."""


class MemorySaving(NamedTuple):
    """A change that makes a step smaller."""

    change: str
    """Settings, as the user writes them."""
    total_bytes: int
    costs: str


class MemoryPlan(NamedTuple):
    """A step's memory, and what could be changed."""

    model: str
    parameters: int
    work: str
    """Batch, length, precision and so on, in words."""
    device: str
    ranks: list[dict[str, int]]
    """Bytes by category of each pipeline stage; without a pipeline, of every process."""
    memory_bytes: int
    rows_that_fit: int
    """Largest micro-batch that fits, in sequences; 0 if none does."""
    ways: list[MemorySaving]
    """If it does not fit: changes that make it fit, cheapest first."""

    @property
    def total_bytes(self) -> int:
        """Memory of the largest process."""
        return max(sum(parts.values()) for parts in self.ranks)

    @property
    def fits(self) -> bool:
        """Whether every process fits."""
        return self.total_bytes <= self.memory_bytes

    def __str__(self) -> str:
        """A short table."""
        names = list(dict.fromkeys(name for parts in self.ranks for name in parts))
        heads = [f"stage {i}" for i in range(len(self.ranks))] if len(self.ranks) > 1 else []
        lines = [f"{self.model}, {self.parameters:,} weights, on {self.device}", self.work, ""]
        lines += [f"{'':<18}" + "".join(f"{head:>14}" for head in heads)] if heads else []
        for name in (*names, "in all"):
            sizes = (sum(p.values()) if name == "in all" else p.get(name, 0) for p in self.ranks)
            lines.append(f"{name:<18}" + "".join(f"{size / 2**20:>10,.0f} MiB" for size in sizes))
        share = self.total_bytes / self.memory_bytes
        lines += ["", f"It {'fits' if self.fits else 'does not fit'}: {share:.0%} of "
                  f"{self.memory_bytes / 2**30:,.3g} GiB."]  # fmt: skip
        low, high = (factor * self.total_bytes / 2**20 for factor in MEASURED_RANGE)
        lines.append(f"Measured peaks of such plans: {low:,.0f} to {high:,.0f} MiB.")
        if self.rows_that_fit:
            lines.append(f"The largest micro-batch that fits: {self.rows_that_fit:,} rows.")
        lines += [f"  {way.change:<36}{way.total_bytes / 2**30:>8,.2f} GiB   {way.costs}"
                  for way in self.ways]  # fmt: skip
        if not self.fits and (not self.ways or self.ways[-1].total_bytes > self.memory_bytes):
            lines.append("No change makes it fit; use a smaller model or more memory.")
        return "\n".join(lines)


def plan(
    config: PlanConfig,
    model: str = "",
    *,
    memory: str = "",
    devices: int | None = None,
    mesh: str = "",
    on: Literal["", "cpu", "cuda"] = "",
    deepspeed: Path | None = None,
) -> MemoryPlan:
    """Estimate a training step's memory on each device, by category, and what fits.

    Traces steps at three to five batch sizes; compiled ones take some seconds each.

    model    a model directory, a published shape such as gpt-2, or a depth; if omitted, the model
             of the run's settings
    memory   of each device, such as 24GB or 16GiB; default: this machine's
    devices  number of devices; None: as many as the mesh has, one without a mesh
    mesh     sizes by dimension, such as data=2,tensor=4, as for pre-training; default: ZeRO over
             all devices
    on       cpu or cuda; default: this machine's
    deepspeed  a file for the planned step as DeepSpeed's configuration; default: none

    Raises ConfigError for an unknown model, an inconsistent mesh, memory or number of devices, and
    for a step that DeepSpeed does not have.
    """
    place = on or ("cuda" if device.default_device().type == "cuda" else "cpu")
    sizes = parse_mesh(mesh, devices)
    shape = _model_config(model) if model else config.model_config_for(VOCAB_SIZE)
    room = _parse_memory_size(memory) if memory else device.total_memory_bytes()
    name = model or config.preset or f"depth {config.depth}"
    record.log(f"Tracing steps of {name}, some seconds for each number of rows …")
    is_run = config.is_run or not model
    step = (
        largest_micro_batch(config, shape, sizes) if is_run else _single_micro_batch(config, shape)
    )
    if deepspeed is not None:
        write_json(deepspeed, deepspeed_settings(_step_work(step, place), sizes, step.zero))
    return _plan_step(step, shape, sizes, place=place, room=room)._replace(model=name)


def _plan_step(
    config: PlanConfig,
    shape: ModelConfig,
    sizes: dict[str, int],
    *,
    place: Literal["cpu", "cuda"],
    room: int,
) -> MemoryPlan:
    check_mesh_supported(shape, sizes, config.zero)
    if (config.length or 0) > shape.context_length:
        raise ConfigError(
            f"length={config.length:,} exceeds the model's context_length={shape.context_length:,};"
            " use at most that."
        )
    asked = PlannedStep(shape, config, sizes, place)
    ranks, ledger = asked.ranks(), trace_step(shape, asked.work)
    imports = ledger.imports if place == "cpu" else 0
    fits = max(sum(parts.values()) for parts in ranks) + imports <= room
    ranks = [parts | ({"imports": imports} if imports else {}) for parts in ranks]
    changes = [] if fits else list(_memory_savings(asked, room - imports))
    changes = [way._replace(total_bytes=way.total_bytes + imports) for way in changes]
    return MemoryPlan(
        "", (ledger.inner + ledger.outer) // 4, asked.describe_step(), place,
        ranks, room, _max_sequences(asked, room - imports), changes,
    )  # fmt: skip


def _single_micro_batch(config: PlanConfig, shape: ModelConfig) -> PlanConfig:
    precision = config.precision if "precision" in config.model_fields_set else "bfloat16"
    return _with_micro_batch(
        config,
        config.rows or 8,
        config.length or min(shape.context_length, 1024),
        precision=precision,
    )


def largest_micro_batch(
    config: PlanConfig, shape: ModelConfig, sizes: Mapping[str, int]
) -> PlanConfig:
    """The run's micro-batch with the most tokens, or of those the longest."""
    length = config.length or PretrainConfig.model_fields["length"].default
    stages = config.model_copy(update={"length": length}).resolved_stages()
    processes = math.prod(sizes.get(name, 1) for name in BATCH_DIMENSIONS)
    shapes = []
    for stage in stages:
        own = max(1, config.batch_tokens // stage.length // processes)
        rows = -(-own // min(config.micro_batches, own))
        shapes.append((config.rows or rows, min(stage.length, shape.context_length)))
    rows, length = max(shapes, key=lambda shape: (shape[0] * shape[1], shape[1]))
    return _with_micro_batch(config, min(rows, MAX_SEQUENCES), length, precision=config.precision)


def _with_micro_batch(config: PlanConfig, rows: int, length: int, *, precision: str) -> PlanConfig:
    if precision == "auto":
        dtype = resolve_precision("auto", device.default_device()).dtype
        precision = str(dtype).removeprefix("torch.")
    return config.model_copy(update={"rows": rows, "length": length, "precision": precision})


def _step_work(config: PlanConfig, place: Literal["cpu", "cuda"]) -> StepWork:
    names = StepWork.model_fields.keys() - {"device"}
    return StepWork(**{name: getattr(config, name) for name in names}, device=place)


class PlannedStep(NamedTuple):
    """A step to plan."""

    model: ModelConfig
    config: PlanConfig
    sizes: dict[str, int]
    device: Literal["cpu", "cuda"]

    @property
    def work(self) -> StepWork:
        """What one process computes."""
        return _step_work(self.config, self.device)

    def ranks(self) -> list[dict[str, int]]:
        """Bytes by category of each pipeline stage."""
        ledger, config = trace_step(self.model, self.work), self.config
        compute = 4 if config.precision == "float32" else 2
        ranks = []
        for stage in range(self.sizes.get("pipeline", 1)):
            place = MeshPosition(self.sizes, config.zero, stage, config.micro_batches, compute)
            parts = process_memory(ledger, place)
            parts["program"] = PROGRAM_OVERHEAD_BYTES[self.device, config.compiled]
            if place.has_sharded_tensors:
                parts["program"] += SHARDING_OVERHEAD_BYTES[self.device]
            parts["allocator"] = round(ALLOCATOR_OVERHEAD[self.device] * sum(parts.values()))
            ranks.append(parts)
        return ranks

    def total_bytes(self) -> int:
        """Memory of the largest process."""
        return max(sum(parts.values()) for parts in self.ranks())

    def with_changes(self, changes: dict[str, object]) -> "PlannedStep":
        """The same step with changed settings."""
        return self._replace(config=self.config.model_copy(update=changes))

    def describe_step(self) -> str:
        """The step in words."""
        c = self.config
        mesh = ", ".join(f"{name}={size}" for name, size in self.sizes.items() if size > 1)
        zero = f" (ZeRO-{c.zero})" if self.sizes.get("shard", 1) > 1 else ""
        return (
            f"{c.micro_batches} x {c.rows} rows of {c.length:,} tokens, {c.precision}, "
            f"{'compiled' if c.compiled else 'not compiled'}, recompute={c.recompute}"
            + (f", {mesh}{zero}" if mesh else "")
        )


def _max_sequences(asked: PlannedStep, room: int) -> int:
    """Sequences of the largest micro-batch that fits; 0 if not even one does.

    Memory is nearly linear in the number of sequences. Each trace takes seconds, so the planned
    step, which is already traced, comes first, and its categories give the slope. Later guesses are
    on the line through the last two traces.
    """
    low, high = 0, MAX_SEQUENCES + 1
    rows, previous = asked.config.rows or 1, (0, 0.0)
    while high - low > 1:
        parts = max(
            asked.with_changes({"rows": rows}).ranks(), key=lambda parts: sum(parts.values())
        )
        total = sum(parts.values())
        low, high = (rows, high) if total <= room else (low, rows)
        rise = (
            total - previous[1]
            if previous[0]
            else sum(parts.get(name, 0) for name in BATCH_CATEGORIES)
        )
        previous, slope = (rows, total), max(1.0, rise / (rows - previous[0]))
        rows = min(high - 1, max(low + 1, rows + math.floor((room - total) / slope)))
    return low


def _memory_savings(asked: PlannedStep, room: int) -> Iterator[MemorySaving]:
    """Changes that make a step fit, cheapest first, each in addition to those before it.

    Skips changes that save nothing and meshes that pre-training rejects.
    """
    best = asked.total_bytes()
    for change in _candidate_changes(asked.config, asked.sizes):
        if change.sizes is not None and not _is_mesh_supported(asked.model, change.sizes):
            continue
        tried = asked._replace(sizes=change.sizes or asked.sizes).with_changes(change.settings)
        total = tried.total_bytes()
        if total < best:
            asked, best = tried, total
            yield MemorySaving(change.words, total, change.costs)
        if best <= room:
            return


def _is_mesh_supported(config: ModelConfig, sizes: dict[str, int]) -> bool:
    try:
        check_mesh_supported(config, sizes, 3)
    except ConfigError:
        return False
    return True


class SettingsChange(NamedTuple):
    """Settings that may make a step smaller."""

    settings: dict[str, object]
    words: str
    costs: str
    sizes: dict[str, int] | None = None
    """Sizes of the mesh, if they change."""


def _candidate_changes(c: PlanConfig, sizes: dict[str, int]) -> Iterator[SettingsChange]:
    if c.rows and c.rows > 1:
        parts = c.rows * c.micro_batches
        words = f"rows=1 micro_batches={parts}"
        yield SettingsChange(
            {"rows": 1, "micro_batches": parts}, words, "smaller products run slower"
        )
    sent = "half as much traffic again"
    if sizes.get("data", 1) > 1 and "shard" not in sizes:
        shared = {("shard" if name == "data" else name): size for name, size in sizes.items()}
        yield SettingsChange({"zero": 3}, "shard in the place of data, zero=3", sent, shared)
    elif sizes.get("shard", 1) > 1 and c.zero < 3:
        yield SettingsChange({"zero": 3}, "zero=3", sent)
    if c.precision == "float32":
        yield SettingsChange({"precision": "bfloat16"}, "precision=bfloat16", "rounded products")
    if c.recompute == "none":
        again = "scores and steps between products again"
        yield SettingsChange({"recompute": "selective"}, "recompute=selective", again)
    if c.recompute != "all":
        yield SettingsChange({"recompute": "all"}, "recompute=all", "a third more arithmetic")


SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|M|G|T)(i?)B", re.IGNORECASE)


def _parse_memory_size(text: str) -> int:
    """Parse a size: GB are 1000^3 bytes, GiB 1024^3.

    >>> _parse_memory_size("24GB"), _parse_memory_size("0.5 GiB")
    (24000000000, 536870912)
    """
    match = SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"memory={text!r} must be a size such as 24GB or 16GiB.")
    power = ("", "k", "m", "g", "t").index(match[2].lower())
    return round(float(match[1]) * (1024 if match[3] else 1000) ** power)


def _model_config(model: str) -> ModelConfig:
    if model.isdecimal() and not Path(model).is_dir():
        if int(model) < 1:
            raise ConfigError(f"model={model!r} must be a depth of at least 1.")
        return from_depth(int(model), VOCAB_SIZE, 2048).config
    return describe(Path(model)).config
