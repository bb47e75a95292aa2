"""How does a model become smaller without becoming another?"""

from .quantize import QuantizeConfig, quantize, to_int8

__all__ = ["QuantizeConfig", "quantize", "to_int8"]
