"""How weights are moved: the settings of optimizers, rules, schedules and the batch-size ramp."""

from typing import Literal

from pydantic import Field

from groundup.core import Config

OptimizerName = Literal["adamw", "muon", "adafactor", "sgd"]
StateDtype = Literal["float32", "bfloat16", "8bit"]
Kind = Literal["matrix", "expert", "embedding", "head", "vector"]


class RuleConfig(Config):
    """What is different for some weights; the first rule that fits a weight counts for it."""

    names: str = ""
    """Regular expression that is found in the weight's name; empty: in every name."""
    kinds: tuple[Kind, ...] = ()
    """Kinds of weights that it is for: a block's `matrix`, stacked `expert` matrices, `embedding`,
    `head`, and `vector` (norms and biases); empty: all."""
    optimizer: OptimizerName | None = None
    """What moves them; None: what would without the rule."""
    learning_rate: float | None = Field(default=None, ge=0)
    """Their peak step; 0 holds them still; None: as without the rule."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Their decay, as a share of the step; None: as without the rule."""
    state: StateDtype | None = None
    """How their states are kept; None: as all are."""


class OptimConfig(Config):
    """How weights are moved."""

    matrices: OptimizerName = "muon"
    """Optimizer of the blocks' matrices."""
    others: Literal["adamw", "adafactor", "sgd"] = "adamw"
    """Optimizer of everything else."""
    rules: tuple[RuleConfig, ...] = ()
    """What is different for some weights, as in `[{"names": "norm", "learning_rate": 0}]`; keys:
    names, kinds, optimizer, learning_rate, weight_decay, state."""
    muon_learning_rate: float = Field(default=0.025, ge=0)
    """Peak step of matrices under Muon; a step's RMS is this times sqrt(max(1, rows / columns))."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of Muon (Nesterov's) and of SGD."""
    nesterov: bool = False
    """Whether SGD looks ahead along its momentum, as Muon always does."""
    iterations: int = Field(default=3, ge=1)
    """Newton-Schulz iterations; 5 learn no more in a short run and take a tenth of its time."""
    learning_rate: float = Field(default=4e-3, ge=0)
    """Peak step of everything that is not under Muon."""
    embedding_learning_rate: float = Field(default=0.2, ge=0)
    """Peak step under AdamW of an embedding that is input alone: its rows are seen rarely, begin
    at size one and may move far. One that is the output too has `learning_rate`."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """AdamW's decay of the mean gradient."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay of the mean squared gradient."""
    epsilon: float = Field(default=1e-10, gt=0)
    """AdamW's floor of the root mean squared gradient."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled decay of matrices and tables, as a share of the step."""
    factor_power: float = Field(default=0.8, gt=0, le=1)
    """Adafactor's mean of step t keeps 1 - t^-power of what it was."""
    update_clip: float = Field(default=1.0, gt=0)
    """Largest RMS of an Adafactor update before the rate."""
    scale_by_size: bool = False
    """Whether Adafactor's rate is a share of each weight's own RMS (at least 0.001)."""
    relative_step: bool = False
    """Whether Adafactor's rate is at most 1 / sqrt(step)."""
    state: StateDtype = "float32"
    """How AdamW, Muon and SGD keep their states; vectors and weights below 4,096 numbers are kept
    in float32 under `8bit`."""
    state_block: int = Field(default=256, ge=8)
    """Numbers of a row that share one scale under `8bit`."""
    rounding_seed: int = 0
    """Of the chance by which states are rounded to bfloat16."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the whole gradient; 0 leaves it as it is."""
    clip_value: float = Field(default=0.0, ge=0)
    """Largest size of a number of the gradient, cut before the norm is taken; 0: any."""
    group_norms: bool = False
    """Whether the gradient's norm is told for each group too; it takes a pass over them."""
    warmup: float = Field(default=0.02, ge=0, le=1)
    """Share of the steps over which the rate rises from zero."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """The same as a number of steps, in the place of the share."""
    schedule: Literal["linear", "cosine", "sqrt", "constant"] = "linear"
    """How the rate falls: linearly, along a half cosine, as 1 - sqrt, or not at all."""
    decay: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps, the last ones, over which it falls; before, it holds its peak. 1: from
    the end of the warm-up on."""
    floor: float | None = Field(default=None, ge=0, le=1)
    """Share of the peak to which it falls; None: a tenth along a cosine, zero else."""


class RampConfig(Config):
    """A batch that grows during the run."""

    start: float = Field(default=1.0, gt=0, le=1)
    """Share of the full batch that the first steps have; 1: no ramp."""
    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the run's tokens over which it grows."""
    stages: int = Field(default=4, ge=1)
    """Sizes below the full one, each for an equal share of those tokens."""
    rate: Literal["sqrt", "linear", "none"] = "sqrt"
    """How the learning rate follows the share of the batch: as its square root (AdamW), as it is
    (SGD), or not."""
