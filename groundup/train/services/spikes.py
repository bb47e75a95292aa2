"""Spikes: steps whose loss or gradient leaps out of what the run's last steps were like.

What is usual is a median and a spread of logarithms over a window of steps that were made; the
spread is 1.4826 times the median distance from the median, so no spike widens it. A step is a spike
if it lies many spreads above the median and some factor above it too: in a calm run a spread is
tiny, in a wild one a factor is nothing. `Guard` is asked by the loop before each step is made; what
it saw goes into a journal beside the checkpoints, from which a resumed run judges as an undisturbed
one does. It knows nothing of models; rewinding.py goes back.
"""

import json
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import IO, Any, Literal, NamedTuple

from pydantic import Field
from torch import distributed

from groundup.core import Config, DataError, record, write_text

from ..checkpoint.saved import number_of, places
from ..loop import Step
from ..parallel.mesh import ALONE, Mesh

JOURNAL = "guard.jsonl"
LEAST = 32
"""Steps of a window before it judges."""
BEGINNING = 8
"""First steps, whose median loss is where the run began, if the very first was not lower."""
SHORTEST = 4
"""Steps whose median loss is trusted at least: a run of fewer than twice as many is not judged."""


class SpikeConfig(Config):
    """What a spike is, and what is done about it."""

    policy: Literal["off", "warn", "skip", "rewind"] = "warn"
    """`warn` tells of it, `skip` leaves the step out, `rewind` leaves it out if the gradient leapt
    alone, and if the loss did goes back to a checkpoint before it and leaves out the batches around
    it. `off` looks at nothing, not even for an exploded loss."""
    window: int = Field(default=128, ge=LEAST)
    """Steps from which the median and the spread are taken."""
    deviations: float = Field(default=8.0, gt=0)
    """Spreads above the median from which a step is a spike."""
    loss_ratio: float = Field(default=1.1, gt=1)
    """Multiple of the median loss that a spike exceeds, too."""
    norm_ratio: float = Field(default=3.0, gt=1)
    """Multiple of the median gradient norm that a spike exceeds, too."""
    in_a_row: int = Field(default=5, ge=1)
    """Steps that are left out one after the other: more that are not finite end the run, more that
    leap are no spike but the new level."""
    margin: int = Field(default=2, ge=0)
    """Batches left out before and after that of a spike, when the run goes back."""
    rewinds: int = Field(default=3, ge=1)
    """How often a run may go back within `window` steps."""
    exploded: float = Field(default=1.2, gt=1)
    """Multiple of the loss of the beginning that is an explosion, if `patience` steps exceed it."""
    patience: int = Field(default=64, ge=BEGINNING)
    """Steps whose median loss tells of an explosion; of a run of fewer than twice as many, the
    second half."""


class Leap(NamedTuple):
    """How far a value lies above what is usual."""

    what: str
    """`loss` or `gradient norm`."""
    value: float
    usual: float
    deviations: float

    def __str__(self) -> str:
        return (
            f"{self.what} {self.value:.4g}, {self.deviations:.0f} spreads above the usual "
            f"{self.usual:.4g}"
        )


class Rewind(Exception):
    """The run is to go back; `rewinding` hears it."""

    def __init__(self, step: int, first: int, last: int, why: str) -> None:
        super().__init__(why)
        self.step, self.first, self.last, self.why = step, first, last, why
        """The step at which it was noticed, and the batches to be left out."""


class Usual:
    """Median and spread of the logarithms of the last values.

    >>> usual = Usual("loss", 128)
    >>> for number in range(40): usual.add(2.0 + 0.01 * (number % 5))
    >>> usual.leap(2.5, deviations=8.0, ratio=1.1).usual
    2.02
    >>> usual.leap(2.06, deviations=8.0, ratio=1.1)
    """

    def __init__(self, what: str, window: int) -> None:
        self.what, self.values = what, deque[float](maxlen=window)

    def add(self, value: float) -> None:
        """Count a value as usual."""
        self.values.append(math.log(max(value, 1e-30)))

    def leap(self, value: float, *, deviations: float, ratio: float) -> Leap | None:
        """How far a value leaps out; None if it does not, or too few are known."""
        if len(self.values) < LEAST or value <= 0:
            return None
        middle = median(self.values)
        spread = 1.4826 * median([abs(each - middle) for each in self.values])
        above = math.log(value) - middle
        if above <= math.log(ratio) or above <= deviations * spread:
            return None
        far = above / spread if spread else math.inf
        return Leap(self.what, value, round(math.exp(middle), 12), far)


class Seen(NamedTuple):
    """What the guard decided on a step, or that the run went back from it."""

    step: int
    loss: float
    norm: float
    applied: bool
    left_out: tuple[int, ...] = ()
    """Batches that are left out since."""

    def line(self) -> str:
        """As a line of JSON: what is not finite is null."""
        finite = {"loss": self.loss, "norm": self.norm}
        row = self._asdict() | {n: v if math.isfinite(v) else None for n, v in finite.items()}
        return json.dumps({n: v for n, v in row.items() if n != "left_out" or v}) + "\n"

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Seen":
        """What `line` wrote."""
        loss, norm = (math.nan if row[n] is None else row[n] for n in ("loss", "norm"))
        return cls(row["step"], loss, norm, row["applied"], tuple(row.get("left_out", ())))


class Guard:
    """Judges each step before it is made; give it to `train` as `accept`."""

    def __init__(
        self,
        config: SpikeConfig,
        folder: Path,
        start: int = 0,
        *,
        steps: int | None = None,
        changes: Collection[int] = (),
        mesh: Mesh = ALONE,
    ) -> None:
        """Judge from step `start` on, knowing what the run's journal tells of the steps before.

        folder   where checkpoints lie; the journal is put beside them
        steps    of the whole run: one too short for `patience` is judged by its second half
        changes  steps from which the text or the context is another, so that all is unusual
        mesh     processes that train together: each judges alike, the first keeps the journal
        """
        self.config, self.mesh = config, mesh
        self.path, self.changes = folder / JOURNAL, frozenset(changes)
        self.patience = config.patience
        if steps is not None:
            self.patience = max(SHORTEST, min(self.patience, steps // 2))
        self.told: list[tuple[int, str]] = []
        """Spikes since the last look, as (step, what leapt); `alarming` takes them."""
        rows = record.read_metrics(self.path) if self.path.exists() else []
        if mesh.grid is not None:
            distributed.barrier()  # all have read before the first writes
        self.journal: IO[str] | None = None
        self.restore([Seen.of(row) for row in rows], start)

    def restore(self, seen: Sequence[Seen], start: int) -> None:
        """Become as the run was before step `start`; what is left out stays left out."""
        self.usual = Usual("loss", self.config.window), Usual("gradient norm", self.config.window)
        self.first, self.last = list[float](), deque[float](maxlen=self.patience)
        self.left_out, self.went_back, self.in_a_row = set[int](), list[int](), 0
        self.seen = list[Seen]()
        self.close()
        for each in seen:
            if each.step < start or each.left_out:
                self.note(each)
        if self.mesh.is_first and self.config.policy != "off":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, "".join(each.line() for each in self.seen))
            self.journal = open(self.path, "a")  # noqa: SIM115  closed by close()

    def close(self) -> None:
        """Close the journal."""
        if self.journal is not None:
            self.journal.close()

    def note(self, seen: Seen) -> None:
        """Count what was decided."""
        self.seen.append(seen)
        if seen.left_out:
            self.left_out |= set(seen.left_out)
            self.went_back.append(seen.step)
            return
        if seen.step in self.changes:
            self.forget()
        self.in_a_row = 0 if seen.applied else self.in_a_row + 1
        if not seen.applied:
            return
        for usual, value in zip(self.usual, (seen.loss, seen.norm), strict=True):
            usual.add(value)
        if len(self.first) < BEGINNING:
            self.first.append(seen.loss)
        self.last.append(seen.loss)

    def forget(self) -> None:
        """Take what follows for usual, whatever it is."""
        for usual in self.usual:
            usual.values.clear()
        self.in_a_row = 0

    def batch_of(self, step: int) -> int:
        """Number of the batch that a step learns from: those left out are passed over."""
        for each in sorted(self.left_out):
            step += each <= step
        return step

    def __call__(self, step: int, loss: float, norm: float) -> bool:
        """Whether a step is to be made; one that is not finite never is.

        Raises Rewind if the run is to go back, DataError if its loss has exploded. A step that is
        not finite is left out at most `in_a_row` times; then the answer is True, and the loop tells
        what is wrong with it.
        """
        if self.config.policy == "off":
            return True
        if step in self.changes:
            self.forget()
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        if not is_finite:
            if self.in_a_row >= self.config.in_a_row:
                self.go_back(step, step - self.in_a_row, f"{self.in_a_row + 1} steps not finite")
                return True
            self.told.append((step, f"loss {loss}, gradient norm {norm}"))
            return self.decide(Seen(step, loss, norm, False))
        leap = self.leap(loss, norm)
        is_applied = leap is None or not self.against(step, leap)
        self.decide(Seen(step, loss, norm, is_applied))
        self.check_exploded(step)
        return is_applied

    def leap(self, loss: float, norm: float) -> Leap | None:
        """The loss's leap, else the gradient's, else None."""
        config, (losses, norms) = self.config, self.usual
        found = losses.leap(loss, deviations=config.deviations, ratio=config.loss_ratio)
        return found or norms.leap(norm, deviations=config.deviations, ratio=config.norm_ratio)

    def against(self, step: int, leap: Leap) -> bool:
        """Tell of a spike and say whether its step is left out."""
        self.told.append((step, str(leap)))
        if leap.what == "loss":
            self.go_back(step, step, str(leap))
        if self.config.policy == "warn":
            return False
        if self.in_a_row < self.config.in_a_row:
            return True
        self.forget()
        return False

    def decide(self, seen: Seen) -> bool:
        """Note and write down a decision; return whether the step is made."""
        self.note(seen)
        if self.journal is not None:
            self.journal.write(seen.line())
            self.journal.flush()
        return seen.applied

    def go_back(self, step: int, first: int, why: str) -> None:
        """Raise Rewind if the policy is to go back; DataError if it went back too often."""
        if self.config.policy != "rewind":
            return
        recent = [each for each in self.went_back if each > step - self.config.window]
        if len(recent) >= self.config.rewinds:
            raise DataError(
                f"Step {step} leaps ({why}) after the run went back {len(recent)} times; lower "
                f"the learning rate. The last checkpoint is {last_checkpoint(self.path.parent)}."
            )
        margin = self.config.margin
        bad = max(0, self.batch_of(first) - margin), self.batch_of(step) + margin
        raise Rewind(step, *bad, why)

    def check_exploded(self, step: int) -> None:
        """Raise DataError if the loss has been far above where it began for long."""
        if len(self.last) < self.patience or len(self.seen) < 2 * self.patience:
            return
        began = min(self.first[0], median(self.first))  # it may explode at once
        now = median(self.last)
        if now > self.config.exploded * began:
            raise DataError(
                f"The loss has exploded: {now:.4g} nats in the last {self.patience} steps "
                f"up to step {step}, {began:.4g} at the beginning. Lower the learning rate, or "
                "give it more warm-up; the last good checkpoint is "
                f"{last_checkpoint(self.path.parent, self.turn(began))}."
            )

    def turn(self, began: float) -> int:
        """The step after the last whose loss was below the beginning's."""
        return max((each.step + 1 for each in self.seen if each.loss < began), default=0)


def alarming(steps: Iterable[Step], guard: Guard, metrics: record.Metrics) -> Iterator[Step]:
    """Say what the guard heard and write it to the metrics, as `spike`."""
    for step in steps:
        for number, what in guard.told:
            metrics.write(step=number, spike=what)
            if guard.mesh.is_first:
                record.say(f"Step {number}: {what}.")
        guard.told.clear()
        yield step


def last_checkpoint(folder: Path, before: int | None = None) -> str:
    """Path of the newest checkpoint of at most so many steps, or that there is none."""
    good = [each for each in places(folder) if before is None or number_of(each) <= before]
    return str(good[-1]) if good else "none: every one was saved after that"
