"""The ladder of a sweep: model sizes, tokens, compute and learning rates of its runs.

An isoFLOP ladder trains each size for each compute budget, so larger sizes see fewer tokens.
Everything else is equal: text, order, length, batch, shape of the schedule.

    tokens = budget / (FLOPs per token)        with attention and output, without embedding
    rate   = rate at width 256 x (width / 256) ^ power
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError
from groundup.model import ModelConfig, count_parameters, mean_flops_per_token

from ..pretrain.stage import PretrainConfig

TUNED_WIDTH = 256
"""Width for which the default learning rates were tuned."""


class SweepTraining(PretrainConfig):
    """Settings of every run: one context length, and enough held-out text for small differences."""

    length: int = Field(default=256, ge=1)
    """Context, tokens."""
    context_length: int = Field(default=256, ge=1)
    """Context of the last phase; equal to `length`: the laws are for one context."""
    long_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the tokens trained at the full context."""
    validations: int = Field(default=2, ge=1)
    """Number of validations during the run."""
    validation_tokens: int = Field(default=65_536, ge=1)
    """Held-out tokens scored at each validation."""


class SweepConfig(Config):
    """Sizes, budgets, and common settings of all runs."""

    shapes: tuple[tuple[int, int], ...] = ((2, 128), (4, 192), (5, 256), (6, 320))
    """Layers and width of each size; the width is a multiple of 64."""
    budgets: tuple[float, ...] = (1e13, 2e13, 4e13)
    """Compute of a run, FLOPs; each size is trained for each budget."""
    min_steps: int = Field(default=100, ge=2)
    """Runs of fewer steps are skipped: they would measure the warm-up."""
    adamw_power: float = -0.5
    """Power of width by which AdamW's rates (output, norms, embedding) scale."""
    muon_power: float = 0.0
    """Power of width by which Muon's rate scales; its updates have the same RMS at any width."""
    training: SweepTraining = SweepTraining()
    """Common settings; depth, width and tokens are set by the ladder."""

    @model_validator(mode="after")
    def check(self) -> "SweepConfig":
        """Reject an empty ladder, repeated values, and settings that the ladder determines."""
        for name, values in (("shapes", self.shapes), ("budgets", self.budgets)):
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"SweepConfig.{name}={values} must be distinct and not empty.")
        if min(self.budgets) <= 0:
            raise ConfigError(f"SweepConfig.budgets={self.budgets} must be above 0, in FLOPs.")
        own = PretrainConfig.model_fields
        for name in ("depth", "width", "tokens", "preset", "stages"):
            if getattr(self.training, name) != own[name].default:
                raise ConfigError(
                    f"SweepConfig.training.{name} is set by the ladder; use shapes and budgets."
                )
        return self


class ModelSize(NamedTuple):
    """A model shape, its weight counts, and its arithmetic."""

    layers: int
    width: int
    embedding: int
    """Weights of the input embedding, which is looked up, not multiplied."""
    non_embedding: int
    """Weights between embedding and output (Kaplan et al.)."""
    output: int
    """Weights of the output; a tied table counts both here and in `embedding`."""
    flops_per_token: int
    """Of training, averaged over a sequence."""

    @property
    def computing(self) -> int:
        """Weights that every token is multiplied with: FLOPs are near 6 x these x tokens."""
        return self.non_embedding + self.output

    @property
    def name(self) -> str:
        """`4x192`."""
        return f"{self.layers}x{self.width}"


class LadderRun(NamedTuple):
    """One run of the ladder."""

    size: ModelSize
    budget: float
    """Nominal FLOPs."""
    config: PretrainConfig

    @property
    def name(self) -> str:
        """`4x192-1e13`."""
        return f"{self.size.name}-{self.budget:.3g}".replace("+", "")

    @property
    def flops(self) -> float:
        """FLOPs of its integer number of steps."""
        return float(self.size.flops_per_token) * self.config.tokens


def _count_size(config: ModelConfig, length: int) -> ModelSize:
    """Count a model's weights and its training FLOPs at a sequence length."""
    count = count_parameters(config)
    output = config.vocab_size * config.width if config.tied_embeddings else count.head
    inner = count.total - count.embedding - count.head
    flops = mean_flops_per_token(config, length).training
    return ModelSize(config.layers, config.width, count.embedding, inner, output, flops)


def ladder_runs(config: SweepConfig, vocab_size: int) -> list[LadderRun]:
    """All runs, cheapest budget first.

    Raises ConfigError if no run has enough steps.
    """
    runs = [make_ladder_run(config, shape, budget, vocab_size)
            for budget in sorted(config.budgets) for shape in config.shapes]  # fmt: skip
    batch = config.training.batch_tokens
    usable = [run for run in runs if run.config.tokens >= config.min_steps * batch]
    if not usable:
        raise ConfigError(
            f"No size has {config.min_steps} steps of {batch:,} tokens for "
            f"{max(config.budgets):.3g} FLOPs; use larger budgets or smaller shapes."
        )
    return usable


def make_ladder_run(
    config: SweepConfig, shape: tuple[int, int], budget: float, vocab_size: int
) -> LadderRun:
    """One run: a shape trained for a budget."""
    shaped = config.training.model_copy(update={"depth": shape[0], "width": shape[1]})
    size = _count_size(shaped.model_config_for(vocab_size), shaped.length)
    return LadderRun(size, budget, _run_settings(config, shape, budget / size.flops_per_token))


def _run_settings(config: SweepConfig, shape: tuple[int, int], tokens: float) -> PretrainConfig:
    """Training settings of a shape, with tokens rounded to steps that validations divide."""
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


WIDTH_PER_LAYER = (32, 96)
"""Smallest and largest width per layer of candidate shapes."""


def candidate_shapes(config: SweepConfig, vocab_size: int, budget: float) -> list[tuple[int, int]]:
    """Shapes of usual proportions that a budget trains for at least the ladder's fewest steps.

    Raises ConfigError if there is none.
    """
    shapes, fewest = [], config.min_steps * config.training.batch_tokens
    for width in range(64, 64 * 65, 64):
        depths = range(-(-width // WIDTH_PER_LAYER[1]), width // WIDTH_PER_LAYER[0] + 1)
        enough = [
            (depth, width) for depth in depths
            if make_ladder_run(config, (depth, width), budget, vocab_size).config.tokens >= fewest
        ]  # fmt: skip
        if not enough:
            break
        shapes += enough
    if not shapes:
        raise ConfigError(
            f"{budget:.3g} FLOPs are too few to train any model for {config.min_steps} steps."
        )
    return shapes


TABLE_COLUMNS = ("run", "embedding", "non-emb.", "output", "tokens", "FLOPs", "steps")


def format_ladder(ladder: Sequence[LadderRun], seconds: Sequence[str], head: str = "time") -> str:
    """One line per run: weights by part, tokens, FLOPs, steps and time."""
    rows = [(*TABLE_COLUMNS, head)] + [
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
