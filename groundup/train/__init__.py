"""train: how weights change: one training loop, its services, optimizers, and pre-training."""

from .batches import (
    Batch,
    Batches,
    placed,
    split,
)
from .checkpoint.contract import (
    Identity,
    shard_hashes,
)
from .checkpoint.store import (
    CheckpointConfig,
    Checkpoints,
    Resumed,
    contract_of,
    refuse_unfinished,
)
from .checkpoint.verbs import (
    ExportConfig,
    export_checkpoint,
    list_checkpoints,
)
from .levers.ways import (
    choosing,
)
from .loop import (
    Plan,
    Step,
    train,
)
from .objectives.classes import (
    class_batch,
    classes,
)
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
from .objectives.objective import (
    NoiseConfig,
    Objective,
    Setting,
)
from .objectives.sequences import (
    SourceTarget,
    sequence_batch,
)
from .objectives.table import (
    OBJECTIVES,
    objective,
)
from .objectives.vocabulary import (
    Vocabulary,
    vocabulary,
)
from .optim.average import (
    Average,
)
from .optim.config import (
    OptimConfig,
    RampConfig,
    RuleConfig,
)
from .optim.optimizer import (
    Optimizer,
    state_bytes,
)
from .optim.ramp import (
    ramp,
)
from .optim.schedule import (
    schedule,
)
from .parallel.apply import (
    Parallel,
    parallelise,
)
from .parallel.context import (
    own_positions,
)
from .parallel.data import (
    own_rows,
)
from .parallel.expert import (
    added,
)
from .parallel.launch import (
    launched,
    together,
)
from .parallel.mesh import (
    Mesh,
)
from .plan.stage import (
    PlanConfig,
    Planned,
    plan,
)
from .precision import (
    Precision,
    PrecisionName,
    precision_of,
)
from .pretrain.begin import (
    is_of_others,
    optim_for,
)
from .pretrain.config import (
    PretrainConfig,
    Stage,
)
from .pretrain.run import Beside
from .pretrain.stage import (
    pretrain,
)
from .services.board import (
    EVENTS,
    board,
)
from .services.compiling import (
    CheckedRun,
    check_compiled,
    compiling,
)
from .services.inner import (
    Inner,
)
from .services.metrics import (
    METRICS,
    logging,
    measured,
    summary,
)
from .services.profiling import (
    profiling,
)
from .services.rewinding import (
    leaving_out,
    rewinding,
    stored,
)
from .services.samples import (
    sampling,
)
from .services.saving import (
    Interrupted,
    saving,
)
from .services.speed import (
    Utilisation,
    peak,
)
from .services.spikes import (
    Guard,
    SpikeConfig,
    alarming,
)
from .services.stragglers import (
    Own,
    pacing,
)
from .services.validation import (
    evenly,
    held_out,
    scoring,
    validating,
)
from .services.watchdog import (
    Watchdog,
    WatchdogConfig,
)

__all__ = [
    "EVENTS",
    "METRICS",
    "OBJECTIVES",
    "Average",
    "Batch",
    "Batches",
    "Beside",
    "CheckedRun",
    "CheckpointConfig",
    "Checkpoints",
    "ExportConfig",
    "Guard",
    "Identity",
    "Inner",
    "Interrupted",
    "Mesh",
    "NoiseConfig",
    "Objective",
    "OptimConfig",
    "Optimizer",
    "Own",
    "Parallel",
    "Plan",
    "PlanConfig",
    "Planned",
    "Precision",
    "PrecisionName",
    "PretrainConfig",
    "RampConfig",
    "Resumed",
    "RouterConfig",
    "Routing",
    "RuleConfig",
    "Setting",
    "SourceTarget",
    "SpikeConfig",
    "Stage",
    "Step",
    "Utilisation",
    "Vocabulary",
    "Watchdog",
    "WatchdogConfig",
    "added",
    "alarming",
    "board",
    "boundary",
    "causal",
    "check_compiled",
    "choosing",
    "class_batch",
    "classes",
    "compiling",
    "contract_of",
    "evenly",
    "export_checkpoint",
    "held_out",
    "is_of_others",
    "launched",
    "leaving_out",
    "list_checkpoints",
    "logging",
    "masked",
    "measured",
    "next_sentence",
    "objective",
    "optim_for",
    "own_positions",
    "own_rows",
    "pacing",
    "parallelise",
    "peak",
    "placed",
    "plan",
    "precision_of",
    "pretrain",
    "profiling",
    "ramp",
    "refuse_unfinished",
    "rewinding",
    "routed",
    "sampling",
    "saving",
    "schedule",
    "scoring",
    "sequence",
    "sequence_batch",
    "shard_hashes",
    "split",
    "state_bytes",
    "stored",
    "summary",
    "together",
    "token_loss",
    "train",
    "validating",
    "vocabulary",
]
