"""Saving: checkpoints now and then, and one before a polite stop."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from torch import nn

from groundup.core import record

from ..checkpoint.store import save
from ..loop import Step
from ..optim.optimizer import Optimizer


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a polite kill) after which the state was saved; the message says how to go on."""


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
