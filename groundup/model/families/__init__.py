"""Hugging Face model families that groundup reads and writes: one file each, and their registry."""

from .registry import FAMILIES, Family, family_for, family_of, read_config

__all__ = ["FAMILIES", "Family", "family_for", "family_of", "read_config"]
