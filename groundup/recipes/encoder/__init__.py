"""The recipe `encoder`: masked pre-training, then the sentiment of texts that people rated."""

from .recipe import encoder

__all__ = ["encoder"]
