"""How is the arithmetic done? A plain reference, a fast path, and a test that they agree."""

from .attention import (
    Scores,
    attention,
    flash_attention,
    matmul_attention,
    reference_attention,
)
from .compiled import (
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
    "Int8Linear",
    "Intervals",
    "LossPlan",
    "LossSum",
    "Mask",
    "Pairs",
    "Pattern",
    "Recompute",
    "Ring",
    "RowShape",
    "Scores",
    "Way",
    "attention",
    "brought_back",
    "choose",
    "chosen_ways",
    "compiled_once",
    "cross_entropy",
    "experts",
    "flash_attention",
    "has_native",
    "held_places",
    "interval_attention",
    "intervals",
    "keep_compiled",
    "kept_way",
    "matmul_attention",
    "networks",
    "places_of",
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
]
