"""However many candidates come, and whatever their makers saw, few that are no better pass."""

import numpy as np
import pytest
import scipy.stats

from groundup.core import ConfigError
from groundup.measure.stats.reuse import reuse_standard_errors
from tests.checking import unchecked


def test_the_first_look_is_the_usual_interval():
    for seen in ("scores", "verdicts"):
        assert reuse_standard_errors(1, 0.95, seen) == pytest.approx(1.959964, abs=1e-6)
        assert reuse_standard_errors(1, 0.99, seen) == pytest.approx(2.575829, abs=1e-6)


def test_the_levels_of_all_looks_add_up_to_the_level():
    spent = [scipy.stats.norm.sf(reuse_standard_errors(k, seen="verdicts")) for k in range(1, 2001)]
    assert sum(spent) == pytest.approx(0.05, abs=1e-4) and sum(spent) < 0.05


def test_more_looks_and_more_seen_ask_for_more():
    scores = [reuse_standard_errors(k) for k in range(1, 60)]
    verdicts = [reuse_standard_errors(k, seen="verdicts") for k in range(1, 60)]
    assert scores == sorted(scores) and verdicts == sorted(verdicts)
    assert all(s > v for s, v in zip(scores[1:], verdicts[1:], strict=True))


def test_the_best_use_of_scores_passes_as_often_as_stated_and_no_more():
    # The noise along what was seen has length r; of all directions the best one has cosine r / t.
    random, k = np.random.default_rng(3), 6
    t = reuse_standard_errors(k, 0.5)  # a level that shows in a simulation
    seen = np.sqrt((random.normal(size=(200_000, k - 1)) ** 2).sum(axis=1))
    cosine = np.minimum(1, seen / t)
    found = cosine * seen + np.sqrt(1 - cosine**2) * random.normal(size=len(seen))
    level = 0.5 / (k * (k + 1))
    assert (found > t * (1 - 1e-12)).mean() == pytest.approx(level, rel=0.1)
    for other in (0.0, 0.5, 1.0):
        found = other * seen + np.sqrt(1 - other**2) * random.normal(size=len(seen))
        assert (found > t).mean() <= level


def test_bad_questions():
    with pytest.raises(ConfigError, match="1 for the first"):
        reuse_standard_errors(0)
    with pytest.raises(ConfigError, match="0.95"):
        reuse_standard_errors(2, 1.0)


def test_what_was_seen_is_one_of_two():
    with unchecked(), pytest.raises(ConfigError, match="did you mean `scores`"):
        reuse_standard_errors(2, seen="score")
