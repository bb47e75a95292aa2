"""Whose look at the test set counts: the report's own must be in the ledger, or nothing counts.

A ledger that was deleted, cut at its end or left out of a copy counts fewer candidates than there
were, and lets the next one pass by luck. That shows in what it lacks: the lines that the report and
its baseline left there.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, ArtifactError, ConfigError
from groundup.measure import candidates, looks

from .compare.comparison import task_of
from .harness.report import Access, read_report, setting_of


class Sealed(NamedTuple):
    """The test set by which a report's bounds are stretched."""

    testset: Artifact | None
    candidate: str = ""
    """As what the report is counted there."""
    missing: tuple[str, ...] = ()
    """Looks that should be in a ledger and are not."""


def sealed(
    report: Artifact, baseline: Artifact | None = None, test: Path | None = None,
    accept_unrecorded: bool = False,
) -> Sealed:  # fmt: skip
    """The test set given, or the most used one of those that the report was made on.

    Raises ConfigError if the report was not made on the one given, and ArtifactError if a look at
    one is not recorded where it should be, unless that is accepted.
    """
    given = None if test is None else Artifact.open(test)
    if given and given.id not in [parent.id for parent in report.parents]:
        raise ConfigError(f"{report.path} was not made on {test}; leave --test out, or evaluate.")
    known = {found.id: found for each in (baseline, report) if each for _, found in inputs(each)}
    known |= {given.id: given} if given else {}
    missing = [what for each in (report, baseline) if each for what in unrecorded(each, known)]
    if missing and not accept_unrecorded:
        raise ArtifactError(
            f"{missing[0]}, so nobody knows how many candidates were tried; bring the ledger back, "
            "evaluate again, or judge with --accept-unrecorded, which is recorded."
        )
    own = {each.testset: each.candidate for each in accesses(report)}
    here = [known[name] for name in own if name in known]
    used = given or max(here, key=lambda each: len(candidates(each)), default=None)
    return Sealed(used, own.get(used.id, "") if used else "", tuple(missing))


def unrecorded(report: Artifact, known: Mapping[str, Artifact]) -> Iterator[str]:
    """Say which looks of a report are not in the ledger where they belong."""
    for access in accesses(report):
        testset = known.get(access.testset)
        if testset is None:
            place = next(each.path for each in report.parents if each.id == access.testset)
            yield (
                f"The test set {access.testset[:12]} of {report.path} is not at "
                f"{(report.path / place).resolve()} (--test says where it is now)"
            )
            continue
        lines = looks(testset)
        is_there = any(
            access.line == each.line if access.line else access.candidate == each.candidate
            for each in lines
        )
        if not is_there:
            yield f"The ledger of {testset.path} lacks the look of {report.path}"


def accesses(report: Artifact) -> Sequence[Access]:
    """The looks of a report: as it tells, or as an older groundup recorded them."""
    found = read_report(report)
    if found.accesses:
        return found.accesses
    old = []
    for parent in report.parents:
        kind, _, name = parent.name.partition(" of ")
        task = task_of(found, name)
        if task and (kind == "testset" or name == "documents-test"):
            setting = setting_of(found.subject.signature, task.signature)
            old.append(Access(parent.id, f"{found.subject.digest} {setting}", ""))
    return old


def inputs(report: Artifact) -> Sequence[tuple[str, Artifact]]:
    """Names and artifacts of a report's inputs that are in their places."""
    try:
        opened = [(each.name, report.open_parent(each)) for each in report.parents]
        return [(name, found) for name, found in opened if found is not None]
    except ArtifactError as error:
        raise ArtifactError(f"What {report.path} was made on has changed: {error}") from None
