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
    brought_back,
    choose,
    experts,
    networks,
    reference_experts,
    sorted_pairs,
)
from .interval import Intervals, interval_attention, intervals
from .linear import Int8Linear
from .loss import LossSum, cross_entropy, reference_cross_entropy
from .mask import NEEDS, Mask, Pattern, places_of, visible
from .ring import Ring, held_places, ring_attention
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
    "Ring",
    "Scores",
    "attention",
    "brought_back",
    "choose",
    "cross_entropy",
    "experts",
    "flash_attention",
    "held_places",
    "interval_attention",
    "intervals",
    "matmul_attention",
    "networks",
    "places_of",
    "reference_attention",
    "reference_cross_entropy",
    "reference_experts",
    "ring_attention",
    "sorted_pairs",
    "sparse_attention",
    "visible",
]
