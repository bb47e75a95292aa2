"""The configuration of a model: everything but the weights that determines what it computes.

Invalid sizes are errors that name the nearest valid ones. depth.py derives all sizes from the
number of layers; learning rates and token budgets are derived in `train`.
"""

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError
from groundup.kernels import PATTERN_SIZES, AttentionPattern

from .positions import PositionConfig


class LatentConfig(Config):
    """Keys and values of all heads from one narrow vector, which is all that is cached (MLA)."""

    rank: int = Field(default=512, ge=1)
    """Features of the vector."""
    query_rank: int = Field(default=0, ge=0)
    """Of the vector that queries come from; 0: from the hidden states."""
    rotated: int = Field(default=64, ge=2)
    """Rotated features, the last of a head; their key is one for all heads, and cached too."""
    value_dim: int = Field(default=128, ge=1)
    """Features of a head's values."""
    mscale: float = Field(default=0.0, ge=0)
    """Scores grow by (1 + 0.1 mscale ln(scaling.factor))^2 with scaled positions."""


class CacheRow(NamedTuple):
    """What a layer caches of a token: features of each key and value head."""

    heads: int
    keys: int
    values: int


class AttentionConfig(Config):
    """Multi-head attention; fewer kv_heads than heads make it grouped, one makes it multi-query."""

    heads: int = Field(default=4, ge=1)
    """Query heads."""
    kv_heads: int = Field(default=2, ge=1)
    """Key/value heads; each serves heads / kv_heads query heads."""
    head_dim: int = Field(default=64, ge=1)
    """Features of one head; heads * head_dim need not be the model's width."""
    qk_norm: Literal["none", "head", "all", "rotated"] = "head"
    """Norm of queries and keys before rotation: of each head (Qwen 3), or of all (OLMo 2); or of
    each head after it, without weights, in layers that rotate (Llama 4)."""
    bias: Literal["none", "qkv", "all"] = "none"
    """Which projections have a bias; `all` includes the output projection."""
    scale: float | None = Field(default=None, gt=0)
    """Factor of query-key products; None: 1 / sqrt(head_dim). T5 has 1."""
    softcap: float | None = Field(default=None, gt=0)
    """Scores x become softcap * tanh(x / softcap); None: unchanged."""
    clip: float | None = Field(default=None, gt=0)
    """Queries, keys and values are limited to this on both sides (OLMo); None: unlimited."""
    patterns: tuple[AttentionPattern, ...] = (AttentionPattern(),)
    """Attention patterns; layer i has pattern i modulo their number."""
    sinks: bool = False
    """Each head has a learned score of no key, which takes weight from all others (GPT-OSS)."""
    latent: LatentConfig | None = None
    """Latent attention; head_dim is then that of queries and keys, rotated features included."""
    temperature: float = Field(default=0.1, gt=0)
    """Queries of layers without positions grow by 1 + temperature ln(1 + floor((position + 1) /
    temperature_length)) (Llama 4)."""
    temperature_length: int = Field(default=0, ge=0)
    """Tokens; 0: they do not grow."""

    @property
    def cache_row(self) -> CacheRow:
        """What is cached of a token: with a latent, only it and the rotated key behind it."""
        if self.latent is not None:
            return CacheRow(1, self.latent.rank + self.latent.rotated, 0)
        return CacheRow(self.kv_heads, self.head_dim, self.head_dim)

    @model_validator(mode="after")
    def check(self) -> "AttentionConfig":
        """Check that kv_heads divide heads, the patterns' sizes, and what a latent excludes."""
        if self.heads % self.kv_heads:
            heads, near = self.kv_heads, _nearest_divisors(self.heads, self.kv_heads)
            what = f"AttentionConfig.heads={self.heads} must be a multiple of kv_heads={heads}"
            raise ConfigError(f"{what}; try kv_heads={near}.")
        if not self.patterns:
            raise ConfigError("AttentionConfig.patterns is empty; give at least one.")
        for pattern in self.patterns:
            _check_pattern(pattern)
        latent = self.latent
        if latent is not None and (
            self.kv_heads != self.heads or self.qk_norm != "none" or self.bias == "qkv"
            or self.clip is not None or self.head_dim <= latent.rotated or self.temperature_length
        ):  # fmt: skip
            what = f"kv_heads={self.kv_heads} of {self.heads}, qk_norm={self.qk_norm!r}, bias="
            what += f"{self.bias!r}, head_dim={self.head_dim}"
            raise ConfigError(f"AttentionConfig.latent has {what}; it needs as many kv_heads as "
                              "heads, a head_dim above its rotated features, and no norms, clip, "
                              "temperature or bias of qkv alone.")  # fmt: skip
        return self


def _check_pattern(pattern: AttentionPattern) -> None:
    for name in ("window", "stride", "tokens"):
        value, is_needed = getattr(pattern, name), name in PATTERN_SIZES[pattern.kind]
        if is_needed and value < 1 or not is_needed and value:
            needed = " and ".join(PATTERN_SIZES[pattern.kind]) or "no size"
            what = f"An attention pattern of kind {pattern.kind!r} has {name}={value}"
            raise ConfigError(f"{what}; it needs {needed}, 1 or more.")
    if pattern.kind == "fixed" and pattern.tokens > pattern.stride:
        what = f"A fixed pattern has tokens={pattern.tokens} in blocks of stride={pattern.stride}"
        raise ConfigError(f"{what}; try tokens={max(1, pattern.stride // 8)}.")


class ExpertsConfig(Config):
    """Mixture of experts: several feed-forwards, of which each token uses a few."""

    count: int = Field(default=8, ge=2)
    """Experts per layer (E)."""
    chosen: int = Field(default=2, ge=1)
    """Experts per token (top-k): 1 in Switch, 2 in GLaM and Mixtral."""
    every: int = Field(default=1, ge=1)
    """The last of every `every` layers has experts; the others are dense."""
    gated: bool | None = None
    """Whether experts are gated; None: as the dense layers. GLaM's experts are not."""
    normalised: bool = True
    """Weights of the chosen experts sum to one (Mixtral); otherwise softmax over all experts."""
    capacity_factor: float | None = Field(default=None, gt=0)
    """In training an expert takes at most this times its even share of the batch's tokens, padding
    included; the rest pass through the residual. None, and at inference: no limit."""
    capacity: int | None = Field(default=None, ge=1)
    """In every pass an expert serves the first `capacity` tokens of a sequence that choose it; the
    rest pass through the residual (Switch in Transformers). None: no limit."""
    width: int | None = Field(default=None, ge=1)
    """Hidden features of an expert; None: as the dense layers."""
    shared: int = Field(default=0, ge=0)
    """Hidden features of an expert that serves every token in addition (DeepSeek); 0: none."""
    dense_layers: int = Field(default=0, ge=0)
    """First layers, which are dense."""
    scores: Literal["softmax", "sigmoid"] = "softmax"
    """Weights before they are normalised, from the router's logits."""
    correction: bool = False
    """A bias per expert is added to the scores for the choice alone; training leaves it."""
    groups: int = Field(default=1, ge=1)
    """Experts are chosen from the best of this many groups: those with the highest score, or with
    sigmoid scores the highest sum of two."""
    chosen_groups: int = Field(default=1, ge=1)
    """Number of best groups."""
    scale: float = Field(default=1.0, gt=0)
    """Factor of the weights."""
    weighs_input: bool = False
    """The weight multiplies an expert's input, not its output (Llama 4)."""
    bias: bool = False
    """Whether the router and the experts' projections have biases (GPT-OSS)."""
    limit: float | None = Field(default=None, gt=0)
    """Gates g are at most this, up projections u within it on both sides, and the hidden features
    (u + 1) g sigmoid(gain g) (GPT-OSS); None: of the dense layers' kind."""
    gain: float = Field(default=1.702, gt=0)

    @model_validator(mode="after")
    def check(self) -> "ExpertsConfig":
        """Check that there are as many experts as are chosen, in groups as well."""
        if self.chosen > self.count:
            what = f"ExpertsConfig.chosen={self.chosen} is more than count={self.count}"
            raise ConfigError(f"{what}; try chosen={min(2, self.count)}.")
        size, what = self.count // self.groups, f"ExpertsConfig.groups={self.groups}"
        if self.count % self.groups or self.groups > 1 and size < 2 and self.scores == "sigmoid":
            raise ConfigError(f"{what} must divide count={self.count}, with sigmoid scores into "
                              "groups of at least 2.")  # fmt: skip
        if not self.chosen <= self.chosen_groups * size <= self.count:
            what += f" has chosen_groups={self.chosen_groups} of {size} experts"
            raise ConfigError(f"{what}; they must hold the chosen={self.chosen} experts.")
        if self.weighs_input and self.chosen > 1:
            raise ConfigError(f"ExpertsConfig.weighs_input=true needs chosen=1, not {self.chosen}.")
        return self


Activation = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu"]


class FeedForwardConfig(Config):
    """The per-token network between attentions."""

    width: int = Field(default=768, ge=1)
    """Hidden features (F)."""
    activation: Activation = "silu"
    """Of the hidden features; `gelu_tanh` is GPT-2's approximation, `relu2` ReLU squared."""
    gated: bool = True
    """The activated features multiply a second projection: with silu SwiGLU, with gelu GeGLU."""
    bias: bool = False
    """Whether its projections have one."""
    experts: ExpertsConfig | None = None
    """None: one network serves all tokens."""

    @property
    def expert_width(self) -> int:
        """Hidden features of an expert."""
        own = None if self.experts is None else self.experts.width
        return self.width if own is None else own


class NormConfig(Config):
    """The norms of the model and where they are placed."""

    kind: Literal["rms", "layer"] = "rms"
    """Root mean square norm or layer norm."""
    eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square."""
    place: Literal["pre", "post", "sandwich", "output"] = "pre"
    """pre       x + f(norm(x)), and once at the end (GPT-2, LLaMA)
    post      norm(x + f(x)) (BERT)
    sandwich  x + norm(f(norm(x))), and once at the end (Gemma 3)
    output    x + norm(f(x)), and once at the end (OLMo 2)"""
    bias: bool = True
    """Whether a layer norm has a bias; ModernBERT's do not."""
    zero_centred: bool = False
    """Weights are stored minus one (Gemma, Nemotron): more exact in half precision."""
    weights: bool = True
    """Whether norms have weights; false only for layer norms without bias (OLMo)."""

    @model_validator(mode="after")
    def check(self) -> "NormConfig":
        """Check that norms without weights are plain layer norms."""
        if not self.weights and (self.kind != "layer" or self.bias or self.zero_centred):
            what = f"kind={self.kind!r}, bias={self.bias} and zero_centred={self.zero_centred}"
            raise ConfigError(f"NormConfig.weights=false has {what}; only plain norms may lack them"
                              ": kind='layer', bias=false.")  # fmt: skip
        return self


class EmbeddingConfig(Config):
    """Scale, norm and segment types of token vectors; positions are PositionConfig's."""

    scale: float = Field(default=1.0, gt=0)
    """Factor of the token vectors: sqrt(width) in Gemma and in Vaswani et al."""
    norm: bool = False
    """Norm of the sum with positions and types (BERT); the first layer's pre-norm is omitted."""
    keeps_first_norm: bool = False
    """Whether the first layer keeps its pre-norm beside that norm (BLOOM, mBART)."""
    types: int = Field(default=0, ge=0)
    """Number of segment (token type) embeddings, 2 in BERT; 0: none."""
    width: int = Field(default=0, ge=0)
    """Features of the tables, from which a linear layer after the norm projects to the model's
    width, in encoders (ALBERT); 0: the model's width, and no such layer."""


class OutputConfig(Config):
    """From the last hidden states to logits."""

    logits: bool = True
    """Whether there are logits; not in an encoder without a masked-LM head, such as BertModel."""
    transform: Literal["none", "dense"] = "none"
    """A dense layer with activation and norm before the logits, as in BERT's masked-LM head."""
    activation: Activation = "gelu"
    """Of the dense layer."""
    dense_bias: bool = True
    """Whether the dense layer has a bias."""
    bias: bool = False
    """A bias per token id, added to its logit."""
    scale: float = Field(default=1.0, gt=0)
    """Factor of the hidden states: 1 / sqrt(width) in T5, whose embeddings are tied."""
    softcap: float | None = Field(default=None, gt=0)
    """Logits x become softcap * tanh(x / softcap); None: unchanged."""


class ModelConfig(Config):
    """Everything but the weights that determines what a model computes."""

    vocab_size: int = Field(default=4096, ge=1)
    """Number of token ids, special tokens included."""
    width: int = Field(default=256, ge=1)
    """Features of a token in the residual stream (D)."""
    layers: int = Field(default=6, ge=1)
    """Blocks of attention and feed-forward (L); of the decoder in an encoder_decoder."""
    repeats: int = Field(default=1, ge=1)
    """How often in a row an encoder applies each block: 12 for ALBERT's one block."""
    context_length: int = Field(default=2048, ge=1)
    """Maximum tokens that a forward pass and its cache may span."""
    attention: AttentionConfig = AttentionConfig()
    """The attention of every block."""
    feedforward: FeedForwardConfig = FeedForwardConfig()
    """The feed-forward of every block."""
    position: PositionConfig = PositionConfig()
    """Positional encoding."""
    norm: NormConfig = NormConfig()
    """The norms of every block and the final norm."""
    embedding: EmbeddingConfig = EmbeddingConfig()
    """The input embedding."""
    output: OutputConfig = OutputConfig()
    """The output layer."""
    tied_embeddings: bool = True
    """The output head is the input embedding."""
    parallel: bool = False
    """Attention and feed-forward read the same input and are added together (GPT-J); not supported
    in an encoder_decoder."""
    parallel_norms: int = Field(default=1, ge=1, le=2)
    """Norms of a parallel block: one for both (GPT-J, Phi), or one for each (GPT-NeoX)."""
    residual_scale: float = Field(default=1.0, gt=0)
    """Factor of what attention and feed-forward add to the residual stream (Granite)."""
    kind: Literal["decoder", "encoder", "encoder_decoder"] = "decoder"
    """Causal attention; bidirectional attention; causal plus cross attention to an encoder."""
    encoder_layers: int = Field(default=0, ge=0)
    """Blocks of the encoder of an encoder_decoder; 0 otherwise."""
    prefix: bool = False
    """Prefix LM: attention within a decoder's prompt is bidirectional, as in training with the
    objective `prefix`; the tokens after it are causal."""

    @model_validator(mode="after")
    def check(self) -> "ModelConfig":
        """Check that the components fit each other."""
        if (self.kind == "encoder_decoder") != (self.encoder_layers > 0):
            what = f"ModelConfig.kind={self.kind!r} has encoder_layers={self.encoder_layers}"
            raise ConfigError(f"{what}; an encoder_decoder needs at least 1, the others have 0.")
        if self.prefix and self.kind != "decoder":
            what = f"ModelConfig.prefix=true has kind={self.kind!r}"
            raise ConfigError(f"{what}; it needs kind='decoder', whose prompt is causal otherwise.")
        if self.feedforward.experts is not None and self.feedforward.bias:
            raise ConfigError("FeedForwardConfig.bias=true has experts, which have no biases.")
        experts, layers = self.feedforward.experts, max(self.layers, self.encoder_layers)
        if experts is not None and not any(map(self.has_experts, range(layers))):
            what = f"every={experts.every} and dense_layers={experts.dense_layers} are too many"
            raise ConfigError(f"ExpertsConfig.{what} for {layers} layers, of which none would have "
                              "experts; try every=1.")  # fmt: skip
        if self.kind != "decoder" and (self.attention.latent or self.attention.sinks):
            what = f"ModelConfig.kind={self.kind!r} has latent attention or sinks"
            raise ConfigError(f"{what}; only a decoder may.")
        if not self.output.logits and self.kind != "encoder":
            what = f"OutputConfig.logits=false has kind={self.kind!r}"
            raise ConfigError(f"{what}; only encoders may lack logits.")
        self.check_encoder_parts()
        self.check_positions()
        if self.parallel and self.norm.place != "pre":
            what = f"ModelConfig.parallel=true has norm.place={self.norm.place!r}"
            raise ConfigError(f"{what}; parallel blocks read one norm: use place='pre'.")
        if self.parallel and self.kind == "encoder_decoder":
            what = "ModelConfig.parallel=true has kind='encoder_decoder', whose cross attention"
            raise ConfigError(f"{what} reads the output of self-attention: use parallel=false.")
        return self

    def check_encoder_parts(self) -> None:
        """Check what only encoders have."""
        kind, width = self.position.kind, self.embedding.width
        if self.kind != "encoder" and (kind == "disentangled" or width or self.repeats > 1):
            what = f"kind={self.kind!r} has position.kind={kind!r}, embedding.width={width} and"
            only = "only encoders have disentangled positions, such a width and repeats above 1"
            raise ConfigError(f"ModelConfig.{what} repeats={self.repeats}; {only}.")
        if width and self.output.logits and self.output.transform == "none":
            what = f"EmbeddingConfig.width={width} needs OutputConfig.transform='dense'"
            raise ConfigError(f"{what}, from the model's width to the output embedding.")
        if kind == "disentangled" and self.attention.kv_heads != self.attention.heads:
            what = f"AttentionConfig.kv_heads={self.attention.kv_heads} has disentangled positions"
            raise ConfigError(f"{what}, which need kv_heads=heads={self.attention.heads}.")

    def check_positions(self) -> None:
        """Check the widths that positions need."""
        size, scaling = self.attention.head_dim, self.position.scaling
        if self.attention.latent is not None:
            if self.position.kind != "rope" or self.position.rotated != 1.0:
                has = f"kind={self.position.kind!r} and rotated={self.position.rotated}"
                raise ConfigError(f"PositionConfig has {has}; latent attention needs rope and 1.0.")
            size = self.attention.latent.rotated
        if self.position.kind == "rope" and size % 2:
            what = f"AttentionConfig.head_dim={size} must be even for rotary positions"
            raise ConfigError(f"{what}; try {size + 1}.")
        if self.position.kind == "rope" and (self.rotary_dim < 2 or self.rotary_dim % 2):
            what = f"PositionConfig.rotated={self.position.rotated} of head_dim={size} are"
            raise ConfigError(f"{what} {self.rotary_dim} features; they must be even and not 0.")
        pairs = self.rotary_dim // 2
        if scaling.kind == "longrope" and not len(scaling.short) == len(scaling.long) == pairs:
            what = f"RopeScaling has {len(scaling.short)} short, {len(scaling.long)} long factors"
            raise ConfigError(f"{what}; {self.rotary_dim} rotated features need {pairs} of each.")
        if scaling.kind in ("ntk", "dynamic") and pairs == 1:
            what = f"AttentionConfig.head_dim={size} has one pair of rotated features"
            raise ConfigError(f"{what}, on which scaling.kind={scaling.kind!r} has no effect.")
        if self.position.kind in ("sinusoidal", "transformer_xl") and self.width % 2:
            what = f"ModelConfig.width={self.width} must be even for sinusoids"
            raise ConfigError(f"{what}; try {self.width + 1}.")

    @property
    def embedding_width(self) -> int:
        """Features of the embedding tables, and of the output embedding."""
        return self.embedding.width or self.width

    @property
    def rotary_dim(self) -> int:
        """Rotated features of each head."""
        if self.attention.latent is not None:
            return self.attention.latent.rotated
        return int(self.attention.head_dim * self.position.rotated)

    def rotates(self, layer: int) -> bool:
        """Whether a layer rotates its queries and keys."""
        cycle = self.position.rotated_layers
        return self.position.kind == "rope" and cycle[layer % len(cycle)]

    def pattern(self, layer: int) -> AttentionPattern:
        """The attention pattern of a layer."""
        return self.attention.patterns[layer % len(self.attention.patterns)]

    def has_experts(self, layer: int) -> bool:
        """Whether a layer's feed-forward has experts."""
        experts = self.feedforward.experts
        is_turn = experts is not None and layer % experts.every == experts.every - 1
        return experts is not None and is_turn and layer >= experts.dense_layers


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`.

    >>> largest_divisor(12, 5)
    4
    """
    return next(d for d in range(limit, 0, -1) if number % d == 0)


def _nearest_divisors(number: int, target: int) -> str:
    """The divisors of `number` nearest to `target`, formatted for an error message.

    >>> _nearest_divisors(12, 5)
    '4 or 6'
    """
    below = largest_divisor(number, min(target, number))
    above = next((d for d in range(target, number + 1) if number % d == 0), below)
    return str(below) if above == below else f"{below} or {above}"
