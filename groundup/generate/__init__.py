"""Generate: what does a model say, token by token, and how is each token chosen?"""

from .batching.answers import NOT_FINITE, StopBuffer, find_stop
from .batching.engine import BatchEngine, DecodeRequest, EngineMetrics, TokenEvent
from .batching.scheduler import SchedulerLimits
from .batching.speculative import Drafter, DraftModel, NgramDrafter
from .beam import BeamConfig, beam_search
from .cached import CachedModel, CachedTransformer, default_batch_tokens
from .decoding import DecodingOptions, decode_prompts
from .directory import (
    PromptEncoder,
    SourceFrame,
    read_chat_template,
    read_end_ids,
    read_eos_ids,
    read_source_frame,
)
from .endpoint.errors import TRANSIENT_CODES, EndpointError
from .endpoint.model import Endpoint
from .endpoint.settings import EndpointConfig
from .engine import Engine, TextStream
from .exact import ExactForward
from .grammar.compiling import Grammar, GrammarCompiler, Matcher, compile_grammar
from .scoring import PairScore, TokenPair, score_pairs
from .talk import chat, generate

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
    "find_stop",
    "generate",
    "read_chat_template",
    "read_end_ids",
    "read_eos_ids",
    "read_source_frame",
    "score_pairs",
]
