"""How two runs differ: settings, what each step removed, which documents were added or removed.

A corpus after a withdrawal is compared by the pipeline of its origin, and the withdrawal is
reported in a line.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from groundup.core import Artifact

from .reading import WITHDRAW_STAGE, read_counters, read_record_infos, read_removals
from .withdraw import WithdrawConfig, describe_selection

MAX_SHOWN = 20


class DocumentChange(NamedTuple):
    """A document that is in only one of the runs."""

    id: str
    path: str
    reason: str
    """Why the other run dropped it; empty if it never read it."""


class RunComparison(NamedTuple):
    """How two runs differ."""

    settings: tuple[tuple[str, Any, Any], ...]
    """Name, and its value in either run; None where it is missing."""
    counts: tuple[tuple[str, int, int], ...]
    """`step: what: reason`, and its count in either run."""
    gone: tuple[DocumentChange, ...]
    """Documents only in the first run."""
    came: tuple[DocumentChange, ...]
    """Documents only in the second run."""
    moved: int
    """Number of documents that are in both runs in different splits."""
    withdrawn: tuple[str, ...] = ()
    """A sentence for each of the two corpora that a withdrawal made."""

    def __str__(self) -> str:
        lines = [*self.withdrawn, *(f"  {name}: {a} -> {b}" for name, a, b in self.settings)]
        lines += [f"  {name}: {a:,} -> {b:,}  ({b - a:+,})" for name, a, b in self.counts]
        for title, rows in (("gone", self.gone), ("new", self.came)):
            reasons = Counter(row.reason or "never seen by the other" for row in rows)
            lines += [f"  {count:,} {title}: {reason}" for reason, count in reasons.most_common()]
            lines += [f"    {row.id[:12]}  {row.path}" for row in rows[:MAX_SHOWN]]
        lines += [f"  {self.moved:,} documents in another split"] * bool(self.moved)
        return "\n".join(lines) or "Nothing differs."


def compare_runs(first: Artifact, second: Artifact) -> RunComparison:
    """Compare two corpora of `groundup prepare`: settings, counts, documents.

    first   the corpus to compare with
    second  the other corpus

    Raises ConfigError for an artifact that `prepare` did not make.
    """
    old, new = (
        {one.id: split for split, one in read_record_infos(corpus, ("id",))}
        for corpus in (first, second)
    )
    old_counts, new_counts = read_counters(first), read_counters(second)
    pipelines = [_pipeline_of(first, old_counts), _pipeline_of(second, new_counts)]
    counts = _differing_items(_flat_counts(old_counts), _flat_counts(new_counts))
    return RunComparison(
        tuple(_differing_items(*map(_flatten, pipelines))) if all(pipelines) else (),
        tuple((name, a or 0, b or 0) for name, a, b in counts),
        _document_changes(old.keys() - new.keys(), first, second),
        _document_changes(new.keys() - old.keys(), second, first),
        sum(new.get(id, split) != split for id, split in old.items()),
        (*_withdrawal_sentences(first, old_counts), *_withdrawal_sentences(second, new_counts)),
    )


def _pipeline_of(corpus: Artifact, counts: Mapping[str, Any]) -> Mapping[str, Any]:
    return (counts.get("pipeline") or {}) if corpus.stage == WITHDRAW_STAGE else corpus.config


def _withdrawal_sentences(corpus: Artifact, counts: Mapping[str, Any]) -> Iterator[str]:
    if corpus.stage == WITHDRAW_STAGE:
        config = WithdrawConfig(**corpus.config)
        reason = f" ({config.reason})" if config.reason else ""
        origins = ", from ".join(id[:12] for id in reversed(counts.get("withdrawn_from", ())))
        selection = f"{describe_selection(config)}{reason}"
        yield f"{corpus.path} is withdrawn from {origins or '?'}: {selection}"


def _document_changes(ids: set[str], here: Artifact, there: Artifact) -> tuple[DocumentChange, ...]:
    if not ids:
        return ()
    removals = read_removals(there, ("id", "what", "reason"))
    reasons = {one.id: one.reason for one in removals if one.what == "record" and one.id in ids}
    documents = [
        DocumentChange(one.id, one.path, reasons.get(one.id, ""))
        for _, one in read_record_infos(here, ("id", "path"))
        if one.id in ids
    ]
    return tuple(sorted(documents, key=lambda one: (one.path, one.id)))


def _flat_counts(run: Mapping[str, Any]) -> dict[str, int]:
    removed = {
        f"{step['name']}: {what}: {reason}": count
        for step in run["steps"]
        for what, reasons in step["taken"].items()
        for reason, count in reasons.items()
    }
    return removed | {
        f"{split}: {unit}": count
        for split, units in run["splits"].items()
        for unit, count in units.items()
    }


def _flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Flatten a nested value to dotted names and leaves."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    leaves: dict[str, Any] = {}
    for key, inner in items:
        leaves |= _flatten(inner, f"{name}.{key}" if name else str(key))
    return leaves


def _differing_items(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name, a.get(name), b.get(name)
