"""Encoders: every token sees every other; trained by filling in what was hidden."""

from groundup.kernels import Pattern

from ..config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from .preset import Preset

BERT = "Devlin et al. 2018, arXiv:1810.04805"
ROBERTA = "Liu et al. 2019, arXiv:1907.11692"
SPANBERT = "Joshi et al. 2019, arXiv:1907.10529"
MODERNBERT = "Warner et al. 2024, arXiv:2412.13663"


def bert(
    layers: int, width: int, vocab_size: int, *, types: int = 2, offset: int = 0, eps: float = 1e-12
) -> ModelConfig:
    """BERT's shape: norms after the sum, learned places, a dense layer before the logits."""
    return ModelConfig(
        kind="encoder", vocab_size=vocab_size, width=width, layers=layers, context_length=512,
        attention=AttentionConfig(
            heads=width // 64, kv_heads=width // 64, qk_norm="none", bias="all"
        ),
        feedforward=FeedForwardConfig(width=4 * width, activation="gelu", gated=False, bias=True),
        position=PositionConfig(kind="learned", offset=offset),
        norm=NormConfig(kind="layer", eps=eps, place="post"),
        embedding=EmbeddingConfig(norm=True, types=types),
        output=OutputConfig(transform="dense", bias=True),
    )  # fmt: skip


def modernbert(layers: int, width: int, inner: int) -> ModelConfig:
    """ModernBERT's shape: two of three layers see 64 tokens to each side."""
    near = Pattern("window", window=65)
    return ModelConfig(
        kind="encoder", vocab_size=50_368, width=width, layers=layers, context_length=8192,
        attention=AttentionConfig(
            heads=width // 64, kv_heads=width // 64, qk_norm="none",
            patterns=(Pattern(), near, near),
        ),
        feedforward=FeedForwardConfig(width=inner, activation="gelu"),
        position=PositionConfig(base=160_000.0, window_base=10_000.0),
        norm=NormConfig(kind="layer", eps=1e-5, bias=False),
        embedding=EmbeddingConfig(norm=True),
        output=OutputConfig(transform="dense", dense_bias=False, bias=True),
    )  # fmt: skip


def presets() -> list[Preset]:
    """All of them."""
    special = {
        "BERT": "masked tokens and the next sentence, both sides seen",
        "RoBERTa": "masks drawn anew each time, no next sentence, more text",
        "SpanBERT": "whole spans masked and told from the tokens at their edges",
        "ModernBERT": "rotary positions, gates, windows in two of three layers, 8,192 tokens",
    }
    pooler = "The pooler over [CLS], {} parameters, is a head here and not counted."
    rows = [
        ("bert-base", bert(12, 768, 30_522), "BERT", BERT, "110M", pooler.format("590,592")),
        ("bert-large", bert(24, 1024, 30_522), "BERT", BERT, "340M", pooler.format("1,049,600")),
        ("roberta-base", bert(12, 768, 50_265, types=1, offset=2, eps=1e-5), "RoBERTa", ROBERTA,
         "", "The paper prints only the large one's number."),
        ("roberta-large", bert(24, 1024, 50_265, types=1, offset=2, eps=1e-5), "RoBERTa", ROBERTA,
         "355M", ""),
        ("spanbert-base", bert(12, 768, 28_996, types=2), "SpanBERT", SPANBERT,
         "", "The paper prints only the large one's number; the span head comes on top."),
        ("spanbert-large", bert(24, 1024, 28_996, types=2), "SpanBERT", SPANBERT,
         "340M", "The paper's number is BERT's, of a larger vocabulary; the span head on top."),
        ("modernbert-base", modernbert(22, 768, 1152), "ModernBERT", MODERNBERT, "149M", ""),
        ("modernbert-large", modernbert(28, 1024, 2624), "ModernBERT", MODERNBERT, "395M", ""),
    ]  # fmt: skip
    return [
        Preset(
            name, config, family, "boundary" if family == "SpanBERT" else "masked", special[family],
            source, paper, differs,
        )
        for name, config, family, source, paper, differs in rows
    ]  # fmt: skip
