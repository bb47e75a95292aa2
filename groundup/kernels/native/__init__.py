"""Which loops run in C++ on processors? Attention of one run of keys, and softmax for training."""

from .interval import Intervals, interval_attention, intervals, runs_natively
from .softmax import has_native, interval_softmax, native_losses_and_errors

__all__ = [
    "Intervals",
    "has_native",
    "interval_attention",
    "interval_softmax",
    "intervals",
    "native_losses_and_errors",
    "runs_natively",
]
