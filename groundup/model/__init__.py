"""What does the model compute, what does it cost, and how are its weights stored?"""

from .attention import Encoded
from .cache import Cache
from .config import (
    AttentionConfig,
    Derived,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
    RopeScaling,
    from_depth,
)
from .describe.costs import (
    Description,
    Flops,
    Parameters,
    active_parameters,
    cache_bytes_per_token,
    describe,
    describe_config,
    flops_per_token,
    parameters,
    row_flops,
)
from .describe.routing import routing
from .feedforward import balance_loss, z_loss
from .heads import Head, HeadConfig, SpanBoundary, WithHead
from .presets.preset import Preset
from .presets.table import preset, presets
from .transformer import Transformer, compiled_block
from .weights.directory import load, load_to_train, open_config, save, save_tensors
from .weights.encoder import TextEncoder, load_encoder
from .weights.gguf.export import Exported, export_gguf, save_gguf
from .weights.gguf.reading import load_gguf
from .weights.heads import load_with_head, save_with_head
from .weights.opening import ImportConfig, import_model

__all__ = [
    "AttentionConfig",
    "Cache",
    "Derived",
    "Description",
    "EmbeddingConfig",
    "Encoded",
    "ExpertsConfig",
    "Exported",
    "FeedForwardConfig",
    "Flops",
    "Head",
    "HeadConfig",
    "ImportConfig",
    "ModelConfig",
    "NormConfig",
    "OutputConfig",
    "Parameters",
    "PositionConfig",
    "Preset",
    "RopeScaling",
    "SpanBoundary",
    "TextEncoder",
    "Transformer",
    "WithHead",
    "active_parameters",
    "balance_loss",
    "cache_bytes_per_token",
    "compiled_block",
    "describe",
    "describe_config",
    "export_gguf",
    "flops_per_token",
    "from_depth",
    "import_model",
    "load",
    "load_encoder",
    "load_gguf",
    "load_to_train",
    "load_with_head",
    "open_config",
    "parameters",
    "preset",
    "presets",
    "routing",
    "row_flops",
    "save",
    "save_gguf",
    "save_tensors",
    "save_with_head",
    "z_loss",
]
