"""The settings of a training run, of pre-training, and of how a run is executed."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import (
    Config,
    ConfigError,
    LanguageModel,
    Unhashed,
    changed_settings,
    record,
)
from groundup.kernels import Recompute
from groundup.model import DerivedConfig, ModelConfig, Transformer, from_depth, preset

from ..checkpoint.store import CheckpointConfig
from ..objectives.losses import RouterConfig
from ..objectives.objective import NoiseConfig, Objective, ObjectiveName
from ..objectives.registry import get_objective
from ..optim.config import OptimConfig, RampConfig
from ..parallel.data import ZeroStage
from ..parallel.mesh import Mesh
from ..parallel.pipeline import ScheduleName
from ..precision import PrecisionName
from ..services.spikes import SpikeConfig
from ..services.watchdog import WatchdogConfig

DEFAULT_OBJECTIVES: dict[str, ObjectiveName] = {
    "decoder": "causal",
    "encoder": "masked",
    "encoder_decoder": "corruption",
}
"""Default objective of a base of each kind, since its original objective is not known."""

NOISE_FIELDS: dict[ObjectiveName, tuple[str, ...]] = {
    "causal": (),
    "prefix": ("dynamic",),
    "middle": ("dynamic", "middle_rate", "suffix_first", "characters"),
    "masked": ("dynamic", "rate", "whole_words"),
    "boundary": ("dynamic", "rate", "whole_words"),
    "next_sentence": ("dynamic", "rate", "whole_words"),
    "corruption": ("dynamic", "rate", "mean_length"),
    "denoising": ("dynamic", "rate", "mean_length", "permute"),
}
"""Fields of `noise` that each objective reads."""


class StageConfig(Config):
    """A stage of the run, with its own context length and mixture."""

    share: float = Field(gt=0, le=1)
    """Share of the run's tokens; all stages add up to 1."""
    length: int = Field(ge=1)
    """Context of this stage, tokens."""
    mixture: dict[str, float] | None = None
    """Share of each source of mixed tokens; sources not named are skipped. None: as mixed."""


class TrainingConfig(Config):
    """Settings that every training run has, whatever it trains."""

    micro_batches: int = Field(default=1, ge=1)
    """Micro-batches per step (gradient accumulation); more need less memory and give the same
    gradient up to rounding, so it may not change when a run resumes."""
    recompute: Recompute = "none"
    """Activation checkpointing: none, selective or all of each block is recomputed."""
    precision: PrecisionName = "auto"
    """Compute dtype; auto: bfloat16 where it was measured to be faster, else float32."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is what is scored and becomes
    the model. 0: no average."""
    seed: int = 0
    """Seed of new weights and of the order of the text."""
    validations: int = Field(default=4, ge=1)
    """Number of validations during the run."""
    checkpoints: Annotated[CheckpointConfig, Unhashed()] = CheckpointConfig()
    """When checkpoints are saved and which are kept; may change when a run resumes."""
    spikes: SpikeConfig = SpikeConfig()
    """Detection and handling of loss and gradient spikes."""
    watchdog: Annotated[WatchdogConfig, Unhashed()] = WatchdogConfig()
    """When a step counts as hanging; may change when a run resumes."""
    statistics_every: Annotated[int, Unhashed()] = Field(default=0, ge=0)
    """Steps between statistics of gradients, updates and activations; 0: never. May change when a
    run resumes."""
    router: RouterConfig = RouterConfig()
    """Router losses of a mixture of experts."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate of token embeddings and of block outputs."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target's probability spread evenly over all ids."""
    z_loss: float = Field(default=0.0, ge=0)
    """Factor of the squared logsumexp of the logits added to the loss (PaLM: 1e-4)."""

    @model_validator(mode="after")
    def check_dropout(self) -> "TrainingConfig":
        """Reject dropout with recomputation, which would draw another mask."""
        if self.dropout and self.recompute != "none":
            raise ConfigError(
                f"dropout={self.dropout} came with recompute={self.recompute!r}, which would "
                "draw another dropout mask; omit one of them."
            )
        return self


class PretrainConfig(TrainingConfig):
    """Settings of a pre-training run."""

    depth: int = Field(default=5, ge=1)
    """Layers; width, heads and feed-forward are derived from it (see `groundup model describe`)."""
    width: int | None = Field(default=None, ge=1)
    """Model width, a multiple of 64; None: derived from the depth."""
    tokens: int = Field(default=2_000_000, ge=1)
    """Training tokens, repetitions included."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps, instead of `tokens`, which become steps * `batch_tokens`."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens per optimizer step."""
    length: int = Field(default=256, ge=1)
    """Context of the first phase, tokens."""
    context_length: int = Field(default=2048, ge=1)
    """Context of the last phase and of the finished model, tokens."""
    long_share: float = Field(default=0.12, ge=0, le=1)
    """Share of the tokens trained at the full context."""
    stages: tuple[StageConfig, ...] = ()
    """Stages of the run in order, instead of `length` and `long_share`; each reads its own part of
    the text."""
    ramp: RampConfig = RampConfig()
    """Batch size ramp; off by default."""
    validation_tokens: int = Field(default=16_384, ge=1)
    """Held-out tokens scored at each validation."""
    preset: str | None = None
    """Published architecture to train, such as `bert-tiny`, instead of `depth`; the vocabulary is
    the tokenizer's, the context `context_length`."""
    layers: int | None = Field(default=None, ge=1)
    """Layers, overriding the preset's; None: the preset's own number."""
    rope_extension: Literal["base", "yarn", "linear", "keep"] = "base"
    """How rotary positions of a base model are extended to a longer context: a higher base (NTK),
    YaRN, linear interpolation, or not at all."""
    objective: ObjectiveName | None = None
    """Training objective; None: the preset's; without a preset, the next token, or the default of
    a base's kind."""
    noise: NoiseConfig = NoiseConfig()
    """How the objective masks or corrupts text."""

    @model_validator(mode="before")
    @classmethod
    def count_tokens(cls, values: Any) -> Any:
        """Derive `tokens` from `steps`."""
        if not isinstance(values, dict) or not isinstance(steps := values.get("steps"), int):
            return values
        batch = values.get("batch_tokens", cls.model_fields["batch_tokens"].default)
        if not isinstance(batch, int):
            return values  # rejected by the field's own validation
        if values.get("tokens", steps * batch) != steps * batch:
            raise ConfigError(
                f"steps={steps} of batch_tokens={batch:,} are {steps * batch:,} tokens, but tokens="
                f"{values['tokens']:,}; omit one of them."
            )
        return values | {"tokens": steps * batch}

    @model_validator(mode="after")
    def check(self) -> "PretrainConfig":
        """Reject contradictory settings."""
        total = sum(stage.share for stage in self.stages)
        if self.stages and abs(total - 1) > 1e-6:
            raise ConfigError(f"The shares of stages add up to {total:.4g}; expected 1.")
        if self.preset is not None:
            own, default = preset(self.preset).config, PretrainConfig.model_fields["depth"].default
            for name, value, is_set, its in (
                ("depth", self.depth, self.depth != default, f"{own.layers} layers"),
                ("width", self.width, self.width is not None, f"width {own.width}"),
            ):
                if is_set:
                    raise ConfigError(
                        f"{name}={value} came with preset={self.preset!r}, which has {its}; omit "
                        "one of them."
                    )
        if self.steps is not None and self.ramp.start < 1:
            raise ConfigError("steps is not defined with a batch size ramp; set tokens instead.")
        if self.preset is None and self.layers is not None:
            raise ConfigError(
                f"layers={self.layers} overrides a preset's, but no preset is set; use "
                f"depth={self.layers}, or set a preset."
            )
        return self

    def check_objective(self, base: ModelConfig | None = None) -> None:
        """Reject an objective for another kind of model, and noise that it does not read."""
        wanted, shape = (
            self.resolved_objective(base),
            None if self.preset is None else preset(self.preset),
        )
        own = base or (None if shape is None else shape.config)
        kind = "decoder" if own is None else own.kind
        if wanted.kind != kind:
            what = self.preset or ("the base" if base else "a model of a depth")
            near = shape.objective if shape else DEFAULT_OBJECTIVES[kind]
            raise ConfigError(
                f"objective={wanted.name!r} trains models of kind {wanted.kind!r}, but {what} is "
                f"of kind {kind!r}; " + (f"try objective={near!r}." if own else "set a preset.")
            )
        unread = [
            name for name in changed_settings(self.noise) if name not in NOISE_FIELDS[wanted.name]
        ]
        if unread:
            fields = ", ".join(NOISE_FIELDS[wanted.name]) or "none of them"
            raise ConfigError(
                f"noise.{unread[0]} is set, but objective={wanted.name!r} reads {fields}."
            )

    def resolved_objective(self, base: ModelConfig | None = None) -> Objective:
        """The objective: configured, or else the preset's or base's, or else the next token."""
        if base is not None:
            own: ObjectiveName = "prefix" if base.prefix else DEFAULT_OBJECTIVES[base.kind]
        else:
            own = "causal" if self.preset is None else preset(self.preset).objective
        return get_objective(self.objective or own)

    def model_config_for(self, vocab_size: int) -> ModelConfig:
        """Configuration of a new model."""
        changes: dict[str, Any] = {"prefix": self.resolved_objective().name == "prefix"}
        if self.preset is None:
            return self.derive_from_depth(vocab_size).config.model_copy(update=changes)
        changes |= {"vocab_size": vocab_size, "context_length": self.context_length}
        if self.layers is not None:
            changes["layers"] = self.layers
        return ModelConfig(**(dict(preset(self.preset).config) | changes))

    def derive_from_depth(self, vocab_size: int) -> DerivedConfig:
        """A decoder's dimensions derived from its depth, with reasons."""
        return from_depth(self.depth, vocab_size, self.context_length, width=self.width)

    def resolved_stages(self) -> tuple[StageConfig, ...]:
        """The stages; by default a short context, then the full one for `long_share`."""
        if self.stages:
            return self.stages
        parts = ((1 - self.long_share, self.length), (self.long_share, self.context_length))
        return tuple(
            StageConfig(share=share, length=length) for share, length in parts if share > 0
        )


class RunOptions(NamedTuple):
    """How a run is executed and monitored; none of it changes the trained artifact."""

    mesh: str = ""
    """Processes per dimension, such as "data=2,tensor=2", started by torchrun; empty: all data."""
    zero: ZeroStage = 3
    """ZeRO stage along `shard`: 1 shards optimizer states, 2 gradients too, 3 weights too."""
    schedule: ScheduleName = "1f1b"
    """Pipeline schedule."""
    profile: int | None = None
    """First of three steps to profile; None: none."""
    tensorboard: bool = False
    """Whether metrics are also written as TensorBoard event files."""
    make_generator: Callable[[Transformer], LanguageModel] | None = None
    """Builds the generator that continues `prompts` from the model being trained."""
    prompts: tuple[str, ...] = ()
    """Prompts to continue at each validation; only on one process or a data-parallel mesh."""
    ignore_memory: bool = False
    """Start even if a step is estimated not to fit in memory."""

    def check_profile(self, steps: int) -> None:
        """Reject a profile of a step outside the run."""
        if self.profile is not None and steps and not 0 <= self.profile < steps:
            raise ConfigError(
                f"--profile {self.profile} must be a step of this run, 0 to {steps - 1:,}."
            )

    def check_mesh(self, mesh: Mesh) -> None:
        """Reject prompts for a sharded model; log options that have no effect on this mesh."""
        for option, dimension, is_set in (
            (f"--zero {self.zero}", "shard", self.zero != DEFAULT_OPTIONS.zero),
            (f"--schedule {self.schedule}", "pipeline", self.schedule != DEFAULT_OPTIONS.schedule),
        ):
            if is_set and dimension not in mesh.dimensions:
                record.log(f"{option} has no effect: the mesh has no dimension {dimension}.")
        if self.prompts and (sharded := [name for name in mesh.dimensions if name != "data"]):
            raise ConfigError(
                f"--prompt generates on the first process alone, which mesh dimension {sharded[0]} "
                "does not allow; omit --prompt, or use a data-parallel mesh."
            )


DEFAULT_OPTIONS = RunOptions()
