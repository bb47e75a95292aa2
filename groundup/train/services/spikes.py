"""Spikes: steps with an unusually high loss or gradient norm, and the return to before them.

The reference is the median and spread of the logarithms over a window of applied steps; the spread
is 1.4826 times the median absolute deviation, so no spike widens it. A step is a spike if it is
many spreads above the median and also above it by some factor: in a calm run a spread is tiny, in
a noisy one a factor is nothing. The loop calls `SpikeDetector` before it applies each step;
decisions go into a journal next to the checkpoints, from which a resumed run decides as an
uninterrupted one.

    guard = SpikeDetector(SpikeConfig(policy="rewind"), folder, resumed.step)
    batches = skip_batches(batches, guard)
    restart = lambda start: train(…, options._replace(start=start), accept=guard)
    back = rewind_by_checkpoints(folder, checkpoints.resume)
    steps = rewind_on_spikes(restart(resumed.step), restart, guard, back)

The result is, to the bit, the run without the batches around a spike: a step's batch is the next
one that is not skipped, however often the run was rewound. Steps are numbered from the checkpoint,
so services outside see step numbers again.
"""

import json
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any, Literal, NamedTuple

from pydantic import Field
from torch import distributed

from groundup.core import Config, DataError, record, write_text

from ..batches import BatchSource, MicroBatch
from ..checkpoint.files import checkpoint_paths, delete_checkpoint, step_of_path
from ..loop import TrainStep
from ..parallel.mesh import SINGLE_PROCESS, Mesh

JOURNAL = "guard.jsonl"
MIN_WINDOW = 32
"""Steps in a window before it is used."""
INITIAL_STEPS = 8
"""First steps, whose median loss (or the very first loss, if lower) is the initial loss."""
MIN_PATIENCE = 4
"""Least steps for a median loss: a run of fewer than twice as many is not checked."""

MIN_EXPLOSION = 0.1
"""Nats above the initial loss below which none has exploded: of a text known by heart, any rise is
a multiple.
"""


class SpikeConfig(Config):
    """What a spike is, and what is done about it."""

    policy: Literal["off", "warn", "skip", "rewind"] = "warn"
    """`warn` logs a spike; `skip` skips its step; `rewind` skips it if only the gradient spiked,
    and if the loss did, returns to a checkpoint before it and skips the batches around it.
    `off` checks nothing, not even an exploded loss.
    """
    window: int = Field(default=128, ge=MIN_WINDOW)
    """Steps from which the median and the spread are computed."""
    deviations: float = Field(default=8.0, gt=0)
    """Spreads above the median from which a step is a spike."""
    loss_ratio: float = Field(default=1.1, gt=1)
    """Multiple of the median loss that a spike must also exceed."""
    norm_ratio: float = Field(default=3.0, gt=1)
    """Multiple of the median gradient norm that a spike must also exceed."""
    max_consecutive: int = Field(default=5, ge=1)
    """Most steps skipped in a row: more non-finite ones end the run, more spikes are taken as the
    new level.
    """
    margin: int = Field(default=2, ge=0)
    """Batches skipped before and after a spike's batch on a rewind."""
    rewinds: int = Field(default=3, ge=1)
    """Most rewinds within `window` steps."""
    explosion_ratio: float = Field(default=1.2, gt=1)
    """Multiple of the initial loss that counts as an explosion, over `patience` steps."""
    patience: int = Field(default=64, ge=INITIAL_STEPS)
    """Steps whose median loss shows an explosion; in a run of fewer than twice as many, the second
    half.
    """


class Outlier(NamedTuple):
    """How far a value is above the reference."""

    quantity: str
    """`loss` or `gradient norm`."""
    value: float
    median: float
    deviations: float

    def __str__(self) -> str:
        return (
            f"{self.quantity} {self.value:.4g}, {self.deviations:.0f} spreads above the median "
            f"{self.median:.4g}"
        )


class RewindRequest(Exception):
    """Raised to rewind the run; caught by `rewinding`."""

    def __init__(self, step: int, first: int, last: int, why: str) -> None:
        super().__init__(why)
        self.step, self.first, self.last, self.why = step, first, last, why
        """The step that spiked, and the range of batches to skip."""


class RunningMedian:
    """Median and spread of the logarithms of the last values.

    >>> usual = RunningMedian("loss", 128)
    >>> for number in range(40): usual.add(2.0 + 0.01 * (number % 5))
    >>> usual.find_outlier(2.5, deviations=8.0, ratio=1.1).median
    2.02
    >>> usual.find_outlier(2.06, deviations=8.0, ratio=1.1)
    """

    def __init__(self, what: str, window: int) -> None:
        self.quantity, self.values = what, deque[float](maxlen=window)

    def add(self, value: float) -> None:
        """Add a value to the window."""
        self.values.append(math.log(max(value, 1e-30)))

    def find_outlier(self, value: float, *, deviations: float, ratio: float) -> Outlier | None:
        """The outlier, or None if the value is usual, or the window too small."""
        if len(self.values) < MIN_WINDOW or value <= 0:
            return None
        middle = median(self.values)
        spread = 1.4826 * median([abs(each - middle) for each in self.values])
        above = math.log(value) - middle
        if above <= math.log(ratio) or above <= deviations * spread:
            return None
        score = above / spread if spread else math.inf
        return Outlier(self.quantity, value, round(math.exp(middle), 12), score)


class SpikeDecision(NamedTuple):
    """The guard's decision on a step, or a rewind from it."""

    step: int
    loss: float
    norm: float
    applied: bool
    left_out: tuple[int, ...] = ()
    """Batches skipped from here on."""

    def to_json_line(self) -> str:
        """As a line of JSON; non-finite values are null."""
        finite = {"loss": self.loss, "norm": self.norm}
        row = self._asdict() | {n: v if math.isfinite(v) else None for n, v in finite.items()}
        return json.dumps({n: v for n, v in row.items() if n != "left_out" or v}) + "\n"

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "SpikeDecision":
        """Parse what `to_json_line` wrote."""
        loss, norm = (math.nan if row[n] is None else row[n] for n in ("loss", "norm"))
        return cls(row["step"], loss, norm, row["applied"], tuple(row.get("left_out", ())))


class SpikeDetector:
    """Decides on each step before it is applied; pass it to `train` as `accept`."""

    def __init__(
        self,
        config: SpikeConfig,
        folder: Path,
        start: int = 0,
        *,
        steps: int | None = None,
        changes: Collection[int] = (),
        mesh: Mesh = SINGLE_PROCESS,
    ) -> None:
        """Start at step `start`, with the run's journal of the steps before.

        folder   of the checkpoints, where the journal is written too
        steps    of the run: one too short for `patience` is checked by its second half
        changes  steps at which the data or context changes, so that the reference restarts
        mesh     processes that train together: each decides alike, rank 0 writes the journal
        """
        self.config, self.mesh = config, mesh
        self.path, self.changes = folder / JOURNAL, frozenset(changes)
        self.patience = config.patience
        if steps is not None:
            self.patience = max(MIN_PATIENCE, min(self.patience, steps // 2))
        self.pending_reports: list[tuple[int, str]] = []
        """Spikes since the last log, as (step, description); `log_spikes` takes them."""
        rows = record.read_metrics(self.path) if self.path.exists() else []
        if mesh.device_mesh is not None:
            distributed.barrier()  # all have read before rank 0 writes
        self.journal: IO[str] | None = None
        self.restore([SpikeDecision.from_row(row) for row in rows], start)

    def restore(self, seen: Sequence[SpikeDecision], start: int) -> None:
        """Restore the state before step `start`; skipped batches stay skipped."""
        self.references = (
            RunningMedian("loss", self.config.window),
            RunningMedian("gradient norm", self.config.window),
        )
        self.initial_losses, self.recent_losses = list[float](), deque[float](maxlen=self.patience)
        self.skipped_batches, self.rewound_steps, self.consecutive = set[int](), list[int](), 0
        self.decisions = list[SpikeDecision]()
        self.close()
        for each in seen:
            if each.step < start or each.left_out:
                self._record_decision(each)
        if self.mesh.is_first and self.config.policy != "off":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, "".join(each.to_json_line() for each in self.decisions))
            self.journal = open(self.path, "a")  # noqa: SIM115  closed by close()

    def close(self) -> None:
        """Close the journal."""
        if self.journal is not None:
            self.journal.close()

    def _record_decision(self, seen: SpikeDecision) -> None:
        self.decisions.append(seen)
        if seen.left_out:
            self.skipped_batches |= set(seen.left_out)
            self.rewound_steps.append(seen.step)
            return
        if seen.step in self.changes:
            self._reset_references()
        self.consecutive = 0 if seen.applied else self.consecutive + 1
        if not seen.applied:
            return
        for usual, value in zip(self.references, (seen.loss, seen.norm), strict=True):
            usual.add(value)
        if len(self.initial_losses) < INITIAL_STEPS:
            self.initial_losses.append(seen.loss)
        self.recent_losses.append(seen.loss)

    def _reset_references(self) -> None:
        for usual in self.references:
            usual.values.clear()
        self.consecutive = 0

    def batch_of(self, step: int) -> int:
        """Number of the batch of a step, after skipped ones."""
        for each in sorted(self.skipped_batches):
            step += each <= step
        return step

    def __call__(self, step: int, loss: float, norm: float) -> bool:
        """Whether to apply a step; a non-finite one is rejected.

        Raises RewindRequest if the run is to be rewound, DataError if its loss has exploded. After
        `max_consecutive` non-finite steps it returns True, and the loop raises the error.
        """
        if self.config.policy == "off":
            return True
        if step in self.changes:
            self._reset_references()
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        if not is_finite:
            if self.consecutive >= self.config.max_consecutive:
                self._rewind_if_allowed(
                    step, step - self.consecutive, f"{self.consecutive + 1} steps not finite"
                )
                return True
            self.pending_reports.append((step, f"loss {loss}, gradient norm {norm}"))
            return self._journal_decision(SpikeDecision(step, loss, norm, False))
        leap = self._find_spike(loss, norm)
        is_applied = leap is None or not self._report_spike(step, leap)
        self._journal_decision(SpikeDecision(step, loss, norm, is_applied))
        self._check_exploded(step)
        return is_applied

    def _find_spike(self, loss: float, norm: float) -> Outlier | None:
        config, (losses, norms) = self.config, self.references
        by_loss = losses.find_outlier(loss, deviations=config.deviations, ratio=config.loss_ratio)
        return by_loss or norms.find_outlier(
            norm, deviations=config.deviations, ratio=config.norm_ratio
        )

    def _report_spike(self, step: int, leap: Outlier) -> bool:
        """Report a spike and return whether its step is skipped."""
        self.pending_reports.append((step, str(leap)))
        if leap.quantity == "loss":
            self._rewind_if_allowed(step, step, str(leap))
        if self.config.policy == "warn":
            return False
        if self.consecutive < self.config.max_consecutive:
            return True
        self._reset_references()
        return False

    def _journal_decision(self, seen: SpikeDecision) -> bool:
        self._record_decision(seen)
        if self.journal is not None:
            self.journal.write(seen.to_json_line())
            self.journal.flush()
        return seen.applied

    def _rewind_if_allowed(self, step: int, first: int, why: str) -> None:
        """Raise RewindRequest if the policy is to rewind; DataError after too many rewinds."""
        if self.config.policy != "rewind":
            return
        recent = [each for each in self.rewound_steps if each > step - self.config.window]
        if len(recent) >= self.config.rewinds:
            raise DataError(
                f"Step {step} spikes ({why}) after {len(recent)} rewinds; lower the learning rate. "
                f"The last checkpoint is {_last_checkpoint(self.path.parent)}."
            )
        margin = self.config.margin
        bad = max(0, self.batch_of(first) - margin), self.batch_of(step) + margin
        raise RewindRequest(step, *bad, why)

    def _check_exploded(self, step: int) -> None:
        """Raise DataError if the loss has been far above the initial loss for long."""
        if len(self.recent_losses) < self.patience or len(self.decisions) < 2 * self.patience:
            return
        initial = min(self.initial_losses[0], median(self.initial_losses))  # it may explode at once
        recent = median(self.recent_losses)
        if recent > max(self.config.explosion_ratio * initial, initial + MIN_EXPLOSION):
            # After the last step whose loss was below the initial loss.
            good = max((each.step + 1 for each in self.decisions if each.loss < initial), default=0)
            raise DataError(
                f"The loss has exploded: {recent:.4g} nats in the last {self.patience} steps up to "
                f"step {step}, {initial:.4g} at the beginning. Lower the learning rate, or warm up "
                "longer; the last good checkpoint is "
                f"{_last_checkpoint(self.path.parent, good)}."
            )


def log_spikes(
    steps: Iterable[TrainStep], guard: SpikeDetector, metrics: record.MetricsFile
) -> Iterator[TrainStep]:
    """Log the guard's spikes and write them to the metrics, as `spike`."""
    for step in steps:
        for number, what in guard.pending_reports:
            metrics.write(step=number, spike=what)
            if guard.mesh.is_first:
                record.log(f"Step {number}: {what}.")
        guard.pending_reports.clear()
        yield step


def _last_checkpoint(folder: Path, before: int | None = None) -> str:
    good = [
        each for each in checkpoint_paths(folder) if before is None or step_of_path(each) <= before
    ]
    return str(good[-1]) if good else "none: all were saved after that"


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
                if number > wanted:
                    delete_checkpoint(path)
        if mesh.device_mesh is not None:
            distributed.barrier()
        load(wanted)
        return wanted

    return back
