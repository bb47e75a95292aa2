"""train: how do weights change: one loop, its services, optimizers, and pre-training on it."""

from .batches import Batch, Batches, placed, split
from .checkpoint.store import Resumed, resume
from .checkpoint.store import save as save_checkpoint
from .loop import Plan, Step, train
from .objectives.classes import class_batch, classes
from .objectives.losses import (
    RouterConfig,
    Routing,
    boundary,
    causal,
    masked,
    next_sentence,
    routed,
    sequence,
    token_loss,
)
from .objectives.objective import NoiseConfig, Objective, Setting
from .objectives.sequences import SourceTarget, sequence_batch
from .objectives.table import OBJECTIVES, objective
from .objectives.vocabulary import Vocabulary, vocabulary
from .optim.config import OptimConfig
from .optim.optimizer import Optimizer
from .optim.schedule import schedule
from .precision import Precision
from .pretrain.begin import is_of_others, optim_for
from .pretrain.config import PretrainConfig, Stage
from .pretrain.stage import pretrain
from .services.services import (
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
    "OBJECTIVES",
    "Batch",
    "Batches",
    "Interrupted",
    "NoiseConfig",
    "Objective",
    "OptimConfig",
    "Optimizer",
    "Plan",
    "Precision",
    "PretrainConfig",
    "Resumed",
    "RouterConfig",
    "Routing",
    "Setting",
    "SourceTarget",
    "Stage",
    "Step",
    "Vocabulary",
    "boundary",
    "causal",
    "class_batch",
    "classes",
    "compiling",
    "is_of_others",
    "logging",
    "masked",
    "measured",
    "next_sentence",
    "objective",
    "optim_for",
    "placed",
    "pretrain",
    "resume",
    "routed",
    "save_checkpoint",
    "saving",
    "schedule",
    "scoring",
    "sequence",
    "sequence_batch",
    "split",
    "summary",
    "token_loss",
    "train",
    "validating",
    "vocabulary",
]
