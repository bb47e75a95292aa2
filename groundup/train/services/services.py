"""Services: what happens around training steps, each an iterator over steps that wraps another."""

import math
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from jaxtyping import Int
from torch import Tensor, nn

from groundup.core import Draft, device, record
from groundup.model import Transformer

from ..batches import Batch
from ..checkpoint.store import Resumed, save
from ..loop import Loss, Step
from ..objectives.losses import causal
from ..optim.optimizer import Optimizer
from ..precision import Precision

METRICS = "metrics.jsonl"
BITS = "validation bits per byte"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a polite kill) after which the state was saved; the message says how to go on."""


def compiling(model: Transformer, resumed: Resumed) -> bool:
    """Compile for training as the run that is resumed did; say so and return False if it cannot be.

    GROUNDUP_COMPILE=0 turns compiling off.
    """
    wanted = bool(device.compiler()) and bool(resumed.contract.get("compiled", True))
    if wanted and model.compile_blocks():
        return True
    record.say("Training runs uncompiled, slower but right: no C++ compiler, or it is turned off.")
    return False


@contextmanager
def measured(draft: Draft, resumed: Resumed) -> Iterator[record.Metrics]:
    """Metrics of a run, those before the checkpoint kept; complete, they go into its log.

    Until then they lie beside the checkpoints, which outlive a kill.
    """
    path = draft.scratch / METRICS
    metrics = record.Metrics(path, lambda row: row["step"] < resumed.step)
    try:
        yield metrics
    finally:
        metrics.close()
    shutil.copyfile(path, draft.log / METRICS)


def logging(
    steps: Iterable[Step], metrics: record.Metrics, bar: record.Progress | None = None
) -> Iterator[Step]:
    """Write each step to the metrics file and move the progress bar by its tokens."""
    for step in steps:
        metrics.write(
            step=step.number,
            loss=round(step.loss, 6),
            gradient_norm=round(step.gradient_norm, 4),
            rate=round(step.rate, 6),
            tokens=step.tokens,
            tokens_per_second=round(step.tokens / step.seconds),
        )
        if bar is not None:
            bar.advance(step.tokens, loss=step.loss)
        yield step


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


def saving(
    steps: Iterable[Step],
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    every_seconds: float = 15.0,
) -> Iterator[Step]:
    """Save a checkpoint now and then, and on Ctrl-C; then raise Interrupted."""
    saved = time.monotonic()
    with noticing_interrupts() as interrupts:
        for step in steps:
            yield step
            if interrupts or time.monotonic() - saved >= every_seconds:
                save(folder, step.number + 1, model, optimizer)
                saved = time.monotonic()
            if interrupts:
                raise Interrupted(
                    f"Stopped after step {step.number + 1}, saved; "
                    "run the same command again to go on from there."
                )


@contextmanager
def noticing_interrupts() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying between two writes; a second one is not held.

    Outside the main thread signals cannot be caught; then nothing is collected.
    """
    noticed: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        if noticed:
            raise KeyboardInterrupt
        noticed.append(number)
        record.say("Stopping after this step; press Ctrl-C again to stop at once.")

    old = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.signal(number, notice)
    except ValueError:
        pass  # not the main thread
    try:
        yield noticed
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def summary(metrics: Path) -> dict[str, float]:
    """Figures of a whole run from its metrics: last losses, median speed."""
    rows = record.read_metrics(metrics)
    losses = [row["loss"] for row in rows if "loss" in row]
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    found = {"final loss": losses[-1]} if losses else {}
    if speeds:
        found["tokens per second"] = float(statistics.median(speeds))
    for name, told in (("validation", "validation loss"), (BITS, BITS)):
        held_out = [row[name] for row in rows if name in row]
        found |= {told: held_out[-1]} if held_out else {}
    return found
