"""The decoders that people open today: LLaMA's block with small changes."""

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
from .preset import Preset

SOURCES = {
    "Llama 3": "Grattafiori et al. 2024, arXiv:2407.21783",
    "Mistral": "Jiang et al. 2023, arXiv:2310.06825",
    "Qwen 2": "Yang et al. 2024, arXiv:2407.10671",
    "Qwen 3": "Yang et al. 2025, arXiv:2505.09388",
    "Gemma 3": "Gemma Team 2025, arXiv:2503.19786",
    "OLMo 2": "OLMo Team 2024, arXiv:2501.00656",
}
SPECIAL = {
    "Llama 3": "a vocabulary of 128,000, grouped keys, rotary angles stretched by bands",
    "Mistral": "grouped keys, and a window of 4,096 tokens in every layer",
    "Qwen 2": "biases of queries, keys and values alone",
    "Qwen 3": "queries and keys normed by head",
    "Gemma 3": "five layers with a window to one without, norms on both sides, scaled embeddings",
    "OLMo 2": "norms after each part, before the sum; queries and keys normed whole",
}


def decoder(
    shape: tuple[int, int, int, int, int, int], vocab_size: int, context_length: int, *,
    base: float, eps: float = 1e-6, tied: bool = False, scaling: RopeScaling | None = None,
    bias: str = "none", qk_norm: str = "none", pattern: Pattern | None = None, place: str = "pre",
) -> ModelConfig:  # fmt: skip
    """A decoder of LLaMA's kind; shape is layers, width, heads, kv_heads, head_dim, inner."""
    layers, width, heads, kv_heads, head_dim, inner = shape
    return ModelConfig(
        vocab_size=vocab_size, width=width, layers=layers, context_length=context_length,
        attention=AttentionConfig(
            heads=heads, kv_heads=kv_heads, head_dim=head_dim,
            qk_norm=qk_norm, bias=bias, patterns=(pattern or Pattern(),),  # type: ignore[arg-type]
        ),
        feedforward=FeedForwardConfig(width=inner),
        position=PositionConfig(base=base, scaling=scaling or RopeScaling()),
        norm=NormConfig(eps=eps, place=place),  # type: ignore[arg-type]
        tied_embeddings=tied,
    )  # fmt: skip


def llama3(shape: tuple[int, int, int, int, int, int], factor: float, *, tied: bool) -> ModelConfig:
    """Llama 3's shape; a factor above 1 stretches its 8,192 tokens to 131,072."""
    scaling, length = RopeScaling(), 8192
    if factor > 1:
        scaling, length = RopeScaling(kind="llama3", factor=factor, original_length=8192), 131_072
    return decoder(shape, 128_256, length, base=500_000.0, eps=1e-5, tied=tied, scaling=scaling)


def gemma3(
    shape: tuple[int, int, int, int, int, int], window: int, *,
    factor: float = 1.0, scale: float | None = None, context_length: int = 131_072,
) -> ModelConfig:  # fmt: skip
    """Gemma 3's shape: text alone."""
    layers, width, heads, kv_heads, head_dim, inner = shape
    near = Pattern("window", window=window)
    scaling = RopeScaling(kind="linear", factor=factor) if factor > 1 else RopeScaling()
    return ModelConfig(
        vocab_size=262_144, width=width, layers=layers, context_length=context_length,
        attention=AttentionConfig(
            heads=heads, kv_heads=kv_heads, head_dim=head_dim, scale=scale,
            patterns=(near, near, near, near, near, Pattern()),
        ),
        feedforward=FeedForwardConfig(width=inner, activation="gelu_tanh"),
        position=PositionConfig(base=1_000_000.0, window_base=10_000.0, scaling=scaling),
        norm=NormConfig(place="sandwich", zero_centred=True),
        embedding=EmbeddingConfig(scale=width**0.5),
    )  # fmt: skip


Row = tuple[str, ModelConfig, str, str, str]


def presets() -> list[Preset]:
    """All of them."""
    window = Pattern("window", window=4096)
    mistral = decoder((32, 4096, 32, 8, 128, 14_336), 32_000, 32_768, base=10_000.0, eps=1e-5,
                      pattern=window)  # fmt: skip
    rows: list[Row] = [
        ("llama-3-8b", llama3((32, 4096, 32, 8, 128, 14_336), 1, tied=False), "Llama 3", "8B", ""),
        ("llama-3-70b", llama3((80, 8192, 64, 8, 128, 28_672), 1, tied=False), "Llama 3", "70B",
         ""),
        ("llama-3.1-8b", llama3((32, 4096, 32, 8, 128, 14_336), 8, tied=False), "Llama 3", "8B",
         ""),
        ("llama-3.2-1b", llama3((16, 2048, 32, 8, 64, 8192), 32, tied=True), "Llama 3", "",
         "After the paper; its card says 1.23B."),
        ("llama-3.2-3b", llama3((28, 3072, 24, 8, 128, 8192), 32, tied=True), "Llama 3", "",
         "After the paper; its card says 3.21B."),
        ("mistral-7b", mistral, "Mistral", "7B", ""),
        *qwen_rows(), *gemma_rows(), *olmo_rows(),
    ]  # fmt: skip
    return [
        Preset(name, config, family, "causal", SPECIAL[family], SOURCES[family], paper, differs)
        for name, config, family, paper, differs in rows
    ]


def qwen_rows() -> list[Row]:
    """Qwen 2 and Qwen 3, dense."""
    two = {
        "qwen-2-0.5b": ((24, 896, 14, 2, 64, 4864), 151_936, True, "0.49B"),
        "qwen-2-1.5b": ((28, 1536, 12, 2, 128, 8960), 151_936, True, "1.54B"),
        "qwen-2-7b": ((28, 3584, 28, 4, 128, 18_944), 152_064, False, "7.62B"),
        "qwen-2-72b": ((80, 8192, 64, 8, 128, 29_568), 152_064, False, "72.71B"),
    }
    three = {
        "qwen-3-0.6b": ((28, 1024, 16, 8, 128, 3072), True, "0.6B"),
        "qwen-3-1.7b": ((28, 2048, 16, 8, 128, 6144), True, "1.7B"),
        "qwen-3-4b": ((36, 2560, 32, 8, 128, 9728), True, "4B"),
        "qwen-3-8b": ((36, 4096, 32, 8, 128, 12_288), False, "8B"),
        "qwen-3-14b": ((40, 5120, 40, 8, 128, 17_408), False, "14B"),
        "qwen-3-32b": ((64, 5120, 64, 8, 128, 25_600), False, "32B"),
    }
    rows = [
        (name, decoder(shape, vocab, 32_768, base=1e6, tied=tied, bias="qkv"), "Qwen 2", paper, "")
        for name, (shape, vocab, tied, paper) in two.items()
    ]
    return rows + [
        (name, decoder(shape, 151_936, 40_960, base=1e6, tied=tied, qk_norm="head"), "Qwen 3",
         paper, "")
        for name, (shape, tied, paper) in three.items()
    ]  # fmt: skip


def gemma_rows() -> list[Row]:
    """Gemma 3's texts."""
    vision = "The report adds its parts: embeddings {}, the rest {}; a vision encoder on top."
    return [
        ("gemma-3-270m", gemma3((18, 640, 4, 1, 256, 2048), 512, context_length=32_768),
         "Gemma 3", "", "After the report; its maker says 270M."),
        ("gemma-3-1b", gemma3((26, 1152, 4, 1, 256, 6912), 512, context_length=32_768),
         "Gemma 3", "1B", "The report adds its parts: embeddings 302M, the rest 698M."),
        ("gemma-3-4b", gemma3((34, 2560, 8, 4, 256, 10_240), 1024, factor=8.0),
         "Gemma 3", "4B", vision.format("675M", "3,209M")),
        ("gemma-3-12b", gemma3((48, 3840, 16, 8, 256, 15_360), 1024, factor=8.0),
         "Gemma 3", "12B", vision.format("1,012M", "10,759M")),
        ("gemma-3-27b",
         gemma3((62, 5376, 32, 16, 128, 21_504), 1024, scale=168**-0.5, factor=8.0),
         "Gemma 3", "27B", vision.format("1,416M", "25,600M")),
    ]  # fmt: skip


def olmo_rows() -> list[Row]:
    """OLMo 2's four sizes."""
    shapes = {
        "olmo-2-1b": ((16, 2048, 16, 16, 128, 8192), "", "After the report; its card says 1B."),
        "olmo-2-7b": ((32, 4096, 32, 32, 128, 11_008), "7B", ""),
        "olmo-2-13b": ((40, 5120, 40, 40, 128, 13_824), "13B", ""),
        "olmo-2-32b": ((64, 5120, 40, 8, 128, 27_648), "32B", ""),
    }
    return [
        (name, decoder(shape, 100_352, 4096, base=500_000.0, qk_norm="all", place="output"),
         "OLMo 2", paper, differs)
        for name, (shape, paper, differs) in shapes.items()
    ]  # fmt: skip
