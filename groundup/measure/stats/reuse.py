"""Test-set reuse (adaptive holdout): how much wider must the k-th candidate's interval be?

Every candidate is another chance to pass by luck; worse, developers who see scores tune the next
candidate to the noise in them. The required distance of a bound in standard errors depends on both.

    verdicts   only passed or failed was seen, or the candidates were fixed beforehand. Alpha
               spending: candidate k gets 1 / k(k + 1) of the level, which sums to the level.
    scores     scores were seen. With normal noise, k - 1 scores reveal the noise in k - 1
               directions; a candidate that exploits them best passes at t errors with probability
               (P(χ²_k > t²) + P(χ²_{k-1} > t²)) / 2, which must be at most the share above.

For the first candidate both equal the usual interval. After reading the samples themselves no
number of errors suffices; only a new test set does.
Source: Scheffé 1953, doi:10.1093/biomet/40.1-2.87 (all directions at once); Blum and Hardt 2015,
arXiv:1502.04585 (verdicts reveal little). The sharp one-sided form: with r the length of the known
noise, the best direction passes if r >= t, else with probability P(Z > √(t² - r²)).
"""

from functools import cache
from typing import Literal, get_args

from groundup.core import ConfigError, check_choice

from .distribution import chi_square_tail, normal_quantile, solve_decreasing, two_sided_tail

SeenFeedback = Literal["verdicts", "scores"]


@cache
def reuse_standard_errors(
    candidate: int, confidence: float = 0.95, seen: SeenFeedback = "scores"
) -> float:
    """Distance in standard errors of the k-th candidate's bound from its estimate.

    The probability that any candidate that is not good enough passes is at most 1 - confidence,
    however many there are.

    >>> [round(reuse_standard_errors(k), 2) for k in (1, 2, 5, 50)]
    [1.96, 2.94, 4.3, 10.07]
    >>> [round(reuse_standard_errors(k, seen="verdicts"), 2) for k in (1, 2, 5, 50)]
    [1.96, 2.39, 2.94, 4.11]
    """
    if candidate < 1:
        raise ConfigError(f"candidate={candidate} must be 1 for the first, 2 for the second ...")
    level = 2 * two_sided_tail(confidence) / (candidate * (candidate + 1))
    if check_choice("seen", seen, get_args(SeenFeedback)) == "verdicts":
        return normal_quantile(level)
    return solve_decreasing(
        lambda t: (chi_square_tail(t * t, candidate) + chi_square_tail(t * t, candidate - 1)) / 2,
        level,
    )
