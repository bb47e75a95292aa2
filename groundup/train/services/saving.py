"""Saving: checkpoints now and then, and one before a polite stop."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

from groundup.core import record

from ..checkpoint.store import CheckpointConfig, Checkpoints
from ..loop import Step

POLITE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a polite kill) after which the state was saved; the message says how to go on."""


class Wish(IntEnum):
    """What a process wants after a step; on a mesh the largest wish of all is done by all."""

    NOTHING = 0
    SAVE = 1
    """Time is up; a save that is still being written may end first."""
    SAVE_THIS = 2
    """This very step is to be kept."""
    FAIL = 3
    """A save failed."""
    STOP = 4


def saving(steps: Iterable[Step], checkpoints: Checkpoints) -> Iterator[Step]:
    """Save a checkpoint now and then, and on a polite stop (Ctrl-C, SIGTERM, a terminal that
    closes); then raise Interrupted.

    Raises CapacityError or ArtifactError at the step after a save failed.
    """
    saved = time.monotonic()
    with noticing_interrupts() as interrupts, checkpoints:
        for step in steps:
            yield step
            done = step.number + 1
            wish = wished(checkpoints.config, done, time.monotonic() - saved)
            wish = Wish.FAIL if checkpoints.has_failed else wish
            wish = checkpoints.processes.agree(Wish.STOP if interrupts else wish)
            if wish == Wish.FAIL:
                checkpoints.wait()
            elif wish and checkpoints.save(done, wait=wish > Wish.SAVE):
                saved = time.monotonic()
            if wish == Wish.STOP:
                checkpoints.wait()
                raise Interrupted(
                    f"Stopped after step {done}, saved; "
                    "run the same command again to go on from there."
                )


def wished(config: CheckpointConfig, done: int, seconds: float) -> Wish:
    """Whether to save after so many steps, so long after the last save.

    >>> wished(CheckpointConfig(every_seconds=None, every_steps=100), 200, 1.0).name
    'SAVE_THIS'
    """
    if any(every and done % every == 0 for every in (config.every_steps, config.keep_every)):
        return Wish.SAVE_THIS
    is_due = config.every_seconds is not None and seconds >= config.every_seconds
    return Wish.SAVE if is_due else Wish.NOTHING


@contextmanager
def noticing_interrupts() -> Iterator[list[int]]:
    """Collect polite signals instead of dying between two writes; a second one is not held.

    One that is ignored stays so: `nohup` lets a run outlive its terminal. Outside the main thread
    signals cannot be caught; then nothing is collected.
    """
    noticed: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        if noticed:
            raise KeyboardInterrupt
        noticed.append(number)
        record.say("Stopping after this step; press Ctrl-C again to stop at once.")

    old = {}
    try:
        for number in POLITE:
            if signal.getsignal(number) != signal.SIG_IGN:
                old[number] = signal.signal(number, notice)
    except ValueError:
        pass  # not the main thread
    try:
        yield noticed
    except Exception as error:
        # A terminal and torchrun send the signal to the C++ compiler too, which then fails.
        if noticed and type(error).__name__ == "InductorError":
            raise KeyboardInterrupt(
                "Stopped while a step was compiled; run the same command again to go on from the "
                "last checkpoint, or from the beginning if there is none yet."
            ) from error
        raise
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
