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
from .preset import Preset

SOURCES = {
    "Switch": "Fedus et al. 2021, arXiv:2101.03961, table 9",
    "GLaM": "Du et al. 2021, arXiv:2112.06905, table 4",
    "Mixtral": "Jiang et al. 2024, arXiv:2401.04088",
}
SPECIAL = {
    "Switch": "one expert a token; what overflows an expert passes by",
    "GLaM": "two experts a token in every second layer, a third of GPT-3's energy",
    "Mixtral": "two of eight experts, their weights a softmax over the two; open weights",
}


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


def mixtral(layers: int, width: int, heads: int, inner: int, context_length: int) -> ModelConfig:
    """Mixtral's shape: a Mistral of experts."""
    return ModelConfig(
        vocab_size=32_000 if width == 4096 else 32_768, width=width, layers=layers,
        context_length=context_length,
        attention=AttentionConfig(heads=heads, kv_heads=8, head_dim=128, qk_norm="none"),
        feedforward=FeedForwardConfig(width=inner, experts=ExpertsConfig(count=8, chosen=2)),
        position=PositionConfig(base=1_000_000.0),
        norm=NormConfig(eps=1e-5),
        tied_embeddings=False,
    )  # fmt: skip


def presets() -> list[Preset]:
    """All of them."""
    base = t5(12, 768, 12, 3072)
    shared = "The paper's relative positions are a bias of each layer; one table serves all here."
    rows = [
        ("switch-base-8", switch(base, 8, 2), "Switch", "",
         "The paper prints the number with 128 experts only; the published weights begin at 8."),
        ("switch-base-128", switch(base, 128, 2), "Switch", "7B", ""),
        ("switch-c", switch(t5(15, 2080, 32, 6144), 2048, 1), "Switch", "1571B", ""),
        ("glam-1.9b", glam(12, 768, 12, 64, 64), "GLaM", "1.9B",
         shared + " The number fits without the embeddings: 1.88B."),
        ("glam-27b", glam(24, 2048, 16, 128, 64), "GLaM", "27B", shared),
        ("glam-143b", glam(32, 4096, 32, 128, 64), "GLaM", "143B", shared),
        ("glam-1.2t", glam(64, 8192, 128, 128, 64), "GLaM", "1.2T", shared),
        ("mixtral-8x7b", mixtral(32, 4096, 32, 14_336, 32_768), "Mixtral", "47B", ""),
        ("mixtral-8x22b", mixtral(56, 6144, 48, 16_384, 65_536), "Mixtral", "",
         "Announced without a paper; its maker says 141B."),
    ]  # fmt: skip
    return [
        Preset(name, config, family, "corruption" if family == "Switch" else "causal",
               SPECIAL[family], SOURCES[family], paper, differs)
        for name, config, family, paper, differs in rows
    ]  # fmt: skip
