"""Compilation of a run's blocks, a check that compiled gradients are right, and attention's kernel.

A compiler may be wrong for one processor, dtype or shape and right for all others, and a wrong
gradient is noticed late or never. So before a run with a new machine, dtype or shape, two layers of
its shape are run with its batches and loss, forward and backward, compiled and uncompiled. If loss
or a gradient differs by more than rounding, PyTorch's flash attention is tried, and then the run is
not compiled. The result is cached for the user, so the check runs once.
A trial of attention's backends costs some seconds once for a class of rows on a machine, so short
runs go by the rule of `kernels/attention.py` unless the figures are there already.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from groundup.core import device, record, write_json
from groundup.kernels import (
    AttentionBackend,
    AttentionShape,
    LossSum,
    autotuned_backend,
    chosen_backends,
    compile_cache_folder,
    restore_backends,
    set_backend,
)
from groundup.model import ModelConfig, ModelWithHead, Transformer, flops_per_token

from ..batches import MicroBatch
from ..checkpoint.contract import KERNEL_VARIABLES
from ..checkpoint.store import ResumePoint
from ..precision import Precision

GRADIENT_TOLERANCE = {torch.float32: 1e-3}
"""Largest difference of a gradient, relative to its norm; rounding alone is a hundredth of it.
Source: docs/reference/train.md, figures of `benchmarks/kernels/compiled_gradients.py`.
"""
ROUNDED_TOLERANCE = 0.1
"""The same for products in 16 bits."""
NORM_FLOOR_SHARE = 1e-3
"""Share of the total gradient norm added to a weight's own norm in the comparison."""
SETUPS = ("compiled", "flash", "uncompiled")
"""What is tried, in this order."""

Setup = Literal["compiled", "flash", "uncompiled"]


class CompilationCheck(NamedTuple):
    """What is compiled and checked."""

    loss: Callable[[Any, MicroBatch], LossSum]
    batches: Sequence[MicroBatch]
    """A micro-batch of each shape of the run."""
    precision: Precision
    head: Callable[[ModelConfig], nn.Module] | None = None
    """Builds the head that is trained with the model."""


class GradientDifference(NamedTuple):
    """The largest difference between compiled and uncompiled gradients."""

    weight: str
    """Name of the weight, or `the loss`."""
    relative: float
    """Relative to its norm; nan if the compiled one is not finite."""
    limit: float

    @property
    def is_rounding(self) -> bool:
        """Whether rounding explains it."""
        return self.relative <= self.limit


def enable_compilation(model: Transformer, resumed: ResumePoint) -> bool:
    """Compile for training as the resumed run did; log and return False if that is not possible.

    GROUNDUP_COMPILE=0 turns compilation off.
    """
    wanted = bool(device.compiler()) and bool(resumed.contract.get("compiled", True))
    if wanted and model.compile_blocks():
        record.log("Compiling: up to a minute for a new shape, some seconds for a known one …")
        return True
    why = "it began so, or has experts" if device.compiler() else device.missing_compiler()
    record.log(f"Training runs uncompiled, which is slower: {why}.")
    return False


def set_compiled(body: Transformer, is_compiled: bool) -> None:
    """Set whether a model's blocks run compiled."""
    body.is_compiled = is_compiled
    if body.encoder is not None:
        body.encoder.is_compiled = is_compiled


def keep_compiled_if_correct(body: Transformer, run: CompilationCheck) -> bool:
    """Whether a compiled model stays compiled: only if its gradients match the uncompiled ones.

    Otherwise switches attention or the model to what matches, and logs the reason.
    """
    if not body.is_compiled:
        return False
    path, key = _cache_file(), _key(body, run)
    cached = _read(path)
    setup, reason = cached.get(key) or (None, "")
    if setup not in SETUPS:
        setup, reason = _find_setup(body, run)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _read(path) | {key: [setup, reason]})
        except OSError:
            pass  # without a writable cache the check runs again next time
    if setup == "flash":
        _use_flash(body.config, run)
    if setup == "uncompiled":
        set_compiled(body, False)
    if reason:
        record.log(reason)
    return body.is_compiled


def _cache_file() -> Path:
    """Cache file of this machine's results, by its contract, threads and compiler."""
    return device.cache_folder() / f"compiled-{compile_cache_folder().name}.json"


def _find_setup(body: Transformer, run: CompilationCheck) -> tuple[Setup, str]:
    """The first setup with matching gradients, and why it is not the first one."""
    before, reason = chosen_backends(), ""
    try:
        for setup in ("compiled", "flash"):
            if setup == "flash":
                _use_flash(body.config, run)
            found = _compare_gradients(body, run)
            if found.is_rounding:
                return setup, reason and f"{reason} Flash attention agrees and is used."
            if not reason:
                reason = (
                    f"Compiled gradients are wrong here: {found.weight} differs from the uncompiled"
                    f" one by {found.relative:.2g} of its norm, where rounding explains "
                    f"{found.limit}."
                )
        return "uncompiled", f"{reason} The run is not compiled, which is slower."
    finally:
        restore_backends(before)


def _compare_gradients(body: Transformer, run: CompilationCheck) -> GradientDifference:
    """The largest difference of loss and gradients, compiled and not, over a run's shapes.

    Two layers (or one of each pattern), with all weights random: a new model's zeros would hide
    errors. Random states do not change.
    """
    config, worst = body.config, GradientDifference("the loss", 0.0, _limit(run))
    layers = max(2, len(config.attention.patterns))
    few = {name: min(layers, getattr(config, name)) for name in ("layers", "encoder_layers")}
    with torch.random.fork_rng():
        probe = Transformer(config.model_copy(update=few), seed=0).to(body.head.device)
        _draw_over(probe)
        probe.train()
        probe.recompute_blocks(body.recompute)
        trained = probe if run.head is None else ModelWithHead(probe, run.head(probe.config))
        trained.to(body.head.device)
        for batch in run.batches:
            plain = _gradients_of(trained, probe, run, batch, False)
            compiled = _gradients_of(trained, probe, run, batch, True)
            worst = max(worst, _largest_difference(plain, compiled, worst.limit), key=_size)
    return worst


def _gradients_of(
    trained: nn.Module,
    body: Transformer,
    run: CompilationCheck,
    batch: MicroBatch,
    is_compiled: bool,
) -> dict[str, Tensor]:
    set_compiled(body, is_compiled)
    trained.zero_grad()
    with run.precision.autocast(batch.ids.device.type):
        loss_sum = run.loss(trained, batch)
    loss = loss_sum.total / loss_sum.weight.clamp(min=1)
    loss.backward()
    named = {name: weight.grad for name, weight in trained.named_parameters()}
    return {"the loss": loss.detach()} | {n: g for n, g in named.items() if g is not None}


def _largest_difference(
    reference: Mapping[str, Tensor], compiled: Mapping[str, Tensor], limit: float
) -> GradientDifference:
    """The largest difference of named tensors, relative to each one's norm.

    Where the uncompiled ones are not finite, nothing is compared.
    """
    total = math.hypot(*(float(tensor.norm()) for tensor in reference.values()))
    worst = GradientDifference("the loss", 0.0, limit)
    for name, own in reference.items():
        distance = float((compiled[name].double() - own.double()).norm())
        share = distance / (float(own.norm()) + NORM_FLOOR_SHARE * total or 1.0)
        if math.isfinite(total):
            worst = max(worst, GradientDifference(name, share, limit), key=_size)
    return worst


def _size(found: GradientDifference) -> float:
    return found.relative if math.isfinite(found.relative) else math.inf


def _limit(run: CompilationCheck) -> float:
    return GRADIENT_TOLERANCE.get(run.precision.dtype, ROUNDED_TOLERANCE)


@torch.no_grad()
def _draw_over(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        weight += 0.02 * drawn.to(weight.device)


def _use_flash(config: ModelConfig, run: CompilationCheck) -> None:
    part, dtype = config.attention, str(run.precision.dtype).removeprefix("torch.")
    for batch in run.batches:
        for ids in filter(lambda each: each is not None, (batch.ids, batch.source)):
            length = 1 << (ids.shape[1] - 1).bit_length()  # type: ignore[union-attr]
            for is_packed in (False, True):
                sizes = part.heads, part.kv_heads, part.head_dim, length, is_packed, dtype
                set_backend(AttentionShape(*sizes), AttentionBackend("flash"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _key(body: Transformer, run: CompilationCheck) -> str:
    shapes = [
        {name: list(each.shape) for name, each in batch._asdict().items()
         if isinstance(each, Tensor)}
        for batch in run.batches
    ]  # fmt: skip
    return device.short_digest(
        {"model": body.config.to_dict() | {"layers": min(2, body.config.layers)},
         "shapes": shapes, "dtype": str(run.precision.dtype), "recompute": body.recompute,
         "ways": chosen_backends(), "environment": {n: os.environ.get(n) for n in KERNEL_VARIABLES},
         "loss": getattr(run.loss, "__name__", str(run.loss))}
    )  # fmt: skip


LONG_SECONDS = 600.0
"""Length of a run, at half the matrix peak, from which a trial of some ten seconds pays."""


def choose_attention(
    model: Transformer,
    lengths: Sequence[int],
    dtype: torch.dtype,
    *,
    tokens: int,
    contract: dict[str, list[str | int]] | None = None,
) -> dict[str, list[str | int]]:
    """Choose the ways of rows of these lengths; return them for the determinism contract.

    lengths   tokens of the rows that the run trains on
    tokens    how many the run trains on in all
    contract  what a run that is resumed had chosen; it is taken as it is

    On an accelerator there is nothing to choose.
    """
    if contract is not None:
        restore_backends(contract)
    elif model.head.device.type == "cpu":
        part, name = model.config.attention, str(dtype).removeprefix("torch.")
        for length in lengths:
            whole = 1 << (length - 1).bit_length()
            shape = AttentionShape(part.heads, part.kv_heads, part.head_dim, whole, True, name)
            is_worth = (
                model.is_compiled and _seconds_of(model, length, dtype, tokens) > LONG_SECONDS
            )
            way = autotuned_backend(shape, try_now=is_worth)
            if way is not None:
                set_backend(shape, way)
    return chosen_backends()


def _seconds_of(model: Transformer, length: int, dtype: torch.dtype, tokens: int) -> float:
    speeds = device.measure_speeds()
    peak = speeds.float32_flops if dtype == torch.float32 else speeds.bfloat16_flops
    return tokens * flops_per_token(model.config, length // 2 + 1).training / (0.5 * peak)
