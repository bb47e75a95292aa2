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
from .preset import Paper, Preset

BERT = Paper(
    "BERT", "masked", "masked tokens and the next sentence, both sides seen",
    "Devlin et al. 2018, arXiv:1810.04805",
    "Its own objective here is the masked tokens alone; objective=next_sentence trains both.",
)  # fmt: skip
ROBERTA = Paper(
    "RoBERTa", "masked", "masks drawn anew each time, no next sentence, more text",
    "Liu et al. 2019, arXiv:1907.11692",
)  # fmt: skip
SPANBERT = Paper(
    "SpanBERT", "boundary", "whole spans masked and told from the tokens at their edges",
    "Joshi et al. 2019, arXiv:1907.10529",
)  # fmt: skip
MODERNBERT = Paper(
    "ModernBERT", "masked",
    "rotary positions, gates, windows in two of three layers, 8,192 tokens",
    "Warner et al. 2024, arXiv:2412.13663",
)  # fmt: skip


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
    pooler = "The pooler over [CLS], {} parameters, is a head here and not counted."
    untold = "The paper prints only the large one's number"
    base, large = (12, 768), (24, 1024)
    return [
        BERT.preset("bert-base", bert(*base, 30_522), paper="110M",
                    differs=pooler.format("590,592")),
        BERT.preset("bert-large", bert(*large, 30_522), paper="340M",
                    differs=pooler.format("1,049,600")),
        ROBERTA.preset("roberta-base", roberta(*base), differs=untold + "."),
        ROBERTA.preset("roberta-large", roberta(*large), paper="355M"),
        SPANBERT.preset("spanbert-base", bert(*base, 28_996),
                        differs=untold + "; the span head comes on top."),
        SPANBERT.preset("spanbert-large", bert(*large, 28_996), paper="340M",
                        differs="The paper's number is BERT's, of a larger vocabulary; "
                        "the span head on top."),
        MODERNBERT.preset("modernbert-base", modernbert(22, 768, 1152), paper="149M"),
        MODERNBERT.preset("modernbert-large", modernbert(28, 1024, 2624), paper="395M"),
    ]  # fmt: skip


def roberta(layers: int, width: int) -> ModelConfig:
    """RoBERTa's shape: BERT's with one type and places that begin after the padding's id."""
    return bert(layers, width, 50_265, types=1, offset=2, eps=1e-5)
