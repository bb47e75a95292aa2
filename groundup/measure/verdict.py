"""Verdicts: one decision from all checks of a subject, as an artifact that later stages check.

    failed      a check failed
    undecided   none failed, but there is too little data: exit code 4, and the n that would decide
    passed      every required check passed, and every compared one with enough data

Compared measures (is the model no worse in any?) with too little data are ignored and listed. If
none has enough data, one that passes counts only after a Bonferroni correction for picking it. With
a test set, bounds are widened by the number of candidates scored before; see stats/sequence.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

from .gate import MAX_PRACTICAL_N, POWER, Check, CheckOutcome, GatePower, widen_for_reuse
from .stats.interval import Interval
from .stats.sequence import SeenFeedback, reuse_standard_errors
from .testset import scored_candidates

OUTCOME_MARKS = {"passed": "passed", "failed": "FAILED", "undecided": "UNDECIDED"}


class VerdictConfig(Config):
    """Inputs of a verdict other than its artifacts."""

    author: str = ""
    """Who set the thresholds."""
    required: dict[str, str]
    """Requirement in words, by check name."""
    measured: str
    """sha256 of the checks."""
    seen: SeenFeedback = "scores"
    """What developers had seen of earlier candidates' results on the test set."""
    unrecorded: tuple[str, ...] = ()
    """Test-set accesses missing in the ledgers, accepted explicitly."""


def write_verdict(
    checks: Sequence[Check], subject: Artifact, baseline: Artifact | None = None,
    testset: Artifact | None = None, author: str = "", *, seen: SeenFeedback = "scores",
    candidate: str = "", unrecorded: Sequence[str] = (), out: Path,
) -> Artifact:  # fmt: skip
    """Record the checks of a subject as an artifact of kind verdict, passed or not.

    candidate   key under which the subject's test-set access was recorded; default: its id
    unrecorded  accesses missing in the ledgers, if the verdict is accepted nevertheless

    With a test set, bounds are widened by the subject's index among the candidates scored on it:
    for `seen="scores"` as if each was developed knowing the scores of the previous ones, for
    "verdicts" as if only passed or failed was known, or all candidates were fixed beforehand.
    Raises ConfigError if there are no checks or two share a name.
    """
    if not checks or len({check.name for check in checks}) < len(checks):
        names = ", ".join(check.name for check in checks) or "none"
        raise ConfigError(f"A verdict needs checks with different names; got {names}.")
    inputs = {"subject": subject, "baseline": baseline, "testset": testset}
    config = VerdictConfig(
        author=author,
        required={check.name: check.required for check in checks},
        measured=digest([check.row() for check in checks]),
        seen=seen,
        unrecorded=tuple(unrecorded),
    )

    def write(draft: Draft) -> None:
        index = _candidate_index(candidate or subject.id, testset)
        adjusted = [widen_for_reuse(check, index, seen) for check in checks]
        outcome, picked_from = _decide(checks, adjusted, index, seen)
        about = {"passed": outcome == "passed", "outcome": outcome}
        draft.numbers |= about | {"checks": len(adjusted), "candidates": index}
        write_json(draft.file("verdict.json"), {
            **about,
            "author": author,
            "candidates": index,
            "seen": seen,
            "picked_from": picked_from,
            "unrecorded": list(unrecorded),
            "checks": [check.row() for check in adjusted],
        })  # fmt: skip

    return produce(
        out, kind="verdict", stage="gate", version=3, config=config, write=write,
        parents={name: parent for name, parent in inputs.items() if parent is not None},
    )  # fmt: skip


def _decide(
    checks: Sequence[Check], adjusted: Sequence[Check], index: int, seen: SeenFeedback
) -> tuple[CheckOutcome, int]:  # fmt: skip
    """The outcome, and of how many compared checks one had to pass (Bonferroni): usually 1."""
    if any(check.outcome == "failed" for check in adjusted):
        return "failed", 1
    if all(check.passed for check in adjusted if check.role != "guard"):
        return "passed", 1
    if any(not check.passed for check in adjusted if check.role == "required"):
        return "undecided", 1
    if any(check.can_decide for check in adjusted if check.role == "compared"):
        return "passed", 1
    compared = [check for check in checks if check.role == "compared"]
    picked = (widen_for_reuse(check, index, seen, len(compared)) for check in compared)
    passed = any(check.passed for check in picked)
    return "passed" if passed else "undecided", len(compared)


def _candidate_index(candidate: str, testset: Artifact | None) -> int:
    seen = [] if testset is None else scored_candidates(testset)
    return seen.index(candidate) + 1 if candidate in seen else len(seen) + 1


@dataclass(frozen=True)
class Verdict:
    """A verdict as read from its artifact."""

    passed: bool
    author: str
    candidates: int
    """Index among the candidates scored on the test set, by which bounds are widened."""
    checks: tuple[dict[str, Any], ...]
    """Rows of Check.row()."""
    seen: SeenFeedback = "scores"
    """What developers had seen of earlier candidates' results."""
    outcome: CheckOutcome = "failed"
    picked_from: int = 1
    """Number of compared checks of which one had to pass (Bonferroni); 1: no correction."""
    unrecorded: tuple[str, ...] = ()
    """Test-set accesses missing in the ledgers, accepted explicitly."""

    def rows(self, outcome: CheckOutcome) -> list[dict[str, Any]]:
        """The rows with this outcome."""
        return [row for row in self.checks if row["outcome"] == outcome]

    @property
    def correction_lines(self) -> list[str]:
        """Lines that explain how the bounds were widened; none for the first candidate."""
        lines = [f"UNRECORDED: {what}" for what in self.unrecorded]
        if self.candidates > 1:
            now, new = (reuse_standard_errors(k, seen=self.seen) for k in (self.candidates, 1))
            lines.append(
                f"candidate {self.candidates} on this test set, {self.seen} seen: bounds of "
                f"{now:.3g} standard errors (a new test set asks {new:.3g})"
            )
        if self.picked_from > 1:
            errors = reuse_standard_errors(self.candidates, 1 - 0.05 / self.picked_from, self.seen)
            lines.append(
                f"no measure has the data to decide beforehand: one of {self.picked_from} had to "
                f"pass with a bound of {errors:.3g} standard errors"
            )
        return lines

    @property
    def summary_line(self) -> str:
        """`passed: all of 3 checks`, `FAILED: 1 of 3 checks, 1 undecided`."""
        count, undecided = len(self.checks), len(self.rows("undecided"))
        left = f", {undecided} undecided" if undecided else ""
        if self.outcome == "passed":
            some = f"{count - undecided} of {count}" if undecided else f"all of {count}"
            return f"passed: {some} checks{left}"
        if self.outcome == "failed":
            return f"FAILED: {len(self.rows('failed'))} of {count} checks{left}"
        return f"UNDECIDED: {undecided} of {count} checks"

    def __str__(self) -> str:
        """One line per check, with remarks below."""
        author = f", thresholds by {self.author}" if self.author else ""
        cells = [
            (OUTCOME_MARKS[row["outcome"]], row["name"], _format_measured(row))
            for row in self.checks
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(3)]
        lines = [self.summary_line + author, *self.correction_lines, ""]
        for row, texts in zip(self.checks, cells, strict=True):
            padded = [text.ljust(width) for text, width in zip(texts, widths, strict=True)]
            # The unit is printed with the number.
            lines.append("  ".join([*padded, row["required"].removesuffix(f" {row['unit']}")]))
            lines += [f"{' ' * widths[0]}  {text}" for text in _check_remarks(row)]
        return "\n".join(lines)


def _check_remarks(row: dict[str, Any]) -> list[str]:
    """Lines below a check: its note, its power, what to try."""
    lines = [row["note"]] if row.get("note") else []
    power = GatePower(**row["power"]) if row.get("power") else None
    if power and not (row["passed"] and power.share < POWER):
        lines.append(str(power))
    elif row["outcome"] == "undecided":
        lines.append(f"too little data: {_required_n_text(row)}")
    return lines + ([f"try: {row['next']}"] if row["next"] and not row["passed"] else [])


def _required_n_text(row: dict[str, Any]) -> str:
    """Sample size that would decide an undecided check: `n = 49,281 would decide`."""
    needed = row.get("needed")
    if needed is None:
        return "what would decide is unknown"
    if needed > MAX_PRACTICAL_N:
        return "no test set of a practical size would decide"
    return f"n = {needed:,} would decide"


def read_verdict(artifact: Artifact) -> Verdict:
    """Read a verdict artifact; ArtifactError if it is of another kind."""
    file = artifact.require_kind("verdict").file("verdict.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    # Old ones have no `outcome`, neither the verdict nor its checks.
    rows = data, *data["checks"]
    data, *checks = (
        {"outcome": "passed" if row["passed"] else "failed", **row} for row in rows
    )  # fmt: skip
    return Verdict(
        data["passed"], data["author"], data["candidates"], tuple(checks),
        data.get("seen", "scores"), data["outcome"], data.get("picked_from", 1),
        tuple(data.get("unrecorded", ())),
    )  # fmt: skip


def require_passed(artifact: Artifact) -> Verdict:
    """Show a verdict; stop if it has not passed.

    artifact  directory of the verdict

    Raises GateFailed naming the failed checks, with the complete table as its note, or
    GateUndecided with the sample size that would decide.
    """
    result = read_verdict(artifact)
    if result.passed:
        return result
    author = f" (thresholds by {result.author})" if result.author else ""
    rows, where = result.rows(result.outcome), f"The verdict is in {artifact.path}."
    share = f"{len(rows)} of {len(result.checks)} checks"
    if result.outcome == "undecided":
        names = ", ".join(f"{row['name']} ({_required_n_text(row)})" for row in rows)
        failure = GateUndecided(f"The data cannot decide {share}{author}: {names}. {where}")
    else:
        names = ", ".join(row["name"] for row in rows)
        failure = GateFailed(f"{share} failed{author}: {names}. {where}")
    failure.add_note(str(result))
    raise failure


def _format_measured(row: dict[str, Any]) -> str:
    if row["undefined"]:
        return f"undefined ({row['undefined']['message']})"
    return f"{Interval(**row['interval'])} {row['unit']}".rstrip()
