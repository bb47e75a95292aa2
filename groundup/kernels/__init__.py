"""Kernels: a readable reference, a fast path, and a test that they agree."""

from .attention import (
    ScoreOptions,
    attention,
    flash_attention,
    matmul_attention,
    reference_attention,
)
from .autotune import autotuned_backend
from .backends import (
    AttentionBackend,
    AttentionShape,
    attention_shape,
    chosen_backends,
    restore_backends,
    set_backend,
)
from .compiled import (
    compile_cache_folder,
    compiled_once,
    use_compile_cache,
)
from .experts import (
    ExpertRouting,
    ExpertWeights,
    TokenExpertPairs,
    combine_expert_outputs,
    mixture_of_experts,
    reference_experts,
    route_tokens,
    run_experts,
    sort_pairs_by_expert,
)
from .linear import Int8Linear
from .loss import (
    ChunkedCrossEntropy,
    LossPlan,
    LossSum,
    LossTerms,
    cross_entropy,
    reference_cross_entropy,
)
from .mask import (
    PATTERN_SIZES,
    AttentionPattern,
    Mask,
    document_positions,
    visible_mask,
)
from .native.interval import (
    KeyIntervals,
    interval_attention,
    key_intervals,
)
from .native.softmax import has_native_softmax
from .native.states import (
    AdamWFactors,
    StoredState,
    adamw_update,
    decode_state,
    encode_state,
    fits_native_states,
    has_native_states,
)
from .recompute import (
    Recompute,
    with_recompute,
)
from .ring import (
    Ring,
    ring_attention,
    shard_positions,
)
from .sparse import sparse_attention

__all__ = [
    "PATTERN_SIZES",
    "AdamWFactors",
    "AttentionBackend",
    "AttentionPattern",
    "AttentionShape",
    "ChunkedCrossEntropy",
    "ExpertRouting",
    "ExpertWeights",
    "Int8Linear",
    "KeyIntervals",
    "LossPlan",
    "LossSum",
    "LossTerms",
    "Mask",
    "Recompute",
    "Ring",
    "ScoreOptions",
    "StoredState",
    "TokenExpertPairs",
    "adamw_update",
    "attention",
    "attention_shape",
    "autotuned_backend",
    "chosen_backends",
    "combine_expert_outputs",
    "compile_cache_folder",
    "compiled_once",
    "cross_entropy",
    "decode_state",
    "document_positions",
    "encode_state",
    "fits_native_states",
    "flash_attention",
    "has_native_softmax",
    "has_native_states",
    "interval_attention",
    "key_intervals",
    "matmul_attention",
    "mixture_of_experts",
    "reference_attention",
    "reference_cross_entropy",
    "reference_experts",
    "restore_backends",
    "ring_attention",
    "route_tokens",
    "run_experts",
    "set_backend",
    "shard_positions",
    "sort_pairs_by_expert",
    "sparse_attention",
    "use_compile_cache",
    "visible_mask",
    "with_recompute",
]
