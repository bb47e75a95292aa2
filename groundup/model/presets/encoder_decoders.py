"""Encoder–decoders: one side reads the whole source, the other writes and looks back at it."""

import math

from ..config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from .preset import Paper, Preset

T5 = Paper(
    "T5", "corruption", "every task as text to text; spans told by sentinels",
    "Raffel et al. 2019, arXiv:1910.10683",
)  # fmt: skip
BART = Paper(
    "BART", "denoising",
    "an autoencoder: the text is damaged in several ways and written out whole",
    "Lewis et al. 2019, arXiv:1910.13461",
)  # fmt: skip


def t5(layers: int, width: int, heads: int, inner: int, head_dim: int = 64) -> ModelConfig:
    """T5's shape: buckets of distances, no biases, scores not scaled."""
    return ModelConfig(
        kind="encoder_decoder", encoder_layers=layers, layers=layers, vocab_size=32_128,
        width=width, context_length=512,
        attention=AttentionConfig(
            heads=heads, kv_heads=heads, head_dim=head_dim, qk_norm="none", scale=1.0
        ),
        feedforward=FeedForwardConfig(width=inner, activation="relu", gated=False),
        position=PositionConfig(kind="buckets"),
        output=OutputConfig(scale=1 / math.sqrt(width)),
    )  # fmt: skip


def bart(layers: int, width: int) -> ModelConfig:
    """BART's shape: BERT's blocks on both sides."""
    return ModelConfig(
        kind="encoder_decoder", encoder_layers=layers, layers=layers, vocab_size=50_265,
        width=width, context_length=1024,
        attention=AttentionConfig(
            heads=width // 64, kv_heads=width // 64, qk_norm="none", bias="all"
        ),
        feedforward=FeedForwardConfig(width=4 * width, activation="gelu", gated=False, bias=True),
        position=PositionConfig(kind="learned", offset=2),
        norm=NormConfig(kind="layer", eps=1e-5, place="post"),
        embedding=EmbeddingConfig(norm=True),
        output=OutputConfig(bias=True),
    )  # fmt: skip


def presets() -> list[Preset]:
    """All of them."""
    wrong = "The paper's number is not its shape's; the published weights have 738M, as here."
    untold = "The paper prints no number; its code's page says {}."
    return [
        T5.preset("t5-small", t5(6, 512, 8, 2048), paper="60M"),
        T5.preset("t5-base", t5(12, 768, 12, 3072), paper="220M"),
        T5.preset("t5-large", t5(24, 1024, 16, 4096), paper="770M", differs=wrong),
        T5.preset("t5-3b", t5(24, 1024, 32, 16_384, 128), paper="2.8B"),
        T5.preset("t5-11b", t5(24, 1024, 128, 65_536, 128), paper="11B"),
        BART.preset("bart-base", bart(6, 768), differs=untold.format("140M")),
        BART.preset("bart-large", bart(12, 1024), differs=untold.format("400M")),
    ]
