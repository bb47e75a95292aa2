"""Settings of a server: address, timeouts, retries, rate limits and prices.

The API key is never part of them: `key_env` names the environment variable that holds it, so a
configuration can be printed, hashed and stored.
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
    """Until the connection is established."""
    idle: float = Field(default=120.0, gt=0)
    """Between two chunks of an answer, and before the first."""
    attempt: float = Field(default=600.0, gt=0)
    """One attempt from its first byte sent to its last byte read."""
    request: float = Field(default=1800.0, gt=0)
    """All attempts of one request and the waits between them."""


class Retries(Config):
    """How transient errors are retried."""

    attempts: int = Field(default=5, ge=1)
    """Maximum attempts for one request."""
    first_wait: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled for each further one, with random jitter."""
    max_wait: float = Field(default=30.0, ge=0)
    """Maximum seconds of such a wait; a Retry-After of the server is not limited."""
    seed: int = 0
    """Seed of the jitter."""
    stop_after: int = Field(default=10, ge=1)
    """Consecutive failed requests after which no further one is sent."""


class Rates(Config):
    """Rate limits; 0 is no limit."""

    requests_per_minute: float = Field(default=0.0, ge=0)
    """Attempts count; they are evenly spaced."""
    tokens_per_minute: float = Field(default=0.0, ge=0)
    """Tokens of prompts and answers together."""


class Prices(Config):
    """Prices of tokens, all in one currency."""

    prompt: float = Field(default=0.0, ge=0)
    """Per million prompt tokens."""
    completion: float = Field(default=0.0, ge=0)
    """Per million answer tokens."""
    budget: float = Field(default=0.0, ge=0)
    """No request is sent that could exceed it; 0 is no limit."""


class EndpointConfig(Config):
    """A model on an OpenAI-compatible server."""

    url: str = ""
    """Base address with its version, such as `http://localhost:8000/v1`."""
    model: str = ""
    """The model's name on the server."""
    api: Literal["chat", "completions"] = "chat"
    """How plain prompts are sent: as a user message, or raw. Likelihoods are always raw."""
    key_env: str = ""
    """Name of the environment variable that holds the API key; empty if none is needed."""
    allow_plain_key: bool = False
    """Send the key over unencrypted http to other machines too; only on a trusted network."""
    concurrency: int = Field(default=8, ge=1, le=1024)
    """Maximum requests at a time."""
    stream: bool = False
    """Stream answers, which distinguishes a slow server from one that hangs."""
    prefix: str = ""
    """Prepended to a text without a context, so that its first token is scored too, such as the
    model's bos token; some servers add it themselves."""
    max_stops: int = Field(default=4, ge=0)
    """Maximum stop sequences that the server takes; the others are applied locally."""
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The server's name for the token limit of a chat answer."""
    extra: dict[str, Any] = {}
    """Additional fields of the request body."""
    omit: tuple[str, ...] = ()
    """Fields of the body that the server rejects, such as `seed`."""
    embed_batch: int = Field(default=64, ge=1)
    """Maximum texts in one embedding request."""
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024)
    """Maximum bytes of one answer."""
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    rates: Rates = Rates()
    prices: Prices = Prices()


def check_endpoint_address(config: EndpointConfig) -> None:
    """Raise ConfigError if the address is invalid, or holds a secret, which is not repeated."""
    try:
        parts = urlsplit(config.url)
        has_port = parts.port is None or 0 < parts.port
    except ValueError:
        parts, has_port = urlsplit(""), False
    if any(mark in config.url for mark in "@?#"):
        raise ConfigError(
            "url must hold no name, password or query; put the key into an environment variable "
            "and its name into key_env."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ConfigError(
            f"url={config.url!r} is not an address; expected one such as http://localhost:8000/v1."
        )
    if not config.model.strip():
        raise ConfigError("model is empty; expected the model's name on the server.")


def read_api_key(config: EndpointConfig) -> str:
    """The API key, or an empty string; no error repeats it.

    Raises ConfigError if key_env is not a variable's name or not set, or if the key is not one word
    of ASCII or would be sent unencrypted to another machine.
    """
    if not config.key_env:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", config.key_env):
        raise ConfigError("key_env takes the name of an environment variable, never the key.")
    key = os.environ.get(config.key_env, "").strip()
    if not key:
        raise ConfigError("The environment variable that key_env names is not set; set it.")
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigError(f"The key in {config.key_env} must be one word of ASCII characters.")
    is_plain = config.url.startswith("http:") and not is_loopback(config)
    if is_plain and not config.allow_plain_key:
        raise ConfigError(
            f"The key in {config.key_env} would be sent unencrypted; use https or allow_plain_key."
        )
    return key


def is_loopback(config: EndpointConfig) -> bool:
    """Whether the server runs on this machine, so that no proxy is involved."""
    return urlsplit(config.url).hostname in LOOPBACK
