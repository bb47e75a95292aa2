"""Clusters: from pairs of similar records to the records kept, and a report of the largest
clusters.

Of two records, the one with the smaller number is kept. Star clusters drop a record only if it is
itself similar to a kept one, so similarity does not chain; connected components keep one record per
component, as other tools do.
"""

import json
import math
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import write_json
from groundup.documents import Ruling

from .runs import Order, load

LARGEST = 20
SHOWN = 5
AT_ONCE = 65_536
"""Pairs converted to Python integers at a time."""
TURNS = 64
"""Vectorised rounds before the remaining pairs are processed one by one. Own choice: copies of
copies need only a few."""
OPEN, STAYS, GOES = 0, 1, 2


class Verdicts(NamedTuple):
    """Records dropped, the record kept instead of each, and cluster sizes; 24 bytes per dropped
    record."""

    gone: np.ndarray
    """Numbers of the dropped records, ascending."""
    kept: np.ndarray
    """Number of the record kept instead of each."""
    value: np.ndarray
    """Similarity of the two; NaN if unknown."""
    survivors: np.ndarray
    """Numbers of records kept instead of others, ascending."""
    sizes: np.ndarray
    """Cluster size of each, itself included."""


def verdicts(gone: np.ndarray, kept: np.ndarray, value: np.ndarray) -> Verdicts:
    """Sort the dropped records and count the clusters."""
    order = np.argsort(gone)
    survivors, counts = np.unique(kept, return_counts=True)
    return Verdicts(gone[order], kept[order], value[order], survivors, counts + 1)


def stars(pairs: np.ndarray, values: np.ndarray) -> Verdicts:
    """Star clusters: drop each record that is similar to a kept one before it.

    pairs  (n, 2) smaller and larger number of each pair

    >>> stars(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).gone
    array([1])
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    first, second = pairs[order].T
    state = np.full(int(pairs.max(initial=0)) + 1, STAYS, np.uint8)
    state[second] = OPEN
    left = settled(first, second, state)
    for low in range(0, len(left), AT_ONCE):  # ascending, so earlier records are decided
        rows = left[low : low + AT_ONCE]
        for earlier, later in zip(first[rows].tolist(), second[rows].tolist(), strict=True):
            if state[later] != GOES and state[earlier] != GOES:
                state[later] = GOES
    dropped = np.flatnonzero((state[second] == GOES) & (state[first] != GOES))
    used = order[dropped[np.unique(second[dropped], return_index=True)[1]]]
    return verdicts(pairs[used, 1], pairs[used, 0], values[used])


def settled(first: np.ndarray, second: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Decide records in `state`, all pairs at once per round; returns rows of undecided pairs.

    A record is dropped if a similar record before it is kept, and kept if all of those are dropped.
    A round decides every record whose neighbours are decided; only long chains need many rounds.
    """
    left = np.arange(len(first))
    for _ in range(TURNS):
        if not len(left):
            break
        state[second[left[state[first[left]] == STAYS]]] = GOES
        left = left[state[second[left]] == OPEN]
        waits = second[left[state[first[left]] == OPEN]]
        state[second[left]] = STAYS
        state[waits] = OPEN
        left = left[state[second[left]] == OPEN]
    return left


def components(pairs: np.ndarray, values: np.ndarray) -> Verdicts:
    """Connected components by union-find: keep one record of each.

    >>> components(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).kept
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
    for low in range(0, len(edges), AT_ONCE):
        for first, second in edges[low : low + AT_ONCE].tolist():
            a, b = root(first), root(second)
            parents[max(a, b)] = min(a, b)
    roots = np.array([root(place) for place in range(len(numbers))], np.int64)
    gone = np.flatnonzero(roots != np.arange(len(numbers)))
    value = np.full(len(numbers), np.nan)
    is_direct = edges[:, 0] == roots[edges[:, 1]]
    value[edges[is_direct, 1]] = values[is_direct]
    return verdicts(numbers[gone], numbers[roots[gone]], value[gone])


def rulings_of(
    found: Verdicts, order: Order, numbers: Path, reason: str, field: str
) -> list[tuple[str, Ruling]]:
    """Results for the records of one shard, in its order.

    reason  reason of dropped records
    field   metadata key of a kept record's cluster size, for reweighting
    """
    own, rulings = np.array(load(numbers)), []
    gone, stays = places(found.gone, own), places(found.survivors, own)
    for row in np.flatnonzero((gone >= 0) | (stays >= 0)).tolist():
        if (at := gone[row]) >= 0:
            value = float(found.value[at])
            details = f"{order.id(found.kept[at])} is kept"
            ruling = Ruling(reason, None if math.isnan(value) else value, details)
        else:
            ruling = Ruling(metadata={field: int(found.sizes[stays[row]])})
        rulings.append((order.id(own[row]), ruling))
    return rulings


def places(rising: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each number in an ascending array; -1 if absent.

    >>> places(np.array([3, 5]), np.array([5, 4, 9])).tolist()
    [1, -1, -1]
    """
    index = np.searchsorted(rising, wanted)
    is_present = index < len(rising)
    is_present[is_present] = rising[index[is_present]] == wanted[is_present]
    return np.where(is_present, index, -1)


def write_report(
    path: Path, order: Order, found: Verdicts, numbers: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a report: counts, and the largest clusters with some of their dropped records."""
    ranked = np.lexsort((found.survivors, -found.sizes))[:LARGEST]
    sizes, counts = np.unique(found.sizes, return_counts=True)
    report = {
        "records": len(order.ids),
        "dropped": len(found.gone),
        "clusters": len(found.survivors),
        **numbers,
        "sizes": {str(size): n for size, n in zip(sizes.tolist(), counts.tolist(), strict=True)},
        "largest": [
            {
                "kept": order.id(found.survivors[at]),
                "size": int(found.sizes[at]),
                "dropped": [
                    order.id(found.gone[row])
                    for row in np.flatnonzero(found.kept == found.survivors[at])[:SHOWN]
                ],
            }
            for at in ranked
        ],
    }
    write_json(path, report)
    return json.loads(json.dumps(report))
