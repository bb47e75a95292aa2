"""Open a language model by its name: a model's directory, or URL#NAME of one on a server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from groundup.core import ConfigError, LanguageModel

from .settings import EndpointConfig

if TYPE_CHECKING:
    from ..engine import Engine


class OpenedModel(NamedTuple):
    """A language model."""

    model: LanguageModel
    takes_grammar: bool
    """Whether it can be bound to one; servers cannot."""


def endpoint_settings(name: str, settings: EndpointConfig) -> EndpointConfig:
    """The settings with the address and the model of a name such as http://HOST/v1#NAME.

    Raises ConfigError if it names no model; a password in the address is not repeated.
    """
    url, _, model = name.partition("#")
    if not model:
        shown = "http://HOST/v1" if "@" in url else url
        raise ConfigError(
            f"MODEL is a server's address without a model; add it, as in {shown}#NAME."
        )
    return settings.model_copy(update={"url": url, "model": model})


def open_language_model(name: str, settings: EndpointConfig | None = None) -> OpenedModel:
    """Open a model's directory, or URL#NAME of one on an OpenAI-compatible server.

    A base model, which has no chat template, is asked in plain turns.

    settings  of a server; default: its key is in OPENAI_API_KEY if that is set

    Raises ConfigError for a missing directory and a server without the model.
    """
    from ..engine import Engine  # imports torch
    from .model import Endpoint

    if "://" in name:
        if settings is None:
            key = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else ""
            settings = EndpointConfig(key_env=key)
        return OpenedModel(Endpoint.open(endpoint_settings(name, settings)), takes_grammar=False)
    if not Path(name).is_dir():
        raise ConfigError(f"There is no directory {name}; expected a language model's.")
    return OpenedModel(with_plain_template(Engine.open(name)), takes_grammar=True)


def with_plain_template(engine: "Engine") -> "Engine":
    """The engine itself; a base model's, which has no chat template, is given plain turns."""
    from groundup.tokenizer import PLAIN_TEMPLATE, ChatTemplate, ImportedTokenizer

    words = engine.tokenizer
    if isinstance(words, ImportedTokenizer) and not words.settings.get("chat_template"):
        engine.template = ChatTemplate(PLAIN_TEMPLATE, words)
    return engine
