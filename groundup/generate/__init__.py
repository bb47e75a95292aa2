"""Generate: what does a model say, token by token, and how is each token chosen?"""

from .engine import Engine
from .sampling import candidates, choose
from .talk import Continuation, chat, generate

__all__ = ["Continuation", "Engine", "candidates", "chat", "choose", "generate"]
