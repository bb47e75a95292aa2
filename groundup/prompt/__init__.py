"""What is said to a model: prompts made of typed parts, so that foreign text stays data."""

from .template import Datum, Part, Template

__all__ = ["Datum", "Part", "Template"]
