"""Phases of a run, each with its own context length and data mixture.

Most tokens are spent at a short context, where attention is cheap; a last phase at the full context
teaches long distances. Configured stages may set other lengths and mixtures, such as the best text
last. No token is read by two phases of one epoch.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple

from groundup.core import ConfigError
from groundup.tokenizer import Loader, TextBatch, TokenShards

from ..optim.schedule import BatchRamp, compute_batch_ramp
from ..optim.schedule import RampStage as Constant
from .config import PretrainConfig, StageConfig


class Phase(NamedTuple):
    """A range of steps at one context length."""

    loader: Loader
    start: int
    """Its first step."""
    tokens_before: int
    """Tokens before that step."""


class TrainingSchedule(NamedTuple):
    """Which sequences each step of a run reads."""

    phases: tuple[Phase, ...]
    batch_ramp: BatchRamp

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.batch_ramp.steps

    @property
    def tokens(self) -> int:
        """Tokens of the run."""
        return self.batch_ramp.tokens_before(self.batch_ramp.steps)

    def phase_at(self, step: int) -> Phase:
        """The phase of a step."""
        return next(each for each in reversed(self.phases) if step >= each.start)

    def sequence_counts(self) -> list[int]:
        """Sequences per step, one number for each change of length or batch size."""
        changes = {each.start for each in self.phases}
        changes |= {each.first_step for each in self.batch_ramp.stages}
        return [
            self.batch_ramp.tokens_at(step) // self.phase_at(step).loader.length
            for step in sorted(changes)
            if step < self.steps
        ]

    def sequences(self, step: int) -> TextBatch:
        """The sequences of a step; a function of the step alone."""
        phase = self.phase_at(step)
        if len(self.batch_ramp.stages) == 1:  # sequences need not fill the batch to the last token
            return phase.loader.batch(step - phase.start)
        first = (self.batch_ramp.tokens_before(step) - phase.tokens_before) // phase.loader.length
        return phase.loader.sequences(first, self.batch_ramp.tokens_at(step) // phase.loader.length)


def make_training_schedule(config: PretrainConfig, text: TokenShards) -> TrainingSchedule:
    """The schedule of a run; each phase reads its own part of the text.

    Raises ConfigError if the tokens do not fill one step, or a stage names an unknown source.
    """
    parts, longest = config.resolved_stages(), max_length(config)
    if not longest <= config.batch_tokens <= config.tokens:
        raise ConfigError(
            f"tokens={config.tokens:,} with batch_tokens={config.batch_tokens:,} and a context of "
            f"{longest:,} do not fill one step; use tokens >= batch_tokens >= the longest context."
        )
    plan = make_batch_ramp(config)
    total = plan.tokens_before(plan.steps)
    shares = accumulate((part.share for part in parts), initial=0.0)
    starts = [_closest_step(plan, share * total) for share in shares]
    phases = []
    for part, start, end in zip(parts, starts, starts[1:], strict=False):
        if end > start:
            borders = plan.tokens_before(start) / total, plan.tokens_before(end) / total
            reader = _stage_loader(config, part, text, borders)
            phases.append(Phase(reader, start, plan.tokens_before(start)))
    return TrainingSchedule(tuple(phases), plan)


def max_length(config: PretrainConfig) -> int:
    """The longest context of a run, tokens."""
    return max(part.length for part in config.resolved_stages())


def make_batch_ramp(config: PretrainConfig) -> BatchRamp:
    """Tokens of each step: constant, or a batch size ramp."""
    if config.ramp.start < 1:
        return compute_batch_ramp(
            config.ramp, config.tokens, config.batch_tokens, max_length(config)
        )
    constant = Constant(0, 0, config.batch_tokens)
    return BatchRamp((constant,), config.tokens // config.batch_tokens, config.ramp.rate)


def _closest_step(plan: BatchRamp, tokens: float) -> int:
    """The step whose start is closest to a number of tokens."""
    after = bisect_left(range(plan.steps + 1), tokens, key=plan.tokens_before)
    near = range(max(0, after - 1), min(after, plan.steps) + 1)
    return min(near, key=lambda step: abs(plan.tokens_before(step) - tokens))


def _stage_loader(
    config: PretrainConfig, stage: StageConfig, text: TokenShards, part: tuple[float, float]
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


def source_shares(config: PretrainConfig, text: TokenShards) -> dict[str, float] | None:
    """Share of each source in the run's tokens, over all stages; None without a mixture."""
    if text.mixture is None:
        return None
    shares = dict.fromkeys(text.mixture, 0.0)
    for part in config.resolved_stages():
        mixture = part.mixture or text.mixture
        for name, weight in mixture.items():
            shares[name] += part.share * weight / sum(mixture.values())
    return shares
