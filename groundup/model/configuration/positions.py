"""The configuration of positions: how a model encodes the order of tokens."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError


class RopeScaling(Config):
    """Context extension: how rotary frequencies are scaled beyond the original context length."""

    kind: Literal["none", "linear", "ntk", "yarn", "llama3", "longrope", "dynamic"] = "none"
    """Divide positions; raise the base; by wavelength with a ramp; by wavelength in three bands; by
    searched factors, of which longer sequences have their own; raise the base with the length."""
    factor: float = Field(default=1.0, ge=1)
    """Factor by which the context is extended, or of how dynamic scaling grows with the length."""
    original_length: int = Field(default=0, ge=0)
    """Context length before the extension, tokens; 0: context_length / factor."""
    low: float = 1.0
    """Frequencies with fewer turns than this over the original length are fully scaled."""
    high: float = 4.0
    """Frequencies with more turns than this are unchanged; YaRN's default is 32."""
    attention: float | None = None
    """Factor of queries and keys each; None: YaRN's 0.1 ln(factor) + 1, LongRoPE's
    sqrt(1 + ln(factor) / ln(original_length)), else 1."""
    truncate: bool = True
    """Whether the bounds of YaRN's ramp are rounded to whole features."""
    short: tuple[float, ...] = ()
    """LongRoPE's divisor of each frequency in sequences up to the original length."""
    long: tuple[float, ...] = ()
    """And in longer ones; see `depends_on_length`."""

    @model_validator(mode="before")
    @classmethod
    def default_high(cls, values: Any) -> Any:
        """Use YaRN's own default of `high`."""
        if isinstance(values, Mapping) and values.get("kind") == "yarn":
            return {"high": 32.0} | dict(values)
        return values

    @model_validator(mode="after")
    def check(self) -> "RopeScaling":
        """Check that low < high, and that a factor has a kind."""
        if self.kind == "none" and self.factor != 1:
            what = f"RopeScaling.factor={self.factor} has kind='none', which scales nothing"
            raise ConfigError(f"{what}; set a kind, such as kind='yarn', or factor=1.")
        is_step = self.kind == "llama3" and self.low == self.high  # Llama 4
        if self.kind in ("yarn", "llama3") and not self.low < self.high and not is_step:
            what = f"RopeScaling.low={self.low} must be less than high={self.high}"
            raise ConfigError(f"{what} with kind={self.kind!r}, which fades between these turns.")
        if self.kind == "yarn" and self.low <= 0:
            what = f"RopeScaling.low={self.low} must be above 0 with kind='yarn'"
            raise ConfigError(f"{what}, whose ramp uses the logarithm of turns; its paper has 1.")
        if self.kind == "longrope" and (self.original_length < 2 or min(self.short, default=0) <= 0
                                        or min(self.long, default=0) <= 0):  # fmt: skip
            what = f"kind='longrope' has original_length={self.original_length}, short={self.short}"
            raise ConfigError(f"RopeScaling.{what} and long={self.long}; all must be above 0.")
        if self.kind == "dynamic" and not self.original_length:
            what = "RopeScaling.original_length=0 with kind='dynamic'"
            raise ConfigError(f"{what}; set it to the length up to which the base is unchanged.")
        return self

    @property
    def depends_on_length(self) -> bool:
        """Whether a sequence is rotated by its own length.

        A document's length counts, or with a cache its capacity, so that all its keys are rotated
        alike and decoding equals the full pass of as many tokens. In Transformers the longest
        sequence of a batch counts, and while it decodes the tokens so far: keys stay as they were
        rotated when it was shorter, as they do where a state is moved to a larger cache.
        """
        return self.kind in ("longrope", "dynamic")


PositionKind = Literal[
    "rope", "learned", "sinusoidal", "alibi", "buckets", "transformer_xl", "disentangled", "none"
]


class PositionConfig(Config):
    """How the model encodes the order of tokens."""

    kind: PositionKind = "rope"
    """rope            queries and keys are rotated by their positions (LLaMA)
    learned         a learned vector per position (GPT, BERT)
    sinusoidal      a fixed vector per position (Vaswani et al.)
    alibi           a penalty that grows with distance, one slope per head
    buckets         a learned bias per bucket of distances and head (T5)
    transformer_xl  queries meet learned projections of sinusoids of the distance (Gopher)
    disentangled    queries and keys meet projections of a learned vector per bucket (DeBERTa)
    none            only the causal mask carries order"""
    base: float = Field(default=10_000.0, gt=1)
    """Longest wavelength is about 2 pi * base tokens."""
    window_base: float | None = Field(default=None, gt=1)
    """Base in layers whose pattern is a window, never scaled (Gemma 3); None: the same."""
    scaling: RopeScaling = RopeScaling()
    """Scaling of rotary positions."""
    rotated: float = Field(default=1.0, gt=0, le=1)
    """Share of a head's features that are rotated, the first ones (GPT-NeoX, Phi)."""
    interleaved: bool = False
    """Rotated pairs are neighbours (Cohere, GLM), not of two halves."""
    rotated_layers: tuple[bool, ...] = (True,)
    """Whether layers rotate; layer i has entry i modulo their number (SmolLM 3 skips every 4th)."""
    offset: int = Field(default=0, ge=0)
    """Unused entries at the start of a learned table: 2 in RoBERTa and BART."""
    absolute: bool = False
    """Whether buckets or disentangled positions have a learned table in addition (MPNet)."""
    rounded: bool = False
    """ALiBi of the keys' positions in bfloat16, scaled as the scores are (Falcon)."""
    buckets: int = Field(default=32, ge=4)
    """Number of buckets of distances; of each side in disentangled attention."""
    shared: bool = True
    """Whether all layers of a stack share the bias of buckets; in UMT5 each has its own."""
    max_distance: int = Field(default=128, ge=2)
    """Distances from this one on share the last bucket, tokens."""

    @model_validator(mode="after")
    def check(self) -> "PositionConfig":
        """Check that only rotary positions are scaled, and that distances reach every bucket."""
        if self.kind != "rope" and (self.scaling.kind != "none" or self.window_base is not None):
            has = f"scaling.kind={self.scaling.kind!r} and window_base={self.window_base}"
            what = f"PositionConfig.kind={self.kind!r} has {has}"
            raise ConfigError(f"{what}; only rotary positions (kind='rope') use them.")
        if self.absolute and self.kind not in ("buckets", "disentangled"):
            what = f"PositionConfig.absolute=true has kind={self.kind!r}"
            raise ConfigError(f"{what}; only kinds 'buckets' and 'disentangled' may add a table.")
        if not self.rotated_layers:
            raise ConfigError("PositionConfig.rotated_layers is empty; give at least one.")
        least = self.buckets // 2 + (self.kind == "disentangled")
        if self.kind in ("buckets", "disentangled") and self.max_distance <= least:
            what = f"PositionConfig.max_distance={self.max_distance} must exceed {least}"
            what += f" for kind={self.kind!r} and buckets={self.buckets}"
            raise ConfigError(f"{what}; try max_distance={4 * self.buckets}.")
        return self

    @property
    def has_table(self) -> bool:
        """Whether there is a learned vector per position."""
        return self.kind == "learned" or self.absolute
