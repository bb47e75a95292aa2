"""Serve: a model and documents behind the API that OpenAI's clients speak."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .openai.errors import ApiError
    from .serve import ServeConfig, open_application

_LATER = {
    "ApiError": "openai.errors", "ServeConfig": "serve", "open_application": "serve",
}  # fmt: skip
"""Where names are that an engine's process, which is of this room too, need not import."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


__all__ = ["ApiError", "ServeConfig", "open_application"]
