"""Rewinding: back to a checkpoint before a spike, and on from there without the batches around it.

    guard = Guard(SpikeConfig(policy="rewind"), folder, resumed.step)
    batches = leaving_out(batches, guard)
    steps = rewinding(lambda start: train(…, plan._replace(start=start), accept=guard), guard, back)

What comes out is, to the bit, the run in which those batches never were: a step's batch is the next
one that is not left out, wherever the run went back to. Steps are counted on from the checkpoint,
so services outside see numbers again that they have seen.
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
"""Goes back to the newest checkpoint of at most so many steps, to the oldest if there is none such,
and removes those after it; returns its number of steps."""


def leaving_out(batches: Batches, guard: Guard) -> Batches:
    """Batches without those that the guard leaves out, now or later."""

    def kept(step: int) -> Sequence[Batch]:
        return batches(guard.batch_of(step))

    return kept


def rewinding(
    begin: Callable[[int], Iterator[Step]], guard: Guard, back: Back, start: int = 0
) -> Iterator[Step]:
    """Yield the steps that `begin` trains from a step on; at a spike go back and begin again.

    Raises DataError, by the guard, if the run went back too often.
    """
    while True:
        try:
            yield from begin(start)
            return
        except Rewind as spike:
            start = gone_back(spike, guard, back)


def gone_back(spike: Rewind, guard: Guard, back: Back) -> int:
    """Go back before a spike and leave its batches out; return the step to begin at."""
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
    """Going back by the checkpoints of a folder.

    load  puts the checkpoint of a step into what is trained; those after it are gone by then
    wait  lets a save that is being written end

    Raises DataError if there is no checkpoint: one must be saved before the first step.
    """

    def back(most: int) -> int:
        if wait is not None:
            wait()
        numbers = {number_of(place): place for place in places(folder)}
        if not numbers:
            raise DataError(
                f"The run is to go back, and {folder} has no checkpoint; save one at its start."
            )
        wanted = max((n for n in numbers if n <= most), default=min(numbers))
        if mesh.grid is not None:
            distributed.barrier()  # all have looked before the first removes
        if mesh.is_first:
            for number, path in numbers.items():
                if number > wanted:  # renamed first: half removed, it would look damaged
                    os.replace(path, gone := folder / f".gone-{number:08d}")
                    shutil.rmtree(gone, ignore_errors=True)
        if mesh.grid is not None:
            distributed.barrier()
        load(wanted)
        return wanted

    return back
