"""Verdicts: one decision of all checks of a subject, as an artifact that later stages obey.

    failed      a check failed
    undecided   none failed, and so much data cannot tell: exit code 4, and the number that could
    passed      every required check passed, and of the compared ones those that could decide

Of compared measures (is it no worse in any?) those whose data cannot decide are left aside and
named. If there is so little data that none could decide, one that passes nevertheless counts only
if it passes as one picked from so many (Bonferroni). With a test set, bounds keep more standard
errors away the more candidates were scored on it before; see stats/looks.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    Draft,
    GateFailed,
    GateUndecided,
    digest,
    produce,
    write_json,
)

from .gate import POWER, PRACTICAL, Check, CheckOutcome, Power, corrected
from .stats.interval import Interval
from .stats.looks import Seen, standard_errors
from .testset import candidates

MARKS = {"passed": "passed", "failed": "FAILED", "undecided": "UNDECIDED"}


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
    unrecorded: tuple[str, ...] = ()
    """Accesses to test sets that were missing in their ledgers, which was accepted."""


def verdict(
    checks: Sequence[Check], subject: Artifact, baseline: Artifact | None = None,
    testset: Artifact | None = None, author: str = "", *, seen: Seen = "scores",
    candidate: str = "", unrecorded: Sequence[str] = (), out: Path,
) -> Artifact:  # fmt: skip
    """Record the checks of a subject as an artifact of kind verdict, passed or not.

    candidate   what the subject's look at the test set was recorded as; default: its id
    unrecorded  looks that are missing in the ledgers, if the verdict is made all the same

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
        unrecorded=tuple(unrecorded),
    )

    def write(draft: Draft) -> None:
        place = place_of(candidate or subject.id, testset)
        held = [corrected(one, place, seen) for one in checks]
        found = decision(checks, held, place, seen)
        about = {"passed": found.outcome == "passed", "outcome": found.outcome}
        draft.numbers |= about | {"checks": len(held), "candidates": place}
        write_json(draft.file("verdict.json"), {
            **about,
            "author": author,
            "candidates": place,
            "seen": seen,
            "picked_from": found.picked_from,
            "unrecorded": list(unrecorded),
            "checks": [one.row() for one in held],
        })  # fmt: skip

    return produce(
        out, kind="verdict", stage="gate", version=3, config=config, write=write,
        parents={name: found for name, found in inputs.items() if found is not None},
    )  # fmt: skip


class Decision(NamedTuple):
    """What all checks say together."""

    outcome: CheckOutcome
    picked_from: int = 1
    """Compared checks of which one had to pass, corrected for picking it; 1: no correction."""


def decision(
    checks: Sequence[Check], held: Sequence[Check], place: int, seen: Seen
) -> Decision:  # fmt: skip
    """Decide by the checks as given, and as held against the candidate at this place."""
    if any(one.outcome == "failed" for one in held):
        return Decision("failed")
    if all(one.passed for one in held if one.role != "guard"):
        return Decision("passed")
    if any(not one.passed for one in held if one.role == "required"):
        return Decision("undecided")
    if any(one.can_decide for one in held if one.role == "compared"):
        return Decision("passed")
    compared = [one for one in checks if one.role == "compared"]
    picked = (corrected(one, place, seen, len(compared)) for one in compared)
    return Decision("passed" if any(one.passed for one in picked) else "undecided", len(compared))


def place_of(candidate: str, testset: Artifact | None) -> int:
    """A candidate's place among those scored on the test set, 1 for the first."""
    seen = [] if testset is None else candidates(testset)
    return seen.index(candidate) + 1 if candidate in seen else len(seen) + 1


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
    outcome: CheckOutcome = "failed"
    picked_from: int = 1
    """Compared checks of which one had to pass, corrected for picking it; 1: no correction."""
    unrecorded: tuple[str, ...] = ()
    """Looks that were missing in the ledgers, which was accepted."""

    def rows(self, outcome: CheckOutcome) -> list[dict[str, Any]]:
        """The rows with this outcome."""
        return [row for row in self.checks if row["outcome"] == outcome]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows that failed."""
        return self.rows("failed")

    @property
    def undecided(self) -> list[dict[str, Any]]:
        """The rows that the data cannot decide."""
        return self.rows("undecided")

    @property
    def correction(self) -> list[str]:
        """Lines that say how the bounds were stretched; none for the first candidate."""
        lines = [f"UNRECORDED: {what}" for what in self.unrecorded]
        if self.candidates > 1:
            errors = (standard_errors(place, seen=self.seen) for place in (self.candidates, 1))
            lines.append(
                "candidate {} on this test set, {} seen: bounds of {:.3g} standard errors "
                "(a new test set asks {:.3g})".format(self.candidates, self.seen, *errors)
            )
        if self.picked_from > 1:
            errors = standard_errors(self.candidates, 1 - 0.05 / self.picked_from, self.seen)
            lines.append(
                f"no measure has the data to decide beforehand: one of {self.picked_from} had to "
                f"pass with a bound of {errors:.3g} standard errors"
            )
        return lines

    @property
    def head(self) -> str:
        """`passed: all of 3 checks`, `FAILED: 1 of 3 checks, 1 undecided`."""
        count, failed, undecided = len(self.checks), len(self.failed), len(self.undecided)
        left = f", {undecided} undecided" if undecided else ""
        if self.outcome == "passed":
            some = f"{count - undecided} of {count}" if undecided else f"all of {count}"
            return f"passed: {some} checks{left}"
        if self.outcome == "failed":
            return f"FAILED: {failed} of {count} checks{left}"
        return f"UNDECIDED: {undecided} of {count} checks"

    def __str__(self) -> str:
        """A line a check, what to try under one that did not pass."""
        author = f", thresholds by {self.author}" if self.author else ""
        cells = [(MARKS[row["outcome"]], row["name"], measured(row)) for row in self.checks]
        widths = [max(len(row[column]) for row in cells) for column in range(3)]
        lines = [self.head + author, *self.correction, ""]
        for row, told in zip(self.checks, cells, strict=True):
            padded = [text.ljust(width) for text, width in zip(told, widths, strict=True)]
            lines.append("  ".join([*padded, requirement(row)]))
            lines += [f"{' ' * widths[0]}  {text}" for text in remarks(row)]
        return "\n".join(lines)


def remarks(row: dict[str, Any]) -> list[str]:
    """What stands under a check: its note, its power, what to try."""
    lines = [row["note"]] if row.get("note") else []
    power = Power(**row["power"]) if row.get("power") else None
    if power and not (row["passed"] and power.share < POWER):
        lines.append(str(power))
    elif row["outcome"] == "undecided":
        lines.append(f"too little data: {enough(row)}")
    return lines + ([f"try: {row['next']}"] if row["next"] and not row["passed"] else [])


def enough(row: dict[str, Any]) -> str:
    """How much data would decide an undecided check: `n = 49,281 would decide`."""
    needed = row.get("needed")
    if needed is None:
        return "what would decide cannot be told"
    if needed > PRACTICAL:
        return "no test set of a practical size would decide"
    return f"n = {needed:,} would decide"


def read_verdict(artifact: Artifact) -> Verdict:
    """Read a verdict artifact; ArtifactError if it is of another kind."""
    file = artifact.require_kind("verdict").file("verdict.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    rows = tuple({"outcome": by_word(row), **row} for row in data["checks"])
    return Verdict(
        data["passed"], data["author"], data["candidates"], rows, data.get("seen", "scores"),
        data.get("outcome", by_word(data)), data.get("picked_from", 1),
        tuple(data.get("unrecorded", ())),
    )  # fmt: skip


def by_word(data: dict[str, Any]) -> CheckOutcome:
    """The outcome of a check or verdict from before any was undecided."""
    return "passed" if data["passed"] else "failed"


def require(artifact: Artifact) -> Verdict:
    """Show a verdict; stop if it has not passed.

    artifact  directory of the verdict

    Raises GateFailed with the failing checks' names in its message and the whole table as its note,
    or GateUndecided with what it would take.
    """
    found = read_verdict(artifact)
    if found.passed:
        return found
    author = f" (thresholds by {found.author})" if found.author else ""
    where, count = f"The verdict is in {artifact.path}.", len(found.checks)
    if found.outcome == "undecided":
        rows = ", ".join(f"{row['name']} ({enough(row)})" for row in found.undecided)
        failure = GateUndecided(
            f"The data cannot decide {len(found.undecided)} of {count} checks{author}: {rows}. "
            f"{where}"
        )
    else:
        rows = ", ".join(row["name"] for row in found.failed)
        failed = f"{len(found.failed)} of {count} checks failed"
        failure = GateFailed(f"{failed}{author}: {rows}. {where}")
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
