"""A single dial, the depth, from which every size of a model is derived, each with its reason."""

from typing import Any, NamedTuple

from groundup.core import ConfigError

from .config import AttentionConfig, FeedForwardConfig, ModelConfig, largest_divisor


class DerivedConfig(NamedTuple):
    """A configuration and the reason for each of its sizes."""

    config: ModelConfig
    choices: tuple[tuple[str, Any, str], ...]
    """Name, value and reason of each size."""

    def __str__(self) -> str:
        """One line per value: name, value, reason."""
        return "\n".join(f"{name:<24}{value!s:>10}  {why}" for name, value, why in self.choices)


WIDTH_PER_LAYER = 256 / 5
HEAD_DIM = 64


def from_depth(
    depth: int, vocab_size: int, context_length: int = 2048, *, width: int | None = None
) -> DerivedConfig:
    """Derive a model's sizes from its number of layers.

    width  features of a token, a multiple of 64; None: derived from the depth

    >>> config = from_depth(5, 4096).config
    >>> config.width, config.attention.heads, config.attention.kv_heads, config.feedforward.width
    (256, 4, 2, 768)

    Raises ConfigError if depth is less than 1 or width is not a multiple of 64.
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
        ("layers", depth, "the dial"),
        ("width", width, reason),
        ("attention.head_dim", HEAD_DIM, "products of 64 features fill a vector unit"),
        ("attention.heads", heads, "width / head_dim"),
        ("attention.kv_heads", kv_heads, "at most half the heads: half the cache"),
        ("feedforward.width", 3 * width, "3 x width: SwiGLU's three matrices near 2 of 4 x"),
        ("vocab_size", vocab_size, "the tokenizer's"),
        ("context_length", context_length, "longest prompt and answer together"),
        ("tied_embeddings", False, "a free input table learns faster: 2.04 for 2.20 bits"),
    )
    config = ModelConfig(
        vocab_size=vocab_size,
        width=width,
        layers=depth,
        context_length=context_length,
        attention=AttentionConfig(heads=heads, kv_heads=kv_heads, head_dim=HEAD_DIM),
        feedforward=FeedForwardConfig(width=3 * width),
        tied_embeddings=False,
    )
    return DerivedConfig(config, choices)
