"""Test-set accesses of a report, checked against the test sets' ledgers.

A ledger that was deleted, truncated or not copied counts too few candidates, which lets a later one
pass by chance. It is detected by the missing lines of the report and its baseline.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, ArtifactError, ConfigError
from groundup.measure import read_accesses, scored_candidates

from .compare.comparison import find_task
from .harness.report import RecordedAccess, read_report, setting_digest


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
    """Describe the accesses of a report that are missing in their ledgers."""
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
