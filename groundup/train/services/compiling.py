"""Compiling: whether a run's blocks are compiled, and whether that gives the right gradients.

A compiler may be wrong for one processor, dtype or shape and right for all others; what it does to
a gradient is then seen late or never. So before a run with a new machine, dtype or shape, two
layers of its shape, with its rows and its loss, go forward and back compiled and uncompiled. Where
loss or a gradient differs by more than rounding, attention by PyTorch's flash kernel is tried, and
then nothing is compiled. What was found is kept in the user's cache, so it is asked once.
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
    LossSum,
    RowShape,
    Way,
    chosen_ways,
    compile_folder,
    replay_ways,
    use_way,
)
from groundup.model import ModelConfig, Transformer, WithHead

from ..batches import Batch
from ..checkpoint.contract import DECIDES_BITS
from ..checkpoint.store import Resumed
from ..precision import Precision

TOLERANCE = {torch.float32: 1e-3}
"""Largest difference of a gradient, as a share of its norm; rounding alone is a hundredth of it.
Source: docs/train.md, figures of `benchmarks/compiled_gradients.py`."""
ROUNDED_TOLERANCE = 0.1
"""The same where products are rounded to 16 bits."""
FLOOR = 1e-3
"""Share of the whole gradient's norm below which a weight's own norm does not count."""
SETUPS = ("compiled", "flash", "uncompiled")
"""What is tried, in this order."""

Setup = Literal["compiled", "flash", "uncompiled"]


class CheckedRun(NamedTuple):
    """What of a run is compiled and checked."""

    loss: Callable[[Any, Batch], LossSum]
    batches: Sequence[Batch]
    """A micro-batch of each shape that the run has."""
    precision: Precision
    head: Callable[[ModelConfig], nn.Module] | None = None
    """What is trained beside the model."""


class Difference(NamedTuple):
    """By how much compiled gradients differ from uncompiled ones, where they differ most."""

    weight: str
    """Name of the weight, or `the loss`."""
    share: float
    """Of its norm; nan if the compiled one is not finite."""
    limit: float

    @property
    def is_rounding(self) -> bool:
        """Whether it is no larger than rounding explains."""
        return self.share <= self.limit


def compiling(model: Transformer, resumed: Resumed) -> bool:
    """Compile for training as the run that is resumed did; say so and return False if it cannot be.

    GROUNDUP_COMPILE=0 turns compiling off.
    """
    wanted = bool(device.compiler()) and bool(resumed.contract.get("compiled", True))
    if wanted and model.compile_blocks():
        record.say("Compiling: up to a minute for a new shape, some seconds for a known one …")
        return True
    record.say("Training runs uncompiled, slower but right: no C++ compiler, or it is turned off.")
    return False


def compile_as(body: Transformer, is_compiled: bool) -> None:
    """Let a model's blocks be compiled in training, or not."""
    body.is_compiled = is_compiled
    if body.encoder is not None:
        body.encoder.is_compiled = is_compiled


def check_compiled(body: Transformer, run: CheckedRun) -> bool:
    """Whether a compiled model stays compiled: only if its gradients are those of the uncompiled.

    Else attention or all of it is set to what agrees, and the reason is said.
    """
    if not body.is_compiled:
        return False
    place, key = kept_file(), _key(body, run)
    kept = _read(place)
    setup, reason = kept.get(key) or (None, "")
    if setup not in SETUPS:
        setup, reason = find_setup(body, run)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, _read(place) | {key: [setup, reason]})
        except OSError:
            pass  # an unwritable cache costs the check the next time, nothing more
    if setup == "flash":
        _use_flash(body.config, run)
    if setup == "uncompiled":
        compile_as(body, False)
    if reason:
        record.say(reason)
    return body.is_compiled


def kept_file() -> Path:
    """Where this machine's answers lie, by its contract, threads and compiler."""
    return device.cache_folder() / f"compiled-{compile_folder().name}.json"


def find_setup(body: Transformer, run: CheckedRun) -> tuple[Setup, str]:
    """The first setup whose gradients agree with uncompiled ones, and why it is not the first."""
    before, reason = chosen_ways(), ""
    try:
        for setup in ("compiled", "flash"):
            if setup == "flash":
                _use_flash(body.config, run)
            found = compare_gradients(body, run)
            if found.is_rounding:
                return setup, reason and f"{reason} Attention by the flash kernel agrees: used."
            if not reason:
                reason = (
                    f"Compiled gradients are wrong here: {found.weight} differs from the uncompiled"
                    f" one by {found.share:.2g} of its size, where rounding explains {found.limit}."
                )
        return "uncompiled", f"{reason} The run is not compiled: slower, but right."
    finally:
        replay_ways(before)


def compare_gradients(body: Transformer, run: CheckedRun) -> Difference:
    """The largest difference of loss and gradients, compiled and not, over a run's shapes.

    Two layers (or one of each pattern) with all weights drawn: a new model's zeros would hide
    errors. No random state moves.
    """
    config, worst = body.config, Difference("the loss", 0.0, _limit(run))
    layers = max(2, len(config.attention.patterns))
    few = {name: min(layers, getattr(config, name)) for name in ("layers", "encoder_layers")}
    with torch.random.fork_rng():
        probe = Transformer(config.model_copy(update=few), seed=0).to(body.head.device)
        _draw_over(probe)
        probe.train()
        probe.recompute_blocks(body.recompute)
        trained = probe if run.head is None else WithHead(probe, run.head(probe.config))
        trained.to(body.head.device)
        for batch in run.batches:
            plain = gradients_of(trained, probe, run, batch, False)
            compiled = gradients_of(trained, probe, run, batch, True)
            worst = max(worst, difference(plain, compiled, worst.limit), key=_size)
    return worst


def gradients_of(
    trained: nn.Module, body: Transformer, run: CheckedRun, batch: Batch, is_compiled: bool
) -> dict[str, Tensor]:
    """Gradients of a batch's mean loss by weight, and the loss."""
    compile_as(body, is_compiled)
    trained.zero_grad()
    with run.precision.autocast(batch.ids.device.type):
        found = run.loss(trained, batch)
    loss = found.total / found.weight.clamp(min=1)
    loss.backward()
    named = {name: weight.grad for name, weight in trained.named_parameters()}
    return {"the loss": loss.detach()} | {n: g for n, g in named.items() if g is not None}


def difference(
    plain: Mapping[str, Tensor], compiled: Mapping[str, Tensor], limit: float
) -> Difference:
    """The largest difference of named tensors, as a share of each one's norm.

    Where the plain ones are not finite there is nothing to compare with.
    """
    whole = math.hypot(*(float(tensor.norm()) for tensor in plain.values()))
    worst = Difference("the loss", 0.0, limit)
    for name, own in plain.items():
        apart = float((compiled[name].double() - own.double()).norm())
        share = apart / (float(own.norm()) + FLOOR * whole or 1.0)
        if math.isfinite(whole):
            worst = max(worst, Difference(name, share, limit), key=_size)
    return worst


def _size(found: Difference) -> float:
    return found.share if math.isfinite(found.share) else math.inf


def _limit(run: CheckedRun) -> float:
    return TOLERANCE.get(run.precision.dtype, ROUNDED_TOLERANCE)


@torch.no_grad()
def _draw_over(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        weight += 0.02 * drawn.to(weight.device)


def _use_flash(config: ModelConfig, run: CheckedRun) -> None:
    part, dtype = config.attention, str(run.precision.dtype).removeprefix("torch.")
    for batch in run.batches:
        for ids in filter(lambda each: each is not None, (batch.ids, batch.source)):
            length = 1 << (ids.shape[1] - 1).bit_length()  # type: ignore[union-attr]
            for is_packed in (False, True):
                sizes = part.heads, part.kv_heads, part.head_dim, length, is_packed, dtype
                use_way(RowShape(*sizes), Way("flash"))


def _read(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(body: Transformer, run: CheckedRun) -> str:
    shapes = [
        {name: list(each.shape) for name, each in batch._asdict().items()
         if isinstance(each, Tensor)}
        for batch in run.batches
    ]  # fmt: skip
    return device.short_digest(
        {"model": body.config.plain() | {"layers": min(2, body.config.layers)},
         "shapes": shapes, "dtype": str(run.precision.dtype), "recompute": body.recompute,
         "ways": chosen_ways(), "environment": {n: os.environ.get(n) for n in DECIDES_BITS},
         "loss": getattr(run.loss, "__name__", str(run.loss))}
    )  # fmt: skip
