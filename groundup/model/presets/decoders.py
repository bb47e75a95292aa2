"""Decoders from GPT-1 to LLaMA: each token sees what came before it."""

from typing import Literal

from groundup.kernels import Pattern

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .preset import Paper, Preset

GPT1 = Paper(
    "GPT-1", "causal", "one decoder pre-trained on books, then fine-tuned on each task",
    "Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
)  # fmt: skip
GPT2 = Paper(
    "GPT-2", "causal", "norms before each part, bytes as the alphabet, tasks without training",
    "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
)  # fmt: skip
GPT3 = Paper(
    "GPT-3", "causal", "few-shot tasks by size alone; every second layer sees a band",
    "Brown et al. 2020, arXiv:2005.14165, table 2.1",
    "The band's width is not in the paper: 128 tokens here, 32 in the tiny one.",
)  # fmt: skip
JURASSIC = Paper(
    "Jurassic-1", "causal",
    "wider and less deep than GPT-3, a vocabulary of 256,000 with whole phrases",
    "Lieber et al. 2021, Jurassic-1: Technical Details and Evaluation",
)  # fmt: skip
GOPHER = Paper(
    "Gopher", "causal", "RMS norms and Transformer-XL's distances, 280 billion parameters",
    "Rae et al. 2021, arXiv:2112.11446, table 1",
)  # fmt: skip
CHINCHILLA = Paper(
    "Chinchilla", "causal", "four times smaller than Gopher and trained on four times as much",
    "Hoffmann et al. 2022, arXiv:2203.15556, table 4",
)  # fmt: skip
LAMDA = Paper(
    "LaMDA", "causal",
    "gated GELU and T5's buckets of distances, tuned for dialogue and grounding",
    "Thoppilan et al. 2022, arXiv:2201.08239",
)  # fmt: skip
LLAMA = Paper(
    "LLaMA", "causal", "rotary positions, SwiGLU and RMS norms, trained on public text alone",
    "Touvron et al. 2023, arXiv:2302.13971, table 2",
)  # fmt: skip


def gpt(
    layers: int, width: int, heads: int, vocab_size: int, context_length: int, *,
    place: Literal["pre", "post"] = "pre", head_dim: int | None = None,
    patterns: tuple[Pattern, ...] = (Pattern(),),
) -> ModelConfig:  # fmt: skip
    """GPT's shape: learned places, biases, GELU, layer norms, tied embeddings."""
    return ModelConfig(
        vocab_size=vocab_size, width=width, layers=layers, context_length=context_length,
        attention=AttentionConfig(
            heads=heads, kv_heads=heads, head_dim=head_dim or width // heads, qk_norm="none",
            bias="all", patterns=patterns,
        ),
        feedforward=FeedForwardConfig(
            width=4 * width, activation="gelu_tanh", gated=False, bias=True
        ),
        position=PositionConfig(kind="learned"),
        norm=NormConfig(kind="layer", eps=1e-5, place=place),
    )  # fmt: skip


def gopher(layers: int, width: int, heads: int, head_dim: int) -> ModelConfig:
    """Gopher's and Chinchilla's shape: distances as in Transformer-XL, RMS norms, no biases."""
    return ModelConfig(
        vocab_size=32_000, width=width, layers=layers, context_length=2048,
        attention=AttentionConfig(heads=heads, kv_heads=heads, head_dim=head_dim, qk_norm="none"),
        feedforward=FeedForwardConfig(width=4 * width, activation="gelu_tanh", gated=False),
        position=PositionConfig(kind="transformer_xl"),
    )  # fmt: skip


def lamda(layers: int, width: int, heads: int) -> ModelConfig:
    """LaMDA's shape: feed-forwards of eight widths, gated."""
    return ModelConfig(
        vocab_size=32_000, width=width, layers=layers, context_length=2048,
        attention=AttentionConfig(heads=heads, kv_heads=heads, head_dim=128, qk_norm="none"),
        feedforward=FeedForwardConfig(width=8 * width, activation="gelu_tanh"),
        position=PositionConfig(kind="buckets"),
    )  # fmt: skip


def llama(layers: int, width: int, heads: int, inner: int) -> ModelConfig:
    """LLaMA's shape."""
    return ModelConfig(
        vocab_size=32_000, width=width, layers=layers, context_length=2048,
        attention=AttentionConfig(heads=heads, kv_heads=heads, head_dim=128, qk_norm="none"),
        feedforward=FeedForwardConfig(width=inner),
        tied_embeddings=False,
    )  # fmt: skip


def gpt3(layers: int, width: int, heads: int, head_dim: int) -> ModelConfig:
    """GPT-3's shape: dense layers and layers that see a band, in turns."""
    band = (Pattern(), Pattern("window", window=128))
    return gpt(layers, width, heads, 50_257, 2048, head_dim=head_dim, patterns=band)


def presets() -> list[Preset]:
    """All of them."""
    untold = "The paper prints no number; 117M is told of it later."
    return [
        GPT1.preset("gpt-1", gpt(12, 768, 12, 40_478, 512, place="post"), differs=untold),
        *gpt2_sizes(), *gpt3_sizes(), *gopher_sizes(), *lamda_sizes(),
        JURASSIC.preset("jurassic-1-7.5b", gpt(32, 4096, 32, 256_000, 2048), paper="7.5B"),
        JURASSIC.preset("jurassic-1-178b", gpt(76, 13_824, 96, 256_000, 2048), paper="178B"),
        LLAMA.preset("llama-7b", llama(32, 4096, 32, 11_008), paper="6.7B"),
        LLAMA.preset("llama-13b", llama(40, 5120, 40, 13_824), paper="13.0B"),
        LLAMA.preset("llama-33b", llama(60, 6656, 52, 17_920), paper="32.5B"),
        LLAMA.preset("llama-65b", llama(80, 8192, 64, 22_016), paper="65.2B"),
    ]  # fmt: skip


def gpt2_sizes() -> list[Preset]:
    """GPT-2's four."""
    sizes = {
        "gpt-2": (gpt(12, 768, 12, 50_257, 1024), "117M"),
        "gpt-2-medium": (gpt(24, 1024, 16, 50_257, 1024), "345M"),
        "gpt-2-large": (gpt(36, 1280, 20, 50_257, 1024), "762M"),
        "gpt-2-xl": (gpt(48, 1600, 25, 50_257, 1024), "1542M"),
    }
    wrong = "The paper's number is too small for its own shape; its authors corrected it later."
    return [
        GPT2.preset(name, config, paper=number, differs=wrong)
        for name, (config, number) in sizes.items()
    ]


def gpt3_sizes() -> list[Preset]:
    """GPT-3's eight."""
    fewer = "The paper's 24 heads of 128 are not its 2,048 features: 16 heads here."
    narrow = (
        "The paper's 40 heads of 128 are 5,120 features, not its 5,140: maps lead to each other."
    )
    return [
        GPT3.preset("gpt-3-125m", gpt3(12, 768, 12, 64), paper="125M"),
        GPT3.preset("gpt-3-350m", gpt3(24, 1024, 16, 64), paper="350M"),
        GPT3.preset("gpt-3-760m", gpt3(24, 1536, 16, 96), paper="760M"),
        GPT3.preset("gpt-3-1.3b", gpt3(24, 2048, 16, 128), paper="1.3B", differs=fewer),
        GPT3.preset("gpt-3-2.7b", gpt3(32, 2560, 32, 80), paper="2.7B"),
        GPT3.preset("gpt-3-6.7b", gpt3(32, 4096, 32, 128), paper="6.7B"),
        GPT3.preset("gpt-3-13b", gpt3(40, 5140, 40, 128), paper="13.0B", differs=narrow),
        GPT3.preset("gpt-3-175b", gpt3(96, 12_288, 96, 128), paper="175.0B"),
    ]


def gopher_sizes() -> list[Preset]:
    """Gopher's six, and Chinchilla."""
    return [
        GOPHER.preset("gopher-44m", gopher(8, 512, 16, 32), paper="44M"),
        GOPHER.preset("gopher-117m", gopher(12, 768, 12, 64), paper="117M"),
        GOPHER.preset("gopher-417m", gopher(12, 1536, 12, 128), paper="417M"),
        GOPHER.preset("gopher-1.4b", gopher(24, 2048, 16, 128), paper="1.4B"),
        GOPHER.preset("gopher-7.1b", gopher(32, 4096, 32, 128), paper="7.1B"),
        GOPHER.preset("gopher-280b", gopher(80, 16_384, 128, 128), paper="280B"),
        CHINCHILLA.preset("chinchilla-70b", gopher(80, 8192, 64, 128), paper="70B"),
    ]


def lamda_sizes() -> list[Preset]:
    """LaMDA's three."""
    outside = "The paper counts without embeddings, and does not say the context: 2,048 here."
    return [
        LAMDA.preset("lamda-2b", lamda(10, 2560, 40), paper="2B", differs=outside),
        LAMDA.preset("lamda-8b", lamda(16, 4096, 64), paper="8B", differs=outside),
        LAMDA.preset("lamda-137b", lamda(64, 8192, 128), paper="137B", differs=outside),
    ]
