"""How weights are moved: the settings of all optimizers."""

from typing import Literal

from groundup.core import Config


class OptimConfig(Config):
    """How weights are moved."""

    matrices: Literal["muon", "adamw"] = "muon"
    """Optimizer of the blocks' matrices."""
    muon_learning_rate: float = 0.025
    """Peak step of matrices under Muon; a step's RMS is this times sqrt(max(1, rows / columns))."""
    momentum: float = 0.9
    """Muon's momentum (Nesterov)."""
    iterations: int = 3
    """Newton-Schulz iterations; 5 learn no more in a short run and take a tenth of its time."""
    learning_rate: float = 4e-3
    """Peak step of everything under AdamW."""
    embedding_learning_rate: float = 0.2
    """Peak step under AdamW of an embedding that is input alone: its rows are seen rarely, begin
    at size one and may move far. One that is the output too has `learning_rate`."""
    beta1: float = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: float = 0.95
    """AdamW's decay of the mean squared gradient."""
    epsilon: float = 1e-10
    """AdamW's floor of the root mean squared gradient."""
    weight_decay: float = 0.0
    """Decoupled decay of matrices, as a share of the step."""
    clip: float = 1.0
    """Largest norm of the whole gradient; 0 leaves it as it is."""
    warmup: float = 0.02
    """Share of the steps over which the rate rises from zero."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the rate falls: to zero linearly, or to a tenth along a cosine."""
    decay: float = 0.5
    """Share of the steps, the last ones, over which it falls; before, it holds its peak."""
