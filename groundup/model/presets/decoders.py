"""Decoders from GPT-1 to LLaMA: each token sees what came before it."""

from groundup.kernels import Pattern

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .preset import Preset

SOURCES = {
    "GPT-1": "Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
    "GPT-2": "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
    "GPT-3": "Brown et al. 2020, arXiv:2005.14165, table 2.1",
    "Jurassic-1": "Lieber et al. 2021, Jurassic-1: Technical Details and Evaluation",
    "Gopher": "Rae et al. 2021, arXiv:2112.11446, table 1",
    "Chinchilla": "Hoffmann et al. 2022, arXiv:2203.15556, table 4",
    "LaMDA": "Thoppilan et al. 2022, arXiv:2201.08239",
    "LLaMA": "Touvron et al. 2023, arXiv:2302.13971, table 2",
}
SPECIAL = {
    "GPT-1": "one decoder pre-trained on books, then fine-tuned on each task",
    "GPT-2": "norms before each part, bytes as the alphabet, tasks without training",
    "GPT-3": "few-shot tasks by size alone; every second layer sees a band",
    "Jurassic-1": "wider and less deep than GPT-3, a vocabulary of 256,000 with whole phrases",
    "Gopher": "RMS norms and Transformer-XL's distances, 280 billion parameters",
    "Chinchilla": "four times smaller than Gopher and trained on four times as much",
    "LaMDA": "gated GELU and T5's buckets of distances, tuned for dialogue and grounding",
    "LLaMA": "rotary positions, SwiGLU and RMS norms, trained on public text alone",
}
NOT_SAID = "The band's width is not in the paper: 128 tokens here."


def gpt(
    layers: int, width: int, heads: int, vocab_size: int, context_length: int, *,
    place: str = "pre", head_dim: int | None = None, patterns: tuple[Pattern, ...] = (Pattern(),),
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
        norm=NormConfig(kind="layer", eps=1e-5, place="post" if place == "post" else "pre"),
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
    rows = [
        ("gpt-1", gpt(12, 768, 12, 40_478, 512, place="post"), "GPT-1",
         "", "The paper prints no number; 117M is told of it later."),
        *gpt2_rows(), *gpt3_rows(), *google_rows(),
        ("jurassic-1-7.5b", gpt(32, 4096, 32, 256_000, 2048), "Jurassic-1", "7.5B", ""),
        ("jurassic-1-178b", gpt(76, 13_824, 96, 256_000, 2048), "Jurassic-1", "178B", ""),
        ("llama-7b", llama(32, 4096, 32, 11_008), "LLaMA", "6.7B", ""),
        ("llama-13b", llama(40, 5120, 40, 13_824), "LLaMA", "13.0B", ""),
        ("llama-33b", llama(60, 6656, 52, 17_920), "LLaMA", "32.5B", ""),
        ("llama-65b", llama(80, 8192, 64, 22_016), "LLaMA", "65.2B", ""),
    ]  # fmt: skip
    return [
        Preset(name, config, family, "causal", SPECIAL[family], SOURCES[family], paper, differs)
        for name, config, family, paper, differs in rows
    ]


Row = tuple[str, ModelConfig, str, str, str]


def gpt2_rows() -> list[Row]:
    """GPT-2's four sizes."""
    wrong = "The paper's number is too small for its own shape; its authors corrected it later."
    return [
        ("gpt-2", gpt(12, 768, 12, 50_257, 1024), "GPT-2", "117M", wrong),
        ("gpt-2-medium", gpt(24, 1024, 16, 50_257, 1024), "GPT-2", "345M", wrong),
        ("gpt-2-large", gpt(36, 1280, 20, 50_257, 1024), "GPT-2", "762M", wrong),
        ("gpt-2-xl", gpt(48, 1600, 25, 50_257, 1024), "GPT-2", "1542M", wrong),
    ]


def gpt3_rows() -> list[Row]:
    """GPT-3's eight sizes."""
    heads = NOT_SAID + " The paper's 24 heads of 128 are not its 2,048 features: 16 heads here."
    return [
        ("gpt-3-125m", gpt3(12, 768, 12, 64), "GPT-3", "125M", NOT_SAID),
        ("gpt-3-350m", gpt3(24, 1024, 16, 64), "GPT-3", "350M", NOT_SAID),
        ("gpt-3-760m", gpt3(24, 1536, 16, 96), "GPT-3", "760M", NOT_SAID),
        ("gpt-3-1.3b", gpt3(24, 2048, 16, 128), "GPT-3", "1.3B", heads),
        ("gpt-3-2.7b", gpt3(32, 2560, 32, 80), "GPT-3", "2.7B", NOT_SAID),
        ("gpt-3-6.7b", gpt3(32, 4096, 32, 128), "GPT-3", "6.7B", NOT_SAID),
        ("gpt-3-13b", gpt3(40, 5140, 40, 128), "GPT-3", "13.0B", NOT_SAID),
        ("gpt-3-175b", gpt3(96, 12_288, 96, 128), "GPT-3", "175.0B", NOT_SAID),
    ]


def google_rows() -> list[Row]:
    """Gopher, Chinchilla and LaMDA."""
    outside = "The paper counts without embeddings, and does not say the context: 2,048 here."
    return [
        ("gopher-44m", gopher(8, 512, 16, 32), "Gopher", "44M", ""),
        ("gopher-117m", gopher(12, 768, 12, 64), "Gopher", "117M", ""),
        ("gopher-417m", gopher(12, 1536, 12, 128), "Gopher", "417M", ""),
        ("gopher-1.4b", gopher(24, 2048, 16, 128), "Gopher", "1.4B", ""),
        ("gopher-7.1b", gopher(32, 4096, 32, 128), "Gopher", "7.1B", ""),
        ("gopher-280b", gopher(80, 16_384, 128, 128), "Gopher", "280B", ""),
        ("chinchilla-70b", gopher(80, 8192, 64, 128), "Chinchilla", "70B", ""),
        ("lamda-2b", lamda(10, 2560, 40), "LaMDA", "2B", outside),
        ("lamda-8b", lamda(16, 4096, 64), "LaMDA", "8B", outside),
        ("lamda-137b", lamda(64, 8192, 128), "LaMDA", "137B", outside),
    ]
