"""The verb `groundup gate`: turn evaluations into a verdict, and check whether it passed.

Against a baseline every measure must be non-inferior: the bound of the paired difference on the
same samples must be within the margin, so a small test set passes nothing by chance. Measures with
too few samples to decide are skipped and named; if all are, the verdict is undecided. A task, a
measure or samples that only one run has fail with a reason, and so does a run without scores for
samples that the baseline scores. Bounds are recomputed from the samples (bounds.py), and test-set
accesses are checked against the ledgers (accesses.py).
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
    check_requirement,
    loses_at_most,
    rate,
    write_verdict,
)
from groundup.measure import require_passed as passed

from .accesses import check_ledgers, open_inputs
from .bounds import gate_interval
from .compare.comparison import ComparedMeasure, find_measure, find_task
from .compare.groups import compare_groups
from .compare.verb import ReportSet
from .harness.report import EvaluationReport, MeasureReport, read_report, recorded_baseline

DEFAULT_MARGIN = 0.01
"""Default margin: absolute for a share, else relative to the baseline. Also the maximum share of
samples without a score, whatever the margin is."""
COMPARATORS = {">=": at_least, "<=": at_most, ">": above, "<": below}
MEANINGFUL_EXTREMES = ((">", 0.0), ("<", 1.0), (">=", 1.0), ("<=", 0.0))
"""Bounds at 0 or 1 that a share can meet or miss."""
NOT_APPLICABLE = ("no_reference", "has_reference")
"""Reason codes of samples to which a measure does not apply."""


def gate(
    report: Path, *, against: Path | None = None, margin: float | None = None,
    require: list[str] | None = None, test: Path | None = None, author: str = "",
    accept_unrecorded: bool = False, out: Path | None = None,
) -> Verdict:  # fmt: skip
    """Check an evaluation, or show a verdict; exit code 3 if it failed, 4 if it is undecided.

    report   a report to check, or a verdict to show
    against  report of the baseline: no measure may be worse; default: the one that the report was
             evaluated against, if no bound is required
    margin   allowed loss in the measure's unit; default: 0.01 of a share, of any other unit 1 % of
             the baseline's number
    require  a bound that must hold, such as "exact_match>=0.3" or "arithmetic.2 exact_match>0.9";
             may be repeated
    test     test set whose earlier candidates count; default: the report's own
    author   who set the thresholds
    accept_unrecorded  proceed although a test-set access is missing in its ledger, which the
             verdict records
    out      directory of the verdict; default: REPORT-verdict next to the report

    Raises GateFailed with the failing checks, GateUndecided if there is too little data, and
    ArtifactError if an access is missing in its ledger.
    """
    artifact = Artifact.open(report, ("report", "verdict"))
    if artifact.kind == "verdict":
        if against or require or test or out:
            raise ConfigError(f"{report} is a verdict already; give a report to check again.")
        return passed(artifact)
    found = read_report(artifact)
    against = against or (None if require else recorded_baseline(artifact))
    out = out or artifact.path.with_name(f"{artifact.path.name}-verdict")
    if not (against or require):
        raise ConfigError(
            f"{report} has no recorded baseline; give --against REPORT, --require BOUND, or both."
        )
    if margin is not None and against is None:
        raise ConfigError("--margin applies to a baseline; give --against too.")
    baseline = None if against is None else Artifact.open(against, "report")
    checks = [] if baseline is None else list(_non_inferiority_checks(artifact, baseline, margin))
    checks += [bound for text in require or () for bound in _required_checks(artifact, found, text)]
    access = check_ledgers(artifact, baseline, test, accept_unrecorded)
    guards = {each.name: each for each in checks if each.role == "guard"}  # the strictest is last
    checks = [*(each for each in checks if each.role != "guard"), *guards.values()]
    outcome = write_verdict(
        checks, _scored_model(artifact),
        None if baseline is None else _scored_model(baseline), access.testset, author,
        candidate=access.candidate, unrecorded=access.missing, out=out,
    )  # fmt: skip
    return passed(outcome)


def _non_inferiority_checks(
    report: Artifact, baseline: Artifact, margin: float | None
) -> Iterator[Check]:
    """Yield a non-inferiority check per measure, and one where scores are missing."""
    runs = ReportSet.open([baseline, report])
    before, now = runs.reports
    tasks = [runs.compare_task(name).task for name in runs.tasks()]
    for task in (*compare_groups(runs.reports, tasks), *tasks):
        for measure in task.measures:
            (versus,) = measure.versus
            difference = versus.difference
            pair = [find_measure(find_task(each, task.name), measure.key) for each in (before, now)]
            yield check_requirement(
                f"{task.name} {measure.key} - baseline",
                difference if isinstance(difference, Reason) else difference.interval,
                loses_at_most(_allowed_loss(task.name, measure, margin), measure.better),
                unit=measure.unit, note=_describe_unscored(pair[1]), role="compared",
                next=f"groundup compare {baseline.path} {report.path} --out DIR shows the samples",
            )  # fmt: skip
            if pair[0] and pair[1] and _scored_share(pair[1]) < _scored_share(pair[0]):
                yield _scored_share_check(
                    task.name, pair[1], _scored_share(pair[0]) - DEFAULT_MARGIN
                )


def _allowed_loss(task: str, measure: ComparedMeasure, margin: float | None) -> float:
    """The allowed loss of a measure; ConfigError if the baseline is 0 and no margin is given, or if
    no share could lose so much.
    """
    if margin is not None:
        if measure.unit == "share" and margin >= 1:
            raise ConfigError(
                f"--margin {margin:g}: {task} {measure.key} is a share, so expected less than 1, "
                "as in 0.05 for 5 %."
            )
        return margin
    before = measure.cells[0].result if measure.cells[0] else None
    if measure.unit == "share" or not isinstance(before, Interval):
        return DEFAULT_MARGIN
    if not before.estimate:
        raise ConfigError(
            f"The baseline has 0 {measure.unit} in {task} {measure.key}, which gives no relative "
            "margin; give --margin."
        )
    return DEFAULT_MARGIN * abs(before.estimate)


def _scored_share_check(task: str, measure: MeasureReport, min_share: float) -> Check:
    """The check of the share of samples with a score."""
    missing = _unscored_counts(measure)
    why = ", ".join(f"{count:,} {code}" for code, count in missing.items())
    share = rate([1.0] * measure.n_scored + [0.0] * sum(missing.values()))
    return check_requirement(
        f"{task} {measure.key} has a number", share, at_least(min_share), "estimate", unit="share",
        next=f"no number: {why}", role="guard",
    )  # fmt: skip


def _scored_share(measure: MeasureReport) -> float:
    """Share of a measure's applicable samples that have a score."""
    total = measure.n_scored + sum(_unscored_counts(measure).values())
    return measure.n_scored / total if total else 1.0


def _unscored_counts(measure: MeasureReport) -> dict[str, int]:
    """Number of applicable samples without a score, by code."""
    return {code: count for code, count in measure.reasons.items() if code not in NOT_APPLICABLE}


def _describe_unscored(measure: MeasureReport | None) -> str:
    """Describe the samples that a measure excludes or counts as wrong; empty if there are none."""
    if measure is None:
        return ""
    missing = _unscored_counts(measure)
    why = ", ".join(f"{count:,} {code}" for code, count in missing.items())
    total = measure.n_scored + sum(missing.values())
    notes = [f"{sum(missing.values()):,} of {total:,} samples have no number ({why})"] * bool(why)
    notes += [f"{measure.unanswered:,} had no answer and count as wrong"] * bool(measure.unanswered)
    notes += [f"{measure.unparsed:,} could not be read and count as wrong"] * bool(measure.unparsed)
    return "; ".join(notes)


def _required_checks(artifact: Artifact, report: EvaluationReport, text: str) -> Iterator[Check]:
    """Yield the checks of a required bound, one for each task or group with such a measure.

    More than 1 % of samples without a score fail. Raises ConfigError for an invalid bound or an
    unknown measure.
    """
    parts = re.fullmatch(r"\s*(.*?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*", text)
    if not parts:
        raise ConfigError(
            f"--require {text!r} is not a bound; expected one such as exact_match>=0.3."
        )
    name, comparator, limit = parts[1], parts[2], float(parts[3])
    measures = [(part, measure) for part in report.groups_and_tasks() for measure in part.measures]
    matches = [
        (part, measure)
        for part, measure in measures
        if name in (measure.key, f"{part.name} {measure.key}")
    ]
    if not matches:
        names = ", ".join(dict.fromkeys(f"{part.name} {measure.key}" for part, measure in measures))
        raise ConfigError(f"--require {text!r}: the report has no measure {name}; it has {names}.")
    for part, measure in matches:
        if (
            measure.unit == "share"
            and (comparator, limit) not in MEANINGFUL_EXTREMES
            and not 0 < limit < 1
        ):
            raise ConfigError(
                f"--require {text!r}: {part.name} {measure.key} is a share, so expected a bound "
                "between 0 and 1."
            )
        title = f"{part.name} {measure.key} {comparator} {limit:g}"
        yield check_requirement(
            title, gate_interval(artifact, report, part, measure), COMPARATORS[comparator](limit),
            unit=measure.unit, note=_describe_unscored(measure),
        )  # fmt: skip
        if _unscored_counts(measure):
            yield _scored_share_check(part.name, measure, 1 - DEFAULT_MARGIN)


def _scored_model(report: Artifact) -> Artifact:
    """The report's model if it is an existing artifact, else the report, since a server or a
    Transformers directory has no id."""
    return next((artifact for name, artifact in open_inputs(report) if name == "model"), report)
