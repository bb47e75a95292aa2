"""Gates: requirements on a measured number that must hold before the next stage may use it.

The interval's bound must lie on the right side, so a small sample does not pass by luck:

    check_requirement("bits per byte", interval, at_most(1.9))            upper bound <= 1.9
    gain = paired_difference(ours, base)
    check_requirement("similarity gained", gain, above(0))                lower bound > 0
    check_requirement("quality kept", gain, loses_at_most(0.02))          lower bound > -0.02

A check that does not pass has failed, or is undecided: the interval contains the limit and there is
too little data. A check that knows what an equal model would score reports its power: how often
such a model passes with this much data; with enough power, not passing counts as failing.
verdict.py combines many checks into one decision.
"""

from dataclasses import dataclass, replace
from math import ceil, expm1, isfinite, log, sqrt
from typing import Any, Literal, NamedTuple, get_args

from groundup.core import ConfigError, DataError, Reason, check_choice

from .stats.distribution import normal_quantile, normal_tail, two_sided_tail
from .stats.grouping import ROUNDING
from .stats.interval import Interval
from .stats.sequence import SeenFeedback, reuse_standard_errors

Bound = Literal["upper", "lower", "estimate"]
Sense = Literal["<=", ">=", "<", ">"]
Better = Literal["higher", "lower"]
CheckOutcome = Literal["passed", "failed", "undecided"]
Role = Literal["required", "compared", "guard"]
ROLES = get_args(Role)
CONFIDENCE = 0.95
"""Minimum confidence of intervals that decide a gate."""
UNDECIDABLE = ("too_few_groups", "no_difference_of")
"""Codes of reasons that mean undecided instead of failed, because the data allow no number."""
POWER = 0.8
"""Share of equal models that a check should pass; with less, the test set is too small."""
MAX_PRACTICAL_N = 10_000_000
"""Largest sample size that is suggested to users."""
BOUND_NAMES = {"upper": "upper bound", "lower": "lower bound", "estimate": "estimate"}


@dataclass(frozen=True)
class Requirement:
    """A limit and the side on which a number must lie; created by `at_most` and similar."""

    sense: Sense
    limit: float
    origin: str = ""
    """Explanation of the limit, appended to the requirement."""
    equal: float | None = None
    """Expected score of a model as good as the baseline; enables the check's power."""

    def __post_init__(self) -> None:
        """Raise ConfigError for an unknown sense or a limit that is not finite."""
        check_choice("sense", self.sense, get_args(Sense))
        if not isfinite(self.limit):
            raise ConfigError(f"The limit {self.limit} must be a finite number.")

    @property
    def decisive_bound(self) -> Bound:
        """The bound that must lie on the right side."""
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
    """Require a number at most `margin` worse than a baseline's estimate.

    The baseline's own uncertainty is ignored; on the same items, a paired difference with
    loses_at_most has more power and includes it. Raises ConfigError for a margin below 0.

    >>> print(no_worse_than(Interval(0.8, 0.7, 0.9, 0.95, 50, 50), margin=0.01))
    at least 0.79 (baseline 0.8, margin 0.01)
    """
    if not margin >= 0:
        raise ConfigError(f"margin={margin} must be 0 or more: what may be lost.")
    origin = f" (baseline {baseline.estimate:.4g}, margin {margin:.4g})"
    if check_choice("better", better, get_args(Better)) == "higher":
        return Requirement(">=", baseline.estimate - margin, origin, baseline.estimate)
    return Requirement("<=", baseline.estimate + margin, origin, baseline.estimate)


def loses_at_most(margin: float, better: Better = "higher") -> Requirement:
    """Non-inferiority: require that a difference candidate - baseline is above -margin.

    An equal model passes with the power that the check reports; one that is worse by exactly the
    margin passes in 2.5 of 100 cases (one side of a 95 % interval). Raises ConfigError unless the
    margin is positive: no data proves equality.

    >>> print(loses_at_most(0.02))
    above -0.02 (margin 0.02)
    """
    if not margin > 0:
        raise ConfigError(f"margin={margin} must be above 0; to require an improvement: above(0).")
    is_higher = check_choice("better", better, get_args(Better)) == "higher"
    sense, limit = (">", -margin) if is_higher else ("<", margin)
    return Requirement(sense, limit, f" (margin {margin:.4g})", equal=0.0)


class GatePower(NamedTuple):
    """How often a check passes a model as good as the baseline."""

    share: float
    """Probability with the data at hand."""
    n: int
    """Number of values at hand."""
    needed: int
    """Number of values, of the same variance and grouping, for a power of 80 %."""

    def __str__(self) -> str:
        """A sentence that begins with `too little data` if the power is too low."""
        text = f"n = {self.n:,} passes an equal model in {100 * self.share:.0f} of 100 cases"
        if self.share >= POWER:
            return text
        if self.needed > MAX_PRACTICAL_N:
            return f"too little data: {text}; no test set of a practical size would tell"
        return f"too little data: {text}; {100 * POWER:.0f} of 100 need n = {self.needed:,}"


@dataclass(frozen=True)
class Check:
    """One measured number checked against one requirement."""

    name: str
    interval: Interval | Reason
    """The measurement, or why there is none; then the check does not pass."""
    requirement: Requirement
    bound: Bound
    unit: str = ""
    next: str = ""
    """What to try if it fails."""
    note: str = ""
    """Remark on the number, such as samples without a score."""
    role: Role = "required"
    """required: it must pass; compared: one of several measures, ignored where undecided; guard:
    it can fail but does not count as passing."""
    bound_errors: float | None = None
    """Distance of widened bounds from the estimate in standard errors; None if not widened."""
    unwidened: Interval | None = None
    """The interval before it was widened."""

    def __post_init__(self) -> None:
        """Raise DataError for an interval that is not finite, ConfigError for low confidence."""
        interval = self.interval
        if isinstance(interval, Reason):
            return
        if interval.confidence < CONFIDENCE and self.bound != "estimate":
            what = f"{self.name}: a gate decides by intervals of {CONFIDENCE:g} or more"
            raise ConfigError(f"{what}; this one has {interval.confidence:g}.")
        if not all(map(isfinite, interval[:3])):
            what = f"{self.name}: the interval {interval} is not finite"
            raise DataError(f"{what}; give a Reason instead.")

    @property
    def value(self) -> float | None:
        """The number that is compared with the limit."""
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
        """Passed, failed or undecided.

        Undecided: the interval contains the limit, and the power for an equal model is low.
        """
        if self.passed:
            return "passed"
        if isinstance(self.interval, Reason):
            return "undecided" if self.interval.code in UNDECIDABLE else "failed"
        is_decided = self.bound == "estimate" or self.is_clearly_wrong or self.can_decide
        return "failed" if is_decided else "undecided"

    @property
    def is_clearly_wrong(self) -> bool:
        """Whether the entire interval lies on the wrong side of the limit, or of an equal model.

        Uses the interval before widening, which only guards against passing by luck.
        """
        interval, equal = self.unwidened or self.interval, self.requirement.equal
        if isinstance(interval, Reason):
            return False
        is_low = self.requirement.decisive_bound == "lower"
        best = interval.high if is_low else interval.low
        if equal is not None:
            return best < equal if is_low else best > equal
        return not self.requirement.holds(best)

    @property
    def can_decide(self) -> bool:
        """Whether most models as good as the baseline would pass with this much data."""
        return self.power is not None and self.power.share >= POWER

    @property
    def required_n(self) -> int | None:
        """Number of values, of the same variance and grouping, that would decide; None: unknown.

        Where no equal model is known, it is the number for the measured estimate.
        """
        if isinstance(self.interval, Reason) or self.value is None or self.outcome != "undecided":
            return None
        if self.power is not None:
            return self.power.needed
        interval, limit = self.interval, self.requirement.limit
        narrow = self.unwidened or interval
        far = narrow.high if self.requirement.decisive_bound == "lower" else narrow.low
        bound = self.value if self.requirement.holds(interval.estimate) else far
        room, distance = abs(interval.estimate - limit), abs(bound - interval.estimate)
        if not room:
            return None
        return ceil(interval.n * _sample_size_factor(interval, distance, room, self.tail))

    @property
    def required(self) -> str:
        """The requirement in words: `upper bound at most 1.9 bits`."""
        return f"{BOUND_NAMES[self.bound]} {self.requirement} {self.unit}".rstrip()

    @property
    def power(self) -> GatePower | None:
        """How often an equal model passes; None if unknown.

        Assumes that its estimate is distributed around `equal` with the same standard error.
        """
        equal = self.requirement.equal
        if isinstance(self.interval, Reason) or equal is None or self.value is None:
            return None
        room = abs(equal - self.requirement.limit)
        if self.bound == "estimate" or not room:
            return None  # without a margin, half of all equal models fail regardless of n
        distance = abs(self.interval.estimate - self.value)
        if not distance:
            return None  # all values are equal: the variance is unknown
        error = _observed_standard_error(self.interval, distance, self.tail)
        share = normal_tail((distance - room) / error) if error else float(distance < room)
        extra = -normal_quantile(POWER)
        times = _sample_size_factor(self.interval, distance, room, self.tail, extra)
        return GatePower(share, self.interval.n, ceil(self.interval.n * times))

    @property
    def tail(self) -> float:
        """Probability that the true value lies beyond a bound."""
        if isinstance(self.interval, Reason) or self.bound_errors is not None:
            return normal_tail(self.bound_errors or 0.0)
        return two_sided_tail(self.interval.confidence)

    def widened(self, errors: float) -> "Check":
        """The same check with bounds `errors` standard errors away from the estimate."""
        if isinstance(self.interval, Reason):
            return self
        wide, narrow = self.interval.widened(errors), self.unwidened or self.interval
        return replace(self, interval=wide, bound_errors=errors, unwidened=narrow)

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
            "needed": self.required_n,
            "note": self.note,
            "next": self.next,
        }


def check_requirement(
    name: str, interval: Interval | Reason, requirement: Requirement, bound: Bound | None = None,
    *, unit: str = "", next: str = "", note: str = "", role: Role = "required",
) -> Check:  # fmt: skip
    """Check a measured number against a requirement.

    `bound` None uses the conservative bound: the upper one for at_most and below, the lower one
    for at_least and above; "estimate" ignores the uncertainty. Raises ConfigError for the other
    bound, with which an uncertain number would pass.

    >>> bits = Interval(1.8, 1.7, 2.0, 0.95, 9, 9)
    >>> result = check_requirement("bits per byte", bits, at_most(1.9))
    >>> result.passed, result.required
    (False, 'upper bound at most 1.9')
    """
    bound = bound or requirement.decisive_bound
    check_choice("bound", bound, get_args(Bound))
    if bound not in ("estimate", decisive := requirement.decisive_bound):
        advice = f"use bound={decisive!r} or 'estimate'"
        raise ConfigError(
            f"{name}: the {BOUND_NAMES[bound]} does not prove `{requirement}`; {advice}."
        )
    check_choice("role", role, ROLES)
    return Check(name, interval, requirement, bound, unit, next, note, role)


def widen_for_reuse(
    gate_check: Check, candidate_index: int, seen: SeenFeedback, among: int = 1
) -> Check:
    """Widen a check's interval for the candidate's index on a reused test set.

    candidate_index  1 for the first candidate scored on the test set
    among            number of checks of which one must pass (Bonferroni correction)

    >>> first = check_requirement("x", Interval(0.3, 0.1, 0.5, 0.95, 900, 900), above(0))
    >>> first.passed, *(widen_for_reuse(first, 2, seen).passed for seen in ("scores", "verdicts"))
    (True, False, True)
    """
    if isinstance(gate_check.interval, Reason) or candidate_index == among == 1:
        return gate_check
    confidence = 1 - (1 - gate_check.interval.confidence) / among
    return gate_check.widened(reuse_standard_errors(candidate_index, confidence, seen))


def _observed_standard_error(found: Interval, distance: float, tail: float) -> float:
    """Standard error behind a bound at this distance, without the allowance for unseen values."""
    error = distance / found.student_errors(tail)
    return error if found.error is None else min(error, found.error)


def _sample_size_factor(
    found: Interval, distance: float, room: float, tail: float, errors: float = 0.0
) -> float:
    """Factor by which n must grow so that the bound plus `errors` standard errors fit in `room`.

    A standard error shrinks as 1 / √n; the allowance for unseen values, 1 - tail^(1 / groups), as
    1 / n.
    """
    error, far = _observed_standard_error(found, distance, tail), found.student_errors(tail)
    by_error = ((far + errors) * error / room) ** 2
    if distance <= far * error * (1 + ROUNDING):
        return by_error
    logarithm = -log(tail) / found.groups
    distance *= logarithm / -expm1(-logarithm)
    root = (sqrt((errors * error) ** 2 + 4 * distance * room) - errors * error) / 2 / distance
    return max(by_error, root**-2)
