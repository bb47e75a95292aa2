"""train: how weights change: one training loop, its services, optimizers, and pre-training."""

from .batches import (
    BatchSource,
    MicroBatch,
    batch_to_device,
    split_batch,
)
from .checkpoint.contract import (
    RunIdentity,
    shard_hashes,
)
from .checkpoint.store import (
    CheckpointConfig,
    Checkpoints,
    ResumePoint,
    check_unfinished_run,
    latest_contract,
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
    LoopOptions,
    TrainStep,
    train,
)
from .objectives.classification import (
    class_batch,
    classification_loss,
)
from .objectives.losses import (
    RouterConfig,
    Routing,
    add_router_losses,
    causal_loss,
    masked_loss,
    next_sentence_loss,
    sequence_to_sequence_loss,
    span_boundary_loss,
    token_loss,
)
from .objectives.objective import (
    NoiseConfig,
    Objective,
    ObjectiveContext,
)
from .objectives.registry import (
    OBJECTIVES,
    get_objective,
)
from .objectives.sequences import (
    SourceTarget,
    sequence_batch,
)
from .objectives.token_properties import (
    TokenProperties,
    token_properties_of,
)
from .optim.average import (
    WeightAverage,
)
from .optim.config import (
    OptimConfig,
    RampConfig,
    RuleConfig,
)
from .optim.optimizer import (
    Optimizer,
    optimizer_state_bytes,
)
from .optim.ramp import (
    compute_batch_ramp,
)
from .optim.schedule import (
    make_lr_schedule,
)
from .parallel.apply import (
    ParallelModel,
    parallelise,
)
from .parallel.context import (
    local_positions,
)
from .parallel.data import (
    check_batch_divides,
    local_sequences,
)
from .parallel.expert import (
    summing_function,
)
from .parallel.launch import (
    joined_processes,
    produce_together,
)
from .parallel.mesh import (
    Mesh,
)
from .plan.stage import (
    MemoryPlan,
    PlanConfig,
    plan,
)
from .precision import (
    Precision,
    PrecisionName,
    resolve_precision,
)
from .pretrain.config import (
    DEFAULT_OPTIONS,
    PretrainConfig,
    RunOptions,
    StageConfig,
    TrainingConfig,
)
from .pretrain.initialize import (
    is_imported,
    merge_optim,
)
from .pretrain.run import TrainingData, TrainingRun, TrainingTask, produce_model
from .pretrain.stage import (
    pretrain,
)
from .services.compiling import (
    CompilationCheck,
    enable_compilation,
    keep_compiled_if_correct,
)
from .services.metrics import (
    METRICS_FILE,
    log_steps,
    open_metrics,
    summarise_metrics,
)
from .services.model_statistics import (
    ModelStatistics,
)
from .services.profiling import (
    profile_steps,
)
from .services.rewinding import (
    rewind_by_checkpoints,
    rewind_on_spikes,
    skip_batches,
)
from .services.samples import (
    generate_samples,
)
from .services.saving import (
    Interrupted,
    save_checkpoints,
)
from .services.spikes import (
    SpikeConfig,
    SpikeDetector,
    log_spikes,
)
from .services.stragglers import (
    WorkTimer,
    report_stragglers,
)
from .services.tensorboard import (
    EVENTS_FOLDER,
    tensorboard_events,
)
from .services.utilisation import (
    Utilisation,
    peak_flops,
)
from .services.validation import (
    evenly_spaced,
    held_out_windows,
    validate_steps,
    validation_scorer,
)
from .services.watchdog import (
    Watchdog,
    WatchdogConfig,
)

__all__ = [
    "DEFAULT_OPTIONS",
    "EVENTS_FOLDER",
    "METRICS_FILE",
    "OBJECTIVES",
    "BatchSource",
    "CheckpointConfig",
    "Checkpoints",
    "CompilationCheck",
    "ExportConfig",
    "Interrupted",
    "LoopOptions",
    "MemoryPlan",
    "Mesh",
    "MicroBatch",
    "ModelStatistics",
    "NoiseConfig",
    "Objective",
    "ObjectiveContext",
    "OptimConfig",
    "Optimizer",
    "ParallelModel",
    "PlanConfig",
    "Precision",
    "PrecisionName",
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
    "TokenProperties",
    "TrainStep",
    "TrainingConfig",
    "TrainingData",
    "TrainingRun",
    "TrainingTask",
    "Utilisation",
    "Watchdog",
    "WatchdogConfig",
    "WeightAverage",
    "WorkTimer",
    "add_router_losses",
    "batch_to_device",
    "causal_loss",
    "check_batch_divides",
    "check_unfinished_run",
    "choosing",
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
    "merge_optim",
    "next_sentence_loss",
    "open_metrics",
    "optimizer_state_bytes",
    "parallelise",
    "peak_flops",
    "plan",
    "pretrain",
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
    "skip_batches",
    "span_boundary_loss",
    "split_batch",
    "summarise_metrics",
    "summing_function",
    "tensorboard_events",
    "token_loss",
    "token_properties_of",
    "train",
    "validate_steps",
    "validation_scorer",
]
