"""The verb `groundup gate`: from evaluations to a verdict, and whether it passed.

Against a baseline every measure must be no worse by the margin: the bound of the paired difference
on the same samples must lie on the right side, so a small test set passes nothing by luck. All
checks must hold together, which makes no false pass likelier. What one run did and the other did
not (a task, a measure, other samples) fails with its reason, and so does a run that has no number
for samples for which the baseline has one.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundup.core import Artifact, ArtifactError, ConfigError, Reason
from groundup.measure import (
    Check,
    Interval,
    Verdict,
    above,
    at_least,
    at_most,
    below,
    candidates,
    check,
    loses_at_most,
    rate,
    verdict,
)
from groundup.measure import require as passed

from .compare.comparison import ComparedMeasure, measure_of, task_of
from .compare.groups import compared_groups
from .compare.verb import Runs
from .harness.report import MeasureReport, Report, baseline_of, read_report, setting_of

SHARE = 0.01
"""May be lost where no margin is given: of a share, or of what the baseline has."""
SENSES = {">=": at_least, "<=": at_most, ">": above, "<": below}


def gate(
    report: Path, *, against: Path | None = None, margin: float | None = None,
    require: list[str] | None = None, test: Path | None = None, author: str = "",
    out: Path | None = None,
) -> Verdict:  # fmt: skip
    """Judge an evaluation, or show a verdict; exit code 3 unless it has passed.

    report   a report to judge, or a verdict to show
    against  report of the baseline: every measure must be no worse; default: the one that the
             report was evaluated against, if no bound is required
    margin   by less than this, in the measure's unit; default: 0.01 of a share, of any other unit
             1 % of the baseline's number
    require  a bound that must hold, such as "exact_match>=0.3" or "arithmetic acc>0.9"; may be
             given again
    test     test set whose earlier candidates count; default: the one that the report was made on
    author   who set the thresholds
    out      directory of the verdict; default: REPORT-verdict beside the report

    Raises GateFailed with the failing rows if the verdict has not passed.
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
    baseline = None if against is None else Artifact.open(against, "report")
    checks = [] if baseline is None else list(no_worse(artifact, baseline, margin))
    checks += [one for text in require or () for one in required(found, text)]
    testset = sealed(artifact, test)
    made = verdict(
        checks, scored(artifact), None if baseline is None else scored(baseline), testset, author,
        setting=setting_on(artifact, found, testset), out=out,
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
            yield check(
                f"{task.name} {measure.key} - baseline",
                apart if isinstance(apart, Reason) else apart.interval,
                loses_at_most(margin_of(task.name, measure, margin), measure.better),
                unit=measure.unit,
                next=f"groundup compare {baseline.path} {report.path} --out DIR shows the samples",
            )  # fmt: skip
            pair = [measure_of(task_of(each, task.name), measure.key) for each in (before, now)]
            if pair[0] and pair[1] and pair[1].n_undefined > pair[0].n_undefined:
                yield answered(task.name, pair[0], pair[1], SHARE if margin is None else margin)


def margin_of(task: str, measure: ComparedMeasure, margin: float | None) -> float:
    """What a measure may lose; ConfigError if it must be told because the baseline has 0."""
    if margin is not None:
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


def answered(task: str, before: MeasureReport, now: MeasureReport, margin: float) -> Check:
    """The share of samples that have a number at all, held against the baseline's."""
    whole = before.n_scored + before.n_undefined
    why = ", ".join(f"{count} {code}" for code, count in now.reasons.items())
    share = rate([1.0] * now.n_scored + [0.0] * now.n_undefined)
    limit = at_least(before.n_scored / whole - margin)
    return check(
        f"{task} {now.key} has a number", share, limit, "estimate", unit="share",
        next=f"no number: {why}",
    )  # fmt: skip


def required(report: Report, text: str) -> Iterator[Check]:
    """Yield the checks that a bound asks for, one for each task or group with such a measure.

    Raises ConfigError if the text is no bound or nothing is measured under that name.
    """
    parts = re.fullmatch(r"\s*(.*?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*", text)
    if not parts:
        raise ConfigError(f"--require {text!r} is no bound; expected one as in exact_match>=0.3.")
    wanted, sense, limit = parts[1], parts[2], float(parts[3])
    measures = [(part.name, one) for part in report.parts() for one in part.measures]
    found = [(name, one) for name, one in measures if wanted in (one.key, f"{name} {one.key}")]
    if not found:
        known = ", ".join(dict.fromkeys(f"{name} {one.key}" for name, one in measures))
        raise ConfigError(f"--require {text!r}: the report measures no {wanted}; it has {known}.")
    for name, one in found:
        title = f"{name} {one.key} {sense} {limit:g}"
        yield check(title, one.result, SENSES[sense](limit), unit=one.unit)


def scored(report: Artifact) -> Artifact:
    """The model that a report scored, where it is an artifact that is still here; else the report.

    A server and a directory of others have no id of their own.
    """
    return next((found for name, found in inputs(report) if name == "model"), report)


def sealed(report: Artifact, test: Path | None) -> Artifact | None:
    """The test set whose candidates count: the one given, or of the report's the most used one.

    Raises ConfigError if the report was not made on the one given.
    """
    held = [found for name, found in inputs(report) if name != "model"]
    if test is None:
        return max(held, key=used, default=None)
    given = Artifact.open(test)
    if given.id not in [parent.id for parent in report.parents]:
        raise ConfigError(f"{report.path} was not made on {test}; leave --test out, or evaluate.")
    return given


def setting_on(artifact: Artifact, report: Report, testset: Artifact | None) -> str:
    """What the look at the test set was recorded with; empty where there is none."""
    names = [name for name, found in inputs(artifact) if testset and found.id == testset.id]
    task = task_of(report, names[0].partition(" of ")[2]) if names else None
    return setting_of(report.subject.signature, task.signature) if task else ""


def used(testset: Artifact) -> int:
    """How many candidates were scored on a test set."""
    return len(candidates(testset))


def inputs(report: Artifact) -> Sequence[tuple[str, Artifact]]:
    """Names and artifacts of a report's inputs that are in their places."""
    try:
        opened = [(each.name, report.open_parent(each)) for each in report.parents]
        return [(name, found) for name, found in opened if found is not None]
    except ArtifactError as error:
        raise ArtifactError(f"What {report.path} was made on has changed: {error}") from None
