"""The verb `groundup gate`: turn evaluations into a verdict, and check whether it passed.

Against a baseline every measure must be non-inferior: the bound of the paired difference on the
same samples must be within the margin, so a small test set passes nothing by chance. Measures with
too few samples to decide are skipped and named; if all are, the verdict is undecided. A task, a
measure or samples that only one run has fail with a reason, and so does a run without scores for
samples that the baseline scores.

Bounds are recomputed from a report's samples at the gate's own confidence, so the confidence of the
evaluation (`--set confidence=0.01` makes every interval narrow) has no effect. An aggregation by a
task's own code cannot be recomputed; the report's interval is then used if its confidence is at
least the gate's.

Test-set accesses are checked against the ledgers. A ledger that was deleted, truncated or not
copied counts too few candidates, which lets a later one pass by chance. It is detected by the
missing lines of the report and its baseline.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, ArtifactError, ConfigError, DataError, Reason
from groundup.measure import (
    CONFIDENCE,
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
    read_accesses,
    scored_candidates,
    write_verdict,
)
from groundup.measure import require_passed as passed

from .compare.comparison import ComparedMeasure, compare_groups, find_measure, find_task
from .compare.verb import ReportSet
from .harness.report import (
    WEIGHTED_BY_SIZE,
    EvaluationReport,
    GroupReport,
    MeasureReport,
    RecordedAccess,
    TaskReport,
    read_report,
    read_sample_rows,
    recorded_baseline,
    setting_digest,
)
from .task.aggregate import CORPUS_AGGREGATIONS, SAMPLE_AGGREGATIONS, aggregate, mean_result
from .task.task import TaskMeasure

DEFAULT_MARGIN = 0.01
"""Default margin: absolute for a share, else relative to the baseline. Also the maximum share of
samples without a score, whatever the margin is."""
COMPARATORS = {">=": at_least, "<=": at_most, ">": above, "<": below}
MEANINGFUL_EXTREMES = ((">", 0.0), ("<", 1.0), (">=", 1.0), ("<=", 0.0))
"""Bounds at 0 or 1 that a share can meet or miss."""
NOT_APPLICABLE = ("no_reference", "has_reference", "refusal")
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
    runs = ReportSet.open([baseline, report])
    before, now = runs.reports
    tasks = [runs.compare_task(name)[0] for name in runs.tasks()]
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
            raise ConfigError(f"--margin {margin:g}: {task} {measure.key} is a share, so below 1.")
        return margin
    before = measure.cells[0].result if measure.cells[0] else None
    if measure.unit == "share" or not isinstance(before, Interval):
        return DEFAULT_MARGIN
    if not before.estimate:
        raise ConfigError(
            f"The baseline has 0 {measure.unit} in {task} {measure.key}: give --margin."
        )
    return DEFAULT_MARGIN * abs(before.estimate)


def _scored_share_check(task: str, measure: MeasureReport, min_share: float) -> Check:
    missing, why = _unscored_counts(measure)
    share = rate([1.0] * measure.n_scored + [0.0] * sum(missing.values()))
    return check_requirement(
        f"{task} {measure.key} has a number", share, at_least(min_share), "estimate", unit="share",
        next=f"no number: {why}", role="guard",
    )  # fmt: skip


def _scored_share(measure: MeasureReport) -> float:
    total = measure.n_scored + sum(_unscored_counts(measure)[0].values())
    return measure.n_scored / total if total else 1.0


def _unscored_counts(measure: MeasureReport) -> tuple[dict[str, int], str]:
    """Number of applicable samples without a score by code, and the same in words."""
    counts = {code: n for code, n in measure.reasons.items() if code not in NOT_APPLICABLE}
    return counts, ", ".join(f"{count:,} {code}" for code, count in counts.items())


def _describe_unscored(measure: MeasureReport | None) -> str:
    if measure is None:
        return ""
    missing, why = _unscored_counts(measure)
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
        is_bound = 0 < limit < 1 or (comparator, limit) in MEANINGFUL_EXTREMES
        if measure.unit == "share" and not is_bound:
            raise ConfigError(
                f"--require {text!r}: {measure.key} is a share, so expected a bound from 0 to 1."
            )
        title = f"{part.name} {measure.key} {comparator} {limit:g}"
        yield check_requirement(
            title, gate_interval(artifact, report, part, measure), COMPARATORS[comparator](limit),
            unit=measure.unit, note=_describe_unscored(measure),
        )  # fmt: skip
        if _unscored_counts(measure)[0]:
            yield _scored_share_check(part.name, measure, 1 - DEFAULT_MARGIN)


def _scored_model(report: Artifact) -> Artifact:
    """The report's model if it is an existing artifact, else the report, since a server or a
    Transformers directory has no id."""
    return next((artifact for name, artifact in open_inputs(report) if name == "model"), report)


def gate_interval(
    artifact: Artifact,
    report: EvaluationReport,
    result: TaskReport | GroupReport,
    measure: MeasureReport,
) -> Interval | Reason:
    """The interval of a task's or group's measure, recomputed from the scored samples."""
    if isinstance(result, TaskReport):
        return _interval_of_task(artifact, result, measure)
    intervals = []
    for task in (task for task in report.tasks if task.name in result.tasks):
        task_measure = find_measure(task, measure.key)
        intervals += [_interval_of_task(artifact, task, task_measure)] if task_measure else []
    return mean_result(intervals, measure.aggregation == WEIGHTED_BY_SIZE, measure.key)


def _interval_of_task(
    artifact: Artifact, task: TaskReport, measure: MeasureReport
) -> Interval | Reason:
    """The interval of one task's measure.

    Raises DataError if the samples contradict the report.
    """
    if measure.aggregation not in (*SAMPLE_AGGREGATIONS, *CORPUS_AGGREGATIONS):
        if isinstance(measure.result, Reason) or measure.result.confidence >= CONFIDENCE:
            return measure.result
        return Reason(
            "other_confidence",
            f"{measure.aggregation} is the task's own code and its interval has confidence "
            f"{measure.result.confidence:g}; evaluate with confidence={CONFIDENCE:g}.",
        )  # fmt: skip
    rows = [row for row in read_sample_rows(artifact, task.name) if measure.key in row["scores"]]
    values, groups = [row["scores"][measure.key] for row in rows], [row["group"] for row in rows]
    fields = (getattr(measure, name) for name in TaskMeasure._fields)
    result = aggregate(TaskMeasure(*fields), values, groups, CONFIDENCE)
    if isinstance(result, Interval) and isinstance(measure.result, Interval):
        if abs(result.estimate - measure.result.estimate) > 1e-9 * max(1.0, abs(result.estimate)):
            raise DataError(
                f"{artifact.path} reports {measure.result.estimate:g} as {task.name} "
                f"{measure.key}, and its samples give {result.estimate:g}; evaluate again."
            )
    return result


class LedgerCheck(NamedTuple):
    """The test set whose earlier candidates widen a report's bounds."""

    testset: Artifact | None
    candidate: str = ""
    """The report's candidate in its ledger."""
    missing: tuple[str, ...] = ()
    """Accesses that are missing in a ledger."""


def check_ledgers(
    report: Artifact, baseline: Artifact | None = None, test: Path | None = None,
    accept_unrecorded: bool = False,
) -> LedgerCheck:  # fmt: skip
    """The given test set, or the one of the report's test sets with the most candidates.

    Raises ConfigError if the report did not use the given one, and ArtifactError if an access is
    missing in a ledger, unless that is accepted.
    """
    given = None if test is None else Artifact.open(test)
    if given and given.id not in [parent.id for parent in report.parents]:
        raise ConfigError(f"{report.path} did not use {test}; omit --test, or evaluate on it.")
    by_id = {
        found.id: found for each in (baseline, report) if each for _, found in open_inputs(each)
    }
    by_id |= {given.id: given} if given else {}
    missing = [
        what for each in (report, baseline) if each for what in _missing_accesses(each, by_id)
    ]
    if missing and not accept_unrecorded:
        raise ArtifactError(
            f"{missing[0]}, so the number of candidates is unknown; restore the ledger, evaluate "
            "again, or use --accept-unrecorded, which is recorded."
        )
    own = {each.testset: each.candidate for each in _report_accesses(report)}
    present = [by_id[name] for name in own if name in by_id]
    used = given or max(present, key=lambda each: len(scored_candidates(each)), default=None)
    return LedgerCheck(used, own.get(used.id, "") if used else "", tuple(missing))


def _missing_accesses(report: Artifact, testsets: Mapping[str, Artifact]) -> Iterator[str]:
    for access in _report_accesses(report):
        testset = testsets.get(access.testset)
        if testset is None:
            path = next(each.path for each in report.parents if each.id == access.testset)
            yield (
                f"The test set {access.testset[:12]} of {report.path} is not at "
                f"{(report.path / path).resolve()} (--test DIR if it was moved)"
            )
            continue
        lines = read_accesses(testset)
        is_there = any(
            access.line == each.entry_hash if access.line else access.candidate == each.candidate
            for each in lines
        )
        if not is_there:
            yield f"The ledger of {testset.path} lacks the access of {report.path}"


def _report_accesses(report: Artifact) -> Sequence[RecordedAccess]:
    """The accesses of a report; for one of an older groundup, derived from its inputs."""
    data = read_report(report)
    if data.accesses:
        return data.accesses
    derived = []
    for parent in report.parents:
        kind, _, name = parent.name.partition(" of ")
        task = find_task(data, name)
        if task and (kind == "testset" or name == "documents-test"):
            setting = setting_digest(data.subject.signature, task.signature)
            derived.append(RecordedAccess(parent.id, f"{data.subject.digest} {setting}", ""))
    return derived


def open_inputs(report: Artifact) -> Sequence[tuple[str, Artifact]]:
    """Names and artifacts of a report's inputs that still exist."""
    try:
        opened = [(each.name, report.open_parent(each)) for each in report.parents]
        return [(name, found) for name, found in opened if found is not None]
    except ArtifactError as error:
        raise ArtifactError(f"An input of {report.path} has changed: {error}") from None
