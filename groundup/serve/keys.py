"""API keys: a file that says who may use a server, for what, how much and until when.

    {"keys": [{"name": "ann", "secrets": [{"hash": "9f86d0…", "created": "2026-12-01T…",
               "expires": null}], "scopes": ["chat"], "limits": {"requests_per_minute": 60, …}}]}

A key is 256 random bits and shown once. The file has only its SHA-256: what cannot be guessed needs
no slow hash. A server reads the file again when it has changed, so a revoked key ends at once.
"""

import fcntl
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, Field, ValidationError

from groundup.core import Config, ConfigError, record, write_text

PREFIX = "gu-"
"""Begins every key, so that scanners for leaked secrets can find it."""
Scope = Literal["chat", "embeddings", "search", "metrics", "all"]


class KeyLimits(Config):
    """How much a key may ask for; 0: what the server's configuration says, or any amount."""

    requests_per_minute: int = Field(default=0, ge=0)
    """Requests that begin."""
    tokens_per_minute: int = Field(default=0, ge=0)
    """Tokens of prompts and answers, counted when an answer has ended."""
    concurrent: int = Field(default=0, ge=0)
    """Requests at a time."""


class KeySecret(Config):
    """One of a key's secrets; rotation leaves the former one valid for a while."""

    hash: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the key, hexadecimal."""
    created: AwareDatetime
    expires: AwareDatetime | None = None
    """None: when it is revoked."""


class ApiKey(Config):
    """Who may do what."""

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    """Of the tenant: what it stores, others do not see."""
    secrets: tuple[KeySecret, ...]
    scopes: tuple[Scope, ...]
    limits: KeyLimits = KeyLimits()

    def allows(self, scope: str) -> bool:
        """Whether it may do what a scope stands for."""
        return scope in self.scopes or "all" in self.scopes

    def __str__(self) -> str:
        """`ann  chat,search  concurrent 2  until 2027-01-31 12:00 UTC`."""
        limits = [f"{name} {value}" for name, value in self.limits.to_dict().items() if value]
        ends = [each.expires for each in self.secrets]
        end = [] if None in ends else [f"until {_format_time(max(filter(None, ends)))}"]
        return "  ".join((self.name, ",".join(self.scopes), *limits, *end))


class KeyList(Config):
    """The content of a file of keys."""

    keys: tuple[ApiKey, ...] = ()

    def __str__(self) -> str:
        """A line for each key."""
        return "\n".join(map(str, self.keys)) or "No keys; `groundup keys add` makes one."


class KeyRing:
    """The keys of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        self.path, self.keys = path, list_keys(path).keys
        self.stamp: tuple[int, ...] = ()

    def find(self, secret: str) -> ApiKey | None:
        """The key of a secret; None if it is unknown, revoked or expired."""
        self._refresh()
        hash, now = _hash(secret), datetime.now(UTC)
        for key in self.keys:
            for each in key.secrets:
                is_equal = hmac.compare_digest(each.hash, hash)
                if is_equal and (each.expires is None or each.expires > now):
                    return key
        return None

    def _refresh(self) -> None:
        """Read a changed file; without one no key is valid, with a broken one the former are."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self.keys, self.stamp = (), ()
            return
        stamp = status.st_mtime_ns, status.st_ino, status.st_size
        if stamp != self.stamp:
            self.stamp = stamp
            try:
                self.keys = list_keys(self.path).keys
            except ConfigError as error:
                record.log(f"The former keys stay valid: {error}")


class NewKey(NamedTuple):
    """A key that was just made."""

    key: str
    name: str
    scopes: tuple[str, ...]
    expires: datetime | None
    former_expires: datetime | None = None
    """When the former key of the name ends."""

    def __str__(self) -> str:
        """The key, and what it is for."""
        until = f", until {_format_time(self.expires)}" if self.expires else ""
        lines = [self.key, f"  {self.name} may use it for {', '.join(self.scopes)}{until}."]
        if self.former_expires:
            lines.append(f"  The former one ends at {_format_time(self.former_expires)}.")
        return "\n".join([*lines, "  It is not shown again."])


def add_key(
    keys: Path, name: str, *, scope: list[Scope] | None = None, days: float | None = None,
    requests_per_minute: int = 0, tokens_per_minute: int = 0, concurrent: int = 0,
) -> NewKey:  # fmt: skip
    """Make a key; it is shown once.

    keys                 file of keys; made if there is none
    name                 who gets it: a person, a team or a program
    scope                what for; may be given again; default: chat, embeddings and search
    days                 after which it expires; default: never
    requests_per_minute  0: as the server is configured
    tokens_per_minute    of prompts and answers; 0: as the server is configured
    concurrent           requests at a time; 0: as the server is configured

    Raises ConfigError if the name has a key already.
    """
    limits = KeyLimits(
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute,
        concurrent=concurrent,
    )  # fmt: skip
    key, secret = _new_secret(None if days is None else timedelta(days=days))
    scopes = tuple(scope or ("chat", "embeddings", "search"))
    with _edit_keys(keys) as by_name:
        if name in by_name:
            what = f"{name!r} has a key already; run groundup keys rotate {keys} {name}"
            raise ConfigError(f"{what}, or choose another name.")
        by_name[name] = ApiKey(name=name, secrets=(secret,), scopes=scopes, limits=limits)
    return NewKey(key, name, scopes, secret.expires)


def list_keys(keys: Path) -> KeyList:
    """Show who has a key, for what, how much and until when.

    keys  file of keys

    Raises ConfigError if it is missing, is no file of keys, or if others may write to it.
    """
    try:
        listed = KeyList.model_validate_json(keys.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{keys} is missing; make it: groundup keys add {keys} NAME.") from None
    except (ConfigError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"{keys} is no file of keys: {what}") from None
    if keys.stat().st_mode & 0o022:
        raise ConfigError(f"{keys} can be written by other users; run chmod 600 {keys}.")
    if len({key.name for key in listed.keys}) < len(listed.keys):
        raise ConfigError(f"{keys} has a name twice; leave each once.")
    return listed


def rotate_key(keys: Path, name: str, *, hours: float = 24) -> NewKey:
    """Make a new key for a name, with the same scopes, limits and lifetime; it is shown once.

    keys   file of keys
    name   whose key it is
    hours  for which the former key stays valid; 0 ends it now

    Raises ConfigError if the name has no key.
    """
    with _edit_keys(keys) as by_name:
        former = _get_key(by_name, keys, name)
        last = former.secrets[-1]
        key, secret = _new_secret(last.expires and last.expires - last.created)
        end = min(filter(None, (last.expires, datetime.now(UTC) + timedelta(hours=hours))))
        kept = (last.model_copy(update={"expires": end}),) if hours > 0 else ()
        by_name[name] = former.model_copy(update={"secrets": (*kept, secret)})
    return NewKey(key, name, former.scopes, secret.expires, end if kept else None)


def revoke_key(keys: Path, name: str) -> str:
    """End a key; running servers refuse its next request.

    keys  file of keys
    name  whose key it is

    Raises ConfigError if the name has no key.
    """
    with _edit_keys(keys) as by_name:
        del by_name[_get_key(by_name, keys, name).name]
    return f"The key of {name} is revoked."


def _get_key(by_name: dict[str, ApiKey], path: Path, name: str) -> ApiKey:
    if name not in by_name:
        raise ConfigError(f"{name!r} has no key in {path}; groundup keys list {path} shows all.")
    return by_name[name]


def _new_secret(lifetime: timedelta | None) -> tuple[str, KeySecret]:
    key, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    expires = None if lifetime is None else now + lifetime
    return key, KeySecret(hash=_hash(key), created=now, expires=expires)


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


@contextmanager
def _edit_keys(path: Path) -> Iterator[dict[str, ApiKey]]:
    """The keys of a file by name, written at the end; an edit waits for others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with edit_privately(path.parent):
        by_name = {key.name: key for key in list_keys(path).keys} if path.exists() else {}
        yield by_name
        content = KeyList(keys=tuple(by_name.values()))
        write_text(path, content.model_dump_json(indent=1) + "\n")


@contextmanager
def edit_privately(folder: Path) -> Iterator[None]:
    """Wait for other edits in a folder; files that are made in it are their owner's alone."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        mask = os.umask(0o077)
        try:
            yield
        finally:
            os.umask(mask)
    finally:
        os.close(handle)


def _format_time(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
