"""Replicas of a server on a Ray cluster: requests that begin alike go to the replica that knows it.

    HTTP ─ gateway ─┬─ replica 1: the server's application and an engine
                    └─ replica 2 …

The gateway reads a request's body, and PrefixRouter sends it where bodies with the same beginning
went before, as long as that replica takes it: there the prompt's first tokens are computed already.
A request whose replica is lost before it answered is sent to another one.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from ray import exceptions, serve
from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from groundup.core import ConfigError, record
from groundup.serve import ApiError, ServeConfig, open_application

PREFIX_BYTES = 1_024
"""First bytes of a body by which a replica is chosen."""
MAX_TRIES = 2
MAX_ONGOING = 256
"""Requests that a replica takes at a time."""


class PrefixRouter(RequestRouter):
    """Prefers the replica to which a request's beginning belongs (rendezvous hashing)."""

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The replicas in the order in which they are asked whether they take the request."""
        prefix: bytes = pending_request.args[0].body[:PREFIX_BYTES] if pending_request else b""
        rank = lambda each: hashlib.sha256(prefix + each.replica_id.unique_id.encode()).digest()  # noqa: E731
        return [[each] for each in sorted(candidate_replicas, key=rank)]


class ForwardedRequest(NamedTuple):
    """A request, whole."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Replica:
    """One server without a port."""

    async def __init__(self, config: dict[str, Any], name: str) -> None:
        self.application, self.engines = await open_application(
            ServeConfig.model_validate(config), 1, name
        )

    async def answer(self, request: ForwardedRequest) -> AsyncIterator[Any]:
        """Yield the status and the headers, and then the body's parts."""
        parts: asyncio.Queue[Any] = asyncio.Queue()
        body = [{"type": "http.request", "body": request.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return body.pop() if body else await asyncio.Future[dict[str, Any]]()

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": request.method, "path": request.path, "raw_path": request.path.encode(),
            "query_string": request.query, "headers": request.headers, "root_path": "",
        }  # fmt: skip
        work = asyncio.ensure_future(self.application(scope, receive, parts.put))
        work.add_done_callback(lambda _: parts.put_nowait(None))
        try:
            while (part := await parts.get()) is not None:
                if part["type"] == "http.response.start":
                    yield part["status"], list(part["headers"])
                elif part.get("body"):
                    yield bytes(part["body"])
        finally:
            work.cancel()

    async def check_health(self) -> None:
        """Raises EngineLost while no engine runs."""
        self.engines.choose()


class Gateway:
    """Takes requests and hands on what replicas answer."""

    def __init__(self, replicas: Any) -> None:
        self.replicas = replicas.options(stream=True)

    async def __call__(self, request: Request) -> Response:
        """Answer a request by a replica, or by another one if the first is lost."""
        forwarded = ForwardedRequest(
            request.method, request.url.path, request.url.query.encode(), request.headers.raw,
            await request.body(),
        )  # fmt: skip
        for _ in range(MAX_TRIES):
            answer = self.replicas.answer.remote(forwarded)
            try:
                status, headers = await anext(answer)
            except (exceptions.RayActorError, exceptions.RayTaskError) as error:
                record.log(f"A replica was lost: {type(error).__name__}.")
                continue
            named = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
            return StreamingResponse(answer, status, named)
        lost = ApiError(503, "The replica was lost; try again.", kind="server_error",
                        retry_seconds=1)  # fmt: skip
        return JSONResponse(lost.to_json(), lost.status, lost.headers)


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
