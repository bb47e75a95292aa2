"""What to train, on how much text and how: the settings of pre-training."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError, HowRun, changed
from groundup.kernels import Recompute
from groundup.model import Derived, ModelConfig, from_depth, preset

from ..checkpoint.store import CheckpointConfig
from ..objectives.losses import RouterConfig
from ..objectives.objective import NoiseConfig, Objective, ObjectiveName
from ..objectives.table import objective
from ..optim.config import OptimConfig, RampConfig
from ..precision import PrecisionName
from ..services.spikes import SpikeConfig
from ..services.watchdog import WatchdogConfig

KINDS: dict[str, ObjectiveName] = {
    "decoder": "causal",
    "encoder": "masked",
    "encoder_decoder": "corruption",
}
"""What a base of each kind is trained to do if nobody says: its own objective is not known."""

NOISE: dict[ObjectiveName, tuple[str, ...]] = {
    "causal": (),
    "prefix": ("dynamic",),
    "middle": ("dynamic", "middle_rate", "suffix_first", "characters"),
    "masked": ("dynamic", "rate", "whole_words"),
    "boundary": ("dynamic", "rate", "whole_words"),
    "next_sentence": ("dynamic", "rate", "whole_words"),
    "corruption": ("dynamic", "rate", "mean_length"),
    "denoising": ("dynamic", "rate", "mean_length", "permute"),
}
"""What each objective reads of `noise`."""


class Stage(Config):
    """A part of the run, with its own context and its own mixture."""

    share: float = Field(gt=0, le=1)
    """Share of the run's tokens; those of all stages add up to 1."""
    length: int = Field(ge=1)
    """Context of this part, tokens."""
    mixture: dict[str, float] | None = None
    """Share of each source of mixed tokens, those left out not read; None: as they were mixed."""


class PretrainConfig(Config):
    """What to train, on how much, and how."""

    depth: int = Field(default=5, ge=1)
    """Layers; width, heads and feed-forward follow from it (see `groundup model describe`)."""
    width: int | None = Field(default=None, ge=1)
    """Features of a token, a multiple of 64; None: by the depth."""
    tokens: int = Field(default=2_000_000, ge=1)
    """Training tokens, those seen again counted again."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps in the place of `tokens`, which are then so many times `batch_tokens`."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens of one optimizer step."""
    length: int = Field(default=256, ge=1)
    """Context of the first stretch, tokens."""
    context_length: int = Field(default=2048, ge=1)
    """Context of the last stretch and of the finished model, tokens."""
    long_share: float = Field(default=0.12, ge=0, le=1)
    """Share of the tokens that is spent at the full context."""
    stages: tuple[Stage, ...] = ()
    """Parts of the run in their order, in the place of `length` and `long_share`; each reads its
    own part of the text."""
    micro_batches: int = Field(default=1, ge=1)
    """Parts in which a step is computed; more need less memory and give the same gradient, but for
    rounding: it may not change when a run goes on."""
    recompute: Recompute = "none"
    """What blocks compute again for the gradient, to need less memory: none, selective or all."""
    precision: PrecisionName = "auto"
    """What products compute in; auto: bfloat16 where it was measured to be faster, else float32."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and schedule."""
    ramp: RampConfig = RampConfig()
    """How the batch grows; by default it does not."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """What stays of the running mean of the weights at each step; the mean is what is scored and
    becomes the model. 0: none is kept."""
    seed: int = 0
    """Of the first weights and of the order of the text."""
    validations: int = Field(default=4, ge=1)
    """How often held-out text is scored during the run."""
    validation_tokens: int = Field(default=16_384, ge=1)
    """Tokens of held-out text that are scored each time."""
    checkpoints: Annotated[CheckpointConfig, HowRun()] = CheckpointConfig()
    """When checkpoints are made, and which are kept; may change when a run goes on."""
    spikes: SpikeConfig = SpikeConfig()
    """What is done about steps that leap out."""
    watchdog: Annotated[WatchdogConfig, HowRun()] = WatchdogConfig()
    """When a step counts as hanging; may change when a run goes on."""
    look_every: Annotated[int, HowRun()] = Field(default=0, ge=0)
    """Steps between looks at gradients, updates and activations; 0: none. May change when a run
    goes on."""
    preset: str | None = None
    """Published shape to train, such as `bert-tiny`, in place of `depth`; the vocabulary is the
    tokenizer's, the context is `context_length`."""
    layers: int | None = Field(default=None, ge=1)
    """Layers of the preset's shape; None: its own number."""
    stretch: Literal["base", "yarn", "linear", "keep"] = "base"
    """How a base's rotary positions are stretched to a longer context: by a higher base (NTK), by
    wavelength (YaRN), all alike, or not at all."""
    objective: ObjectiveName | None = None
    """What to train it to do; None: what the preset was trained to do; else the next token, and of
    a base that is no decoder what its kind is for."""
    noise: NoiseConfig = NoiseConfig()
    """How the objective damages text."""
    router: RouterConfig = RouterConfig()
    """What keeps the routers of experts useful."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the numbers of token vectors, and of what blocks add, that training leaves out."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target's probability that training spreads over all ids."""
    z_loss: float = Field(default=0.0, ge=0)
    """Factor of the squared logsumexp of the logits that training adds (PaLM: 1e-4)."""

    @model_validator(mode="before")
    @classmethod
    def count_tokens(cls, values: Any) -> Any:
        """Fill in the tokens of a run that is given by its steps."""
        if not isinstance(values, dict) or not isinstance(steps := values.get("steps"), int):
            return values
        batch = values.get("batch_tokens", cls.model_fields["batch_tokens"].default)
        if not isinstance(batch, int):
            return values  # which its own check refuses
        if values.get("tokens", steps * batch) != steps * batch:
            raise ConfigError(
                f"steps={steps} of batch_tokens={batch:,} are {steps * batch:,} tokens, and tokens="
                f"{values['tokens']:,} came too; leave one of them out."
            )
        return values | {"tokens": steps * batch}

    @model_validator(mode="after")
    def check(self) -> "PretrainConfig":
        """Refuse stages that are not the whole run, and shapes said twice."""
        told = sum(stage.share for stage in self.stages)
        if self.stages and abs(told - 1) > 1e-6:
            raise ConfigError(
                f"The shares of stages add up to {told:.4g}, not 1; give each its share of tokens."
            )
        given, own = self.depth, PretrainConfig.model_fields["depth"].default
        if self.preset is not None and given != own:
            raise ConfigError(
                f"depth={given} came with preset={self.preset!r}, which has its own "
                f"{preset(self.preset).config.layers} layers; leave one of them out."
            )
        if self.preset is not None and self.width is not None:
            raise ConfigError(
                f"width={self.width} came with preset={self.preset!r}, which has its own "
                f"{preset(self.preset).config.width} features; leave one of them out."
            )
        if self.steps is not None and self.ramp.start < 1:
            raise ConfigError("steps cannot be told for a batch that grows (ramp); give tokens.")
        if self.dropout and self.recompute != "none":
            raise ConfigError(
                f"dropout={self.dropout} came with recompute={self.recompute!r}, which would draw "
                "anew what is left out; leave one of them out."
            )
        if self.preset is None and self.layers is not None:
            raise ConfigError(
                f"layers={self.layers} changes a preset's shape, and there is no preset; give "
                f"depth={self.layers}, or a preset."
            )
        return self

    def check_objective(self, base: ModelConfig | None = None) -> None:
        """Refuse an objective for another kind of model, and noise that it does not read."""
        wanted, shape = self.wanted(base), None if self.preset is None else preset(self.preset)
        own = base or (None if shape is None else shape.config)
        kind = "decoder" if own is None else own.kind
        if wanted.kind != kind:
            what = self.preset or ("the base" if base else "a model of a depth")
            near = shape.objective if shape else KINDS[kind]
            raise ConfigError(
                f"objective={wanted.name!r} trains a model of kind {wanted.kind!r}, and {what} is "
                f"of kind {kind!r}; " + (f"try objective={near!r}." if own else "give a preset.")
            )
        unread = [name for name in changed(self.noise) if name not in NOISE[wanted.name]]
        if unread:
            told = ", ".join(NOISE[wanted.name]) or "none of them"
            raise ConfigError(
                f"noise.{unread[0]} is set, and objective={wanted.name!r} does not read it; it "
                f"reads {told}."
            )

    def wanted(self, base: ModelConfig | None = None) -> Objective:
        """The objective: the one given, the preset's or the base's own, or the next token."""
        if base is not None:
            own: ObjectiveName = "prefix" if base.prefix else KINDS[base.kind]
        else:
            own = "causal" if self.preset is None else preset(self.preset).objective
        return objective(self.objective or own)

    def shape(self, vocab_size: int) -> ModelConfig:
        """A new model's configuration; it keeps that prompts are read both ways, if they are."""
        kept: dict[str, Any] = {"prefix": self.wanted().name == "prefix"}
        if self.preset is None:
            return self.derived(vocab_size).config.model_copy(update=kept)
        kept |= {"vocab_size": vocab_size, "context_length": self.context_length}
        if self.layers is not None:
            kept["layers"] = self.layers
        return ModelConfig(**(dict(preset(self.preset).config) | kept))

    def derived(self, vocab_size: int) -> Derived:
        """A decoder's sizes from its depth, with their reasons."""
        return from_depth(self.depth, vocab_size, self.context_length, width=self.width)

    def parts(self) -> tuple[Stage, ...]:
        """The stages; without any the short context, then the full one for `long_share`."""
        if self.stages:
            return self.stages
        parts = ((1 - self.long_share, self.length), (self.long_share, self.context_length))
        return tuple(Stage(share=share, length=length) for share, length in parts if share > 0)
