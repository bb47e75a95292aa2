"""The shape of a model, part by part, and a dial that derives it from one number.

`ModelConfig` says everything that decides the function a model computes, apart from its weights.
Sizes that cannot work are errors that name the nearest ones that can. `from_depth` is the dial: a
number of layers gives every other size, each with its reason. Learning rates and token budgets
follow from these sizes in `train`, not here.
"""

from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from groundup.core import Config, ConfigError


class AttentionConfig(Config):
    """Grouped-query attention."""

    heads: int = Field(default=4, ge=1)
    """Query heads."""
    kv_heads: int = Field(default=2, ge=1)
    """Key/value heads; each serves heads / kv_heads query heads."""
    head_dim: int = Field(default=64, ge=2)
    """Features of one head; heads * head_dim need not be the model's width."""
    qk_norm: bool = True
    """Normalise every head's query and key before the rotation, as Qwen3 does."""

    @model_validator(mode="after")
    def check(self) -> "AttentionConfig":
        """Refuse groups that do not divide the heads and heads that cannot rotate."""
        if self.heads % self.kv_heads:
            near = nearest_divisors(self.heads, self.kv_heads)
            raise ConfigError(
                f"AttentionConfig.heads={self.heads} must be a multiple of "
                f"kv_heads={self.kv_heads}; try kv_heads={near}."
            )
        if self.head_dim % 2:
            raise ConfigError(
                f"AttentionConfig.head_dim={self.head_dim} must be even for rotary positions; "
                f"try {self.head_dim + 1}."
            )
        return self


class FeedForwardConfig(Config):
    """The per-token network between attentions."""

    width: int = Field(default=768, ge=1)
    """Features between its two sides."""
    kind: Literal["swiglu"] = "swiglu"
    """A SiLU gate times an up projection, then a down projection."""


class PositionConfig(Config):
    """How the model knows the order of tokens."""

    kind: Literal["rope"] = "rope"
    """Rotary: distances enter the dot products of queries and keys."""
    base: float = Field(default=10_000.0, gt=1)
    """Longest wavelength is about 2 pi * base tokens."""


class NormConfig(Config):
    """How features are brought to unit size; always before each part and once at the end."""

    kind: Literal["rms"] = "rms"
    """Divide by the root mean square; a learnt scale, no shift."""
    eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square."""


class ModelConfig(Config):
    """Everything but the weights that decides what a model computes."""

    vocab_size: int = Field(default=4096, ge=1)
    """Number of token ids, special tokens included."""
    width: int = Field(default=256, ge=1)
    """Features of a token between the blocks (D)."""
    layers: int = Field(default=6, ge=1)
    """Blocks of attention and feed-forward (L)."""
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
    tied_embeddings: bool = True
    """The output head is the input embedding."""
    kind: Literal["decoder"] = "decoder"
    """A token sees itself and what came before."""


class Choice(NamedTuple):
    """One derived value with the reason for it."""

    name: str
    value: Any
    reason: str


class Derived(NamedTuple):
    """A configuration and how each of its sizes came about."""

    config: ModelConfig
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        """One line a value: name, value, reason."""
        return "\n".join(f"{c.name:<24}{c.value!s:>10}  {c.reason}" for c in self.choices)


WIDTH_PER_LAYER = 256 / 5
HEAD_DIM = 64


def from_depth(depth: int, vocab_size: int, context_length: int = 2048) -> Derived:
    """Derive a model's sizes from its number of layers.

    >>> config = from_depth(5, 4096).config
    >>> config.width, config.attention.heads, config.attention.kv_heads, config.feedforward.width
    (256, 4, 2, 768)

    Raises ConfigError if depth is less than 1.
    Source: the single dial of Karpathy's nanochat (2025), with this project's own ratios.
    """
    if depth < 1:
        raise ConfigError(f"depth={depth} must be at least 1; 5 trains in minutes on two cores.")
    heads = max(1, round(depth * WIDTH_PER_LAYER / HEAD_DIM + 1e-9))
    width, kv_heads = heads * HEAD_DIM, largest_divisor(heads, max(1, heads // 2))
    choices = (
        Choice("layers", depth, "the dial"),
        Choice("width", width, "51 features a layer, in whole heads"),
        Choice("attention.head_dim", HEAD_DIM, "products of 64 features fill a vector unit"),
        Choice("attention.heads", heads, "width / head_dim"),
        Choice("attention.kv_heads", kv_heads, "at most half the heads: half the cache"),
        Choice("feedforward.width", 3 * width, "3 x width: SwiGLU's three matrices near 2 of 4 x"),
        Choice("vocab_size", vocab_size, "the tokenizer's"),
        Choice("context_length", context_length, "longest prompt and answer together"),
        Choice("tied_embeddings", False, "a free input table learns faster: 2.04 for 2.20 bits"),
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
