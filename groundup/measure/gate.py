"""Gates: what must be true of a measured number before the next stage may build on it.

The bound of the interval must lie on the right side, so a small sample never passes by luck:

    check("bits per byte", interval, at_most(1.9))            upper bound <= 1.9
    check("similarity gained", paired(ours, base), above(0))  lower bound > 0

    check("quality kept", paired(ours, base), loses_at_most(0.02))    lower bound > -0.02

A check whose bound is not there has failed, or is undecided: the interval holds both sides and so
much data could not have decided. A check that knows what an equal model would score tells its
power: how often such a model passes with so much data; with enough of it, not to pass is to fail.
verdict.py makes one decision of many checks.
"""

from dataclasses import dataclass, replace
from math import ceil, expm1, isfinite, log, sqrt
from typing import Any, Literal, NamedTuple, get_args

from groundup.core import ConfigError, DataError, Reason, choice

from .stats.distribution import normal_quantile, normal_tail, tail_of
from .stats.grouping import ROUNDING
from .stats.interval import Interval
from .stats.looks import Seen, standard_errors

Bound = Literal["upper", "lower", "estimate"]
Sense = Literal["<=", ">=", "<", ">"]
Better = Literal["higher", "lower"]
CheckOutcome = Literal["passed", "failed", "undecided"]
Role = Literal["required", "compared", "guard"]
ROLES = get_args(Role)
CONFIDENCE = 0.95
"""Of the intervals whose bounds decide, at least: who measures does not choose how sure to be."""
UNDECIDABLE = ("too_few_groups", "no_difference_of")
"""Codes of reasons that say nothing against the subject: no number can be had from such data."""
POWER = 0.8
"""Share of equal models that a check should pass: with less, the test set is too small for it."""
PRACTICAL = 10_000_000
"""No test set has more values than this."""
NAMES = {"upper": "upper bound", "lower": "lower bound", "estimate": "estimate"}


@dataclass(frozen=True)
class Requirement:
    """A limit and the side of it on which a number must lie; made by at_most and its siblings."""

    sense: Sense
    limit: float
    origin: str = ""
    """Where the limit came from, in words."""
    equal: float | None = None
    """What a model as good as the baseline would score; the check then tells its power."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a limit that no number or every number would pass."""
        choice("sense", self.sense, get_args(Sense))
        if not isfinite(self.limit):
            raise ConfigError(f"The limit {self.limit} must be a finite number.")

    @property
    def side(self) -> Bound:
        """The bound that proves it."""
        return "upper" if self.sense in ("<=", "<") else "lower"

    def holds(self, value: float) -> bool:
        """Whether a number is on the right side."""
        return {
            "<=": value <= self.limit,
            ">=": value >= self.limit,
            "<": value < self.limit,
            ">": value > self.limit,
        }[self.sense]

    def __str__(self) -> str:
        """`at most 1.9`."""
        words = {"<=": "at most", ">=": "at least", "<": "below", ">": "above"}[self.sense]
        return f"{words} {self.limit:.4g}{self.origin}"


def at_most(limit: float) -> Requirement:
    """Require a number <= limit."""
    return Requirement("<=", limit)


def at_least(limit: float) -> Requirement:
    """Require a number >= limit."""
    return Requirement(">=", limit)


def below(limit: float) -> Requirement:
    """Require a number < limit."""
    return Requirement("<", limit)


def above(limit: float) -> Requirement:
    """Require a number > limit."""
    return Requirement(">", limit)


def no_worse_than(baseline: Interval, margin: float, better: Better = "higher") -> Requirement:
    """Require a number that loses at most `margin` against a baseline's estimate.

    The baseline's own uncertainty is not counted; on the same items a paired difference with
    loses_at_most is sharper and counts it. Raises ConfigError for a margin below 0.

    >>> print(no_worse_than(Interval(0.8, 0.7, 0.9, 0.95, 50, 50), margin=0.01))
    at least 0.79 (baseline 0.8, margin 0.01)
    """
    if not margin >= 0:
        raise ConfigError(f"margin={margin} must be 0 or more: what may be lost.")
    origin = f" (baseline {baseline.estimate:.4g}, margin {margin:.4g})"
    if choice("better", better, get_args(Better)) == "higher":
        return Requirement(">=", baseline.estimate - margin, origin, baseline.estimate)
    return Requirement("<=", baseline.estimate + margin, origin, baseline.estimate)


def loses_at_most(margin: float, better: Better = "higher") -> Requirement:
    """Require of a difference ours - baseline that ours is not worse by the margin or more.

    An equal model passes with the power that the check tells, one that is worse by exactly the
    margin in 2.5 of 100 cases (the one side of a 95 % interval). Raises ConfigError unless the
    margin is positive: no data proves that two are equal.

    >>> print(loses_at_most(0.02))
    above -0.02 (margin 0.02)
    """
    if not margin > 0:
        raise ConfigError(
            f"margin={margin} must be above 0; to show that ours is better: above(0)."
        )
    is_higher = choice("better", better, get_args(Better)) == "higher"
    sense, limit = (">", -margin) if is_higher else ("<", margin)
    return Requirement(sense, limit, f" (margin {margin:.4g})", equal=0.0)


class Power(NamedTuple):
    """How often a check passes a model as good as the baseline."""

    share: float
    """Chance with as much data as there is."""
    n: int
    """Number of values there are."""
    needed: int
    """Number of values, of the same spread and grouping, for a chance of 80 %."""

    def __str__(self) -> str:
        """A sentence; whether the test set is too small comes first."""
        told = f"n = {self.n:,} passes an equal model in {100 * self.share:.0f} of 100 cases"
        if self.share >= POWER:
            return told
        if self.needed > PRACTICAL:
            return f"too little data: {told}; no test set of a practical size would tell"
        return f"too little data: {told}; {100 * POWER:.0f} of 100 need n = {self.needed:,}"


@dataclass(frozen=True)
class Check:
    """One requirement held against one measured number."""

    name: str
    interval: Interval | Reason
    """What was measured, or why there is no number; then the check does not pass."""
    requirement: Requirement
    bound: Bound
    unit: str = ""
    next: str = ""
    """What to try if it fails."""
    note: str = ""
    """What else must be known of the number, such as samples that have none."""
    role: Role = "required"
    """required: it must pass; compared: one of several measures, left aside where undecided; guard:
    it can fail and proves nothing."""
    errors: float | None = None
    """Standard errors that the bounds keep from the estimate, where they were stretched."""
    plain: Interval | None = None
    """The interval before it was stretched."""

    def __post_init__(self) -> None:
        """Raise DataError for an interval of no finite numbers, ConfigError for one of too little
        confidence, by which anything would pass.
        """
        found = self.interval
        if isinstance(found, Reason):
            return
        if found.confidence < CONFIDENCE and self.bound != "estimate":
            raise ConfigError(
                f"{self.name}: a gate decides by intervals of {CONFIDENCE:g} or more; this one has "
                f"{found.confidence:g}."
            )
        if not all(map(isfinite, found[:3])):
            raise DataError(
                f"{self.name}: the interval {found} is not finite; give a Reason where a number "
                "is undefined."
            )

    @property
    def value(self) -> float | None:
        """The number that is held against the limit."""
        if isinstance(self.interval, Reason):
            return None
        bounds = {"upper": "high", "lower": "low", "estimate": "estimate"}
        return getattr(self.interval, bounds[self.bound])

    @property
    def passed(self) -> bool:
        """Whether the bound lies on the right side."""
        return self.value is not None and self.requirement.holds(self.value)

    @property
    def outcome(self) -> CheckOutcome:
        """Whether it passed, or else whether the data say that it does not hold.

        Undecided is what lies on both sides, unless so much data would pass most equal models.
        """
        if self.passed:
            return "passed"
        if isinstance(self.interval, Reason):
            return "undecided" if self.interval.code in UNDECIDABLE else "failed"
        is_decided = self.bound == "estimate" or self.is_wrong or self.can_decide
        return "failed" if is_decided else "undecided"

    @property
    def is_wrong(self) -> bool:
        """Whether the whole interval lies on the wrong side of the limit, or an equal model's.

        The interval is the plain one: stretched bounds guard against passing by luck alone.
        """
        found, equal = self.plain or self.interval, self.requirement.equal
        if isinstance(found, Reason):
            return False
        is_low = self.requirement.side == "lower"
        best = found.high if is_low else found.low
        if equal is not None:
            return best < equal if is_low else best > equal
        return not self.requirement.holds(best)

    @property
    def can_decide(self) -> bool:
        """Whether there is so much data that most models as good as the baseline would pass."""
        return self.power is not None and self.power.share >= POWER

    @property
    def needed(self) -> int | None:
        """Number of values, of the same spread and grouping, that would decide; None: not known.

        Where no equal model is known, it is the number for the estimate that was found.
        """
        if isinstance(self.interval, Reason) or self.value is None or self.outcome != "undecided":
            return None
        if self.power is not None:
            return self.power.needed
        found, limit = self.interval, self.requirement.limit
        plain = self.plain or found
        far = plain.high if self.requirement.side == "lower" else plain.low
        bound = self.value if self.requirement.holds(found.estimate) else far
        room = abs(found.estimate - limit)
        distance = abs(bound - found.estimate)
        return ceil(found.n * growth(found, distance, room, self.tail)) if room else None

    @property
    def required(self) -> str:
        """The requirement in words: `upper bound at most 1.9 bits`."""
        return f"{NAMES[self.bound]} {self.requirement} {self.unit}".rstrip()

    @property
    def power(self) -> Power | None:
        """How often an equal model passes; None where that is not known.

        Its estimate lies around `equal` with the standard error found, and its bound as far off.
        """
        equal = self.requirement.equal
        if isinstance(self.interval, Reason) or equal is None or self.value is None:
            return None
        room = abs(equal - self.requirement.limit)
        if self.bound == "estimate" or not room:
            return None  # without a margin half of all equal models fail, however much data
        distance = abs(self.interval.estimate - self.value)
        if not distance:
            return None  # equal values whose limits are not known say nothing of others
        error = standard_error(self.interval, distance, self.tail)
        share = normal_tail((distance - room) / error) if error else float(distance < room)
        times = growth(self.interval, distance, room, self.tail, -normal_quantile(POWER))
        return Power(share, self.interval.n, ceil(self.interval.n * times))

    @property
    def tail(self) -> float:
        """Chance that the truth lies beyond a bound."""
        if isinstance(self.interval, Reason) or self.errors is not None:
            return normal_tail(self.errors or 0.0)
        return tail_of(self.interval.confidence)

    def stretched(self, errors: float) -> "Check":
        """The same check with bounds so many standard errors away from the estimate."""
        if isinstance(self.interval, Reason):
            return self
        wide = self.interval.stretched(errors)
        return replace(self, interval=wide, errors=errors, plain=self.plain or self.interval)

    def row(self) -> dict[str, Any]:
        """The check as JSON values, for verdict.json and reports."""
        undefined = isinstance(self.interval, Reason)
        return {
            "name": self.name,
            "passed": self.passed,
            "outcome": self.outcome,
            "role": self.role,
            "required": self.required,
            "sense": self.requirement.sense,
            "limit": self.requirement.limit,
            "bound": self.bound,
            "unit": self.unit,
            "interval": None if undefined else self.interval._asdict(),
            "undefined": self.interval._asdict() if undefined else None,
            "power": None if self.power is None else self.power._asdict(),
            "needed": self.needed,
            "note": self.note,
            "next": self.next,
        }


def check(
    name: str, interval: Interval | Reason, requirement: Requirement, bound: Bound | None = None,
    *, unit: str = "", next: str = "", note: str = "", role: Role = "required",
) -> Check:  # fmt: skip
    """Hold a measured number against a requirement.

    `bound` None takes the bound that proves it: the upper one for at_most and below, the lower one
    for at_least and above; "estimate" asks no certainty. Raises ConfigError for the other bound,
    which would let an uncertain number pass.

    >>> found = check("bits per byte", Interval(1.8, 1.7, 2.0, 0.95, 9, 9), at_most(1.9))
    >>> found.passed, found.required
    (False, 'upper bound at most 1.9')
    """
    bound = bound or requirement.side
    choice("bound", bound, get_args(Bound))
    if bound not in ("estimate", requirement.side):
        raise ConfigError(
            f"{name}: the {NAMES[bound]} does not prove `{requirement}`; "
            f"use bound={requirement.side!r} or 'estimate'."
        )
    return Check(name, interval, requirement, bound, unit, next, note, choice("role", role, ROLES))


def corrected(one: Check, place: int, seen: Seen, among: int = 1) -> Check:
    """The check as it must be held against the candidate at this place.

    among  how many checks there were of which one that passes is enough (Bonferroni)

    >>> found = check("x", Interval(0.3, 0.1, 0.5, 0.95, 900, 900), above(0))
    >>> found.passed, corrected(found, 2, "scores").passed, corrected(found, 2, "verdicts").passed
    (True, False, True)
    """
    if isinstance(one.interval, Reason) or place == among == 1:
        return one
    return one.stretched(standard_errors(place, 1 - (1 - one.interval.confidence) / among, seen))


def standard_error(found: Interval, distance: float, tail: float) -> float:
    """What lies behind a bound so far away, room for the unseen left out."""
    error = distance / found.student(tail)
    return error if found.error is None else min(error, found.error)


def growth(
    found: Interval, distance: float, room: float, tail: float, errors: float = 0.0
) -> float:
    """How many times as much data puts a bound, and `errors` standard errors, within `room`.

    A standard error shrinks as 1 / √n; room for the unseen, 1 - tail^(1 / groups), as 1 / n.
    """
    error, far = standard_error(found, distance, tail), found.student(tail)
    by_error = ((far + errors) * error / room) ** 2
    if distance <= far * error * (1 + ROUNDING):
        return by_error
    logarithm = -log(tail) / found.groups
    distance *= logarithm / -expm1(-logarithm)
    root = (sqrt((errors * error) ** 2 + 4 * distance * room) - errors * error) / 2 / distance
    return max(by_error, root**-2)
