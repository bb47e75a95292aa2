"""Rewinding: return to a checkpoint before a spike, and continue without the batches around it.

    guard = SpikeDetector(SpikeConfig(policy="rewind"), folder, resumed.step)
    batches = skip_batches(batches, guard)
    restart = lambda start: train(…, options._replace(start=start), accept=guard)
    back = rewind_by_checkpoints(folder, checkpoints.resume)
    steps = rewind_on_spikes(restart(resumed.step), restart, guard, back)

The result is, to the bit, the run without those batches: a step's batch is the next one that is not
skipped, however often the run was rewound. Steps are numbered from the checkpoint, so services
outside see step numbers again.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import distributed

from groundup.core import DataError

from ..batches import BatchSource, MicroBatch
from ..checkpoint.reader import checkpoint_paths, step_of_path
from ..loop import TrainStep
from ..parallel.mesh import SINGLE_PROCESS, Mesh
from .spikes import RewindRequest, SpikeDecision, SpikeDetector

RewindTo = Callable[[int], int]
"""Rewinds to the newest checkpoint of at most so many steps, or else the oldest, and deletes those
after it; returns its number of steps.
"""


def skip_batches(batches: BatchSource, guard: SpikeDetector) -> BatchSource:
    """Batches without those that the guard skips, now or later."""

    def remaining(step: int) -> Sequence[MicroBatch]:
        return batches(guard.batch_of(step))

    return remaining


def rewind_on_spikes(
    steps: Iterator[TrainStep],
    restart: Callable[[int], Iterator[TrainStep]],
    guard: SpikeDetector,
    back: RewindTo,
) -> Iterator[TrainStep]:
    """Yield the steps; after a spike rewind, and yield those that `restart` trains from there on.

    Raises DataError, by the guard, if the run was rewound too often.
    """
    while True:
        try:
            yield from steps
            return
        except RewindRequest as spike:
            steps = restart(_rewind(spike, guard, back))


def _rewind(spike: RewindRequest, guard: SpikeDetector, back: RewindTo) -> int:
    """Rewind before a spike and skip its batches; return the step to begin at."""
    earliest = next(s for s in range(spike.step + 1) if guard.batch_of(s) >= spike.first)
    start = back(earliest)
    first = max(spike.first, guard.batch_of(start))
    bad = [each for each in range(first, spike.last + 1) if each not in guard.skipped_batches]
    note = SpikeDecision(spike.step, 0.0, 0.0, False, tuple(bad))
    guard.restore([*guard.decisions, note], start)
    text = f"{spike.why}: back to step {start}, without batches {bad[0]} to {bad[-1]}"
    guard.pending_reports.append((spike.step, text))
    return start


def rewind_by_checkpoints(
    folder: Path,
    load: Callable[[int], object],
    *,
    wait: Callable[[], object] | None = None,
    mesh: Mesh = SINGLE_PROCESS,
) -> RewindTo:
    """Rewinding by the checkpoints of a folder.

    load  loads the checkpoint of a step; later ones have been deleted by then
    wait  waits for a running save

    Raises DataError if there is no checkpoint: one must be saved before the first step.
    """

    def back(most: int) -> int:
        if wait is not None:
            wait()
        numbers = {step_of_path(place): place for place in checkpoint_paths(folder)}
        if not numbers:
            raise DataError(
                f"The run cannot be rewound: {folder} has no checkpoint; save one at its start."
            )
        wanted = max((n for n in numbers if n <= most), default=min(numbers))
        if mesh.device_mesh is not None:
            distributed.barrier()  # all have listed the folder before rank 0 deletes
        if mesh.is_first:
            for number, path in numbers.items():
                if number > wanted:  # renamed first: half deleted, it would look damaged
                    os.replace(path, deleting := folder / f".gone-{number:08d}")
                    shutil.rmtree(deleting, ignore_errors=True)
        if mesh.device_mesh is not None:
            distributed.barrier()
        load(wanted)
        return wanted

    return back
