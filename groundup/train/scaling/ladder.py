"""The ladder: which sizes are trained on how many tokens, for which compute, at which rates.

An isoFLOP ladder gives each size each budget of compute, so that what one size spends on weights
another spends on tokens. Everything else is equal: text, order, length, batch, schedule's shape.

    tokens = budget / (FLOPs of a token)        attention and the output counted, embedding not
    rate   = rate at width 256 x (width / 256) ^ power
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError
from groundup.model import ModelConfig, parameters, row_flops

from ..pretrain.stage import PretrainConfig

TUNED_WIDTH = 256
"""Features of the model whose rates the defaults are."""


class Training(PretrainConfig):
    """How every run is trained: one context, and enough held-out text to tell small differences."""

    length: int = Field(default=256, ge=1)
    """Context, tokens."""
    context_length: int = Field(default=256, ge=1)
    """Context of the last stretch; as `length`, since the laws are of one context."""
    long_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the tokens that is spent at the full context."""
    validations: int = Field(default=2, ge=1)
    """How often held-out text is scored during the run."""
    validation_tokens: int = Field(default=65_536, ge=1)
    """Tokens of held-out text that are scored each time."""


class SweepConfig(Config):
    """Sizes, budgets, and what all runs share."""

    shapes: tuple[tuple[int, int], ...] = ((2, 128), (4, 192), (5, 256), (6, 320))
    """Layers and width of each size; the width is a multiple of 64."""
    budgets: tuple[float, ...] = (1e13, 2e13, 4e13)
    """Compute of a run, FLOPs; each size is trained for each."""
    fewest_steps: int = Field(default=100, ge=2)
    """Runs of fewer steps are left out: they measure the warm-up."""
    adamw_power: float = -0.5
    """How AdamW's rates (output, norms, embedding) change with width."""
    muon_power: float = 0.0
    """How Muon's rate changes with width; its steps are of one size whatever the width."""
    training: Training = Training()
    """What all runs share; depth, width and tokens are the ladder's."""

    @model_validator(mode="after")
    def check(self) -> "SweepConfig":
        """Refuse an empty ladder, budgets out of order, and settings that are the ladder's."""
        for name, values in (("shapes", self.shapes), ("budgets", self.budgets)):
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"SweepConfig.{name}={values} must hold different values.")
        if min(self.budgets) <= 0:
            raise ConfigError(f"SweepConfig.budgets={self.budgets} must be above 0, in FLOPs.")
        own = PretrainConfig.model_fields
        for name in ("depth", "width", "tokens", "preset", "stages"):
            if getattr(self.training, name) != own[name].default:
                raise ConfigError(
                    f"SweepConfig.training.{name} is set, and the ladder decides it; use shapes "
                    "and budgets."
                )
        return self


class Size(NamedTuple):
    """A shape, its weights counted apart, and its arithmetic."""

    layers: int
    width: int
    embedding: int
    """Weights of the table on the way in, which is looked up and not multiplied."""
    non_embedding: int
    """Weights between embedding and output (Kaplan et al.)."""
    output: int
    """Weights on the way out; those of a tied table count here and in `embedding` once each."""
    flops_per_token: int
    """Of training, in the mean over a row."""

    @property
    def computing(self) -> int:
        """Weights that every token is multiplied with: FLOPs are near 6 x these x tokens."""
        return self.non_embedding + self.output

    @property
    def name(self) -> str:
        """`4x192`."""
        return f"{self.layers}x{self.width}"


class Rung(NamedTuple):
    """One run of the ladder."""

    size: Size
    budget: float
    """FLOPs that it was given."""
    config: PretrainConfig

    @property
    def name(self) -> str:
        """`4x192-1e13`."""
        return f"{self.size.name}-{self.budget:.3g}".replace("+", "")

    @property
    def flops(self) -> float:
        """FLOPs that its whole steps take."""
        return float(self.size.flops_per_token) * self.config.tokens


def size_of(config: ModelConfig, length: int) -> Size:
    """Count a model's weights and the arithmetic of training it on rows of a length."""
    count = parameters(config)
    output = config.vocab_size * config.width if config.tied_embeddings else count.head
    inner = count.total - count.embedding - count.head
    flops = row_flops(config, length).training
    return Size(config.layers, config.width, count.embedding, inner, output, flops)


def rungs(config: SweepConfig, vocab_size: int) -> list[Rung]:
    """All runs, the cheapest budget first.

    Raises ConfigError if no run has enough steps.
    """
    made = [rung(config, shape, budget, vocab_size)
            for budget in sorted(config.budgets) for shape in config.shapes]  # fmt: skip
    batch = config.training.batch_tokens
    kept = [each for each in made if each.config.tokens >= config.fewest_steps * batch]
    if not kept:
        raise ConfigError(
            f"No size has {config.fewest_steps} steps of {batch:,} tokens for "
            f"{max(config.budgets):.3g} FLOPs; give larger budgets or smaller shapes."
        )
    return kept


def rung(config: SweepConfig, shape: tuple[int, int], budget: float, vocab_size: int) -> Rung:
    """One run: a shape trained for a budget."""
    shaped = config.training.model_copy(update={"depth": shape[0], "width": shape[1]})
    size = size_of(shaped.shape(vocab_size), shaped.length)
    return Rung(size, budget, settings(config, shape, budget / size.flops_per_token))


def settings(config: SweepConfig, shape: tuple[int, int], tokens: float) -> PretrainConfig:
    """How a shape is trained on about so many tokens: whole steps that validations divide."""
    base, (layers, width) = config.training, shape
    unit = base.batch_tokens * base.validations
    optim, ratio = base.optim, width / TUNED_WIDTH
    rates = {
        "muon_learning_rate": optim.muon_learning_rate * ratio**config.muon_power,
        "learning_rate": optim.learning_rate * ratio**config.adamw_power,
        "embedding_learning_rate": optim.embedding_learning_rate * ratio**config.adamw_power,
    }
    return base.model_copy(update={
        "depth": layers, "width": width, "tokens": max(1, round(tokens / unit)) * unit,
        "optim": optim.model_copy(update=rates),
    })  # fmt: skip


ASPECTS = (32, 96)
"""Fewest and most features a layer of a shape that is thought of."""


def sizes_near(config: SweepConfig, vocab_size: int, budget: float) -> list[tuple[int, int]]:
    """Shapes of usual proportions that a budget trains for as many steps as the ladder asks.

    Raises ConfigError if there is none.
    """
    found, fewest = [], config.fewest_steps * config.training.batch_tokens
    for width in range(64, 64 * 65, 64):
        depths = range(-(-width // ASPECTS[1]), width // ASPECTS[0] + 1)
        enough = [
            (depth, width) for depth in depths
            if rung(config, (depth, width), budget, vocab_size).config.tokens >= fewest
        ]  # fmt: skip
        if not enough:
            break
        found += enough
    if not found:
        raise ConfigError(
            f"{budget:.3g} FLOPs train no model for {config.fewest_steps} steps; give more."
        )
    return found


HEAD = ("run", "embedding", "non-emb.", "output", "tokens", "FLOPs", "steps")


def table(ladder: Sequence[Rung], seconds: Sequence[str], head: str = "time") -> str:
    """A line a run: weights by part, tokens, FLOPs, steps and its time."""
    rows = [(*HEAD, head)] + [
        (each.name, f"{each.size.embedding:,}", f"{each.size.non_embedding:,}",
         f"{each.size.output:,}", f"{each.config.tokens:,}", f"{each.flops:.3g}",
         f"{each.config.tokens // each.config.batch_tokens:,}", time)
        for each, time in zip(ladder, seconds, strict=True)
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                  for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )  # fmt: skip
