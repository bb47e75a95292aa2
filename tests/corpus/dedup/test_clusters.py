"""Whoever goes is alike to one that stays; components are what hangs together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.dedup import exact as clusters
from groundup.corpus.dedup.exact import _find_sorted, resolve_components, resolve_stars

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


@given(PAIRS, st.randoms())
def test_stars_keep_a_dominating_set_and_components_one_of_each(pairs, chance):
    edges = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    shuffled = edges[:]
    chance.shuffle(shuffled)
    arrays = [np.array(some, np.uint32).reshape(-1, 2) for some in (edges, shuffled)]
    star, other = (resolve_stars(some, some[:, 0] / 31) for some in arrays)
    for one, two in zip(star, other, strict=True):
        np.testing.assert_array_equal(one, two)
    kept = instead(star)
    assert star.similarity.tolist() == [of / 31 for of in kept.values()]
    for number, of in kept.items():
        assert (of, number) in edges and of not in kept
    for first, second in edges:  # no two that stay are alike
        assert first in kept or second in kept
    whole = resolve_components(arrays[1], arrays[1][:, 0] / 31)
    reached = {}
    for number in range(31):
        seen, waiting = {number}, [number]
        for one in waiting:
            near = {b if a == one else a for a, b in edges if one in (a, b)} - seen
            seen |= near
            waiting += sorted(near)
        reached[number] = min(seen)
    kept = instead(whole)
    assert kept == {number: of for number, of in reached.items() if of != number}
    for (number, of), value in zip(kept.items(), whole.similarity.tolist(), strict=True):
        assert value == of / 31 if (of, number) in edges else np.isnan(value)
    assert whole.survivors.tolist() == sorted(set(kept.values()))
    assert whole.sizes.sum() == len(kept) + len(whole.sizes)


def instead(found):
    """Who goes, in rising order, to who stays instead."""
    kept = dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True))
    assert list(kept) == sorted(kept) and len(kept) == len(found.dropped)
    return kept


def one_by_one(pairs: np.ndarray) -> dict[int, int]:
    """The definition: in rising order, each goes for the first before it that stays."""
    gone: dict[int, int] = {}
    for one, other in sorted(map(tuple, pairs.tolist()), key=lambda pair: pair[::-1]):
        if one not in gone and other not in gone:
            gone[other] = one
    return gone


@pytest.mark.parametrize("turns", [0, 1, 64])
@pytest.mark.parametrize("kind", ["random", "chain", "groups", "none"])
def test_all_at_once_is_one_by_one(monkeypatch, kind, turns):
    monkeypatch.setattr(clusters, "MAX_ROUNDS", turns)
    for seed in range(20):
        chance = np.random.default_rng(seed)
        count = {"random": 300, "chain": 300, "groups": 300, "none": 0}[kind]
        if kind == "chain":
            pairs = np.stack([np.arange(count), np.arange(1, count + 1)], 1)
        else:
            ends = chance.integers(0, 30 if kind == "groups" else 200, (count, 2))
            pairs = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
        pairs = chance.permutation(pairs).astype(np.uint32)
        found = resolve_stars(pairs, np.arange(len(pairs), dtype=float))
        assert dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True)) == one_by_one(
            pairs
        )
        assert [pairs[int(at)].tolist() for at in found.similarity] == [
            [kept, gone] for kept, gone in zip(found.kept, found.dropped, strict=True)
        ]


def test_copies_are_settled_without_looking_at_pairs_one_by_one():
    for count in (1_000, 4_000):
        starts = np.arange(0, count, 10)
        both = np.stack(np.triu_indices(10, 1), 1)
        pairs = (starts[:, None, None] + both).reshape(-1, 2).astype(np.uint32)
        order = np.lexsort((pairs[:, 0], pairs[:, 1]))
        first, second = pairs[order].T
        state = np.ones(count, np.uint8)
        state[second] = clusters.UNDECIDED
        assert not len(clusters._decide_records(first, second, state)), "no pair is left for a loop"


def test_what_is_above_all_numbers_stands_nowhere():
    rising = np.array([3, 5], np.uint64)
    assert _find_sorted(rising, np.array([5, 4, 9, 3], np.uint64)).tolist() == [1, -1, -1, 0]
