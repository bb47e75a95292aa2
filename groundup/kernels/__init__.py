"""How is the arithmetic done? A plain reference, a fast path, and a test that they agree."""

from .attention import attention, flash_attention, matmul_attention, reference_attention
from .linear import Int8Linear
from .loss import LossSum, cross_entropy, reference_cross_entropy

__all__ = [
    "Int8Linear",
    "LossSum",
    "attention",
    "cross_entropy",
    "flash_attention",
    "matmul_attention",
    "reference_attention",
    "reference_cross_entropy",
]
