"""train: how weights change: one training loop, its services, optimizers, and pre-training."""

from .batches import MicroBatch, batch_to_device, shuffled_indices, split_batch
from .checkpoint.contract import RunIdentity, shard_hashes
from .checkpoint.store import (
    CheckpointConfig,
    Checkpoints,
    ResumePoint,
    check_unfinished_run,
    latest_contract,
)
from .checkpoint.verbs import ExportConfig, export_checkpoint, list_checkpoints
from .loop import LoopOptions, TrainStep, train
from .objectives.encoder_decoder import SourceTarget, sequence_batch
from .objectives.losses import (
    RouterConfig,
    Routing,
    add_router_losses,
    causal_loss,
    class_batch,
    classification_loss,
    masked_loss,
    sequence_to_sequence_loss,
)
from .objectives.objective import NoiseConfig, Objective, ObjectiveContext, token_properties_of
from .objectives.registry import OBJECTIVES, get_objective
from .optim.config import OptimConfig, RampConfig, RuleConfig
from .optim.optimizer import Optimizer, optimizer_state_bytes
from .optim.schedule import compute_batch_ramp, make_lr_schedule
from .optim.sharded import WeightAverage
from .parallel.apply import parallelise
from .parallel.context import local_positions
from .parallel.data import check_batch_divides, local_sequences
from .parallel.expert import summing_function
from .parallel.launch import joined_processes, produce_together
from .parallel.mesh import Mesh
from .plan.stage import PlanConfig, plan
from .precision import Precision, resolve_precision
from .pretrain.config import (
    DEFAULT_OPTIONS,
    PretrainConfig,
    RunOptions,
    StageConfig,
    TrainingConfig,
)
from .pretrain.run import (
    TrainingData,
    TrainingRun,
    TrainingTask,
    produce_alone,
    produce_model,
)
from .pretrain.stage import is_imported, pretrain, with_usual_optim
from .services.compiling import (
    CompilationCheck,
    choose_attention,
    enable_compilation,
    keep_compiled_if_correct,
)
from .services.inspection import ModelStatistics, profile_steps
from .services.metrics import (
    log_steps,
    summarise_metrics,
    tensorboard_events,
)
from .services.saving import Interrupted, save_checkpoints
from .services.spikes import (
    SpikeConfig,
    SpikeDetector,
    log_spikes,
    rewind_by_checkpoints,
    rewind_on_spikes,
    skip_batches,
)
from .services.validation import (
    evenly_spaced,
    generate_samples,
    held_out_windows,
    validate_steps,
    validation_scorer,
)
from .services.watchdog import Watchdog, WatchdogConfig, WorkTimer, report_stragglers

__all__ = [
    "DEFAULT_OPTIONS",
    "OBJECTIVES",
    "CheckpointConfig",
    "Checkpoints",
    "CompilationCheck",
    "ExportConfig",
    "Interrupted",
    "LoopOptions",
    "Mesh",
    "MicroBatch",
    "ModelStatistics",
    "NoiseConfig",
    "Objective",
    "ObjectiveContext",
    "OptimConfig",
    "Optimizer",
    "PlanConfig",
    "Precision",
    "PretrainConfig",
    "RampConfig",
    "ResumePoint",
    "RouterConfig",
    "Routing",
    "RuleConfig",
    "RunIdentity",
    "RunOptions",
    "SourceTarget",
    "SpikeConfig",
    "SpikeDetector",
    "StageConfig",
    "TrainStep",
    "TrainingConfig",
    "TrainingData",
    "TrainingRun",
    "TrainingTask",
    "Watchdog",
    "WatchdogConfig",
    "WeightAverage",
    "WorkTimer",
    "add_router_losses",
    "batch_to_device",
    "causal_loss",
    "check_batch_divides",
    "check_unfinished_run",
    "choose_attention",
    "class_batch",
    "classification_loss",
    "compute_batch_ramp",
    "enable_compilation",
    "evenly_spaced",
    "export_checkpoint",
    "generate_samples",
    "get_objective",
    "held_out_windows",
    "is_imported",
    "joined_processes",
    "keep_compiled_if_correct",
    "latest_contract",
    "list_checkpoints",
    "local_positions",
    "local_sequences",
    "log_spikes",
    "log_steps",
    "make_lr_schedule",
    "masked_loss",
    "optimizer_state_bytes",
    "parallelise",
    "plan",
    "pretrain",
    "produce_alone",
    "produce_model",
    "produce_together",
    "profile_steps",
    "report_stragglers",
    "resolve_precision",
    "rewind_by_checkpoints",
    "rewind_on_spikes",
    "save_checkpoints",
    "sequence_batch",
    "sequence_to_sequence_loss",
    "shard_hashes",
    "shuffled_indices",
    "skip_batches",
    "split_batch",
    "summarise_metrics",
    "summing_function",
    "tensorboard_events",
    "token_properties_of",
    "train",
    "validate_steps",
    "validation_scorer",
    "with_usual_optim",
]
