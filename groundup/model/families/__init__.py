"""Hugging Face model families that groundup reads and writes: one file each, and their registry."""

from .keys import Family
from .registry import FAMILIES, choose_family, get_family, read_config

__all__ = ["FAMILIES", "Family", "choose_family", "get_family", "read_config"]
