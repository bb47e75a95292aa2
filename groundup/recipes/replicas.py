"""Replicas of a server on a Ray cluster: requests that begin alike go to the replica that knows it.

    HTTP ─ gateway ─┬─ replica 1: the server's application and an engine
                    └─ replica 2 …

The gateway reads a request's body, and PrefixRouter sends it where bodies with the same beginning
went before, as long as that replica takes it: there the prompt's first tokens are computed already.
A request whose replica or engine is lost before the client got any of the answer is sent to another
replica; a stream that had begun ends with an error event. Every request ends within a given time.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, no_type_check

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic_core import to_json
from ray import exceptions, serve
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from groundup.core import ConfigError, GroundupError, record
from groundup.serve import ApiError, ServeConfig, open_application

PREFIX_BYTES = 1_024
"""First bytes of a body by which a replica is chosen."""
MAX_TRIES = 2
MAX_ONGOING = 256
"""Requests that a replica takes at a time."""
ROUTE_SECONDS = 60.0
"""For a replica to take a request."""
GRACE_SECONDS = 30.0
"""For a replica to say itself that an answer takes too long."""
ENGINE_SECONDS = 300.0
"""For a lost engine to be started again by its replica, which is replaced afterwards."""
RETRY_SECONDS = 1
EVENTS = b"text/event-stream"


class ForwardedRequest(NamedTuple):
    """A complete request."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    avoided: frozenset[str] = frozenset()
    """Replicas that have failed it."""


class PrefixRouter(RequestRouter):
    """Prefers the replica to which a request's beginning belongs (rendezvous hashing)."""

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The replicas in the order in which they are asked whether they take the request."""
        request: ForwardedRequest | None = pending_request.args[0] if pending_request else None
        prefix = request.body[:PREFIX_BYTES] if request else b""
        avoided = request.avoided if request else frozenset()
        rank = lambda id: (id in avoided, hashlib.sha256(prefix + id.encode()).digest())  # noqa: E731
        ranked = sorted(candidate_replicas, key=lambda each: rank(each.replica_id.unique_id))
        return [[each] for each in ranked]

    @no_type_check  # Ray pickles routers by value, which functions that check types are not for
    def _get_next_pending_request_to_route(self) -> PendingRequest | None:
        """Also one that a routing task took and gave up.

        When replicas die, Ray (2.57) ends the routing tasks that are too many, whether or not they
        have a request in hand, which is in no queue of requests to route any more: its client
        waited forever, while the other tasks spun around it (ray-project/ray pull request 66325).
        """
        waiting = (each for each in self._pending_requests_to_fulfill if not each.future.done())
        return super()._get_next_pending_request_to_route() or next(waiting, None)


class Replica:
    """One server without a port."""

    async def __init__(self, config: dict[str, Any], name: str) -> None:
        self.id = serve.get_replica_context().replica_id.unique_id
        self.application, self.engines = await open_application(
            ServeConfig.model_validate(config), 1, name
        )
        self.answered = time.monotonic()
        """When an engine was last seen running."""

    async def answer(self, request: ForwardedRequest) -> AsyncIterator[Any]:
        """Yield the replica's id at once, the status and the headers, and then the body's parts.

        Raises RuntimeError if the application ends before its answer does.
        """
        yield self.id
        sent: asyncio.Queue[Any] = asyncio.Queue()
        body = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return body.pop() if body else await asyncio.Future[dict[str, Any]]()

        work = asyncio.ensure_future(self.application(_scope_of(request), receive, sent.put))
        work.add_done_callback(lambda _: sent.put_nowait(None))
        is_complete = False
        try:
            while (message := await sent.get()) is not None:
                if message["type"] == "http.response.start":
                    yield message["status"], list(message["headers"])
                    continue
                is_complete = not message.get("more_body", False)
                if message.get("body"):
                    yield bytes(message["body"])
        finally:
            work.cancel()
        error = None if work.cancelled() else work.exception()
        if not is_complete:
            raise RuntimeError(f"The application ended before its answer: {error!r}")

    async def check_health(self) -> None:
        """Raises EngineLost when no engine has run for a while: until then it is started again."""
        try:
            self.engines.choose()
            self.answered = time.monotonic()
        except GroundupError:
            if time.monotonic() - self.answered > ENGINE_SECONDS:
                raise


def _scope_of(request: ForwardedRequest) -> Scope:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": request.method, "path": request.path, "raw_path": request.path.encode(),
        "query_string": request.query, "headers": request.headers, "root_path": "", "state": {},
    }  # fmt: skip


class ReplicaLost(ApiError):
    """A replica ended before its answer did."""

    def __init__(self, why: str) -> None:
        what = f"The replica was lost ({why}); try again."
        super().__init__(503, what, kind="server_error", retry_seconds=RETRY_SECONDS)


class ReplicaCall:
    """A request that was sent to a replica; what it answers comes in time, or an ApiError."""

    def __init__(self, parts: Any, answer_seconds: float) -> None:
        self.parts, self.answer_seconds = parts, answer_seconds
        self.deadline = time.monotonic() + answer_seconds + GRACE_SECONDS
        self.replica = ""
        """Its id, once it has taken the request."""
        self.has_ended = False

    async def begin(self) -> Response:
        """The answer; a stream's first event has come, and any other answer is complete.

        Raises ReplicaLost, and ApiError if no replica takes the request, or for a defect in one.
        """
        try:
            await self._be_taken()
            status, headers = await self._next()
            if any(value.startswith(EVENTS) for name, value in headers if name == b"content-type"):
                response = ReplicaStream(self, await self._next() or b"", status)
            else:
                response = Response(b"".join([part async for part in self]), status)
        except BaseException:
            self.end()
            raise
        response.raw_headers = headers
        return response

    async def _be_taken(self) -> None:
        try:
            async with asyncio.timeout(ROUTE_SECONDS):
                self.replica = await self._next()
        except TimeoutError:
            what = f"No replica took the request within {ROUTE_SECONDS:g} s; try again."
            raise ApiError(503, what, kind="server_error", retry_seconds=RETRY_SECONDS) from None

    async def _next(self) -> Any:
        """The next part; None after the last one."""
        try:
            async with asyncio.timeout(self.deadline - time.monotonic()) as timer:
                part = await anext(self.parts, None)
        except TimeoutError:
            if not timer.expired():
                raise
            raise ApiError(408, f"The answer took longer than {self.answer_seconds:g} s.") from None
        except exceptions.RayTaskError as error:  # it would end likewise elsewhere
            record.log(f"A defect in a replica: {error}")
            what = "The server had an error; its log says which."
            raise ApiError(500, what, kind="server_error") from None
        except (exceptions.RayError, RayServeException) as error:
            raise ReplicaLost(type(error).__name__) from None
        self.has_ended = part is None
        return part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts of the body that are left."""
        while (part := await self._next()) is not None:
            yield part

    def end(self) -> None:
        """Stop the replica's work for it, if there is any left."""
        if not self.has_ended:
            self.parts.cancel()


class ReplicaStream(StreamingResponse):
    """Events of a replica, whose work ends with the client; a lost one is an event too."""

    def __init__(self, call: ReplicaCall, first: bytes, status: int) -> None:
        super().__init__(self._events(first), status)
        self.call = call

    async def _events(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        try:
            async for events in self.call:
                yield events
        except ApiError as error:
            record.log(f"A stream was cut off: {error}")
            yield b"data: " + to_json(error.to_json()) + b"\n\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.call.end()


class Gateway:
    """Takes requests and forwards what replicas answer."""

    def __init__(self, replicas: Any) -> None:
        self.replicas = replicas.options(stream=True)
        self.limits = ServeConfig().admission

    async def __call__(self, request: Request) -> Response:
        """Answer a request by a replica, or by another one if the first is lost before."""
        try:
            forwarded = ForwardedRequest(
                request.method, request.url.path, request.url.query.encode(), request.headers.raw,
                await self._read_body(request),
            )  # fmt: skip
            return await self._answer(forwarded)
        except ApiError as error:
            return _error_response(error)
        except ClientDisconnect:
            return Response(status_code=499)  # which nobody reads

    async def _read_body(self, request: Request) -> bytes:
        """The body; ApiError beyond its limits."""
        limit, seconds, body = self.limits.body_bytes, self.limits.body_seconds, bytearray()
        what = f"The body is larger than {limit} bytes."
        too_large = ApiError(413, what, code="request_too_large")
        if int(request.headers.get("content-length", 0)) > limit:
            raise too_large
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise ApiError(408, f"The body took longer than {seconds:g} s.") from None
        return bytes(body)

    async def _answer(self, request: ForwardedRequest) -> Response:
        """The answer of the first replica that has an engine and outlives the request."""
        response = Response(status_code=503)
        for tries in range(1, MAX_TRIES + 1):
            parts = self.replicas.answer.remote(request)
            call = ReplicaCall(parts, self.limits.answer_seconds)
            try:
                response = await call.begin()
            except ReplicaLost as lost:
                record.log(f"{request.method} {request.path}: {lost}")
                response = _error_response(lost)
            response.raw_headers.append((b"x-replica-tries", b"%d" % tries))
            if response.status_code != 503:
                break
            request = request._replace(avoided=request.avoided | {call.replica})
        return response


def _error_response(error: ApiError) -> Response:
    return JSONResponse(error.to_json(), error.status, error.headers)


def replicas(
    model: Path, *, index: Path | None = None, count: int = 2, address: str = "",
    port: int = 8000, name: str = "",
) -> str:  # fmt: skip
    """Serve a model on a Ray cluster, by as many replicas as are asked for, until it is stopped.

    model    directory of a language model, which every node of the cluster can read
    index    directory that `groundup index` made
    count    replicas, each with the model in memory
    address  of a running cluster, such as auto; default: one on this machine alone
    port     of the gateway on every node
    name     of the model for clients; default: its directory's

    Raises ConfigError for a count below 1.
    """
    if count < 1:
        raise ConfigError(f"count={count} serves nothing; use 1 or more.")
    join_cluster(count, address, port)
    begin_replicas(model, index, count, name or model.resolve().name)
    record.log(f"{count} replicas answer at http://127.0.0.1:{port}; Ctrl-C ends them.")
    try:
        asyncio.run(asyncio.Event().wait())
    finally:
        serve.shutdown()
    return "The replicas have ended."


def join_cluster(count: int, address: str, port: int) -> None:
    """Connect to a cluster, or begin one on this machine, and listen on a port of every node."""
    import ray

    # A busy machine needs longer than a tenth of a second to say how many wait.
    os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "2")
    if address:
        ray.init(address=address, namespace="groundup")
    else:  # replicas share the processors, however few there are
        ray.init(
            address="local", namespace="groundup", include_dashboard=False, num_cpus=2 * count,
            _node_ip_address="127.0.0.1",
        )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": port})


def begin_replicas(model: Path, index: Path | None, count: int, name: str) -> None:
    """Deploy a gateway and its replicas on the cluster that is connected."""
    paths = {"model": str(model.resolve()), "index": str(index.resolve()) if index else ""}
    router = RequestRouterConfig(request_router_class=PrefixRouter)  # pyright: ignore
    replica = serve.deployment(
        Replica, num_replicas=count, max_ongoing_requests=MAX_ONGOING,
        graceful_shutdown_timeout_s=30, request_router_config=router,
    )  # fmt: skip
    gateway = serve.deployment(
        Gateway, max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0.1}
    )
    bound = replica.bind({"engine": paths}, name)
    serve.run(gateway.bind(bound), name="groundup", route_prefix="/")
