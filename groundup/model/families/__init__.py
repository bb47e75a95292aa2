"""Whose model files are read and written: one file a family, and the table of them."""

from .registry import FAMILIES, Family, family_for, family_of, read_config

__all__ = ["FAMILIES", "Family", "family_for", "family_of", "read_config"]
