"""Whoever goes is alike to one that stays; components are what hangs together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.dedup.clusters import components, stars

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


@given(PAIRS, st.randoms())
def test_stars_keep_a_dominating_set_and_components_one_of_each(pairs, chance):
    edges = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    shuffled = edges[:]
    chance.shuffle(shuffled)
    arrays = [np.array(some, np.int64).reshape(-1, 2) for some in (edges, shuffled)]
    star, other = (stars(some, np.ones(len(some))) for some in arrays)
    assert star == other
    for number, of in star.kept.items():
        assert (of, number) in edges and of not in star.kept
    for first, second in edges:  # no two that stay are alike
        assert first in star.kept or second in star.kept
    whole = components(arrays[1], np.ones(len(edges)))
    reached = {}
    for number in range(31):
        seen, waiting = {number}, [number]
        for one in waiting:
            near = {b if a == one else a for a, b in edges if one in (a, b)} - seen
            seen |= near
            waiting += sorted(near)
        reached[number] = min(seen)
    assert whole.kept == {number: of for number, of in reached.items() if of != number}
    assert sum(whole.sizes.values()) == len(whole.kept) + len(whole.sizes)
