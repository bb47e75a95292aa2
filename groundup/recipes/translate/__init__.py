"""The recipe `translate`: an encoder–decoder learns from a manual in two languages."""

from .recipe import translate

__all__ = ["translate"]
