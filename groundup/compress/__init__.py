"""Compress: smaller models with nearly the same outputs."""

from .quantize import QuantizeConfig, quantize, to_int8

__all__ = ["QuantizeConfig", "quantize", "to_int8"]
