"""Compress: smaller models with nearly the same outputs."""

from .quantize import QuantizeConfig, quantize, quantize_weights

__all__ = ["QuantizeConfig", "quantize", "quantize_weights"]
