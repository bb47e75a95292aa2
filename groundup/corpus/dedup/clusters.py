"""Clusters: from pairs of alike records to who stays, and a report of the largest ones.

Records go by number, and of two the one with the smaller number stays. `stars` drops a record only
if it is itself alike to one that stays, so nothing is dropped for being like something that is like
something; `components` keeps one record of everything that hangs together, as peers do.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import write_json
from groundup.documents import Ruling

from .runs import Order, load

LARGEST = 20


class Verdicts(NamedTuple):
    """Who goes and for whom, and how many each survivor stands for."""

    kept: dict[int, int]
    """Number of a dropped record to the one that stays instead."""
    value: dict[int, float]
    """Similarity of the two, if it is known."""
    sizes: Counter[int]
    """Number of a survivor to the records that it stands for, itself included."""


def stars(pairs: np.ndarray, values: np.ndarray) -> Verdicts:
    """Each record goes that is alike to a kept one before it; for the first such.

    pairs  (n, 2) smaller and larger number of each pair

    >>> stars(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).kept
    {1: 0}
    """
    kept: dict[int, int] = {}
    value: dict[int, float] = {}
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    rows = zip(pairs[order].tolist(), values[order].tolist(), strict=True)
    for (first, second), similarity in rows:
        if second not in kept and first not in kept:
            kept[second], value[second] = first, similarity
    return Verdicts(kept, value, sizes_of(kept))


def components(pairs: np.ndarray, values: np.ndarray) -> Verdicts:
    """Union-find: one record stays of all that hang together.

    >>> components(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).kept
    {1: 0, 2: 0}
    """
    parents: dict[int, int] = {}

    def root(number: int) -> int:
        while (above := parents.setdefault(number, number)) != number:
            parents[number] = parents[above]
            number = above
        return number

    for first, second in pairs.tolist():
        a, b = root(first), root(second)
        parents[max(a, b)] = min(a, b)
    direct = {tuple(pair): one for pair, one in zip(pairs.tolist(), values.tolist(), strict=True)}
    kept = {number: root(number) for number in sorted(parents) if root(number) != number}
    value = {one: direct[(of, one)] for one, of in kept.items() if (of, one) in direct}
    return Verdicts(kept, value, sizes_of(kept))


def sizes_of(kept: Mapping[int, int]) -> Counter[int]:
    """Records that each survivor stands for."""
    counts = Counter(kept.values())
    return Counter({number: count + 1 for number, count in counts.items()})


def rulings_of(
    verdicts: Verdicts, order: Order, numbers: Path, reason: str, field: str
) -> list[tuple[str, Ruling]]:
    """What is said of the records of one shard, in its order; survivors get their cluster's size.

    reason  of those that go
    field   of the metadata that tells a survivor's size, to weigh it anew
    """
    rows = []
    for number in load(numbers).tolist():
        if number in verdicts.kept:
            of = order.id(verdicts.kept[number])
            rows.append((number, Ruling(reason, verdicts.value.get(number), f"{of} is kept")))
        elif number in verdicts.sizes:
            rows.append((number, Ruling(metadata={field: verdicts.sizes[number]})))
    return [(order.id(number), ruling) for number, ruling in rows]


def write_report(
    path: Path, order: Order, verdicts: Verdicts, numbers: Mapping[str, Any]
) -> dict[str, Any]:
    """Write what happened: figures, and the largest clusters with some that went."""
    ranked = sorted(verdicts.sizes.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]
    members: dict[int, list[str]] = {number: [] for number, _ in ranked}
    for number, of in verdicts.kept.items():
        if of in members and len(members[of]) < 5:
            members[of].append(order.id(number))
    report = {
        "records": len(order.ids),
        "dropped": len(verdicts.kept),
        "clusters": len(verdicts.sizes),
        **numbers,
        "sizes": {str(size): n for size, n in sorted(Counter(verdicts.sizes.values()).items())},
        "largest": [
            {"kept": order.id(number), "size": size, "dropped": members[number]}
            for number, size in ranked
        ],
    }
    write_json(path, report)
    return json.loads(json.dumps(report))
