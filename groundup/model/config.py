"""The shape of a model, part by part, and a dial that derives it from one number.

`ModelConfig` says everything that decides the function a model computes, apart from its weights.
Sizes that cannot work are errors that name the nearest ones that can. `from_depth` is the dial: a
number of layers gives every other size, each with its reason. Learning rates and token budgets
follow from these sizes in `train`, not here.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError
from groundup.kernels import NEEDS, Pattern


class AttentionConfig(Config):
    """Multi-head attention; fewer kv_heads than heads make it grouped, one makes it multi-query."""

    heads: int = Field(default=4, ge=1)
    """Query heads."""
    kv_heads: int = Field(default=2, ge=1)
    """Key/value heads; each serves heads / kv_heads query heads."""
    head_dim: int = Field(default=64, ge=1)
    """Features of one head; heads * head_dim need not be the model's width."""
    qk_norm: Literal["none", "head", "all"] = "head"
    """Norm of queries and keys before the rotation: of each head (Qwen3), or of all (OLMo 2)."""
    bias: Literal["none", "qkv", "all"] = "none"
    """Which projections have one; `all` includes the one back."""
    scale: float | None = Field(default=None, gt=0)
    """Factor of query-key products; None: 1 / sqrt(head_dim). T5 has 1."""
    softcap: float | None = Field(default=None, gt=0)
    """Scores x become softcap * tanh(x / softcap); None: as they are."""
    patterns: tuple[Pattern, ...] = (Pattern(),)
    """Which places are seen; layer i has the pattern i modulo their number."""

    @model_validator(mode="after")
    def check(self) -> "AttentionConfig":
        """Refuse groups that do not divide the heads, and patterns without their sizes."""
        if self.heads % self.kv_heads:
            near = nearest_divisors(self.heads, self.kv_heads)
            raise ConfigError(
                f"AttentionConfig.heads={self.heads} must be a multiple of "
                f"kv_heads={self.kv_heads}; try kv_heads={near}."
            )
        if not self.patterns:
            raise ConfigError("AttentionConfig.patterns is empty; give at least one.")
        for pattern in self.patterns:
            check_pattern(pattern)
        return self


def check_pattern(pattern: Pattern) -> None:
    """Refuse a pattern with a size that it lacks or does not have."""
    for name in ("window", "stride", "tokens"):
        value, is_needed = getattr(pattern, name), name in NEEDS[pattern.kind]
        if is_needed and value < 1 or not is_needed and value:
            wanted = " and ".join(NEEDS[pattern.kind]) or "no size"
            raise ConfigError(
                f"An attention pattern of kind {pattern.kind!r} has {name}={value}; "
                f"it needs {wanted}, 1 or more."
            )
    if pattern.kind == "fixed" and pattern.tokens > pattern.stride:
        raise ConfigError(
            f"A fixed pattern has tokens={pattern.tokens} of blocks of stride={pattern.stride}; "
            f"try tokens={max(1, pattern.stride // 8)}."
        )


class ExpertsConfig(Config):
    """Several feed-forwards of which each token uses few."""

    count: int = Field(default=8, ge=2)
    """Experts of a layer (E)."""
    chosen: int = Field(default=2, ge=1)
    """Experts of a token: 1 in Switch, 2 in GLaM and Mixtral."""
    every: int = Field(default=1, ge=1)
    """The last of every so many layers has experts; the others are dense."""
    gated: bool | None = None
    """Whether experts have a gate; None: as the dense layers, whose gates GLaM's lack."""
    normalised: bool = True
    """Weights of the chosen experts sum to one (Mixtral); else they are their shares of all."""
    capacity_factor: float | None = Field(default=None, gt=0)
    """In training an expert takes at most this times its even share of a pass's tokens, padding
    counted; the rest pass by the residual. None, and when the model is used: all are served."""
    capacity: int | None = Field(default=None, ge=1)
    """In every pass an expert serves the first so many tokens of a sequence that choose it, padding
    counted; the rest pass by the residual (Switch in Transformers). None: all are served."""

    @model_validator(mode="after")
    def check(self) -> "ExpertsConfig":
        """Refuse more chosen experts than there are."""
        if self.chosen > self.count:
            raise ConfigError(
                f"ExpertsConfig.chosen={self.chosen} is more than count={self.count}; "
                f"try chosen={min(2, self.count)}."
            )
        return self


Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]


class FeedForwardConfig(Config):
    """The per-token network between attentions."""

    width: int = Field(default=768, ge=1)
    """Features between its two sides."""
    activation: Activation = "silu"
    """Of the inner features; `gelu_tanh` is GPT-2's approximation."""
    gated: bool = True
    """The activated features multiply a second projection: with silu SwiGLU, with gelu GeGLU."""
    bias: bool = False
    """Whether its projections have one."""
    experts: ExpertsConfig | None = None
    """None: one network serves all tokens."""


class RopeScaling(Config):
    """How rotary angles are stretched beyond the length that a model was trained at."""

    kind: Literal["none", "linear", "ntk", "yarn", "llama3"] = "none"
    """Divide positions; raise the base; by wavelength with a ramp; by wavelength in three bands."""
    factor: float = Field(default=1.0, ge=1)
    """How many times longer."""
    original_length: int = Field(default=0, ge=0)
    """Context of the training before it, tokens; 0: context_length / factor."""
    low: float = 1.0
    """Turns over the original length below which a wavelength is stretched whole."""
    high: float = 4.0
    """Turns from which it is left alone; what is not given is 32, as in its paper, with YaRN."""
    attention: float | None = None
    """Factor of queries and keys each; None: YaRN's 0.1 ln(factor) + 1, else 1."""
    truncate: bool = True
    """Whether YaRN's ramp begins and ends at whole features."""

    @model_validator(mode="before")
    @classmethod
    def high_of_kind(cls, values: Any) -> Any:
        """Fill in YaRN's own `high`; a number that is given stays."""
        if isinstance(values, Mapping) and values.get("kind") == "yarn":
            return {"high": 32.0} | dict(values)
        return values

    @model_validator(mode="after")
    def check(self) -> "RopeScaling":
        """Refuse turns that bound no ramp, and a factor of nothing."""
        if self.kind == "none" and self.factor != 1:
            raise ConfigError(
                f"RopeScaling.factor={self.factor} has kind='none', which stretches nothing; give "
                "a kind, such as kind='yarn', or factor=1."
            )
        if self.kind in ("yarn", "llama3") and not self.low < self.high:
            raise ConfigError(
                f"RopeScaling.low={self.low} must be less than high={self.high} with "
                f"kind={self.kind!r}: between these turns the stretching fades."
            )
        if self.kind == "yarn" and self.low <= 0:
            raise ConfigError(
                f"RopeScaling.low={self.low} must be above 0 with kind='yarn', whose ramp runs "
                "over the turns' logarithms; its paper has 1."
            )
        return self


PositionKind = Literal[
    "rope", "learned", "sinusoidal", "alibi", "buckets", "transformer_xl", "none"
]


class PositionConfig(Config):
    """How the model knows the order of tokens."""

    kind: PositionKind = "rope"
    """rope            distances turn queries and keys (LLaMA)
    learned         a vector for each place (GPT, BERT)
    sinusoidal      a fixed vector for each place (Vaswani et al.)
    alibi           a penalty that grows with distance, one slope a head
    buckets         a learnt number for each bucket of distances and head (T5)
    transformer_xl  queries meet learnt maps of sinusoids of the distance (Gopher)
    none            causal masks alone tell"""
    base: float = Field(default=10_000.0, gt=1)
    """Longest wavelength is about 2 pi * base tokens."""
    window_base: float | None = Field(default=None, gt=1)
    """Base in layers whose pattern is a window, never stretched (Gemma 3); None: the same."""
    scaling: RopeScaling = RopeScaling()
    """Stretching of rotary positions."""
    offset: int = Field(default=0, ge=0)
    """Unused rows at the start of a learned table: 2 in RoBERTa and BART."""
    buckets: int = Field(default=32, ge=4)
    """Number of buckets of distances."""
    max_distance: int = Field(default=128, ge=2)
    """Tokens from which on all distances share the last bucket."""

    @model_validator(mode="after")
    def check(self) -> "PositionConfig":
        """Refuse stretching of what does not turn, and buckets that no distance would reach."""
        if self.kind != "rope" and (self.scaling.kind != "none" or self.window_base is not None):
            raise ConfigError(
                f"PositionConfig.kind={self.kind!r} has scaling.kind={self.scaling.kind!r} and "
                f"window_base={self.window_base}; only rotary positions (kind='rope') have them."
            )
        if self.kind == "buckets" and self.max_distance <= self.buckets // 2:
            raise ConfigError(
                f"PositionConfig.max_distance={self.max_distance} must exceed {self.buckets // 2}, "
                f"the distances that half of buckets={self.buckets} hold alone; try "
                f"max_distance={4 * self.buckets}."
            )
        return self


class NormConfig(Config):
    """How features are brought to unit size."""

    kind: Literal["rms", "layer"] = "rms"
    """Divide by the root mean square; or subtract the mean, divide by the deviation, and shift."""
    eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square."""
    place: Literal["pre", "post", "sandwich", "output"] = "pre"
    """pre       x + f(norm(x)), and once at the end (GPT-2, LLaMA)
    post      norm(x + f(x)) (BERT)
    sandwich  x + norm(f(norm(x))), and once at the end (Gemma 3)
    output    x + norm(f(x)), and once at the end (OLMo 2)"""
    bias: bool = True
    """Whether a layer norm shifts; ModernBERT's do not."""
    zero_centred: bool = False
    """Weights of RMS norms are kept as differences from one (Gemma): exact in half precision."""

    @model_validator(mode="after")
    def check(self) -> "NormConfig":
        """Refuse layer norms around zero."""
        if self.zero_centred and self.kind != "rms":
            raise ConfigError("NormConfig.zero_centred=true has kind='layer'; try kind='rms'.")
        return self


class EmbeddingConfig(Config):
    """From ids to the first hidden states."""

    scale: float = Field(default=1.0, gt=0)
    """Factor of the token vectors: sqrt(width) in Gemma and in Vaswani et al."""
    norm: bool = False
    """Norm their sum with positions and types (BERT); the first layer does not norm again."""
    types: int = Field(default=0, ge=0)
    """Kinds of segments that have a vector each, 2 in BERT; 0: none."""


class OutputConfig(Config):
    """From the last hidden states to logits."""

    logits: bool = True
    """Whether there are any; not in an encoder whose masked head is left out, as in BertModel."""
    transform: Literal["none", "dense"] = "none"
    """A dense layer with activation and norm before the logits, as BERT's masked head has."""
    activation: Activation = "gelu"
    """Of the dense layer."""
    dense_bias: bool = True
    """Whether the dense layer has one."""
    bias: bool = False
    """One number an id, added to its logit."""
    scale: float = Field(default=1.0, gt=0)
    """Factor of the hidden states: 1 / sqrt(width) in T5, whose embeddings are tied."""
    softcap: float | None = Field(default=None, gt=0)
    """Logits x become softcap * tanh(x / softcap); None: as they are."""


class ModelConfig(Config):
    """Everything but the weights that decides what a model computes."""

    vocab_size: int = Field(default=4096, ge=1)
    """Number of token ids, special tokens included."""
    width: int = Field(default=256, ge=1)
    """Features of a token between the blocks (D)."""
    layers: int = Field(default=6, ge=1)
    """Blocks of attention and feed-forward (L); of the decoder, where there are two."""
    context_length: int = Field(default=2048, ge=1)
    """Most tokens that a forward pass and its cache may span."""
    attention: AttentionConfig = AttentionConfig()
    """The attention of every block."""
    feedforward: FeedForwardConfig = FeedForwardConfig()
    """The feed-forward of every block."""
    position: PositionConfig = PositionConfig()
    """How order enters."""
    norm: NormConfig = NormConfig()
    """The norms of every block and the last one."""
    embedding: EmbeddingConfig = EmbeddingConfig()
    """The way in."""
    output: OutputConfig = OutputConfig()
    """The way out."""
    tied_embeddings: bool = True
    """The output head is the input embedding."""
    parallel: bool = False
    """Attention and feed-forward read the same norm and are added together (GPT-J); not beside an
    encoder."""
    kind: Literal["decoder", "encoder", "encoder_decoder"] = "decoder"
    """A token sees itself and what came before it; or all; or an encoder's output on top."""
    encoder_layers: int = Field(default=0, ge=0)
    """Blocks of the encoder beside a decoder; 0 otherwise."""
    prefix: bool = False
    """A decoder's prompt is read as one: its tokens see each other both ways, as in training with
    the objective `prefix`; what follows it sees what came before, as ever."""

    @model_validator(mode="after")
    def check(self) -> "ModelConfig":
        """Refuse parts that do not fit each other."""
        if (self.kind == "encoder_decoder") != (self.encoder_layers > 0):
            raise ConfigError(
                f"ModelConfig.kind={self.kind!r} has encoder_layers={self.encoder_layers}; "
                "an encoder_decoder needs at least 1, the others have 0."
            )
        if self.prefix and self.kind != "decoder":
            raise ConfigError(
                f"ModelConfig.prefix=true is of kind={self.kind!r}; only a decoder has a prompt "
                "that it would not see whole."
            )
        if self.feedforward.experts is not None and self.feedforward.bias:
            raise ConfigError("FeedForwardConfig.bias=true has experts; experts have no biases.")
        self.check_places_of_experts()
        self.check_output()
        self.check_positions()
        if self.parallel and self.norm.place != "pre":
            raise ConfigError(
                f"ModelConfig.parallel=true has norm.place={self.norm.place!r}; parallel blocks "
                "read one norm: use place='pre'."
            )
        if self.parallel and self.kind == "encoder_decoder":
            raise ConfigError(
                "ModelConfig.parallel=true has kind='encoder_decoder'; cross attention reads what "
                "self-attention found, so its blocks are no sum: use parallel=false."
            )
        return self

    def check_positions(self) -> None:
        """Refuse widths that positions cannot turn or fill."""
        if self.position.kind == "rope" and self.attention.head_dim % 2:
            raise ConfigError(
                f"AttentionConfig.head_dim={self.attention.head_dim} must be even for rotary "
                f"positions; try {self.attention.head_dim + 1}."
            )
        if self.position.scaling.kind == "ntk" and self.attention.head_dim == 2:
            raise ConfigError(
                "AttentionConfig.head_dim=2 has one pair of features, which turns once a token "
                "whatever the base, so that scaling.kind='ntk' cannot stretch it; try 4."
            )
        if self.position.kind in ("sinusoidal", "transformer_xl") and self.width % 2:
            raise ConfigError(
                f"ModelConfig.width={self.width} must be even for sinusoids; try {self.width + 1}."
            )

    def check_output(self) -> None:
        """Refuse a model of tokens without logits."""
        if not self.output.logits and self.kind != "encoder":
            raise ConfigError(
                f"OutputConfig.logits=false is of kind={self.kind!r}; only an encoder has uses "
                "without them."
            )

    def check_places_of_experts(self) -> None:
        """Refuse experts that no layer would have."""
        experts, layers = self.feedforward.experts, max(self.layers, self.encoder_layers)
        if experts is not None and experts.every > layers:
            raise ConfigError(
                f"ExpertsConfig.every={experts.every} is more than the {layers} layers, so none "
                "would have experts; try every=1."
            )

    def pattern(self, layer: int) -> Pattern:
        """The attention pattern of a layer."""
        return self.attention.patterns[layer % len(self.attention.patterns)]

    def has_experts(self, layer: int) -> bool:
        """Whether a layer's feed-forward has experts."""
        experts = self.feedforward.experts
        return experts is not None and layer % experts.every == experts.every - 1


class Size(NamedTuple):
    """One derived value with the reason for it."""

    name: str
    value: Any
    reason: str


class Derived(NamedTuple):
    """A configuration and how each of its sizes came about."""

    config: ModelConfig
    choices: tuple[Size, ...]

    def __str__(self) -> str:
        """One line a value: name, value, reason."""
        return "\n".join(f"{c.name:<24}{c.value!s:>10}  {c.reason}" for c in self.choices)


WIDTH_PER_LAYER = 256 / 5
HEAD_DIM = 64


def from_depth(
    depth: int, vocab_size: int, context_length: int = 2048, *, width: int | None = None
) -> Derived:
    """Derive a model's sizes from its number of layers.

    width  features of a token, a multiple of 64; None: by the depth

    >>> config = from_depth(5, 4096).config
    >>> config.width, config.attention.heads, config.attention.kv_heads, config.feedforward.width
    (256, 4, 2, 768)

    Raises ConfigError if depth is less than 1, or the width is no number of whole heads.
    Source: the single dial of Karpathy's nanochat (2025), with this project's own ratios.
    """
    if depth < 1:
        raise ConfigError(f"depth={depth} must be at least 1; 5 trains in minutes on two cores.")
    heads = max(1, round(depth * WIDTH_PER_LAYER / HEAD_DIM + 1e-9))
    reason = "51 features a layer, in whole heads"
    if width is not None:
        if width < HEAD_DIM or width % HEAD_DIM:
            near = max(1, round(width / HEAD_DIM)) * HEAD_DIM
            raise ConfigError(f"width={width} must be a multiple of {HEAD_DIM}; try {near}.")
        heads, reason = width // HEAD_DIM, "given"
    width, kv_heads = heads * HEAD_DIM, largest_divisor(heads, max(1, heads // 2))
    choices = (
        Size("layers", depth, "the dial"),
        Size("width", width, reason),
        Size("attention.head_dim", HEAD_DIM, "products of 64 features fill a vector unit"),
        Size("attention.heads", heads, "width / head_dim"),
        Size("attention.kv_heads", kv_heads, "at most half the heads: half the cache"),
        Size("feedforward.width", 3 * width, "3 x width: SwiGLU's three matrices near 2 of 4 x"),
        Size("vocab_size", vocab_size, "the tokenizer's"),
        Size("context_length", context_length, "longest prompt and answer together"),
        Size("tied_embeddings", False, "a free input table learns faster: 2.04 for 2.20 bits"),
    )  # fmt: skip
    config = ModelConfig(
        vocab_size=vocab_size,
        width=width,
        layers=depth,
        context_length=context_length,
        attention=AttentionConfig(heads=heads, kv_heads=kv_heads, head_dim=HEAD_DIM),
        feedforward=FeedForwardConfig(width=3 * width),
        tied_embeddings=False,
    )
    return Derived(config, choices)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`.

    >>> largest_divisor(12, 5)
    4
    """
    return next(d for d in range(limit, 0, -1) if number % d == 0)


def nearest_divisors(number: int, wanted: int) -> str:
    """The divisors of `number` around `wanted`, spelt for an error message.

    >>> nearest_divisors(12, 5)
    '4 or 6'
    """
    below = largest_divisor(number, min(wanted, number))
    above = next((d for d in range(wanted, number + 1) if number % d == 0), below)
    return str(below) if above == below else f"{below} or {above}"
