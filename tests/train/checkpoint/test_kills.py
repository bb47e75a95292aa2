"""Killed within its saves again and again, a run keeps a whole checkpoint and goes on from it.

`benchmarks/train/kills.py` does it to whole training runs, at random moments.
"""

import contextlib
import multiprocessing
import time
from pathlib import Path

import torch

from groundup.train.checkpoint.files import (
    check_files,
    checkpoint_paths,
    open_checkpoint,
    step_of_path,
)
from tests.train.checkpoint.test_store import Run
from tests.train.parallel.processes import CONTEXT

PHASES = (0, 1, 2, 3, None, 1, 3)
"""Files of the half-written checkpoint at the kill; None: when it has just appeared."""


def test_killed_in_every_phase_of_a_save(tmp_path):
    process = CONTEXT.Process(target=kill_again_and_again, args=(tmp_path,))
    process.start()
    process.join(150)
    assert not process.is_alive() and process.exitcode == 0


def kill_again_and_again(folder: Path) -> None:
    """Fork a run, kill it in a phase, look at what is left: one start of Python for all."""
    torch.set_num_threads(1)
    for phase in PHASES:
        before = newest(folder)
        child = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(folder,))
        child.start()
        end = time.monotonic() + 60
        while not has_come(folder, before, phase):
            assert child.is_alive() and time.monotonic() < end, "no save came to this phase"
            time.sleep(0.0002)
        seen = newest(folder)
        child.kill()
        child.join()
        assert newest(folder) >= seen
        for place in checkpoint_paths(folder):
            check_files(open_checkpoint(place))
        run = Run(folder)
        step = run.checkpoints.resume().step
        assert step == newest(folder)
        assert {float(p.detach().mean()) for p in run.model.parameters()} == {float(step)}
        assert {path.name[:5] for path in folder.iterdir()} == {"step-"}


def save_for_ever(folder: Path) -> None:
    """A run whose weights are the number of its step."""
    run = Run(folder)
    step = run.checkpoints.resume().step
    while True:
        step += 1
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.fill_(float(step))
        run.checkpoints.save(step)


def newest(folder: Path) -> int:
    """Step of the newest checkpoint, or 0."""
    found = checkpoint_paths(folder)
    return step_of_path(found[-1]) if found else 0


def has_come(folder: Path, before: int, phase: int | None) -> bool:
    """Whether at least two checkpoints have appeared, and a save is in the phase."""
    if newest(folder) < before + 2:
        return False
    if phase is None:
        return True
    with contextlib.suppress(FileNotFoundError):  # it has just appeared
        return any(len(list(half.iterdir())) == phase for half in folder.glob(".partial-*"))
    return False
