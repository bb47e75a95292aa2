"""How two runs differ: settings, what each step took, which documents came and went.

A corpus from which something was withdrawn is compared by the pipeline that it came from, and what
was withdrawn is said in a line.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from groundup.core import Artifact

from .leaving import WithdrawConfig, meaning
from .reading import counters, identities, records, removals

SHOWN = 20
WITHDRAW = "withdraw"
"""The stage whose corpora lack something that another has."""


class Change(NamedTuple):
    """A document that is in one run only."""

    id: str
    path: str
    reason: str
    """Why the other run dropped it; empty if that never saw it."""


class Runs(NamedTuple):
    """How two runs differ."""

    settings: tuple[tuple[str, Any, Any], ...]
    """What, and what it is in either; None where it is not."""
    counts: tuple[tuple[str, int, int], ...]
    """`step: what: reason` and how often in either."""
    gone: tuple[Change, ...]
    """In the first only."""
    came: tuple[Change, ...]
    """In the second only."""
    moved: int
    """In both, in another split."""
    withdrawn: tuple[str, ...] = ()
    """A sentence for either corpus from which something was withdrawn."""

    def __str__(self) -> str:
        """A line a difference."""
        lines = [*self.withdrawn, *(f"  {name}: {a} -> {b}" for name, a, b in self.settings)]
        lines += [f"  {name}: {a:,} -> {b:,}  ({b - a:+,})" for name, a, b in self.counts]
        for title, rows in (("gone", self.gone), ("new", self.came)):
            reasons = Counter(row.reason or "never seen by the other" for row in rows)
            lines += [f"  {count:,} {title}: {reason}" for reason, count in reasons.most_common()]
            lines += [f"    {row.id[:12]}  {row.path}" for row in rows[:SHOWN]]
        lines += [f"  {self.moved:,} documents in another split"] * bool(self.moved)
        return "\n".join(lines) or "Nothing differs."


def compare_runs(first: Artifact, second: Artifact) -> Runs:
    """Compare two corpora of `groundup prepare`: settings, counts, documents.

    first   the corpus to compare with
    second  the other one

    Raises ConfigError for an artifact that `prepare` did not make.
    """
    old, new = identities(first), identities(second)
    was, now = counters(first), counters(second)
    pipelines = [settings(first, was), settings(second, now)]
    return Runs(
        tuple(differing(*map(flat, pipelines))) if all(pipelines) else (),
        tuple((name, a or 0, b or 0) for name, a, b in differing(taken(was), taken(now))),
        changes(old.keys() - new.keys(), first, second),
        changes(new.keys() - old.keys(), second, first),
        sum(new.get(id, split) != split for id, split in old.items()),
        tuple(withdrawn(first, was)) + tuple(withdrawn(second, now)),
    )


def settings(corpus: Artifact, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pipeline that made a corpus; of one from which something was withdrawn, its origin's."""
    return (told.get("pipeline") or {}) if corpus.stage == WITHDRAW else corpus.config


def withdrawn(corpus: Artifact, told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentence for a corpus from which something was withdrawn."""
    if corpus.stage == WITHDRAW:
        config = WithdrawConfig(**corpus.config)
        why = f" ({config.reason})" if config.reason else ""
        origins = ", from ".join(id[:12] for id in reversed(told.get("withdrawn_from", ())))
        yield f"{corpus.path} is withdrawn from {origins or '?'}: {meaning(config)}{why}"


def changes(ids: set[str], here: Artifact, there: Artifact) -> tuple[Change, ...]:
    """The documents of some ids, and why the other corpus has them not."""
    if not ids:
        return ()
    columns = ("id", "what", "reason")
    reasons = {
        one.id: one.reason
        for one in removals(there, columns)
        if one.what == "record" and one.id in ids
    }
    found = [
        Change(one.id, one.path, reasons.get(one.id, ""))
        for _, one in records(here, ("id", "path"))
        if one.id in ids
    ]
    return tuple(sorted(found, key=lambda one: (one.path, one.id)))


def taken(told: Mapping[str, Any]) -> dict[str, int]:
    """Counts of a run by step, kind and reason, and of what is left, by split."""
    found = {
        f"{step['name']}: {what}: {reason}": count
        for step in told["steps"]
        for what, reasons in step["taken"].items()
        for reason, count in reasons.items()
    }
    return found | {
        f"{split}: {unit}": count
        for split, units in told["splits"].items()
        for unit, count in units.items()
    }


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested value as names and leaves.

    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c.0': 2}
    """
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in items:
        found |= flat(inner, f"{name}.{key}" if name else str(key))
    return found


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield names whose values differ, in the order of the first, then of the second."""
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield name, a.get(name), b.get(name)
