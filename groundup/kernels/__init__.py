"""Kernels: a readable reference, a fast path, and a test that they agree."""

from .attention import (
    Scores,
    attention,
    flash_attention,
    matmul_attention,
    reference_attention,
)
from .compiled import (
    compile_folder,
    compiled_once,
    keep_compiled,
)
from .experts import (
    Choice,
    ExpertWeights,
    Pairs,
    brought_back,
    choose,
    experts,
    networks,
    reference_experts,
    sorted_pairs,
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
    NEEDS,
    Mask,
    Pattern,
    places_of,
    visible,
)
from .native.interval import (
    Intervals,
    interval_attention,
    intervals,
)
from .native.softmax import has_native
from .native.states import (
    Factors,
    Stored,
    fits,
    has_states,
    move_states,
    read_state,
    write_state,
)
from .recompute import (
    Recompute,
    recomputing,
)
from .ring import (
    Ring,
    held_places,
    ring_attention,
)
from .sparse import sparse_attention
from .trial import kept_way
from .ways import (
    RowShape,
    Way,
    chosen_ways,
    replay_ways,
    row_shape,
    use_way,
)

__all__ = [
    "NEEDS",
    "Choice",
    "ChunkedCrossEntropy",
    "ExpertWeights",
    "Factors",
    "Int8Linear",
    "Intervals",
    "LossPlan",
    "LossSum",
    "LossTerms",
    "Mask",
    "Pairs",
    "Pattern",
    "Recompute",
    "Ring",
    "RowShape",
    "Scores",
    "Stored",
    "Way",
    "attention",
    "brought_back",
    "choose",
    "chosen_ways",
    "compile_folder",
    "compiled_once",
    "cross_entropy",
    "experts",
    "fits",
    "flash_attention",
    "has_native",
    "has_states",
    "held_places",
    "interval_attention",
    "intervals",
    "keep_compiled",
    "kept_way",
    "matmul_attention",
    "move_states",
    "networks",
    "places_of",
    "read_state",
    "recomputing",
    "reference_attention",
    "reference_cross_entropy",
    "reference_experts",
    "replay_ways",
    "ring_attention",
    "row_shape",
    "sorted_pairs",
    "sparse_attention",
    "use_way",
    "visible",
    "write_state",
]
