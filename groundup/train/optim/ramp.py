"""Batch size ramp: the number of tokens of each step, known before the run begins.

Early gradients agree with each other, so small batches learn as much from fewer tokens; late in
training they do not. A ramp is a list of ranges of steps of equal size, so the tokens of any step
and before it take constant time, and a run of N tokens has a known number of steps.
Source: Smith et al. 2018, arXiv:1711.00489; McCandlish et al. 2018, arXiv:1812.06162.
"""

import math
from typing import NamedTuple

from groundup.core import ConfigError

from .config import RampConfig
from .schedule import LRSchedule


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

    def scale_schedule(self, rate: LRSchedule) -> LRSchedule:
        """A learning rate schedule times the multiplier for batch size."""
        return lambda step: rate(step) * self.lr_scale(step)


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
