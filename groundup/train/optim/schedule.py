"""Schedules: what share of its peak the learning rate has at each step."""

import math
from collections.abc import Callable

from .config import OptimConfig

Schedule = Callable[[int], float]


def schedule(config: OptimConfig, steps: int) -> Schedule:
    """Multiplier of the learning rate at each step, in (0, 1].

    >>> rate = schedule(OptimConfig(warmup=0.2, decay=0.5), steps=10)
    >>> [round(rate(step), 3) for step in (0, 1, 5, 6, 9)]
    [0.5, 1.0, 1.0, 0.8, 0.2]
    """
    warm = round(config.warmup * steps)
    falling = max(1, min(round(config.decay * steps), steps - warm))

    def multiplier(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        left = min(1.0, (steps - step) / falling)  # above 0 at the last step
        if config.schedule == "linear":
            return left
        return 0.1 + 0.9 * (1 - math.cos(math.pi * left)) / 2

    return multiplier
