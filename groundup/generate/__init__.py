"""Generate: what does a model say, token by token, and how is each token chosen?"""

from .beam import Beam, BeamConfig, beams
from .decoding import Frame
from .endpoint.model import Endpoint
from .endpoint.settings import EndpointConfig
from .endpoint.trouble import MAY_PASS, EndpointError
from .engine import Engine
from .sampling import candidates, choose
from .talk import Continuation, chat, generate

__all__ = [
    "MAY_PASS",
    "Beam",
    "BeamConfig",
    "Continuation",
    "Endpoint",
    "EndpointConfig",
    "EndpointError",
    "Engine",
    "Frame",
    "beams",
    "candidates",
    "chat",
    "choose",
    "generate",
]
