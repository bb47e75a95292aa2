"""Generate: what does a model say, token by token, and how is each token chosen?"""

from .beam import BeamConfig, beam_search
from .cached import CachedModel, CachedTransformer, default_batch_tokens
from .decoding import NOT_FINITE, DecodingOptions, decode_prompts, find_stop
from .endpoint.errors import TRANSIENT_CODES, EndpointError
from .endpoint.model import Endpoint
from .endpoint.settings import EndpointConfig
from .engine import Engine, SourceFrame, read_chat_template, read_end_ids, read_eos_ids
from .grammar import Grammar, GrammarCompiler, Matcher, compile_grammar
from .scoring import PairScore, TokenPair, score_pairs
from .talk import chat, generate

__all__ = [
    "NOT_FINITE",
    "TRANSIENT_CODES",
    "BeamConfig",
    "CachedModel",
    "CachedTransformer",
    "DecodingOptions",
    "Endpoint",
    "EndpointConfig",
    "EndpointError",
    "Engine",
    "Grammar",
    "GrammarCompiler",
    "Matcher",
    "PairScore",
    "SourceFrame",
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
    "score_pairs",
]
