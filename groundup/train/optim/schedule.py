"""Schedules of a run: the learning rate of each step, and its number of tokens.

Early gradients agree with each other, so small batches learn as much from fewer tokens; late in
training they do not. A batch ramp is a list of ranges of steps of equal size, so the tokens of any
step and before it take constant time, and a run of N tokens has a known number of steps.
Source: Smith et al. 2018, arXiv:1711.00489; McCandlish et al. 2018, arXiv:1812.06162.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from groundup.core import ConfigError

from .config import OptimConfig, RampConfig

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


class RampStage(NamedTuple):
    """A range of steps of one batch size."""

    first_step: int
    """First step."""
    tokens_before: int
    """Tokens before that step."""
    tokens: int
    """Tokens per step."""


class BatchRamp(NamedTuple):
    """Tokens of each step of a run."""

    stages: tuple[RampStage, ...]
    steps: int
    rate: str

    def stage_at(self, step: int) -> RampStage:
        """The stage of a step."""
        return next(stage for stage in reversed(self.stages) if step >= stage.first_step)

    def tokens_at(self, step: int) -> int:
        """Tokens of a step."""
        return self.stage_at(step).tokens

    def tokens_before(self, step: int) -> int:
        """Tokens before a step; for the number of steps, the total.

        In sequences of L tokens, a step's first sequence is `tokens_before(step) // L`, where L
        divides the `sequence_length` of the ramp.
        """
        stage = self.stage_at(step)
        return stage.tokens_before + (step - stage.first_step) * stage.tokens

    def lr_scale(self, step: int) -> float:
        """Learning rate multiplier for a step's batch size."""
        share = self.tokens_at(step) / self.stages[-1].tokens
        return {"sqrt": math.sqrt(share), "linear": share, "none": 1.0}[self.rate]


def compute_batch_ramp(
    config: RampConfig, tokens: int, batch_tokens: int, sequence_length: int = 1
) -> BatchRamp:
    """Compute the batch size ramp of a run.

    tokens        of the run; a remainder that does not fill a step is dropped
    batch_tokens  of a full step
    sequence_length  batch sizes are multiples of this: the longest sequence length

    Sizes rise evenly from `start` of the full batch; each has an equal share of the tokens of the
    ramp, rounded to integer steps.

    >>> config = RampConfig(start=0.25, share=0.5, stages=3)
    >>> found = compute_batch_ramp(config, tokens=2400, batch_tokens=100)
    >>> [tuple(stage) for stage in found.stages], found.steps
    ([(0, 0, 25), (16, 400, 50), (24, 800, 75), (29, 1175, 100)], 41)
    >>> found.tokens_before(30), found.tokens_before(found.steps)
    (1275, 2375)

    Raises ConfigError if the tokens do not fill a step, or a step is not a multiple of
    `sequence_length`.
    """
    if batch_tokens % sequence_length or tokens < batch_tokens:
        raise ConfigError(
            f"batch_tokens={batch_tokens:,} must be a multiple of the sequence length "
            f"{sequence_length:,} and "
            f"at most tokens={tokens:,}; try "
            f"{max(sequence_length, batch_tokens // sequence_length * sequence_length):,}."
        )
    stages, first, before = [], 0, 0
    for number in range(config.stages if config.start < 1 else 0):
        share = config.start + (1 - config.start) * number / config.stages
        size = max(1, round(share * batch_tokens / sequence_length)) * sequence_length
        count = round(config.share * tokens / config.stages / size)
        if count and size < batch_tokens and before + count * size + batch_tokens <= tokens:
            stages.append(RampStage(first, before, size))
            first, before = first + count, before + count * size
    stages.append(RampStage(first, before, batch_tokens))
    return BatchRamp(tuple(stages), first + (tokens - before) // batch_tokens, config.rate)
