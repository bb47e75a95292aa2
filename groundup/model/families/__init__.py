"""Whose model files are read and written: one file a family, and the table of them."""

from .registry import FAMILIES, WRITTEN_AS, Family, family_of

__all__ = ["FAMILIES", "WRITTEN_AS", "Family", "family_of"]
