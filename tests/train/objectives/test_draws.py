"""What is drawn depends on the key alone and is as likely as it should be."""

import numpy as np
from scipy import stats

from groundup.train.objectives.draws import KeyedRandom


def test_equal_keys_draw_equal_numbers_and_others_do_not():
    assert np.array_equal(KeyedRandom(1, "a").uniform(9), KeyedRandom(1, "a").uniform(9))
    assert not np.array_equal(KeyedRandom(1, "a").uniform(9), KeyedRandom(1, "b").uniform(9))


def test_numbers_are_even():
    numbers = KeyedRandom(7).uniform(20_000)
    assert 0 <= numbers.min() and numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_rounding_keeps_the_mean():
    draws = KeyedRandom(3)
    found = [draws.round_stochastically(2.3) for _ in range(5000)]
    assert set(found) == {2, 3}
    assert abs(np.mean(found) - 2.3) < 4 * np.sqrt(0.21 / 5000)


def test_orders_and_places_hold_each_once():
    draws = KeyedRandom(5)
    assert sorted(draws.permutation(50).tolist()) == list(range(50))
    places = draws.sorted_sample(20, 30).tolist()
    assert places == sorted(set(places)) and len(places) == 20 and max(places) < 30


def test_every_way_to_cut_a_total_is_equally_likely():
    draws = KeyedRandom(11)
    found = [tuple(draws.random_composition(5, 3).tolist()) for _ in range(3000)]
    ways = {(a, b, 5 - a - b) for a in range(1, 4) for b in range(1, 5 - a)}
    assert set(found) == ways and all(sum(way) == 5 for way in ways)
    assert stats.chisquare([found.count(way) for way in ways]).pvalue > 1e-3


def test_weights_are_met():
    found = KeyedRandom(13).weighted_choice(np.array([1.0, 0.0, 3.0]), 4000)
    counts = np.bincount(found, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] / 4000 - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)
