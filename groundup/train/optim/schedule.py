"""Learning rate schedules: a multiplier of the peak rate at each step."""

import math
from collections.abc import Callable

from groundup.core import ConfigError

from .config import OptimConfig

LRSchedule = Callable[[int], float]


def make_lr_schedule(config: OptimConfig, steps: int) -> LRSchedule:
    """Multiplier of the learning rate at each step, in (0, 1].

    Warm-up–stable–decay: rises linearly, stays at its peak, and falls over the last `decay` of the
    steps to `floor`. With decay=1 it falls from the end of warm-up on.

    >>> rate = make_lr_schedule(OptimConfig(warmup=0.2, decay=0.5), steps=10)
    >>> [round(rate(step), 3) for step in (0, 1, 5, 6, 9)]
    [0.5, 1.0, 1.0, 0.8, 0.2]

    Raises ConfigError if warm-up takes all steps.

    Source: cosine, Loshchilov & Hutter 2017, arXiv:1608.03983; stable phase and 1 - sqrt, Hägele et
    al. 2024, arXiv:2405.18392.
    """
    warm = round(config.warmup * steps) if config.warmup_steps is None else config.warmup_steps
    if config.warmup_steps is not None and warm >= steps:
        raise ConfigError(f"warmup_steps={warm:,} must be fewer than the run's {steps:,} steps.")
    falling = max(1, min(round(config.decay * steps), steps - warm))
    floor = config.floor
    if floor is None:
        floor = 0.1 if config.schedule == "cosine" else 0.0

    def multiplier(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        remaining = max(0.0, min(1.0, (steps - step) / falling))  # above 0 at the last step
        return floor + (1 - floor) * _decay_shape(config.schedule, remaining)

    return multiplier


def _decay_shape(kind: str, remaining_share: float) -> float:
    """Height of a decay from 1 to 0, with a share `remaining_share` of its steps remaining."""
    if kind == "cosine":
        return (1 - math.cos(math.pi * remaining_share)) / 2
    if kind == "sqrt":
        return 1 - math.sqrt(1 - remaining_share)
    return remaining_share if kind == "linear" else 1.0
