"""Clusters: from pairs of similar records to the records kept, and a report of the largest
clusters.

Of two records, the one with the smaller number is kept. Star clusters drop a record only if it is
itself similar to a kept one, so similarity does not chain; connected components keep one record per
component, as other tools do.
"""

import math
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import write_json
from groundup.documents import StepResult

from ..engine.shards import write_step_results
from .storage import RecordOrder, load_array

MAX_CLUSTERS_SHOWN = 20
MAX_DROPPED_SHOWN = 5
PAIRS_PER_BATCH = 65_536
"""Pairs converted to Python integers at a time."""
MAX_ROUNDS = 64
"""Vectorised rounds before the remaining pairs are processed one by one. Own choice: copies of
copies need only a few."""
UNDECIDED, KEPT, DROPPED = 0, 1, 2


class DedupDecision(NamedTuple):
    """Records dropped, the record kept instead of each, and cluster sizes; 24 bytes per dropped
    record."""

    dropped: np.ndarray
    """Numbers of the dropped records, ascending."""
    kept: np.ndarray
    """Number of the record kept instead of each."""
    similarity: np.ndarray
    """Similarity of the two; NaN if unknown."""
    survivors: np.ndarray
    """Numbers of records kept instead of others, ascending."""
    sizes: np.ndarray
    """Cluster size of each, itself included."""


def make_decision(dropped: np.ndarray, kept: np.ndarray, value: np.ndarray) -> DedupDecision:
    """Sort the dropped records and count the clusters."""
    order = np.argsort(dropped)
    survivors, counts = np.unique(kept, return_counts=True)
    return DedupDecision(dropped[order], kept[order], value[order], survivors, counts + 1)


def resolve_stars(pairs: np.ndarray, values: np.ndarray) -> DedupDecision:
    """Star clusters: drop each record that is similar to a kept one before it.

    pairs  (n, 2) smaller and larger number of each pair

    >>> resolve_stars(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).dropped
    array([1])
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    first, second = pairs[order].T
    state = np.full(int(pairs.max(initial=0)) + 1, KEPT, np.uint8)
    state[second] = UNDECIDED
    left = _decide_records(first, second, state)
    for low in range(0, len(left), PAIRS_PER_BATCH):  # ascending, so earlier records are decided
        rows = left[low : low + PAIRS_PER_BATCH]
        for earlier, later in zip(first[rows].tolist(), second[rows].tolist(), strict=True):
            if state[later] != DROPPED and state[earlier] != DROPPED:
                state[later] = DROPPED
    dropped = np.flatnonzero((state[second] == DROPPED) & (state[first] != DROPPED))
    used = order[dropped[np.unique(second[dropped], return_index=True)[1]]]
    return make_decision(pairs[used, 1], pairs[used, 0], values[used])


def _decide_records(first: np.ndarray, second: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Decide records in `state`, all pairs at once per round; returns rows of undecided pairs.

    A record is dropped if a similar record before it is kept, and kept if all of those are dropped.
    A round decides every record whose neighbours are decided; only long chains need many rounds.
    """
    left = np.arange(len(first))
    for _ in range(MAX_ROUNDS):
        if not len(left):
            break
        state[second[left[state[first[left]] == KEPT]]] = DROPPED
        left = left[state[second[left]] == UNDECIDED]
        waits = second[left[state[first[left]] == UNDECIDED]]
        state[second[left]] = KEPT
        state[waits] = UNDECIDED
        left = left[state[second[left]] == UNDECIDED]
    return left


def resolve_components(pairs: np.ndarray, values: np.ndarray) -> DedupDecision:
    """Connected components by union-find: keep one record of each.

    >>> resolve_components(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).kept
    array([0, 0])
    """
    numbers, local = np.unique(pairs, return_inverse=True)
    parents = array("q", range(len(numbers)))

    def root(place: int) -> int:
        while (above := parents[place]) != place:
            parents[place] = parents[above]
            place = above
        return place

    edges = local.reshape(-1, 2)
    for low in range(0, len(edges), PAIRS_PER_BATCH):
        for first, second in edges[low : low + PAIRS_PER_BATCH].tolist():
            a, b = root(first), root(second)
            parents[max(a, b)] = min(a, b)
    roots = np.array([root(place) for place in range(len(numbers))], np.int64)
    gone = np.flatnonzero(roots != np.arange(len(numbers)))
    value = np.full(len(numbers), np.nan)
    is_direct = edges[:, 0] == roots[edges[:, 1]]
    value[edges[is_direct, 1]] = values[is_direct]
    return make_decision(numbers[gone], numbers[roots[gone]], value[gone])


def write_decision(
    scratch: Path,
    order: RecordOrder,
    decision: DedupDecision,
    reason: str,
    field: str,
    figures: Mapping[str, Any] = {},
) -> list[Path]:
    """Write the results of each shard, and `report.json`; returns the paths of the results.

    reason   reason of dropped records
    field    metadata key of a kept record's cluster size, for reweighting
    figures  further numbers of the report
    """
    _write_cluster_report(scratch / "report.json", order, decision, figures)
    return [
        write_step_results(
            scratch / f"rulings-{at:06}.parquet",
            _shard_results(decision, order, numbers, reason, field),
        )
        for at, numbers in enumerate(order.numbers)
    ]


def _shard_results(
    decision: DedupDecision, order: RecordOrder, numbers: Path, reason: str, field: str
) -> list[tuple[str, StepResult]]:
    own, rulings = np.array(load_array(numbers)), []
    gone, stays = _find_sorted(decision.dropped, own), _find_sorted(decision.survivors, own)
    for row in np.flatnonzero((gone >= 0) | (stays >= 0)).tolist():
        if (at := gone[row]) >= 0:
            value = float(decision.similarity[at])
            details = f"{order.id(decision.kept[at])} is kept"
            ruling = StepResult(reason, None if math.isnan(value) else value, details)
        else:
            ruling = StepResult(metadata={field: int(decision.sizes[stays[row]])})
        rulings.append((order.id(own[row]), ruling))
    return rulings


def _find_sorted(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each number in an ascending array; -1 if absent.

    >>> _find_sorted(np.array([3, 5]), np.array([5, 4, 9])).tolist()
    [1, -1, -1]
    """
    index = np.searchsorted(ascending, wanted)
    is_present = index < len(ascending)
    is_present[is_present] = ascending[index[is_present]] == wanted[is_present]
    return np.where(is_present, index, -1)


def _write_cluster_report(
    path: Path, order: RecordOrder, decision: DedupDecision, numbers: Mapping[str, Any]
) -> None:
    """Write a report: counts, and the largest clusters with some of their dropped records."""
    ranked = np.lexsort((decision.survivors, -decision.sizes))[:MAX_CLUSTERS_SHOWN]
    sizes, counts = np.unique(decision.sizes, return_counts=True)
    report = {
        "records": len(order.ids),
        "dropped": len(decision.dropped),
        "clusters": len(decision.survivors),
        **numbers,
        "sizes": {str(size): n for size, n in zip(sizes.tolist(), counts.tolist(), strict=True)},
        "largest": [
            {
                "kept": order.id(decision.survivors[at]),
                "size": int(decision.sizes[at]),
                "dropped": [
                    order.id(decision.dropped[row])
                    for row in np.flatnonzero(decision.kept == decision.survivors[at])[
                        :MAX_DROPPED_SHOWN
                    ]
                ],
            }
            for at in ranked
        ],
    }
    write_json(path, report)
