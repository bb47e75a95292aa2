"""Stretches: the parts of a run in steps, each with its own context and its own text.

Most tokens are spent at a short context, where attention is cheap; a last stretch at the full
context teaches long distances. Stages say more: other lengths, and another mixture in each, such as
the best text last. No token is read by two stretches of one epoch.
"""

from itertools import accumulate
from typing import NamedTuple

from groundup.core import ConfigError
from groundup.tokenizer import Loader, Reading

from .config import PretrainConfig, Stage


class Stretch(NamedTuple):
    """A part of the run at one context length."""

    loader: Loader
    start: int
    """Its first step."""


def stretch(config: PretrainConfig, text: Reading) -> tuple[list[Stretch], int]:
    """The stretches of a run and its number of steps; each reads its own part of the text.

    Raises ConfigError if the tokens do not fill one step, or a stage names a source that is not
    there.
    """
    parts = config.parts()
    steps = config.tokens // config.batch_tokens
    longest = max(part.length for part in parts)
    if steps < 1 or config.batch_tokens < longest:
        raise ConfigError(
            f"tokens={config.tokens:,} with batch_tokens={config.batch_tokens:,} and a context of "
            f"{longest:,} do not fill one step; expected tokens >= batch_tokens >= the longest "
            "context."
        )
    after = list(accumulate((part.share for part in reversed(parts)), initial=0.0))
    starts = [steps - round(share * steps) for share in reversed(after)]
    found = [
        Stretch(loader(config, part, text, (start / steps, end / steps)), start)
        for part, start, end in zip(parts, starts, starts[1:], strict=False)
        if end > start
    ]
    return found, steps


def loader(
    config: PretrainConfig, stage: Stage, text: Reading, part: tuple[float, float]
) -> Loader:
    """Rows of a stage's length, of its mixture, from its part of each source."""
    shards, mixture = text.shards, text.mixture
    if stage.mixture is not None:
        mixture, known = stage.mixture, [shard.name for shard in shards]
        if text.mixture is None or not mixture or not set(mixture) <= set(known):
            raise ConfigError(
                f"A stage's mixture names {', '.join(mixture) or 'nothing'}; expected sources of "
                f"mixed tokens (`groundup tokens mix`), and these have {', '.join(known)}."
            )
        shards = [shard for shard in shards if shard.name in mixture]
    rows = config.batch_tokens // stage.length
    return Loader(shards, rows, stage.length, config.seed, mixture, part)
