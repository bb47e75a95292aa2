"""Tails and quantiles are scipy's, far out too."""

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.measure.stats.distribution import (
    _student_tail,
    beta_tail,
    binomial_below,
    chi_square_tail,
    log_binomial,
    normal_quantile,
    normal_tail,
    solve_decreasing,
    student_quantile,
    z_value,
)

CLOSE = {"rel": 1e-10, "abs": 1e-300}


@given(st.floats(-8, 38))
def test_normal_tail(z):
    assert normal_tail(z) == pytest.approx(scipy.stats.norm.sf(z), **CLOSE)
    if 1e-300 < normal_tail(z) < 0.9:
        assert normal_quantile(normal_tail(z)) == pytest.approx(z, abs=1e-8)


@given(st.floats(-5, 40).filter(lambda t: abs(t) > 1e-4), st.integers(1, 2000))
def test_student_tail(t, degrees):
    assert _student_tail(t, degrees) == pytest.approx(scipy.stats.t.sf(t, degrees), rel=1e-8)


@pytest.mark.parametrize("tail", [0.4, 0.025, 1e-6, 1e-20])
@pytest.mark.parametrize("degrees", [1, 2, 9, 199, 10**6])
def test_student_quantile(tail, degrees):
    expected = scipy.stats.t.isf(tail, degrees)
    assert student_quantile(tail, degrees) == pytest.approx(expected, rel=1e-8)


@given(st.floats(0, 300), st.integers(1, 60))
def test_chi_square_tail(x, degrees):
    expected = scipy.stats.chi2.sf(x, degrees)
    assert chi_square_tail(x, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_no_degrees_of_freedom_leave_no_tail():
    assert (chi_square_tail(0.0, 0), chi_square_tail(3.0, 0), chi_square_tail(0.0, 2)) == (0, 0, 1)


@given(st.integers(0, 400), st.integers(-1, 401), st.floats(0.01, 0.99))
def test_binomial(n, k, share):
    expected = scipy.stats.binom.cdf(k, n, share)
    assert binomial_below(k, n, share) == pytest.approx(expected, rel=1e-9, abs=1e-14)
    if 0 <= k <= n:
        expected = scipy.stats.binom.logpmf(k, n, share)
        assert log_binomial(k, n, share) == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_a_beta_distribution_lies_between_0_and_1():
    assert (beta_tail(2, 3, 0.0), beta_tail(2, 3, -1.0), beta_tail(2, 3, 1.0)) == (0, 0, 1)


def test_a_function_that_stays_above_is_never_met():
    assert solve_decreasing(lambda x: 1.0, 0.5) == float("inf")


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95.0])
def test_confidence_is_a_share(confidence):
    with pytest.raises(ConfigError, match="such as 0.95"):
        z_value(confidence)
