"""Settings of optimizers, rules, learning rate schedules and the batch size ramp."""

from typing import Literal

from pydantic import Field

from groundup.core import Config

OptimizerName = Literal["adamw", "muon", "adafactor", "sgd"]
StateDtype = Literal["float32", "bfloat16", "8bit"]
WeightKind = Literal["matrix", "expert", "embedding", "head", "vector"]


class RuleConfig(Config):
    """Overrides for some weights; the first matching rule applies."""

    names: str = ""
    """Regular expression searched in the weight's name; empty: matches all."""
    kinds: tuple[WeightKind, ...] = ()
    """Kinds of weights: a block's `matrix`, stacked `expert` matrices, `embedding`, `head`, and
    `vector` (norms and biases); empty: all.
    """
    optimizer: OptimizerName | None = None
    """Optimizer; None: as without the rule."""
    learning_rate: float | None = Field(default=None, ge=0)
    """Peak learning rate; 0 freezes the weights; None: as without the rule."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay, times the learning rate; None: as without the rule."""
    state: StateDtype | None = None
    """Dtype of optimizer states; None: as without the rule."""


class OptimConfig(Config):
    """Optimizers, learning rates, schedule and clipping."""

    matrix_optimizer: OptimizerName = "muon"
    """Optimizer of the blocks' matrices."""
    other_optimizer: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """Optimizer of everything else."""
    rules: tuple[RuleConfig, ...] = ()
    """Overrides for some weights, such as `[{"names": "norm", "learning_rate": 0}]`; keys: names,
    kinds, optimizer, learning_rate, weight_decay, state.
    """
    muon_learning_rate: float = Field(default=0.025, ge=0)
    """Peak learning rate under Muon; the RMS of an update is this times
    sqrt(max(1, rows / columns)).
    """
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of Muon (Nesterov's) and of SGD."""
    nesterov: bool = False
    """Nesterov momentum for SGD; Muon always uses it."""
    newton_schulz_steps: int = Field(default=3, ge=1)
    """Newton-Schulz iterations; 5 are no better in a short run and take a tenth of its time."""
    learning_rate: float = Field(default=4e-3, ge=0)
    """Peak learning rate of everything not under Muon."""
    embedding_learning_rate: float = Field(default=0.2, ge=0)
    """Peak learning rate under AdamW of an untied input embedding: its rows are seen rarely, start
    at size one and may move far. A tied embedding uses `learning_rate`.
    """
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay of the mean squared gradient."""
    epsilon: float = Field(default=1e-10, gt=0)
    """AdamW's epsilon, added to the root mean squared gradient."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of matrices and tables, times the learning rate."""
    factor_power: float = Field(default=0.8, gt=0, le=1)
    """Adafactor's decay: the mean of step t keeps 1 - t^-power of its previous value."""
    update_clip: float = Field(default=1.0, gt=0)
    """Largest RMS of an Adafactor update, before the learning rate."""
    scale_parameter: bool = False
    """Scale Adafactor's learning rate by each weight's own RMS (at least 0.001)."""
    relative_step: bool = False
    """Limit Adafactor's learning rate to 1 / sqrt(step)."""
    state: StateDtype = "float32"
    """Dtype of the states of AdamW, Muon and SGD; under `8bit`, vectors and weights below 4,096
    elements stay float32.
    """
    state_block: int = Field(default=256, ge=8)
    """Elements of a row that share one scale under `8bit`."""
    rounding_seed: int = 0
    """Seed of the stochastic rounding of bfloat16 states."""
    clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; 0: no clipping."""
    clip_value: float = Field(default=0.0, ge=0)
    """Largest absolute gradient element, clipped before the norm; 0: no clipping."""
    group_norms: bool = False
    """Also compute each group's gradient norm; takes one more pass."""
    warmup: float = Field(default=0.02, ge=0, le=1)
    """Share of the steps for linear warm-up."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Warm-up steps, instead of the share."""
    schedule: Literal["linear", "cosine", "sqrt", "constant"] = "linear"
    """Decay shape: linear, half cosine, 1 - sqrt, or none."""
    decay: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps for the final decay; before, the rate stays at its peak. 1: from the end
    of warm-up on.
    """
    floor: float | None = Field(default=None, ge=0, le=1)
    """Share of the peak at the end; None: a tenth for cosine, otherwise zero."""


class RampConfig(Config):
    """Batch size ramp."""

    start: float = Field(default=1.0, gt=0, le=1)
    """Initial batch size as a share of the full one; 1: no ramp."""
    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the run's tokens over which the batch grows."""
    stages: int = Field(default=4, ge=1)
    """Sizes below the full one, each for an equal share of those tokens."""
    rate: Literal["sqrt", "linear", "none"] = "sqrt"
    """Learning rate multiplier for smaller batches: square root of the share (AdamW), the share
    (SGD), or none.
    """
