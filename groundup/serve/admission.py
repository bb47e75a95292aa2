"""What stands before the routes: who may ask, how much, how large and for how long.

A refusal has OpenAI's shape and comes before the body is read. Streams are passed on as they come.
Without keys only this machine is served, and no page of another site: the Host header must be this
machine's, which that of a rebound name is not, and an Origin must be the Host.
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

from .engine.process import EngineLost
from .keys import ApiKey, KeyLimits, KeyRing
from .metrics import Meter, RequestCounts, current_counts
from .openai.errors import ApiError, api_error
from .openai.frames import to_frame

PUBLIC, COMPUTED = "public", ("chat", "embeddings", "search")
SCOPES = {
    "/v1/chat": "chat", "/v1/completions": "chat", "/v1/responses": "chat", "/tokenize": "chat",
    "/detokenize": "chat", "/v1/embeddings": "embeddings", "/api/about": "", "/api": "search",
    "/metrics": "metrics", "/health": PUBLIC, "/ready": PUBLIC, "/": PUBLIC, "/chat": PUBLIC,
    "/search": PUBLIC, "/document": PUBLIC, "/static": PUBLIC,
}  # fmt: skip
"""What a key must allow, by the beginning of a path; what is not named here is for every key."""
ANYONE = ApiKey.model_construct(name="", scopes=("all",))
"""Who asks where no key is needed."""
HEADER_BYTES = 32_768
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


class Allowance:
    """An amount by the minute that refills evenly; it may be overdrawn."""

    def __init__(self) -> None:
        self.limit, self.used, self.since = 0, 0.0, time.monotonic()

    def left(self) -> float:
        """What is left now; without a limit nothing is counted."""
        now = time.monotonic()
        refilled = self.limit * (now - self.since) / 60
        self.used, self.since = max(0.0, self.used - refilled) if self.limit else 0.0, now
        return self.limit - self.used if self.limit else math.inf


class Quota:
    """What a key has used up."""

    def __init__(self) -> None:
        self.allowances = {"requests": Allowance(), "tokens": Allowance()}
        self.running = 0

    def check(self, own: KeyLimits, usual: KeyLimits) -> None:
        """ApiError if nothing is left by the limits of a key as they are now."""
        for what, allowance in self.allowances.items():
            name = f"{what}_per_minute"
            limit = allowance.limit = getattr(own, name) or getattr(usual, name)
            if (left := allowance.left()) < 1:
                seconds = math.ceil((1 - left) * 60 / limit)
                message = f"Rate limit reached: {limit} {what} per minute; wait {seconds} s."
                raise _too_many(message, what, seconds)
        concurrent = own.concurrent or usual.concurrent
        if concurrent and self.running >= concurrent:
            raise _too_many(f"The key has {concurrent} requests at a time; wait for one to end.")

    def headers(self) -> Iterator[tuple[bytes, bytes]]:
        """What is left, in OpenAI's headers."""
        for what, allowance in self.allowances.items():
            if limit := allowance.limit:
                left = allowance.left()
                yield f"x-ratelimit-limit-{what}".encode(), b"%d" % limit
                yield f"x-ratelimit-remaining-{what}".encode(), b"%d" % max(0, left)
                seconds = (limit - left) * 60 / limit
                yield f"x-ratelimit-reset-{what}".encode(), b"%.3fs" % seconds


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
        reply, counts = Reply(scope, receive, send), RequestCounts()
        scope["state"] |= {"counts": counts}
        current = current_counts.set(counts)
        try:
            await self._answer(scope, reply, counts)
        except ApiError as error:
            await reply.fail(error)
        except asyncio.CancelledError:  # uvicorn's, when the time for answers to end is over
            await reply.fail(api_error(EngineLost("The server has ended; ask it again later.")))
        finally:
            current_counts.reset(current)
            route = getattr(scope.get("route"), "path", "")
            self.meter.statuses.labels(route, reply.status).inc()

    async def _answer(self, scope: Scope, reply: "Reply", counts: RequestCounts) -> None:
        needed, seconds = _scope_of(scope["path"]), self.settings.answer_seconds
        key = self._authenticate(reply.headers, needed)
        scope["state"] |= {"tenant": key.name}
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            raise ApiError(431, f"The headers are larger than {HEADER_BYTES} bytes.")
        if int(reply.headers.get("content-length", 0)) > self.settings.body_bytes:
            raise self._too_large()
        with self._admit(key, needed, reply, counts):
            try:
                async with asyncio.timeout(seconds) as timer:
                    await self.app(scope, self._limit_body(reply.receive), reply.send)
            except TimeoutError:
                if not timer.expired():
                    raise
                raise ApiError(408, f"The answer took longer than {seconds:g} s.") from None

    def _authenticate(self, headers: Headers, needed: str) -> ApiKey:
        if self.keys is None:
            _check_local(headers)
        if self.keys is None or needed == PUBLIC:
            return ANYONE
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise ApiError(401, "Give an API key, in the header Authorization: Bearer KEY.")
        key = self.keys.find(secret.strip())
        if key is None:
            what = "The API key is unknown, was revoked, or has expired."
            raise ApiError(401, what, code="invalid_api_key")
        if needed and not key.allows(needed):
            what = f"The API key is not for this: it lacks the scope {needed}."
            raise ApiError(403, what, code="insufficient_permissions")
        return key

    @contextmanager
    def _admit(
        self, key: ApiKey, needed: str, reply: "Reply", counts: RequestCounts
    ) -> Iterator[None]:
        """Count a request while it is answered; ApiError if there are too many."""
        if needed not in COMPUTED:
            yield
            return
        quota = reply.quota = self.quotas.setdefault(key.name, Quota())
        quota.check(key.limits, self.settings.limits)
        if self.running >= self.settings.max_requests:
            raise _too_many("The server has as many requests as it can answer; try again.")
        quota.allowances["requests"].used += 1
        quota.running += 1
        self.running += 1
        try:
            yield
        finally:
            quota.running -= 1
            self.running -= 1
            quota.allowances["tokens"].used += counts.prompt_tokens + counts.new_tokens

    def _limit_body(self, receive: Receive) -> Receive:
        """The body of a request within its limits; ApiError beyond them."""
        left, seconds = self.settings.body_bytes, self.settings.body_seconds
        end: float | None = asyncio.get_running_loop().time() + seconds

        async def receive_within() -> Message:
            nonlocal left, end
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, f"The body took longer than {seconds:g} s.") from None
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

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.forward = scope, receive, send
        self.headers, self.status, self.is_stream = Headers(scope=scope), 0, False
        self.quota: Quota | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one gets headers."""
        if message["type"] == "http.response.start":
            headers, id = list(message.get("headers", ())), self.headers.get("x-request-id", "")
            id = id if REQUEST_ID.fullmatch(id) else f"req_{secrets.token_hex(16)}"
            self.is_stream = any(value.startswith(b"text/event-stream") for _, value in headers)
            quota = self.quota.headers() if self.quota else ()
            message["headers"] = [*headers, (b"x-request-id", id.encode()), *quota]
            self.status = message["status"]
        await self.forward(message)

    async def fail(self, error: ApiError) -> None:
        """End with an error: an answer of its own, or an event of a stream."""
        if not self.status:
            answer = JSONResponse(error.to_json(), error.status, error.headers)
            await answer(self.scope, self.receive, self.send)
        elif self.is_stream:
            await self.send({"type": "http.response.body", "body": to_frame(error.to_json())})


def is_local_host(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_local(headers: Headers) -> None:
    """ApiError for a page of another site, whose requests a browser sends here."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        is_own = is_local_host(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        is_own = False
    if not is_own or origin is not None and origin.partition("://")[2] != host:
        what = "Without keys only this machine is answered; see `groundup keys add --help`."
        raise ApiError(403, what, code="foreign_origin")


def _scope_of(path: str) -> str:
    """The scope that a path needs; empty: any key will do."""
    return next((SCOPES[each] for each in SCOPES if f"{path}/".startswith(f"{each}/")), "")


def _too_many(what: str, kind: str = "requests", seconds: float = 1) -> ApiError:
    return ApiError(429, what, kind=kind, code="rate_limit_exceeded", retry_seconds=seconds)
