"""Rewinding: return to a checkpoint before a spike, and continue without the batches around it.

    guard = Guard(SpikeConfig(policy="rewind"), folder, resumed.step)
    batches = leaving_out(batches, guard)
    steps = rewinding(lambda start: train(…, plan._replace(start=start), accept=guard), guard, back)

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

from ..batches import Batch, Batches
from ..checkpoint.saved import number_of, places
from ..loop import Step
from ..parallel.mesh import ALONE, Mesh
from .spikes import Guard, Rewind, Seen

Back = Callable[[int], int]
"""Rewinds to the newest checkpoint of at most so many steps, or else the oldest, and deletes those
after it; returns its number of steps.
"""


def leaving_out(batches: Batches, guard: Guard) -> Batches:
    """Batches without those that the guard skips, now or later."""

    def remaining(step: int) -> Sequence[Batch]:
        return batches(guard.batch_of(step))

    return remaining


def rewinding(
    begin: Callable[[int], Iterator[Step]], guard: Guard, back: Back, start: int = 0
) -> Iterator[Step]:
    """Yield the steps that `begin` trains from a step on; after a spike rewind and begin again.

    Raises DataError, by the guard, if the run was rewound too often.
    """
    while True:
        try:
            yield from begin(start)
            return
        except Rewind as spike:
            start = gone_back(spike, guard, back)


def gone_back(spike: Rewind, guard: Guard, back: Back) -> int:
    """Rewind before a spike and skip its batches; return the step to begin at."""
    earliest = next(s for s in range(spike.step + 1) if guard.batch_of(s) >= spike.first)
    start = back(earliest)
    first = max(spike.first, guard.batch_of(start))
    bad = [each for each in range(first, spike.last + 1) if each not in guard.left_out]
    note = Seen(spike.step, 0.0, 0.0, False, tuple(bad))
    guard.restore([*guard.seen, note], start)
    text = f"{spike.why}: back to step {start}, without batches {bad[0]} to {bad[-1]}"
    guard.told.append((spike.step, text))
    return start


def stored(
    folder: Path,
    load: Callable[[int], object],
    *,
    wait: Callable[[], object] | None = None,
    mesh: Mesh = ALONE,
) -> Back:
    """Rewinding by the checkpoints of a folder.

    load  loads the checkpoint of a step; later ones have been deleted by then
    wait  waits for a running save

    Raises DataError if there is no checkpoint: one must be saved before the first step.
    """

    def back(most: int) -> int:
        if wait is not None:
            wait()
        numbers = {number_of(place): place for place in places(folder)}
        if not numbers:
            raise DataError(
                f"The run cannot be rewound: {folder} has no checkpoint; save one at its start."
            )
        wanted = max((n for n in numbers if n <= most), default=min(numbers))
        if mesh.grid is not None:
            distributed.barrier()  # all have listed the folder before rank 0 deletes
        if mesh.is_first:
            for number, path in numbers.items():
                if number > wanted:  # renamed first: half deleted, it would look damaged
                    os.replace(path, deleting := folder / f".gone-{number:08d}")
                    shutil.rmtree(deleting, ignore_errors=True)
        if mesh.grid is not None:
            distributed.barrier()
        load(wanted)
        return wanted

    return back
