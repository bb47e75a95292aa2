"""Mixtures of experts: far more weights than any one token uses."""

from ..config import (
    AttentionConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .encoder_decoders import t5
from .preset import Paper, Preset

CAPACITY = "An expert's capacity acts in training alone, and its even share counts padding too."
SWITCH = Paper(
    "Switch", "corruption", "one expert a token; what overflows an expert passes by",
    "Fedus et al. 2021, arXiv:2101.03961, table 9", CAPACITY,
)  # fmt: skip
GLAM = Paper(
    "GLaM", "causal", "two experts a token in every second layer, a third of GPT-3's energy",
    "Du et al. 2021, arXiv:2112.06905, table 4",
    "The paper's relative positions are a bias of each layer; one table serves all here. "
    + CAPACITY,
)  # fmt: skip
MIXTRAL = Paper(
    "Mixtral", "causal",
    "two of eight experts, their weights a softmax over the two; open weights",
    "Jiang et al. 2024, arXiv:2401.04088",
)  # fmt: skip


def switch(dense: ModelConfig, experts: int, every: int) -> ModelConfig:
    """A T5 whose feed-forwards, all or every second one, are experts."""
    feed = dense.feedforward
    return dense.model_copy(
        update={
            "feedforward": FeedForwardConfig(
                width=feed.width, activation="relu", gated=False,
                experts=ExpertsConfig(
                    count=experts, chosen=1, every=every, normalised=False, capacity_factor=1.25
                ),
            )
        }
    )  # fmt: skip


def glam(layers: int, width: int, heads: int, head_dim: int, experts: int) -> ModelConfig:
    """GLaM's shape: gated dense layers, plain experts between them."""
    return ModelConfig(
        vocab_size=256_000, width=width, layers=layers, context_length=1024,
        attention=AttentionConfig(heads=heads, kv_heads=heads, head_dim=head_dim, qk_norm="none"),
        feedforward=FeedForwardConfig(
            width=4 * width, activation="gelu_tanh",
            experts=ExpertsConfig(
                count=experts, chosen=2, every=2, gated=False, capacity_factor=2.0
            ),
        ),
        position=PositionConfig(kind="buckets"),
    )  # fmt: skip


def mixtral(shape: tuple[int, int, int, int], vocab_size: int, context_length: int) -> ModelConfig:
    """Mixtral's shape, a Mistral of experts; shape is layers, width, heads, inner."""
    layers, width, heads, inner = shape
    return ModelConfig(
        vocab_size=vocab_size, width=width, layers=layers, context_length=context_length,
        attention=AttentionConfig(heads=heads, kv_heads=8, head_dim=128, qk_norm="none"),
        feedforward=FeedForwardConfig(width=inner, experts=ExpertsConfig(count=8, chosen=2)),
        position=PositionConfig(base=1_000_000.0),
        norm=NormConfig(eps=1e-5),
        tied_embeddings=False,
    )  # fmt: skip


def presets() -> list[Preset]:
    """All of them."""
    base, largest = t5(12, 768, 12, 3072), t5(15, 2080, 32, 6144)
    few = "The paper prints the number with 128 experts only; the published weights begin at 8."
    inner = "The number fits without the embeddings: 1.88B."
    later = "Announced without a paper; its maker says 141B."
    small, large = (32, 4096, 32, 14_336), (56, 6144, 48, 16_384)
    return [
        SWITCH.preset("switch-base-8", switch(base, 8, 2), differs=few),
        SWITCH.preset("switch-base-128", switch(base, 128, 2), paper="7B"),
        SWITCH.preset("switch-c", switch(largest, 2048, 1), paper="1571B"),
        GLAM.preset("glam-1.9b", glam(12, 768, 12, 64, 64), paper="1.9B", differs=inner),
        GLAM.preset("glam-27b", glam(24, 2048, 16, 128, 64), paper="27B"),
        GLAM.preset("glam-143b", glam(32, 4096, 32, 128, 64), paper="143B"),
        GLAM.preset("glam-1.2t", glam(64, 8192, 128, 128, 64), paper="1.2T"),
        MIXTRAL.preset("mixtral-8x7b", mixtral(small, 32_000, 32_768), paper="47B"),
        MIXTRAL.preset("mixtral-8x22b", mixtral(large, 32_768, 65_536), differs=later),
    ]
