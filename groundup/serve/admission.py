"""What stands before the routes: who may ask, how much, how large and for how long.

A refusal has OpenAI's shape and comes before the body is read. Streams are passed on as they come.
Without keys only this machine is served, and no page of another site: the Host header must be this
machine's, which a rebound name is not, and the Origin header must be the Host.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.core import Config

from .keys import ApiKey, KeyLimits, KeyRing
from .metrics import Meter, RequestCounts, current_counts
from .openai.errors import ApiError
from .openai.frames import to_frame

SCOPES = {
    "/v1/chat": "chat", "/v1/completions": "chat", "/v1/responses": "chat", "/tokenize": "chat",
    "/detokenize": "chat", "/v1/embeddings": "embeddings", "/v1/search": "search",
    "/v1/documents": "search", "/document": "search", "/metrics": "metrics",
}  # fmt: skip
"""What a key must allow, by the beginning of a path; other paths are for every key."""
PUBLIC = ("/health", "/ready", "/search", "/web")
"""Paths that need no key, and / with them."""
ANYONE = ApiKey.model_construct(name="", secrets=(), scopes=("all",), limits=KeyLimits())
"""Who asks where no key is needed."""
REQUEST_ID = re.compile(r"[\w.:-]{1,128}")


class AdmissionSettings(Config):
    """Limits of what clients ask for."""

    limits: KeyLimits = KeyLimits()
    """Of a key that has none of its own."""
    max_requests: int = Field(default=512, ge=1)
    """Requests of all keys at a time that are computed or wait for it."""
    body_bytes: int = Field(default=4 * 2**20, ge=1)
    """Of a request."""
    header_seconds: float = Field(default=10.0, gt=0)
    """For the headers of a request to arrive."""
    body_seconds: float = Field(default=60.0, gt=0)
    """For the body of a request to arrive."""
    answer_seconds: float = Field(default=600.0, gt=0)
    """For a whole answer."""
    reader_seconds: float = Field(default=60.0, gt=0)
    """For a client to take what was sent."""


class TokenBucket:
    """An allowance by the minute that refills evenly; it may be overdrawn."""

    def __init__(self) -> None:
        self.used, self.since = 0.0, time.monotonic()

    def left(self, limit: int) -> float:
        """What of a limit is left now; 0 limits nothing."""
        now = time.monotonic()
        if not limit:
            self.used, self.since = 0.0, now
            return math.inf
        self.used = max(0.0, self.used - limit * (now - self.since) / 60)
        self.since = now
        return limit - self.used


class Quota:
    """What a key has used up, and what it may."""

    def __init__(self) -> None:
        self.buckets = {"requests": TokenBucket(), "tokens": TokenBucket()}
        self.limits: dict[str, int] = {}
        self.running = self.concurrent = 0

    def limit(self, own: KeyLimits, usual: KeyLimits) -> None:
        """Take over the limits of a key, which change with its file."""
        self.limits = {
            what: getattr(own, f"{what}_per_minute") or getattr(usual, f"{what}_per_minute")
            for what in self.buckets
        }
        self.concurrent = own.concurrent or usual.concurrent

    def check(self) -> None:
        """ApiError if nothing is left."""
        for what, limit in self.limits.items():
            left = self.buckets[what].left(limit)
            if left < 1:
                seconds = math.ceil((1 - left) * 60 / limit)
                told = f"Rate limit reached: {limit} {what} per minute. Try again in {seconds} s."
                raise _too_many(told, what, seconds)
        if self.concurrent and self.running >= self.concurrent:
            raise _too_many(f"This key may ask {self.concurrent} requests at a time.", "requests")

    def headers(self) -> Iterator[tuple[str, str]]:
        """What is left, in OpenAI's headers."""
        for what, limit in self.limits.items():
            if limit:
                left = self.buckets[what].left(limit)
                yield f"x-ratelimit-limit-{what}", str(limit)
                yield f"x-ratelimit-remaining-{what}", str(max(0, int(left)))
                yield f"x-ratelimit-reset-{what}", f"{(limit - left) * 60 / limit:.3f}s"


class Admission:
    """The application that admits requests to another one."""

    def __init__(
        self, app: ASGIApp, meter: Meter, keys: KeyRing | None, settings: AdmissionSettings
    ) -> None:
        self.app, self.meter, self.keys, self.settings = app, meter, keys, settings
        self.quotas: dict[str, Quota] = {}
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, counts = Headers(scope=scope), RequestCounts()
        reply = Reply(scope, receive, send, headers.get("x-request-id", ""))
        current = current_counts.set(counts)
        try:
            await self._answer(scope, headers, reply, counts)
        except ApiError as error:
            await reply.fail(error)
        finally:
            current_counts.reset(current)
            route = getattr(scope.get("route"), "path", "")
            self.meter.statuses.labels(route, reply.status).inc()

    async def _answer(
        self, scope: Scope, headers: Headers, reply: "Reply", counts: RequestCounts
    ) -> None:
        wanted = _scope_of(scope["path"])
        key = self._authenticate(headers, wanted)
        scope["state"] |= {"tenant": key.name, "counts": counts}
        if int(headers.get("content-length", 0)) > self.settings.body_bytes:
            raise self._too_large()
        seconds = self.settings.answer_seconds
        with self._admit(key, wanted, reply, counts):
            try:
                async with asyncio.timeout(seconds) as timer:
                    await self.app(scope, self._limit(reply.receive), reply.send)
            except TimeoutError:
                if not timer.expired():
                    raise
                raise ApiError(408, f"The answer took longer than {seconds:g} s.") from None

    def _authenticate(self, headers: Headers, wanted: str) -> ApiKey:
        if self.keys is None:
            _check_local(headers)
        if self.keys is None or wanted == "public":
            return ANYONE
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise ApiError(401, "Give an API key, in the header Authorization: Bearer KEY.")
        key = self.keys.find(secret.strip())
        if key is None:
            what = "The API key is unknown, was revoked, or has expired."
            raise ApiError(401, what, code="invalid_api_key")
        if wanted and not key.allows(wanted):
            what = f"The API key is not for this: it lacks the scope {wanted}."
            raise ApiError(403, what, code="insufficient_permissions")
        return key

    @contextmanager
    def _admit(
        self, key: ApiKey, wanted: str, reply: "Reply", counts: RequestCounts
    ) -> Iterator[None]:
        """Count a request while it is answered; ApiError if there are too many."""
        if wanted not in ("chat", "embeddings", "search"):
            yield
            return
        quota = reply.quota = self.quotas.setdefault(key.name, Quota())
        quota.limit(key.limits, self.settings.limits)
        quota.check()
        if self.running >= self.settings.max_requests:
            raise _too_many("The server answers as many requests as it can.", "requests")
        quota.buckets["requests"].used += 1
        quota.running += 1
        self.running += 1
        try:
            yield
        finally:
            quota.running -= 1
            self.running -= 1
            quota.buckets["tokens"].used += counts.prompt_tokens + counts.new_tokens

    def _limit(self, receive: Receive) -> Receive:
        """The body of a request within its limits; ApiError beyond them."""
        settings, left = self.settings, self.settings.body_bytes
        end: float | None = asyncio.get_running_loop().time() + settings.body_seconds

        async def receive_within() -> Message:
            nonlocal left, end
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                what = f"The body did not arrive within {settings.body_seconds:g} s."
                raise ApiError(408, what) from None
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            end = end if message.get("more_body") else None
            return message

        return receive_within

    def _too_large(self) -> ApiError:
        what = f"The body is larger than {self.settings.body_bytes} bytes."
        return ApiError(413, what, code="request_too_large")


class Reply:
    """What is sent to one client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, id: str) -> None:
        self.scope, self.receive, self.forward = scope, receive, send
        self.id = id if REQUEST_ID.fullmatch(id) else f"req_{secrets.token_hex(16)}"
        self.quota: Quota | None = None
        self.status, self.is_stream = 0, False

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one gets headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = {"x-request-id": self.id, **dict(self.quota.headers() if self.quota else ())}
            message["headers"] = list(message.get("headers", ()))
            self.is_stream = any(v.startswith(b"text/event-stream") for _, v in message["headers"])
            message["headers"] += [(k.encode(), v.encode()) for k, v in added.items()]
        await self.forward(message)

    async def fail(self, error: ApiError) -> None:
        """End with an error: an answer of its own, or an event of a stream."""
        if not self.status:
            extra = {401: {"WWW-Authenticate": "Bearer"}, 408: {"x-should-retry": "false"}}
            headers = error.headers | extra.get(error.status, {})
            answer = JSONResponse(error.to_json(), error.status, headers)
            await answer(self.scope, self.receive, self.send)
        elif self.is_stream:
            await self.send({"type": "http.response.body", "body": to_frame(error.to_json())})


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_local(headers: Headers) -> None:
    """ApiError for a page of another site, whose requests a browser sends here."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        is_own = is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        is_own = False
    if not is_own or origin is not None and origin.partition("://")[2] != host:
        what = "Without keys only this machine is answered; see `groundup keys add --help`."
        raise ApiError(403, what, code="foreign_origin")


def _scope_of(path: str) -> str:
    """The scope that a path needs; public: none."""
    if path == "/" or path.startswith(PUBLIC):
        return "public"
    return next((SCOPES[each] for each in SCOPES if f"{path}/".startswith(f"{each}/")), "")


def _too_many(what: str, kind: str, seconds: float = 1) -> ApiError:
    return ApiError(429, what, kind=kind, code="rate_limit_exceeded", retry_seconds=seconds)
