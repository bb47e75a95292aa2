"""What does the model compute, what does it cost, and how are its weights stored?"""

from .attention import Attention, Cache, EncoderOutput, KeysValues
from .configuration.config import (
    AttentionConfig,
    CacheRow,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    LatentConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
)
from .configuration.depth import DerivedConfig, from_depth
from .configuration.positions import PositionConfig, RopeScaling
from .decoders.graphs import GraphStep, fits_graph
from .decoders.paged import (
    Bits,
    NativeDecoder,
    PagedBatch,
    PagedDecoder,
    PagedPart,
    PagedShape,
    supports,
    unsupported_reason,
)
from .describe.costs import (
    Description,
    Flops,
    ParameterCounts,
    active_parameters,
    cache_bytes_per_token,
    count_parameters,
    describe,
    describe_config,
    flops_per_token,
    mean_flops_per_token,
)
from .describe.routing import routing
from .families.registry import choose_family, to_hf_module, to_hf_rows
from .feedforward import balance_loss, z_loss
from .heads import Head, HeadConfig, ModelWithHead, SpanBoundary, apply_softcap
from .inputs import may_fork
from .positions import get_rotation, rotate
from .presets import Preset, preset, presets
from .transformer import Adapted, Transformer, TransformerBlock, compiled_block, has_adapters
from .weights.directory import (
    load,
    load_to_train,
    open_config,
    read_json_object,
    read_safetensors,
    save,
    save_tensors,
)
from .weights.encoder import TextEncoder, load_encoder
from .weights.gguf.export import GgufExport, export_gguf, save_gguf
from .weights.gguf.reading import load_gguf
from .weights.heads import load_with_head, save_with_head
from .weights.importing import ImportConfig, import_model
from .weights.packed import is_packed

__all__ = [
    "Adapted",
    "Attention",
    "AttentionConfig",
    "Bits",
    "Cache",
    "CacheRow",
    "DerivedConfig",
    "Description",
    "EmbeddingConfig",
    "EncoderOutput",
    "ExpertsConfig",
    "FeedForwardConfig",
    "Flops",
    "GgufExport",
    "GraphStep",
    "Head",
    "HeadConfig",
    "ImportConfig",
    "KeysValues",
    "LatentConfig",
    "ModelConfig",
    "ModelWithHead",
    "NativeDecoder",
    "NormConfig",
    "OutputConfig",
    "PagedBatch",
    "PagedDecoder",
    "PagedPart",
    "PagedShape",
    "ParameterCounts",
    "PositionConfig",
    "Preset",
    "RopeScaling",
    "SpanBoundary",
    "TextEncoder",
    "Transformer",
    "TransformerBlock",
    "active_parameters",
    "apply_softcap",
    "balance_loss",
    "cache_bytes_per_token",
    "choose_family",
    "compiled_block",
    "count_parameters",
    "describe",
    "describe_config",
    "export_gguf",
    "fits_graph",
    "flops_per_token",
    "from_depth",
    "get_rotation",
    "has_adapters",
    "import_model",
    "is_packed",
    "load",
    "load_encoder",
    "load_gguf",
    "load_to_train",
    "load_with_head",
    "may_fork",
    "mean_flops_per_token",
    "open_config",
    "preset",
    "presets",
    "read_json_object",
    "read_safetensors",
    "rotate",
    "routing",
    "save",
    "save_gguf",
    "save_tensors",
    "save_with_head",
    "supports",
    "to_hf_module",
    "to_hf_rows",
    "unsupported_reason",
    "z_loss",
]
