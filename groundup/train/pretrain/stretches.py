"""Phases of a run, each with its own context length and data mixture.

Most tokens are spent at a short context, where attention is cheap; a last phase at the full context
teaches long distances. Configured stages may set other lengths and mixtures, such as the best text
last. No token is read by two phases of one epoch.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple

from groundup.core import ConfigError
from groundup.tokenizer import Batch, Loader, Reading

from ..optim.ramp import Ramp, ramp
from ..optim.ramp import Stage as Constant
from .config import PretrainConfig, Stage


class Stretch(NamedTuple):
    """A range of steps at one context length."""

    loader: Loader
    start: int
    """Its first step."""
    before: int
    """Tokens before that step."""


class Course(NamedTuple):
    """Which sequences each step of a run reads."""

    stretches: tuple[Stretch, ...]
    plan: Ramp

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.plan.steps

    @property
    def tokens(self) -> int:
        """Tokens of the run."""
        return self.plan.before(self.plan.steps)

    def at(self, step: int) -> Stretch:
        """The phase of a step."""
        return next(each for each in reversed(self.stretches) if step >= each.start)

    def row_counts(self) -> list[int]:
        """Sequences per step, one number for each change of length or batch size."""
        changes = {each.start for each in self.stretches}
        changes |= {each.first for each in self.plan.stages}
        return [
            self.plan.tokens(step) // self.at(step).loader.length
            for step in sorted(changes)
            if step < self.steps
        ]

    def rows(self, step: int) -> Batch:
        """The sequences of a step; a function of the step alone."""
        phase = self.at(step)
        if len(self.plan.stages) == 1:  # sequences need not fill the batch to the last token
            return phase.loader.batch(step - phase.start)
        first = (self.plan.before(step) - phase.before) // phase.loader.length
        return phase.loader.take(first, self.plan.tokens(step) // phase.loader.length)


def course(config: PretrainConfig, text: Reading) -> Course:
    """The schedule of a run; each phase reads its own part of the text.

    Raises ConfigError if the tokens do not fill one step, or a stage names an unknown source.
    """
    parts, longest = config.parts(), longest_of(config)
    if not longest <= config.batch_tokens <= config.tokens:
        raise ConfigError(
            f"tokens={config.tokens:,} with batch_tokens={config.batch_tokens:,} and a context of "
            f"{longest:,} do not fill one step; use tokens >= batch_tokens >= the longest context."
        )
    plan = planned(config)
    total = plan.before(plan.steps)
    shares = accumulate((part.share for part in parts), initial=0.0)
    starts = [nearest(plan, share * total) for share in shares]
    phases = []
    for part, start, end in zip(parts, starts, starts[1:], strict=False):
        if end > start:
            borders = plan.before(start) / total, plan.before(end) / total
            reader = loader(config, part, text, borders)
            phases.append(Stretch(reader, start, plan.before(start)))
    return Course(tuple(phases), plan)


def longest_of(config: PretrainConfig) -> int:
    """The longest context of a run, tokens."""
    return max(part.length for part in config.parts())


def planned(config: PretrainConfig) -> Ramp:
    """Tokens of each step: constant, or a batch size ramp."""
    if config.ramp.start < 1:
        return ramp(config.ramp, config.tokens, config.batch_tokens, longest_of(config))
    constant = Constant(0, 0, config.batch_tokens)
    return Ramp((constant,), config.tokens // config.batch_tokens, config.ramp.rate)


def nearest(plan: Ramp, tokens: float) -> int:
    """The step whose start is closest to a number of tokens."""
    after = bisect_left(range(plan.steps + 1), tokens, key=plan.before)
    near = range(max(0, after - 1), min(after, plan.steps) + 1)
    return min(near, key=lambda step: abs(plan.before(step) - tokens))


def loader(
    config: PretrainConfig, stage: Stage, text: Reading, part: tuple[float, float]
) -> Loader:
    """A loader of sequences of a stage's length and mixture, from its part of each source."""
    shards, mixture = text.shards, text.mixture
    if stage.mixture is not None:
        mixture, known = stage.mixture, [shard.name for shard in shards]
        if text.mixture is None or not mixture or not set(mixture) <= set(known):
            unknown = sorted(set(mixture) - set(known)) if text.mixture is not None else mixture
            raise ConfigError(
                f"A stage's mixture names {', '.join(unknown) or 'nothing'}; expected sources of "
                f"mixed tokens (`groundup tokens mix`), which here are {', '.join(known)}."
            )
        shards = [shard for shard in shards if shard.name in mixture]
    rows = config.batch_tokens // stage.length
    return Loader(shards, rows, stage.length, config.seed, mixture, part)


def shares_of(config: PretrainConfig, text: Reading) -> dict[str, float] | None:
    """Share of each source in the run's tokens, over all stages; None without a mixture."""
    if text.mixture is None:
        return None
    shares = dict.fromkeys(text.mixture, 0.0)
    for part in config.parts():
        mixture = part.mixture or text.mixture
        for name, weight in mixture.items():
            shares[name] += part.share * weight / sum(mixture.values())
    return shares
