"""What does the model compute, and how are its weights stored?"""

from .cache import Cache
from .config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    from_depth,
)
from .transformer import Transformer

__all__ = [
    "AttentionConfig",
    "Cache",
    "FeedForwardConfig",
    "ModelConfig",
    "NormConfig",
    "PositionConfig",
    "Transformer",
    "from_depth",
]
