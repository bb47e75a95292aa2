"""How is the arithmetic done? A plain reference, a fast path, and a test that they agree."""

from .attention import (
    Scores,
    attention,
    flash_attention,
    matmul_attention,
    reference_attention,
)
from .experts import (
    Choice,
    ExpertWeights,
    choose,
    experts,
    reference_experts,
    served_experts,
)
from .interval import Intervals, interval_attention, intervals
from .linear import Int8Linear
from .loss import LossSum, compiled_softmax, cross_entropy, reference_cross_entropy
from .mask import NEEDS, Mask, Pattern, places_of, visible
from .recompute import Recompute, recomputing
from .sparse import sparse_attention

__all__ = [
    "NEEDS",
    "Choice",
    "ExpertWeights",
    "Int8Linear",
    "Intervals",
    "LossSum",
    "Mask",
    "Pattern",
    "Recompute",
    "Scores",
    "attention",
    "choose",
    "compiled_softmax",
    "cross_entropy",
    "experts",
    "flash_attention",
    "interval_attention",
    "intervals",
    "matmul_attention",
    "places_of",
    "recomputing",
    "reference_attention",
    "reference_cross_entropy",
    "reference_experts",
    "served_experts",
    "sparse_attention",
    "visible",
]
