"""The batch-size ramp: how many tokens each step has, known before the run begins.

Early gradients agree with each other, and small batches learn as much from fewer tokens; late ones
do not. A ramp is a list of stretches of steps of equal size, so any step's tokens and what came
before it are a division away, and a run of N tokens has a known number of steps.
Source: Smith et al. 2018, arXiv:1711.00489; McCandlish et al. 2018, arXiv:1812.06162.
"""

import math
from typing import NamedTuple

from groundup.core import ConfigError

from .config import RampConfig
from .schedule import Schedule


class Stage(NamedTuple):
    """Steps of one size."""

    first: int
    """Number of its first step."""
    before: int
    """Tokens before that step."""
    tokens: int
    """Of each step."""


class Ramp(NamedTuple):
    """How many tokens each step of a run has."""

    stages: tuple[Stage, ...]
    steps: int
    rate: str

    def at(self, step: int) -> Stage:
        """The stage of a step."""
        return next(stage for stage in reversed(self.stages) if step >= stage.first)

    def tokens(self, step: int) -> int:
        """Tokens of a step."""
        return self.at(step).tokens

    def before(self, step: int) -> int:
        """Tokens before a step; of the number of steps, those of the whole run.

        In rows of L tokens, a step's first row is `before(step) // L`: L divides the row that the
        ramp was made with.
        """
        stage = self.at(step)
        return stage.before + (step - stage.first) * stage.tokens

    def scale(self, step: int) -> float:
        """Multiplier of the learning rate of a step, for the size of its batch."""
        share = self.tokens(step) / self.stages[-1].tokens
        return {"sqrt": math.sqrt(share), "linear": share, "none": 1.0}[self.rate]

    def scaled(self, rate: Schedule) -> Schedule:
        """A schedule of the steps, times the multiplier for their batches."""
        return lambda step: rate(step) * self.scale(step)


def ramp(config: RampConfig, tokens: int, batch_tokens: int, row: int = 1) -> Ramp:
    """The steps of a run.

    tokens        of the run; what does not fill the last step is left out
    batch_tokens  of a full step
    row           tokens that a batch's size is a multiple of: the longest row of the run

    Sizes rise evenly from `start` of the full batch; each has an equal share of the tokens of the
    ramp, rounded to whole steps.

    >>> found = ramp(RampConfig(start=0.25, share=0.5, stages=3), tokens=2400, batch_tokens=100)
    >>> [tuple(stage) for stage in found.stages], found.steps
    ([(0, 0, 25), (16, 400, 50), (24, 800, 75), (29, 1175, 100)], 41)
    >>> found.before(30), found.before(found.steps)
    (1275, 2375)

    Raises ConfigError if the tokens fill no step, or a full step is no whole number of rows.
    """
    if batch_tokens % row or tokens < batch_tokens:
        raise ConfigError(
            f"batch_tokens={batch_tokens:,} must be a multiple of a row of {row:,} tokens and at "
            f"most tokens={tokens:,}; try {max(row, batch_tokens // row * row):,}."
        )
    stages, first, before = [], 0, 0
    for number in range(config.stages if config.start < 1 else 0):
        share = config.start + (1 - config.start) * number / config.stages
        size = max(1, round(share * batch_tokens / row)) * row
        count = round(config.share * tokens / config.stages / size)
        if count and size < batch_tokens and before + count * size + batch_tokens <= tokens:
            stages.append(Stage(first, before, size))
            first, before = first + count, before + count * size
    stages.append(Stage(first, before, batch_tokens))
    return Ramp(tuple(stages), first + (tokens - before) // batch_tokens, config.rate)
