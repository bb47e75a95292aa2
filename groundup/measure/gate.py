"""Gates: what must be true of a measured number before the next stage may build on it.

The bound of the interval must lie on the right side, so a small sample never passes by luck:

    check("bits per byte", interval, at_most(1.9))            upper bound <= 1.9
    check("similarity gained", paired(ours, base), above(0))  lower bound > 0

    check("quality kept", paired(ours, base), loses_at_most(0.02))    lower bound > -0.02

A check that knows what an equal model would score tells its power: how often such a model passes
with so much data. A verdict is an artifact that records all checks of a subject, passed or not;
`require` stops on a failed one. With a test set, bounds keep more standard errors away the more
candidates were scored on it before; see stats/looks.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    GateFailed,
    Reason,
    choice,
    digest,
    produce,
    write_json,
)

from .stats.distribution import normal_quantile, normal_tail, student_quantile, z_value
from .stats.interval import Interval
from .stats.looks import Seen, standard_errors
from .testset import candidates

Bound = Literal["upper", "lower", "estimate"]
Sense = Literal["<=", ">=", "<", ">"]
Better = Literal["higher", "lower"]
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
    """What was measured, or why there is no number; then the check fails."""
    requirement: Requirement
    bound: Bound
    unit: str = ""
    next: str = ""
    """What to try if it fails."""
    errors: float | None = None
    """Standard errors that the bounds keep from the estimate, where they were stretched."""

    def __post_init__(self) -> None:
        """Raise DataError for an interval that is not made of finite numbers."""
        found = self.interval
        if not isinstance(found, Reason) and not all(map(isfinite, found[:3])):
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
        errors = self.errors or z_value(self.interval.confidence)
        t = student_quantile(normal_tail(errors), max(1, self.interval.groups - 1))
        error = abs(self.interval.estimate - self.value) / t
        if not error:
            return None  # equal values whose limits are not known say nothing of others
        share = normal_tail(t - room / error)
        wanted = (t - normal_quantile(POWER)) * error / room
        return Power(share, self.interval.n, ceil(self.interval.n * wanted**2))

    def stretched(self, errors: float) -> "Check":
        """The same check with bounds so many standard errors away from the estimate."""
        if isinstance(self.interval, Reason):
            return self
        return replace(self, interval=self.interval.stretched(errors), errors=errors)

    def row(self) -> dict[str, Any]:
        """The check as JSON values, for verdict.json and reports."""
        undefined = isinstance(self.interval, Reason)
        return {
            "name": self.name,
            "passed": self.passed,
            "required": self.required,
            "sense": self.requirement.sense,
            "limit": self.requirement.limit,
            "bound": self.bound,
            "unit": self.unit,
            "interval": None if undefined else self.interval._asdict(),
            "undefined": self.interval._asdict() if undefined else None,
            "power": None if self.power is None else self.power._asdict(),
            "next": self.next,
        }


def check(
    name: str, interval: Interval | Reason, requirement: Requirement, bound: Bound | None = None,
    *, unit: str = "", next: str = "",
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
    return Check(name, interval, requirement, bound, unit, next)


class VerdictConfig(Config):
    """What decides a verdict besides its subject."""

    author: str = ""
    """Who set the thresholds."""
    required: dict[str, str]
    """Each check's name and requirement in words."""
    measured: str
    """sha256 of the checks as given."""
    seen: Seen = "scores"
    """What the makers of the candidates had seen of earlier ones on the test set."""


def verdict(
    checks: Sequence[Check], subject: Artifact, baseline: Artifact | None = None,
    testset: Artifact | None = None, author: str = "", *, seen: Seen = "scores",
    setting: str = "", out: Path,
) -> Artifact:  # fmt: skip
    """Record the checks of a subject as an artifact of kind verdict, passed or not.

    setting  what else decided the subject's answers, as its look at the test set was recorded with

    With a test set, bounds are stretched by the subject's place among the candidates scored on it:
    for `seen="scores"` as if each was built on the scores of those before, for "verdicts" as if
    only passed or failed was known of them, or all were fixed beforehand.
    Raises ConfigError if there are no checks or two share a name.
    """
    if not checks or len({one.name for one in checks}) < len(checks):
        names = ", ".join(one.name for one in checks) or "none"
        raise ConfigError(f"A verdict needs checks with different names; got {names}.")
    inputs = {"subject": subject, "baseline": baseline, "testset": testset}
    config = VerdictConfig(
        author=author,
        required={one.name: one.required for one in checks},
        measured=digest([one.row() for one in checks]),
        seen=seen,
    )

    def write(draft: Draft) -> None:
        place = place_of(f"{subject.id} {setting}".rstrip(), testset)
        judged = [corrected(one, place, seen) for one in checks]
        passed = all(one.passed for one in judged)
        draft.numbers |= {"passed": passed, "checks": len(judged), "candidates": place}
        write_json(draft.file("verdict.json"), {
            "passed": passed,
            "author": author,
            "candidates": place,
            "seen": seen,
            "checks": [one.row() for one in judged],
        })  # fmt: skip

    return produce(
        out, kind="verdict", stage="gate", version=2, config=config, write=write,
        parents={name: found for name, found in inputs.items() if found is not None},
    )  # fmt: skip


def place_of(candidate: str, testset: Artifact | None) -> int:
    """A candidate's place among those scored on the test set, 1 for the first."""
    seen = [] if testset is None else candidates(testset)
    return seen.index(candidate) + 1 if candidate in seen else len(seen) + 1


def corrected(one: Check, place: int, seen: Seen) -> Check:
    """The check as it must be held against the candidate at this place.

    >>> found = check("x", Interval(0.3, 0.1, 0.5, 0.95, 900, 900), above(0))
    >>> found.passed, corrected(found, 2, "scores").passed, corrected(found, 2, "verdicts").passed
    (True, False, True)
    """
    if isinstance(one.interval, Reason) or place == 1:
        return one
    return one.stretched(standard_errors(place, one.interval.confidence, seen))


@dataclass(frozen=True)
class Verdict:
    """A verdict as read from its artifact."""

    passed: bool
    author: str
    candidates: int
    """Place among the candidates scored on the test set, by which the bounds are stretched."""
    checks: tuple[dict[str, Any], ...]
    """Rows of Check.row()."""
    seen: Seen = "scores"
    """What the makers of the candidates had seen of earlier ones."""

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows that did not pass."""
        return [row for row in self.checks if not row["passed"]]

    @property
    def correction(self) -> list[str]:
        """A line that says how the bounds were stretched; none for the first candidate."""
        if self.candidates == 1:
            return []
        errors = (standard_errors(place, seen=self.seen) for place in (self.candidates, 1))
        return [
            "candidate {} on this test set, {} seen: bounds of {:.3g} standard errors "
            "(a new test set asks {:.3g})".format(self.candidates, self.seen, *errors)
        ]

    def __str__(self) -> str:
        """A line a check, what to try under a failed one."""
        count = len(self.checks)
        head = f"passed: all of {count} checks" if self.passed else (
            f"FAILED: {len(self.failed)} of {count} checks"
        )  # fmt: skip
        author = f", thresholds by {self.author}" if self.author else ""
        cells = [(row["name"], measured(row), requirement(row)) for row in self.checks]
        widths = [max(len(row[column]) for row in cells) for column in range(2)]
        lines = [head + author, *self.correction, ""]
        for row, (name, came, wanted) in zip(self.checks, cells, strict=True):
            mark = "passed" if row["passed"] else "FAILED"
            lines.append(f"{mark}  {name:<{widths[0]}}  {came:<{widths[1]}}  {wanted}")
            power = Power(**row["power"]) if row.get("power") else None
            if power and not (row["passed"] and power.share < POWER):
                lines.append(f"        {power}")
            if row["next"] and not row["passed"]:
                lines.append(f"        try: {row['next']}")
        return "\n".join(lines)


def read_verdict(artifact: Artifact) -> Verdict:
    """Read a verdict artifact; ArtifactError if it is of another kind."""
    file = artifact.require_kind("verdict").file("verdict.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    rows, seen = tuple(data["checks"]), data.get("seen", "scores")
    return Verdict(data["passed"], data["author"], data["candidates"], rows, seen)


def require(artifact: Artifact) -> Verdict:
    """Show a verdict; stop if it has not passed.

    artifact  directory of the verdict

    Raises GateFailed with the failing checks' names in its message and the whole table as its note.
    """
    found = read_verdict(artifact)
    if found.passed:
        return found
    rows = ", ".join(row["name"] for row in found.failed)
    author = f" (thresholds by {found.author})" if found.author else ""
    failure = GateFailed(
        f"{len(found.failed)} of {len(found.checks)} checks failed{author}: {rows}. "
        f"The verdict is in {artifact.path}."
    )
    failure.add_note(str(found))
    raise failure


def measured(row: dict[str, Any]) -> str:
    """What a row's number came to, with its unit."""
    if row["undefined"]:
        return f"undefined ({row['undefined']['message']})"
    return f"{Interval(**row['interval'])} {row['unit']}".rstrip()


def requirement(row: dict[str, Any]) -> str:
    """What a row requires, without the unit, which stands beside the number."""
    return row["required"].removesuffix(f" {row['unit']}")
