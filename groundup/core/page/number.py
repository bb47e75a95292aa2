"""Number formatting for reports: significant digits, units, axis ticks.

The number of decimals follows from the width of the interval: 5 to 50 steps of the last digit from
end to end are worth reading, more are noise.
"""

import math
from collections.abc import Sequence

SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
ABSENT = "not measured"
STEPS = (1.0, 2.0, 5.0, 10.0)


def format_number(value: float | None, decimals: int | None = None) -> str:
    """Format a number; None is "not measured" and a value that is not finite "undefined".

    >>> format_number(1.4123), format_number(0.03128), format_number(4096), format_number(123456.7)
    ('1.41', '0.031', '4,096', '123,457')
    """
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return "undefined"
    if decimals is None:
        decimals = 0 if isinstance(value, int) else _default_decimals(abs(value))
    text = f"{abs(value):,.{decimals}f}"
    is_zero = not text.strip("0.,")
    return (MINUS if value < 0 and not is_zero else "") + text


def _default_decimals(size: float) -> int:
    """Decimals for a number of this size whose uncertainty is unknown."""
    if size == 0 or size >= 1000:
        return 0
    if size >= 1:
        return 1 if size >= 10 else 2
    return min(8, 3 if size >= 0.01 else 1 - math.floor(math.log10(size)))


def format_signed(value: float | None, decimals: int | None = None) -> str:
    """Format a difference with its sign.

    >>> format_signed(0.25), format_signed(-0.25)
    ('+0.250', '−0.250')
    """
    text = format_number(value, decimals)
    return f"+{text}" if value is not None and math.isfinite(value) and value > 0 else text


def interval_decimals(low: float | None, high: float | None) -> int | None:
    """Decimals that divide an interval into 5 to 50 steps; None if it has no width.

    >>> interval_decimals(1.398, 1.426), interval_decimals(0.017, 0.026)
    (3, 3)
    """
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
        return None
    width = abs(high - low)
    if width == 0:
        return None
    return min(6, max(0, math.ceil(math.log10(5 / width))))


def format_interval(low: float | None, high: float | None) -> str:
    """Format an interval as "low to high"; an empty string if it was not measured.

    >>> format_interval(1.398, 1.426)
    '1.398 to 1.426'
    """
    if low is None or high is None:
        return ""
    decimals = interval_decimals(low, high)
    return f"{format_number(low, decimals)} to {format_number(high, decimals)}"


def with_unit(text: str, unit: str) -> str:
    """Append a unit with a no-break space."""
    return f"{text}{SPACE}{unit}" if unit and text != ABSENT else text


def format_compact(value: float) -> str:
    """Format a number briefly, for axes and small boxes.

    >>> [format_compact(v).replace(SPACE, " ") for v in (0.5, 2500, 40_000_000)]
    ['0.5', '2.5 k', '40 M']
    """
    if not math.isfinite(value):
        return format_number(value)
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return with_unit(f"{value / size:.3g}".replace("-", MINUS), suffix)
    return f"{value:.4g}".replace("-", MINUS)


def ticks(low: float, high: float, count: int = 5) -> Sequence[float]:
    """Axis ticks: round values in steps of 1, 2 or 5, at most `count` + 1 of them.

    >>> ticks(1.3, 3.5)
    [1.5, 2.0, 2.5, 3.0, 3.5]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s for s in STEPS if s * power >= rough * 0.999999) * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 5) -> Sequence[float]:
    """Ticks of a logarithmic axis: about `count` powers of ten, or of two on a shorter range.

    An axis of less than two octaves gets linear ticks instead.

    >>> log_ticks(200, 20_000), log_ticks(0.002, 30), log_ticks(3.0, 6.0)
    ([256.0, 1024.0, 4096.0, 16384.0], [0.01, 0.1, 1.0, 10.0], [3.0, 4.0, 5.0, 6.0])
    """
    if high / low < 4:
        return ticks(low, high, count)
    base = 10.0 if high / low >= 1000 else 2.0
    first = math.ceil(math.log(low, base) - 1e-9)
    last = math.floor(math.log(high, base) + 1e-9)
    step = math.ceil((last - first + 1) / count) or 1
    return [base**k for k in range(first, last + 1, step)]
