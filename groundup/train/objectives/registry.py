"""Registry of the objectives by name."""

from torch import nn

from groundup.core import ConfigError
from groundup.model import Head, HeadConfig, ModelConfig, SpanBoundary
from groundup.tokenizer import (
    CLS,
    DOCUMENT_END,
    MASK,
    MIDDLE,
    PREFIX,
    SEPARATOR,
    SUFFIX,
)

from . import losses
from .decoder import causal_batch, middle_batch, prefix_batch
from .encoder import boundary_batch, masked_batch, pair_batch
from .encoder_decoder import corruption_batch, denoising_batch, required_sentinels
from .objective import Objective


def _pooler(config: ModelConfig) -> nn.Module:
    return Head(HeadConfig(kind="sequence", labels=2, inner="tanh"), config.width)


OBJECTIVES: dict[str, Objective] = {each.name: each for each in (
    Objective("causal", "decoder", "each next token", causal_batch, losses.causal_loss),
    Objective("prefix", "decoder", "each token after a bidirectional prefix", prefix_batch,
              losses.causal_loss),
    Objective("middle", "decoder", "the text between two texts", middle_batch,
              losses.causal_loss, (DOCUMENT_END, PREFIX, MIDDLE, SUFFIX)),
    Objective("masked", "encoder", "masked words", masked_batch, losses.masked_loss, (MASK,)),
    Objective("boundary", "encoder", "masked spans, from within and from their edges",
              boundary_batch, losses.span_boundary_loss, (MASK,), SpanBoundary),
    Objective("next_sentence", "encoder", "masked words, and whether one text follows another",
              pair_batch, losses.next_sentence_loss, (DOCUMENT_END, MASK, CLS, SEPARATOR),
              _pooler),
    Objective("corruption", "encoder_decoder", "spans that were removed", corruption_batch,
              losses.sequence_to_sequence_loss, (DOCUMENT_END,), None, required_sentinels),
    Objective("denoising", "encoder_decoder", "the original of a corrupted document",
              denoising_batch, losses.sequence_to_sequence_loss, (DOCUMENT_END, MASK)),
)}  # fmt: skip


def get_objective(name: str) -> Objective:
    """The objective of a name; ConfigError lists the valid ones."""
    if name not in OBJECTIVES:
        raise ConfigError(f"Unknown objective {name!r}; expected one of {', '.join(OBJECTIVES)}.")
    return OBJECTIVES[name]
