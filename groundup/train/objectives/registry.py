"""Registry of the objectives by name."""

from collections.abc import Iterable

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
    SPECIAL_SETS,
    SUFFIX,
    FastTokenizer,
    Loader,
    Shard,
)

from . import losses
from .causal import causal_batch, prefix_batch
from .corruption import corruption_batch, required_sentinels
from .denoising import denoising_batch
from .fill_in_middle import middle_batch
from .masked import masked_batch
from .next_sentence import pair_batch
from .objective import BatchInputs, NoiseConfig, Objective, ObjectiveContext
from .span_boundary import boundary_batch
from .token_properties import token_properties_of


def _pooler(config: ModelConfig) -> nn.Module:
    """BERT's pooler: a dense layer with tanh over [CLS], then two classes."""
    return Head(HeadConfig(kind="sequence", labels=2, inner="tanh"), config.width)


OBJECTIVES: dict[str, Objective] = {
    each.name: each
    for each in (
        Objective("causal", "decoder", "each next token", causal_batch, losses.causal_loss),
        Objective(
            "prefix",
            "decoder",
            "each token after a bidirectional prefix",
            prefix_batch,
            losses.causal_loss,
        ),
        Objective(
            "middle",
            "decoder",
            "the text between two texts",
            middle_batch,
            losses.causal_loss,
            (DOCUMENT_END, PREFIX, MIDDLE, SUFFIX),
        ),
        Objective("masked", "encoder", "masked words", masked_batch, losses.masked_loss, (MASK,)),
        Objective(
            "boundary",
            "encoder",
            "masked spans, from within and from their edges",
            boundary_batch,
            losses.span_boundary_loss,
            (MASK,),
            SpanBoundary,
        ),
        Objective(
            "next_sentence",
            "encoder",
            "masked words, and whether one text follows another",
            pair_batch,
            losses.next_sentence_loss,
            (DOCUMENT_END, MASK, CLS, SEPARATOR),
            _pooler,
        ),
        Objective(
            "corruption",
            "encoder_decoder",
            "spans that were removed",
            corruption_batch,
            losses.sequence_to_sequence_loss,
            (DOCUMENT_END,),
            None,
            required_sentinels,
        ),
        Objective(
            "denoising",
            "encoder_decoder",
            "the original of a corrupted document",
            denoising_batch,
            losses.sequence_to_sequence_loss,
            (DOCUMENT_END, MASK),
        ),
    )
}


def get_objective(name: str) -> Objective:
    """The objective of a name; ConfigError lists the valid ones."""
    if name not in OBJECTIVES:
        raise ConfigError(f"Unknown objective {name!r}; expected one of {', '.join(OBJECTIVES)}.")
    return OBJECTIVES[name]


def _sample_batch_inputs(
    texts: Iterable[str], *, length: int = 16, rows: int = 1, step: int = 0, seed: int = 0
) -> BatchInputs:
    """Batch inputs from texts, with a byte tokenizer and every special token, for examples."""
    specials = [name for names in SPECIAL_SETS.values() for name in names]
    tokenizer = FastTokenizer([], specials=specials)
    documents = [(text, tokenizer.encode(text), len(text.encode())) for text in texts]
    shard = Shard.from_documents("sample", documents, end=tokenizer.special_id(DOCUMENT_END))
    setting = ObjectiveContext(token_properties_of(tokenizer), NoiseConfig(), tokenizer, seed)
    return BatchInputs(setting, Loader([shard], rows, length, seed).batch(step), step)
