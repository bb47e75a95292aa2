"""Saving: checkpoints at intervals, and one before a stop."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType

from groundup.core import RunStopped, record

from ..checkpoint.store import CheckpointConfig, Checkpoints
from ..loop import TrainStep

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or SIGTERM, SIGHUP) after which the state was saved."""


class SaveRequest(IntEnum):
    """What a process requests after a step; on a mesh the maximum over all processes is done."""

    NOTHING = 0
    SAVE = 1
    """The interval has passed; skipped while a save is still running."""
    SAVE_REQUIRED = 2
    """This step must be saved."""
    FAIL = 3
    """A save failed."""
    STOP = 4


def save_checkpoints(steps: Iterable[TrainStep], checkpoints: Checkpoints) -> Iterator[TrainStep]:
    """Save a checkpoint at intervals, and on a requested stop (Ctrl-C, SIGTERM, a closed terminal);
    then raise Interrupted. Also before a RunStopped: what the next step needs may come later.

    Raises CapacityError or ArtifactError at the step after a save failed.
    """
    saved, done = time.monotonic(), 0
    with _collecting_interrupts() as interrupts, checkpoints:
        try:
            for step in steps:
                yield step
                done = step.number + 1
                wish = _save_request(checkpoints.config, done, time.monotonic() - saved)
                wish = SaveRequest.FAIL if checkpoints.has_failed else wish
                wish = checkpoints.processes.max_over_processes(
                    SaveRequest.STOP if interrupts else wish
                )
                if wish == SaveRequest.FAIL:
                    checkpoints.wait()
                elif wish and checkpoints.save(done, wait=wish > SaveRequest.SAVE):
                    saved = time.monotonic()
                if wish == SaveRequest.STOP:
                    checkpoints.wait()
                    raise Interrupted(
                        f"Stopped after step {done}, saved; run the same command again to resume."
                    )
        except RunStopped:
            if done:
                checkpoints.save(done, wait=True)
            raise


def _save_request(config: CheckpointConfig, done: int, seconds: float) -> SaveRequest:
    """Whether to save after `done` steps, given the seconds since the last save.

    >>> _save_request(CheckpointConfig(every_seconds=None, every_steps=100), 200, 1.0).name
    'SAVE_REQUIRED'
    """
    if any(every and done % every == 0 for every in (config.every_steps, config.keep_every)):
        return SaveRequest.SAVE_REQUIRED
    is_due = config.every_seconds is not None and seconds >= config.every_seconds
    return SaveRequest.SAVE if is_due else SaveRequest.NOTHING


@contextmanager
def _collecting_interrupts() -> Iterator[list[int]]:
    """Collect stop signals instead of dying between two writes; a second one stops at once.

    A signal that is ignored stays so: `nohup` lets a run outlive its terminal. Outside the main
    thread signals cannot be caught; then nothing is collected.
    """
    noticed: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        if noticed:
            raise KeyboardInterrupt
        noticed.append(number)
        record.log("Stopping after this step; press Ctrl-C again to stop at once.")

    old = {}
    try:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                old[number] = signal.signal(number, notice)
    except ValueError:
        pass  # not the main thread
    try:
        yield noticed
    except Exception as error:
        # A terminal and torchrun signal the C++ compiler too, which then fails.
        if noticed and type(error).__name__ == "InductorError":
            raise KeyboardInterrupt(
                "Stopped during compilation; run the same command again to resume from the last "
                "checkpoint, or from the beginning if there is none yet."
            ) from error
        raise
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
