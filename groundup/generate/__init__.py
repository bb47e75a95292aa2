"""Generate: what does a model say, token by token, and how is each token chosen?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batching.answers import NOT_FINITE
    from .batching.engine import BatchEngine, DecodeRequest, EngineMetrics, TokenEvent
    from .batching.scheduler import SchedulerLimits
    from .batching.speculative import Drafter, DraftModel, NgramDrafter
    from .batching.text import StopBuffer, TextStream, find_stop
    from .beam import BeamConfig, beam_search
    from .cached import CachedModel, CachedTransformer, default_batch_tokens
    from .decoding import DecodingOptions, decode_prompts
    from .directory import (
        PromptEncoder,
        SourceFrame,
        read_end_ids,
        read_eos_ids,
        read_model_text,
    )
    from .endpoint.errors import TRANSIENT_CODES, EndpointError
    from .endpoint.model import Endpoint
    from .endpoint.opening import endpoint_settings, open_language_model, with_plain_template
    from .endpoint.settings import EndpointConfig
    from .engine import Engine
    from .exact import ExactForward
    from .grammar.compiling import Grammar, GrammarCompiler, Matcher, compile_grammar
    from .scoring import PairScore, TokenPair, score_pairs
    from .talk import chat, generate

_FILES = {
    "batching.answers": "NOT_FINITE",
    "batching.engine": "BatchEngine DecodeRequest EngineMetrics TokenEvent",
    "batching.scheduler": "SchedulerLimits",
    "batching.speculative": "DraftModel Drafter NgramDrafter",
    "batching.text": "StopBuffer TextStream find_stop",
    "beam": "BeamConfig beam_search",
    "cached": "CachedModel CachedTransformer default_batch_tokens",
    "decoding": "DecodingOptions decode_prompts",
    "directory": "PromptEncoder SourceFrame read_end_ids read_eos_ids read_model_text",
    "endpoint.errors": "EndpointError TRANSIENT_CODES",
    "endpoint.model": "Endpoint",
    "endpoint.opening": "endpoint_settings open_language_model with_plain_template",
    "endpoint.settings": "EndpointConfig",
    "engine": "Engine",
    "exact": "ExactForward",
    "grammar.compiling": "Grammar GrammarCompiler Matcher compile_grammar",
    "scoring": "PairScore TokenPair score_pairs",
    "talk": "chat generate",
}
_LATER = {name: file for file, names in _FILES.items() for name in names.split()}
"""Where names are: most import torch, which those who only talk to an engine need not."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


__all__ = [
    "NOT_FINITE",
    "TRANSIENT_CODES",
    "BatchEngine",
    "BeamConfig",
    "CachedModel",
    "CachedTransformer",
    "DecodeRequest",
    "DecodingOptions",
    "DraftModel",
    "Drafter",
    "Endpoint",
    "EndpointConfig",
    "EndpointError",
    "Engine",
    "EngineMetrics",
    "ExactForward",
    "Grammar",
    "GrammarCompiler",
    "Matcher",
    "NgramDrafter",
    "PairScore",
    "PromptEncoder",
    "SchedulerLimits",
    "SourceFrame",
    "StopBuffer",
    "TextStream",
    "TokenEvent",
    "TokenPair",
    "beam_search",
    "chat",
    "compile_grammar",
    "decode_prompts",
    "default_batch_tokens",
    "endpoint_settings",
    "find_stop",
    "generate",
    "open_language_model",
    "read_end_ids",
    "read_eos_ids",
    "read_model_text",
    "score_pairs",
    "with_plain_template",
]
