"""The decoders that people open today: LLaMA's block with small changes."""

from typing import Literal, NamedTuple

from groundup.kernels import Pattern

from ..config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    RopeScaling,
)
from .preset import Paper, Preset

LLAMA3 = Paper(
    "Llama 3", "causal",
    "a vocabulary of 128,000, grouped keys, rotary angles stretched by bands",
    "Grattafiori et al. 2024, arXiv:2407.21783",
)  # fmt: skip
MISTRAL = Paper(
    "Mistral", "causal", "grouped keys, and a window of 4,096 tokens in every layer",
    "Jiang et al. 2023, arXiv:2310.06825",
)  # fmt: skip
QWEN2 = Paper(
    "Qwen 2", "causal", "biases of queries, keys and values alone",
    "Yang et al. 2024, arXiv:2407.10671",
)  # fmt: skip
QWEN3 = Paper(
    "Qwen 3", "causal", "queries and keys normed by head", "Yang et al. 2025, arXiv:2505.09388"
)
GEMMA3 = Paper(
    "Gemma 3", "causal",
    "five layers with a window to one without, norms on both sides, scaled embeddings",
    "Gemma Team 2025, arXiv:2503.19786",
)  # fmt: skip
OLMO2 = Paper(
    "OLMo 2", "causal", "norms after each part, before the sum; queries and keys normed whole",
    "OLMo Team 2024, arXiv:2501.00656",
)  # fmt: skip


class Shape(NamedTuple):
    """Sizes of a decoder."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    """Width of the feed-forward."""


def decoder(
    shape: Shape, vocab_size: int, context_length: int, *,
    base: float, eps: float = 1e-6, tied: bool = False, scaling: RopeScaling | None = None,
    bias: Literal["none", "qkv"] = "none", qk_norm: Literal["none", "head", "all"] = "none",
    pattern: Pattern | None = None, place: Literal["pre", "output"] = "pre",
) -> ModelConfig:  # fmt: skip
    """A decoder of LLaMA's kind."""
    return ModelConfig(
        vocab_size=vocab_size, width=shape.width, layers=shape.layers,
        context_length=context_length,
        attention=AttentionConfig(
            heads=shape.heads, kv_heads=shape.kv_heads, head_dim=shape.head_dim,
            qk_norm=qk_norm, bias=bias, patterns=(pattern or Pattern(),),
        ),
        feedforward=FeedForwardConfig(width=shape.inner),
        position=PositionConfig(base=base, scaling=scaling or RopeScaling()),
        norm=NormConfig(eps=eps, place=place),
        tied_embeddings=tied,
    )  # fmt: skip


def llama3(shape: Shape, factor: float, *, tied: bool) -> ModelConfig:
    """Llama 3's shape; a factor above 1 stretches its 8,192 tokens to 131,072."""
    scaling, length = RopeScaling(), 8192
    if factor > 1:
        scaling, length = RopeScaling(kind="llama3", factor=factor, original_length=8192), 131_072
    return decoder(shape, 128_256, length, base=500_000.0, eps=1e-5, tied=tied, scaling=scaling)


def gemma3(
    shape: Shape, window: int, *,
    factor: float = 1.0, scale: float | None = None, context_length: int = 131_072,
) -> ModelConfig:  # fmt: skip
    """Gemma 3's shape: text alone."""
    near = Pattern("window", window=window)
    scaling = RopeScaling(kind="linear", factor=factor) if factor > 1 else RopeScaling()
    return ModelConfig(
        vocab_size=262_144, width=shape.width, layers=shape.layers,
        context_length=context_length,
        attention=AttentionConfig(
            heads=shape.heads, kv_heads=shape.kv_heads, head_dim=shape.head_dim, scale=scale,
            patterns=(near, near, near, near, near, Pattern()),
        ),
        feedforward=FeedForwardConfig(width=shape.inner, activation="gelu_tanh"),
        position=PositionConfig(base=1_000_000.0, window_base=10_000.0, scaling=scaling),
        norm=NormConfig(place="sandwich", zero_centred=True),
        embedding=EmbeddingConfig(scale=shape.width**0.5),
    )  # fmt: skip


def presets() -> list[Preset]:
    """All of them."""
    mistral = decoder(
        Shape(32, 4096, 32, 8, 128, 14_336), 32_000, 32_768, base=10_000.0, eps=1e-5,
        pattern=Pattern("window", window=4096),
    )  # fmt: skip
    return [
        *llama3_sizes(), MISTRAL.preset("mistral-7b", mistral, paper="7B"),
        *qwen2_sizes(), *qwen3_sizes(), *gemma3_sizes(), *olmo2_sizes(),
    ]  # fmt: skip


def llama3_sizes() -> list[Preset]:
    """Llama 3, 3.1 and 3.2."""
    eight, seventy = Shape(32, 4096, 32, 8, 128, 14_336), Shape(80, 8192, 64, 8, 128, 28_672)
    one, three = Shape(16, 2048, 32, 8, 64, 8192), Shape(28, 3072, 24, 8, 128, 8192)
    after = "After the paper; its card says {}."
    return [
        LLAMA3.preset("llama-3-8b", llama3(eight, 1, tied=False), paper="8B"),
        LLAMA3.preset("llama-3-70b", llama3(seventy, 1, tied=False), paper="70B"),
        LLAMA3.preset("llama-3.1-8b", llama3(eight, 8, tied=False), paper="8B"),
        LLAMA3.preset("llama-3.2-1b", llama3(one, 32, tied=True), differs=after.format("1.23B")),
        LLAMA3.preset("llama-3.2-3b", llama3(three, 32, tied=True), differs=after.format("3.21B")),
    ]


def qwen2_sizes() -> list[Preset]:
    """Qwen 2's four dense ones."""

    def config(shape: Shape, vocab_size: int, *, tied: bool) -> ModelConfig:
        return decoder(shape, vocab_size, 32_768, base=1e6, tied=tied, bias="qkv")

    half, one = Shape(24, 896, 14, 2, 64, 4864), Shape(28, 1536, 12, 2, 128, 8960)
    seven, most = Shape(28, 3584, 28, 4, 128, 18_944), Shape(80, 8192, 64, 8, 128, 29_568)
    return [
        QWEN2.preset("qwen-2-0.5b", config(half, 151_936, tied=True), paper="0.49B"),
        QWEN2.preset("qwen-2-1.5b", config(one, 151_936, tied=True), paper="1.54B"),
        QWEN2.preset("qwen-2-7b", config(seven, 152_064, tied=False), paper="7.62B"),
        QWEN2.preset("qwen-2-72b", config(most, 152_064, tied=False), paper="72.71B"),
    ]


def qwen3_sizes() -> list[Preset]:
    """Qwen 3's six dense ones; the small ones tie their embeddings."""
    tied = {
        "0.6B": Shape(28, 1024, 16, 8, 128, 3072),
        "1.7B": Shape(28, 2048, 16, 8, 128, 6144),
        "4B": Shape(36, 2560, 32, 8, 128, 9728),
    }
    free = {
        "8B": Shape(36, 4096, 32, 8, 128, 12_288),
        "14B": Shape(40, 5120, 40, 8, 128, 17_408),
        "32B": Shape(64, 5120, 64, 8, 128, 25_600),
    }
    return [
        QWEN3.preset(
            f"qwen-3-{size.lower()}",
            decoder(shape, 151_936, 40_960, base=1e6, tied=size in tied, qk_norm="head"),
            paper=size,
        )
        for size, shape in (tied | free).items()
    ]


def gemma3_sizes() -> list[Preset]:
    """Gemma 3's texts."""
    whole = "The report adds its parts: embeddings {}, the rest {}"
    vision = whole + "; a vision encoder on top."
    least = gemma3(Shape(18, 640, 4, 1, 256, 2048), 512, context_length=32_768)
    one = gemma3(Shape(26, 1152, 4, 1, 256, 6912), 512, context_length=32_768)
    four = gemma3(Shape(34, 2560, 8, 4, 256, 10_240), 1024, factor=8.0)
    twelve = gemma3(Shape(48, 3840, 16, 8, 256, 15_360), 1024, factor=8.0)
    most = gemma3(Shape(62, 5376, 32, 16, 128, 21_504), 1024, scale=168**-0.5, factor=8.0)
    after = "After the report; its maker says 270M."
    return [
        GEMMA3.preset("gemma-3-270m", least, differs=after),
        GEMMA3.preset("gemma-3-1b", one, paper="1B", differs=whole.format("302M", "698M") + "."),
        GEMMA3.preset("gemma-3-4b", four, paper="4B", differs=vision.format("675M", "3,209M")),
        GEMMA3.preset("gemma-3-12b", twelve, paper="12B",
                      differs=vision.format("1,012M", "10,759M")),
        GEMMA3.preset("gemma-3-27b", most, paper="27B",
                      differs=vision.format("1,416M", "25,600M")),
    ]  # fmt: skip


def olmo2_sizes() -> list[Preset]:
    """OLMo 2's four."""

    def config(*shape: int) -> ModelConfig:
        sizes = Shape(*shape)
        return decoder(sizes, 100_352, 4096, base=500_000.0, qk_norm="all", place="output")

    after = "After the report; its card says 1B."
    return [
        OLMO2.preset("olmo-2-1b", config(16, 2048, 16, 16, 128, 8192), differs=after),
        OLMO2.preset("olmo-2-7b", config(32, 4096, 32, 32, 128, 11_008), paper="7B"),
        OLMO2.preset("olmo-2-13b", config(40, 5120, 40, 40, 128, 13_824), paper="13B"),
        OLMO2.preset("olmo-2-32b", config(64, 5120, 40, 8, 128, 27_648), paper="32B"),
    ]
