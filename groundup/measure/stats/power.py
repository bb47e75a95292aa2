"""Power analysis: how often would n items detect a difference, and how many items are needed?

    power_of_mean            a mean, such as of a paired difference, with known standard deviation
    power_of_rates           two different sets of items
    power_of_paired_rates    two systems right or wrong on the same items (McNemar)
    required_sample_size     the number of items for a power
    insufficient_data        a Reason if there are fewer

`margin` tests non-inferiority: the difference must be shown to lie above -margin, so the power at
difference 0 is how often an equal model passes. Grouped items count less: for a rate,
`rate(values, groups).trials` is the effective number of independent items.
Source: Miettinen 1968, doi:10.2307/2528275, and Connor 1987 (McNemar); Lachin 1981,
doi:10.1016/0197-2456(81)90001-5 (the others).
"""

from collections.abc import Callable
from math import exp, inf, isfinite, sqrt

from groundup.core import ConfigError, Reason

from .distribution import binomial_below, log_binomial, normal_quantile, normal_tail

MAX_SAMPLE_SIZE = 10**8
MAX_EXACT_DISCORDANT = 10_000
"""With more discordant items, McNemar's test is approximated as normal, to 0.001 of the power."""
NEGLIGIBLE = 1e-12


def power_of_mean(
    n: int, difference: float, deviation: float, *, margin: float = 0.0, level: float = 0.05,
    sides: int = 2,
) -> float:  # fmt: skip
    """Power to show that a mean differs from 0, for n values with this standard deviation.

    With a margin, to show that the mean is above -margin (one side of the same interval).

    >>> round(power_of_mean(200, difference=0.06, deviation=0.3), 2)
    0.81
    >>> round(power_of_mean(200, difference=0.0, deviation=0.3, margin=0.05), 2)
    0.65
    """
    _check_plan(n, level, sides, margin)
    if not (0 < deviation < inf and isfinite(difference)):
        got = f"{difference} and {deviation}"
        raise ConfigError(f"Expected a finite difference and a deviation above 0; got {got}.")
    shift = (difference + margin) / (deviation / sqrt(n))
    return _detection_probability(shift, level, sides, margin)


def power_of_rates(
    n: int, a: float, b: float, *, margin: float = 0.0, level: float = 0.05, sides: int = 2
) -> float:
    """Power to show that rates a and b differ, with n items in each of two sets.

    >>> round(power_of_rates(200, 0.80, 0.90), 2)
    0.8
    """
    _check_plan(n, level, sides, margin)
    if not (0 < a < 1 and 0 < b < 1):
        raise ConfigError(f"Expected rates between 0 and 1, both excluded; got {a} and {b}.")
    pooled, error = (a + b) / 2, sqrt((a * (1 - a) + b * (1 - b)) / n)
    if margin:
        return _detection_probability((a - b + margin) / error, level, sides, margin)
    z, null = normal_quantile(level / sides), sqrt(2 * pooled * (1 - pooled) / n)
    upper = normal_tail((z * null - (a - b)) / error)
    lower = normal_tail((z * null + (a - b)) / error)
    return upper + lower if sides == 2 else max(upper, lower)


def power_of_paired_rates(
    n: int, gained: float, lost: float, *, level: float = 0.05, mid_p: bool = True
) -> float:
    """Power of McNemar's test for two systems on the same n items.

    Exact up to LARGE discordant items, then by the normal approximation (Connor 1987).

    gained, lost  share of the items that only the one and only the other gets right

    >>> round(power_of_paired_rates(200, gained=0.12, lost=0.04), 2)
    0.82
    """
    _check_plan(n, level, 2, 0.0)
    if gained < 0 or lost < 0 or not 0 < gained + lost <= 1:
        raise ConfigError(f"Expected shares >= 0 that sum to at most 1; got {gained} and {lost}.")
    differ, share, power = gained + lost, gained / (gained + lost), 0.0
    if n * differ > MAX_EXACT_DISCORDANT:
        z, error = normal_quantile(level / 2) * sqrt(differ), sqrt(differ - (gained - lost) ** 2)
        ends = [z - sqrt(n) * (gained - lost), z + sqrt(n) * (gained - lost)]
        return sum(normal_tail(end / error) if error else float(end < 0) for end in ends)
    middle = round(n * differ)
    for step in (1, -1):
        for count in range(middle if step == 1 else middle - 1, n + 1 if step == 1 else -1, step):
            weight = exp(log_binomial(count, n, differ)) if differ < 1 else float(count == n)
            if weight < NEGLIGIBLE:
                break
            most = _critical_count(count, level, mid_p)
            detected = binomial_below(most, count, share) + binomial_below(most, count, 1 - share)
            power += weight * detected
    return min(1.0, power)


def _critical_count(differ: int, level: float, mid_p: bool) -> int:
    """Largest significant number of discordant items won by the weaker system; -1 if none."""
    low, high = -1, (differ - 1) // 2
    while low < high:
        middle = (low + high + 1) // 2
        p = 2 * binomial_below(middle, differ) - mid_p * exp(log_binomial(middle, differ))
        low, high = (middle, high) if p <= level else (low, middle - 1)
    return low


def _detection_probability(shift: float, level: float, sides: int, margin: float) -> float:
    z = normal_quantile(level / sides)
    upper = normal_tail(z - shift)
    return upper if margin or sides == 1 else upper + normal_tail(z + shift)


def _check_plan(n: int, level: float, sides: int, margin: float) -> None:
    if n < 1 or not 0 < level < 1 or sides not in (1, 2) or not margin >= 0:
        what = "Expected n >= 1, a level between 0 and 1, 1 or 2 sides and a margin of 0 or more"
        raise ConfigError(f"{what}; got n={n}, level={level}, sides={sides}, margin={margin}.")


def required_sample_size(power: Callable[[int], float], target: float = 0.8) -> int | Reason:
    """Smallest number of items with which the power reaches the target; Reason if none does.

    Raises ConfigError if the function returns a value outside 0 to 1.

    >>> required_sample_size(lambda n: power_of_mean(n, difference=0.02, deviation=0.3))
    1766
    """
    if not 0 < target < 1:
        raise ConfigError(f"target={target} must lie between 0 and 1, such as 0.8.")
    low, high = 1, 2
    while _checked_power(power, high) < target:
        low, high = high, high * 2
        if high > MAX_SAMPLE_SIZE:
            what = f"Not even {MAX_SAMPLE_SIZE:,} items reach a power of {target:g}."
            return Reason("never_enough", what)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _checked_power(power, middle) >= target else (middle, high)
    return high


def _checked_power(power: Callable[[int], float], n: int) -> float:
    value = power(n)
    if not -NEGLIGIBLE <= value <= 1 + NEGLIGIBLE:
        raise ConfigError(f"The power with {n} items is {value}; it must lie from 0 to 1.")
    return value


def insufficient_data(n: int, power: Callable[[int], float], target: float = 0.8) -> Reason | None:
    """Reason with the required number of items if n is too small; None if it suffices.

    >>> insufficient_data(200, lambda n: power_of_mean(n, difference=0.02, deviation=0.3)).message
    'With n = 200 it is found in 16 of 100 cases; for 80 of 100 you need n = 1,766.'
    """
    value = _checked_power(power, n)
    if value >= target:
        return None
    required = required_sample_size(power, target)
    if isinstance(required, Reason):
        return required
    return Reason(
        "too_little_data",
        f"With n = {n:,} it is found in {100 * value:.0f} of 100 cases; "
        f"for {100 * target:.0f} of 100 you need n = {required:,}.",
    )
