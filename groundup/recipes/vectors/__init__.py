"""The recipe `vectors`: vectors of words from the English prose of Debian packages."""

from .recipe import vectors

__all__ = ["vectors"]
