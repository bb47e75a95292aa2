"""Compress: smaller models with nearly the same outputs."""

from .quantize import QuantizeConfig, quantize, quantize_to_int8

__all__ = ["QuantizeConfig", "quantize", "quantize_to_int8"]
