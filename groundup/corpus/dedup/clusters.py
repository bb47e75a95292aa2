"""Clusters: from pairs of alike records to who stays, and a report of the largest ones.

Records go by number, and of two the one with the smaller number stays. `stars` drops a record only
if it is itself alike to one that stays, so nothing is dropped for being like something that is like
something; `components` keeps one record of everything that hangs together, as peers do.
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
"""Pairs that are Python's numbers at once."""
TURNS = 64
"""Looks at all pairs together before the rest are looked at one by one. Own choice: copies of
copies settle in a few."""
OPEN, STAYS, GOES = 0, 1, 2


class Verdicts(NamedTuple):
    """Who goes and for whom, and how many each survivor stands for; 24 bytes a record that goes."""

    gone: np.ndarray
    """Numbers of the records that go, rising."""
    kept: np.ndarray
    """Number of the one that stays instead of each."""
    value: np.ndarray
    """Similarity of the two, NaN if it is not known."""
    survivors: np.ndarray
    """Numbers of those that stay instead of any, rising."""
    sizes: np.ndarray
    """Records that each survivor stands for, itself included."""


def verdicts(gone: np.ndarray, kept: np.ndarray, value: np.ndarray) -> Verdicts:
    """Who goes, in any order, and for whom, with the survivors counted."""
    order = np.argsort(gone)
    survivors, counts = np.unique(kept, return_counts=True)
    return Verdicts(gone[order], kept[order], value[order], survivors, counts + 1)


def stars(pairs: np.ndarray, values: np.ndarray) -> Verdicts:
    """Each record goes that is alike to a kept one before it; for the first such.

    pairs  (n, 2) smaller and larger number of each pair

    >>> stars(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).gone
    array([1])
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    first, second = pairs[order].T
    state = np.full(int(pairs.max(initial=0)) + 1, STAYS, np.uint8)
    state[second] = OPEN
    left = settled(first, second, state)
    for low in range(0, len(left), AT_ONCE):  # in the order of numbers: who comes before is settled
        rows = left[low : low + AT_ONCE]
        for one, other in zip(first[rows].tolist(), second[rows].tolist(), strict=True):
            if state[other] != GOES and state[one] != GOES:
                state[other] = GOES
    goes = np.flatnonzero((state[second] == GOES) & (state[first] != GOES))
    taken = order[goes[np.unique(second[goes], return_index=True)[1]]]
    return verdicts(pairs[taken, 1], pairs[taken, 0], values[taken])


def settled(first: np.ndarray, second: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Settle in `state` who goes, all pairs at once, turn by turn; rows of pairs that are left.

    A record goes if one before it that it is alike to stays, and stays if all of them go. A turn
    settles all whose neighbours are settled; only long chains need more than `TURNS`.
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
    """Union-find: one record stays of all that hang together.

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
    """What is said of the records of one shard, in its order; survivors get their cluster's size.

    reason  of those that go
    field   of the metadata that tells a survivor's size, to weigh it anew
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
    """Where each number stands among rising ones; -1 if it does not.

    >>> places(np.array([3, 5]), np.array([5, 4, 9])).tolist()
    [1, -1, -1]
    """
    found = np.searchsorted(rising, wanted)
    is_there = found < len(rising)
    is_there[is_there] = rising[found[is_there]] == wanted[is_there]
    return np.where(is_there, found, -1)


def write_report(
    path: Path, order: Order, found: Verdicts, numbers: Mapping[str, Any]
) -> dict[str, Any]:
    """Write what happened: figures, and the largest clusters with some that went."""
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
