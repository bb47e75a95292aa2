"""train: how do weights change: one loop, its services, optimizers, and pre-training on it."""

from .batches import Batch, Batches, split
from .checkpoint import Resumed, resume
from .checkpoint import save as save_checkpoint
from .loop import Plan, Step, train
from .objectives import causal
from .optim import OptimConfig, Optimizer, schedule
from .pretrain import PretrainConfig, pretrain
from .services import (
    METRICS,
    Interrupted,
    compiling,
    logging,
    measured,
    saving,
    scoring,
    summary,
    validating,
)

__all__ = [
    "METRICS",
    "Batch",
    "Batches",
    "Interrupted",
    "OptimConfig",
    "Optimizer",
    "Plan",
    "PretrainConfig",
    "Resumed",
    "Step",
    "causal",
    "compiling",
    "logging",
    "measured",
    "pretrain",
    "resume",
    "save_checkpoint",
    "saving",
    "schedule",
    "scoring",
    "split",
    "summary",
    "train",
    "validating",
]
