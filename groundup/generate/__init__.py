"""Generate: what does a model say, token by token, and how is each token chosen?"""

from .beam import Beam, BeamConfig, beam_search
from .decoding import SourceFrame, eval_mode
from .endpoint.errors import TRANSIENT_CODES, EndpointError
from .endpoint.model import Endpoint
from .endpoint.settings import EndpointConfig
from .engine import Engine
from .sampling import sample_tokens, sampling_distribution
from .talk import Continuation, chat, generate

__all__ = [
    "TRANSIENT_CODES",
    "Beam",
    "BeamConfig",
    "Continuation",
    "Endpoint",
    "EndpointConfig",
    "EndpointError",
    "Engine",
    "SourceFrame",
    "beam_search",
    "chat",
    "eval_mode",
    "generate",
    "sample_tokens",
    "sampling_distribution",
]
