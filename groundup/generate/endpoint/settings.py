"""What a server is, how long it may take, and what it may cost.

The API key is never part of it: `key_env` names the environment variable that holds it, so a
configuration can be printed, hashed and kept.
"""

import os
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from groundup.core import Config, ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Timeouts(Config):
    """How long to wait, in seconds."""

    connect: float = Field(default=10.0, gt=0)
    """Until a connection stands."""
    idle: float = Field(default=120.0, gt=0)
    """Between two pieces of an answer, and before the first."""
    attempt: float = Field(default=600.0, gt=0)
    """One attempt from its first byte sent to its last byte read."""
    request: float = Field(default=1800.0, gt=0)
    """All attempts of one request and the waits between them."""


class Retries(Config):
    """What to do about errors that may pass."""

    attempts: int = Field(default=5, ge=1)
    """Most attempts for one request."""
    first_wait: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled for each further one, times a random share."""
    longest_wait: float = Field(default=30.0, ge=0)
    """Most seconds of such a wait; what the server asks for by Retry-After is kept whole."""
    seed: int = 0
    """Of the random shares."""
    stop_after: int = Field(default=10, ge=1)
    """Requests failed in a row after which no further one is sent."""


class Rates(Config):
    """How fast to ask; 0 is as fast as the server answers."""

    requests_per_minute: float = Field(default=0.0, ge=0)
    """Attempts count; they go evenly spaced."""
    tokens_per_minute: float = Field(default=0.0, ge=0)
    """Tokens of prompts and answers together."""


class Prices(Config):
    """What tokens cost, in any one currency."""

    prompt: float = Field(default=0.0, ge=0)
    """A million tokens of prompts."""
    completion: float = Field(default=0.0, ge=0)
    """A million tokens of answers."""
    budget: float = Field(default=0.0, ge=0)
    """No request is sent that could exceed it; 0 is no limit."""


class EndpointConfig(Config):
    """A model on a server that speaks OpenAI's protocol."""

    url: str = ""
    """Base address with its version, such as `http://localhost:8000/v1`."""
    model: str = ""
    """The model's name as the server knows it."""
    api: Literal["chat", "completions"] = "chat"
    """How plain prompts are completed: as a user's message, or raw. Likelihoods are always raw."""
    key_env: str = ""
    """Name of the environment variable that holds the API key; empty if the server wants none."""
    allow_plain_key: bool = False
    """Send the key over http to another machine too, where the network between is trusted."""
    concurrency: int = Field(default=8, ge=1, le=1024)
    """Most requests at a time."""
    stream: bool = False
    """Ask for answers in pieces, which tells a server that thinks from one that hangs."""
    prefix: str = ""
    """Put before a text that has no context, so that its first token is scored too, such as the
    model's own beginning of a document; some servers put it there themselves."""
    max_stops: int = Field(default=4, ge=0)
    """Most stop sequences that the server takes; the others are cut here."""
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the server calls the limit of a chat answer."""
    extra: dict[str, Any] = {}
    """Further fields of a request's body."""
    omit: tuple[str, ...] = ()
    """Fields of a body that the server refuses, such as `seed`."""
    embed_batch: int = Field(default=64, ge=1)
    """Most texts in one request for vectors."""
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024)
    """Most bytes of one answer that are read."""
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    rates: Rates = Rates()
    prices: Prices = Prices()


def check_address(config: EndpointConfig) -> None:
    """Raise ConfigError, without repeating it, if the address is none or holds a secret."""
    try:
        parts = urlsplit(config.url)
        has_port = parts.port is None or 0 < parts.port
    except ValueError:
        parts, has_port = urlsplit(""), False
    if any(mark in config.url for mark in "@?#"):
        raise ConfigError(
            "The address of an endpoint must hold no name, password or query, for it is written "
            "into reports; put the key into an environment variable and its name into key_env."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ConfigError(
            f"url={config.url!r} is no address; expected one such as http://localhost:8000/v1."
        )
    if not config.model.strip():
        raise ConfigError("model is empty; expected the name under which the server knows it.")


def read_key(config: EndpointConfig) -> str:
    """The API key, or nothing; no error repeats it.

    Raises ConfigError if the variable is not set, what was given is no name of one, the key is not
    one word of ASCII, or it would travel unencrypted to another machine.
    """
    if not config.key_env:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", config.key_env):
        raise ConfigError(
            "key_env takes the name of an environment variable, such as OPENAI_API_KEY, and never "
            "the key itself."
        )
    key = os.environ.get(config.key_env, "").strip()
    if not key:
        raise ConfigError(
            "The environment variable that key_env names is not set; put the key there, and its "
            "name, never the key itself, into key_env."
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigError(f"The key in {config.key_env} must be one word of ASCII characters.")
    is_plain = config.url.startswith("http:") and not is_here(config)
    if is_plain and not config.allow_plain_key:
        raise ConfigError(
            f"The key in {config.key_env} would travel unencrypted; use https, or "
            "allow_plain_key=true where the network is trusted."
        )
    return key


def is_here(config: EndpointConfig) -> bool:
    """Whether the server runs on this machine, so that no proxy stands between."""
    return urlsplit(config.url).hostname in LOOPBACK
