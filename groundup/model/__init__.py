"""What does the model compute, what does it cost, and how are its weights stored?"""

from .cache import Cache
from .config import (
    AttentionConfig,
    Derived,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
    from_depth,
)
from .describe import (
    Description,
    Flops,
    Parameters,
    cache_bytes_per_token,
    describe,
    describe_config,
    flops_per_token,
    parameters,
)
from .transformer import Transformer
from .weights import load, save, save_tensors

__all__ = [
    "AttentionConfig",
    "Cache",
    "Derived",
    "Description",
    "FeedForwardConfig",
    "Flops",
    "ModelConfig",
    "NormConfig",
    "Parameters",
    "PositionConfig",
    "Transformer",
    "cache_bytes_per_token",
    "describe",
    "describe_config",
    "flops_per_token",
    "from_depth",
    "load",
    "parameters",
    "save",
    "save_tensors",
]
