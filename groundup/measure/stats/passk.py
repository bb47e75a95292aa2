"""pass@k: unbiased estimate of how often at least one of k answers is right, from n answers.

A problem with c right answers of n gives 1 - C(n - c, k) / C(n, k), the share of sets of k answers
that contain a right one. 1 - (1 - c / n)^k would be biased downwards.
Source: Chen et al. 2021, arXiv:2107.03374, §2.1.
"""

from collections.abc import Sequence

from groundup.core import DataError, Reason

from .grouping import Groups
from .interval import Interval, bootstrap


def pass_at_k(answers: int, right: int, k: int) -> float | Reason:
    """One problem's pass@k; Reason `too_few_answers` if there are fewer than k.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 4)
    (0.25, 1.0)
    """
    if k < 1 or not 0 <= right <= answers:
        raise DataError(
            f"pass@{k} needs k >= 1 and right answers between 0 and {answers}; got {right}."
        )
    if answers < k:
        return Reason("too_few_answers", f"pass@{k} needs {k} answers or more; got {answers}.")
    missed = 1.0
    for number in range(answers - right + 1, answers + 1):
        missed *= max(0.0, 1 - k / number)
    return 1 - missed


def pass_rate(
    answers: Sequence[int], right: Sequence[int], k: int, groups: Groups = None, *,
    confidence: float = 0.95,
) -> Interval | Reason:  # fmt: skip
    """Mean pass@k over problems, resampled by problem or by groups of problems.

    The sampling noise of the answers is included, as it varies between problems. Reason
    `too_few_answers` names the first problem with fewer than k, `too_few_groups` if there is only
    one; skipping such problems would change what the mean is about.

    >>> print(pass_rate([10] * 6, [0, 1, 2, 5, 9, 10], 1))
    0.45 [0.07457, 1]
    """
    if len(answers) != len(right):
        raise DataError(f"{len(answers)} problems need as many counts; got {len(right)}.")
    results = [pass_at_k(n, c, k) for n, c in zip(answers, right, strict=True)]
    for index, value in enumerate(results):
        if isinstance(value, Reason):
            return value._replace(message=f"Problem {index}: {value.message}")
    if len(results if groups is None else set(groups)) < 2:
        return Reason("too_few_groups", f"An interval needs 2 problems; got {len(results)}.")
    values = [value for value in results if isinstance(value, float)]
    return bootstrap(values, groups, confidence=confidence, limits=(0, 1))
