"""The verb `groundup gate`: from evaluations to a verdict, and whether it passed.

Against a baseline every measure must be no worse by the margin: the bound of the paired difference
on the same samples must lie on the right side, so a small test set passes nothing by luck. Measures
whose samples cannot decide are left aside and named; if none can, the verdict is undecided. What
one run did and the other did not (a task, a measure, other samples) fails with its reason, and so
does a run that has no number for samples for which the baseline has one. Bounds are the gate's own,
made of the samples; see bounds.py, and accesses.py for whose look at the test set counts.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from groundup.core import Artifact, ConfigError, Reason
from groundup.measure import (
    Check,
    Interval,
    Verdict,
    above,
    at_least,
    at_most,
    below,
    check,
    loses_at_most,
    rate,
    verdict,
)
from groundup.measure import require as passed

from .accesses import inputs, sealed
from .bounds import bounds
from .compare.comparison import ComparedMeasure, measure_of, task_of
from .compare.groups import compared_groups
from .compare.verb import Runs
from .harness.report import MeasureReport, Report, baseline_of, read_report

SHARE = 0.01
"""May be lost where no margin is given: of a share, or of what the baseline has. So many samples
may have no number, whatever the margin is."""
SENSES = {">=": at_least, "<=": at_most, ">": above, "<": below}
PROVABLE = ((">", 0.0), ("<", 1.0), (">=", 1.0), ("<=", 0.0))
"""Bounds at the ends of a share that say something."""
UNSUITED = ("no_reference", "has_reference")
"""Codes of samples of which a measure does not speak."""


def gate(
    report: Path, *, against: Path | None = None, margin: float | None = None,
    require: list[str] | None = None, test: Path | None = None, author: str = "",
    accept_unrecorded: bool = False, out: Path | None = None,
) -> Verdict:  # fmt: skip
    """Judge an evaluation, or show a verdict; exit code 3 if it failed, 4 if it is undecided.

    report   a report to judge, or a verdict to show
    against  report of the baseline: no measure may be worse; default: the one that the report was
             evaluated against, if no bound is required
    margin   by less than this, in the measure's unit; default: 0.01 of a share, of any other unit
             1 % of the baseline's number
    require  a bound that must hold, such as "exact_match>=0.3" or "arithmetic.2 exact_match>0.9";
             may be given again
    test     test set whose earlier candidates count; default: the one that the report was made on
    author   who set the thresholds
    accept_unrecorded  judge although a look at the test set is missing in its ledger, which the
             verdict records
    out      directory of the verdict; default: REPORT-verdict beside the report

    Raises GateFailed with the failing rows, GateUndecided if there is too little data, and
    ArtifactError if a look is missing in its ledger.
    """
    artifact = Artifact.open(report, ("report", "verdict"))
    if artifact.kind == "verdict":
        if against or require or test or out:
            raise ConfigError(f"{report} is a verdict already; give a report to judge anew.")
        return passed(artifact)
    found = read_report(artifact)
    against = against or (None if require else baseline_of(artifact))
    out = out or artifact.path.with_name(f"{artifact.path.name}-verdict")
    if not (against or require):
        raise ConfigError(
            f"{report} was evaluated against nothing; judge it --against a baseline's report, by "
            "--require BOUND, or both."
        )
    if margin is not None and against is None:
        raise ConfigError("--margin is what may be lost against a baseline; give --against too.")
    baseline = None if against is None else Artifact.open(against, "report")
    checks = [] if baseline is None else list(no_worse(artifact, baseline, margin))
    checks += [one for text in require or () for one in required(artifact, found, text)]
    access = sealed(artifact, baseline, test, accept_unrecorded)
    guards = {one.name: one for one in checks if one.role == "guard"}  # the strictest comes last
    checks = [*(one for one in checks if one.role != "guard"), *guards.values()]
    made = verdict(
        checks, scored(artifact),
        None if baseline is None else scored(baseline), access.testset, author,
        candidate=access.candidate, unrecorded=access.missing, out=out,
    )  # fmt: skip
    return passed(made)


def no_worse(report: Artifact, baseline: Artifact, margin: float | None) -> Iterator[Check]:
    """Yield a check for each group's and task's measure, and one for what has no number."""
    runs = Runs.open([baseline, report])
    before, now = runs.reports
    tasks = [runs.compare(name).task for name in runs.tasks()]
    for task in (*compared_groups(runs.reports, tasks), *tasks):
        for measure in task.measures:
            (versus,) = measure.versus
            apart = versus.difference
            pair = [measure_of(task_of(each, task.name), measure.key) for each in (before, now)]
            yield check(
                f"{task.name} {measure.key} - baseline",
                apart if isinstance(apart, Reason) else apart.interval,
                loses_at_most(margin_of(task.name, measure, margin), measure.better),
                unit=measure.unit, note=counts(pair[1]), role="compared",
                next=f"groundup compare {baseline.path} {report.path} --out DIR shows the samples",
            )  # fmt: skip
            if pair[0] and pair[1] and numbered(pair[1]) < numbered(pair[0]):
                yield answered(task.name, pair[1], numbered(pair[0]) - SHARE)


def margin_of(task: str, measure: ComparedMeasure, margin: float | None) -> float:
    """What a measure may lose; ConfigError if it must be told because the baseline has 0, or if no
    share could lose so much.
    """
    if margin is not None:
        if measure.unit == "share" and margin >= 1:
            raise ConfigError(
                f"--margin {margin:g}: {task} {measure.key} is a share, of which nothing can lose "
                "1; expected part of 1, as in 0.05 for 5 %."
            )
        return margin
    before = measure.cells[0].result if measure.cells[0] else None
    if measure.unit == "share" or not isinstance(before, Interval):
        return SHARE
    if not before.estimate:
        raise ConfigError(
            f"The baseline has 0 {measure.unit} in {task} {measure.key}, of which no part is a "
            "margin; give --margin."
        )
    return SHARE * abs(before.estimate)


def answered(task: str, now: MeasureReport, least: float) -> Check:
    """The share of samples that have a number at all."""
    missing = unnumbered(now)
    why = ", ".join(f"{count:,} {code}" for code, count in missing.items())
    share = rate([1.0] * now.n_scored + [0.0] * sum(missing.values()))
    return check(
        f"{task} {now.key} has a number", share, at_least(least), "estimate", unit="share",
        next=f"no number: {why}", role="guard",
    )  # fmt: skip


def numbered(one: MeasureReport) -> float:
    """Share of the samples of which a measure speaks that have a number."""
    whole = one.n_scored + sum(unnumbered(one).values())
    return one.n_scored / whole if whole else 1.0


def unnumbered(one: MeasureReport) -> dict[str, int]:
    """How many samples have no number though the measure speaks of them, by code."""
    return {code: count for code, count in one.reasons.items() if code not in UNSUITED}


def counts(one: MeasureReport | None) -> str:
    """What a number leaves out or takes as wrong, in words; empty if there is nothing."""
    if one is None:
        return ""
    missing = unnumbered(one)
    why = ", ".join(f"{count:,} {code}" for code, count in missing.items())
    whole = one.n_scored + sum(missing.values())
    told = [f"{sum(missing.values()):,} of {whole:,} samples have no number ({why})"] * bool(why)
    told += [f"{one.unanswered:,} had no answer and count as wrong"] * bool(one.unanswered)
    told += [f"{one.unparsed:,} could not be read and count as wrong"] * bool(one.unparsed)
    return "; ".join(told)


def required(artifact: Artifact, report: Report, text: str) -> Iterator[Check]:
    """Yield the checks that a bound asks for, one for each task or group with such a measure.

    Samples without a number are no way to pass: more of them than 1 % fail.
    Raises ConfigError if the text is no bound or nothing is measured under that name.
    """
    parts = re.fullmatch(r"\s*(.*?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*", text)
    if not parts:
        raise ConfigError(f"--require {text!r} is no bound; expected one as in exact_match>=0.3.")
    wanted, sense, limit = parts[1], parts[2], float(parts[3])
    measures = [(part, one) for part in report.parts() for one in part.measures]
    found = [(part, one) for part, one in measures if wanted in (one.key, f"{part.name} {one.key}")]
    if not found:
        known = ", ".join(dict.fromkeys(f"{part.name} {one.key}" for part, one in measures))
        raise ConfigError(f"--require {text!r}: the report measures no {wanted}; it has {known}.")
    for part, one in found:
        if one.unit == "share" and (sense, limit) not in PROVABLE and not 0 < limit < 1:
            raise ConfigError(
                f"--require {text!r}: {part.name} {one.key} is a share, between 0 and 1; every "
                "number would pass, or none."
            )
        title = f"{part.name} {one.key} {sense} {limit:g}"
        yield check(
            title, bounds(artifact, report, part, one), SENSES[sense](limit), unit=one.unit,
            note=counts(one),
        )  # fmt: skip
        if unnumbered(one):
            yield answered(part.name, one, 1 - SHARE)


def scored(report: Artifact) -> Artifact:
    """The model that a report scored, where it is an artifact that is still here; else the report.

    A server and a directory of others have no id of their own.
    """
    return next((found for name, found in inputs(report) if name == "model"), report)
