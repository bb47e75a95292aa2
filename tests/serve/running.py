"""Real servers with a tiny model, in a thread of this process; their engine is a process."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from groundup.serve.admission import Admission, AdmissionSettings
from groundup.serve.api import create_app
from groundup.serve.connection import WebServer
from groundup.serve.engine.process import Engines
from groundup.serve.engine.settings import EngineSettings
from groundup.serve.keys import KeyRing
from groundup.serve.serve import ServeConfig, Server
from groundup.serve.spans import trace_requests

CONTEXT = 8192
LONG = {"model": "tiny", "prompt": "ab", "max_tokens": 8000, "min_tokens": 8000}
"""A request that is answered for longer than any test takes."""
SHORT = {"model": "tiny", "prompt": "ab", "max_tokens": 4, "min_tokens": 4}


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What a condition gives once it is true; fails if it does not become so."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.01)
    return value


class Running:
    """One engine and its loop; servers with limits of their own are opened on it."""

    def __init__(self, model: Path) -> None:
        self.settings = EngineSettings(model=str(model), cache_tokens=2 * CONTEXT)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.engines = self.call(self._open())

    async def _open(self) -> Engines:
        engines = Engines()
        await engines.open(self.settings)
        return engines

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of what runs in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        """End the engine and the loop."""
        self.call(self.engines.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    @contextmanager
    def serve(
        self, keys: Path | None = None, otlp: str = "", drain_seconds: float = 10.0, **settings: Any
    ) -> Iterator["Client"]:
        """A server with some limits; ends with the block."""
        config = ServeConfig(engine=self.settings, admission=AdmissionSettings(**settings))
        served = Server(config, 1, "tiny")._served(self.engines)
        ring = KeyRing(keys) if keys else None
        app = Admission(create_app(served), served.meter, ring, config.admission)
        server = WebServer(trace_requests(app, otlp), config.admission, drain_seconds)
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            port = listening.getsockname()[1]
            ended = asyncio.run_coroutine_threadsafe(server.serve([listening]), self.loop)
            wait_until(lambda: server.started)
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                    yield Client(http, port, server)
            finally:
                server.should_exit = True
                ended.result(30)

    def is_idle(self) -> bool:
        """Whether the engine computes nothing and holds no block for anyone."""
        report = self.call(self.engines.choose().call("report"))
        return not report["running"] and not report["waiting"] and is_free(report)


def is_free(report: dict[str, Any]) -> bool:
    """Whether all blocks of the cache are free; those that are kept for prefixes are too."""
    return report["free_blocks"] == report["blocks"]


class Client:
    """Asks one server."""

    def __init__(self, http: httpx.Client, port: int, server: WebServer) -> None:
        self.http, self.port, self.server = http, port, server

    def ask(
        self, key: str = "", body: Any = SHORT, path: str = "/v1/completions", method: str = "POST",
        **headers: str,
    ) -> httpx.Response:  # fmt: skip
        """One answer."""
        if key:
            headers["authorization"] = f"Bearer {key}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, path, headers=named, json=body if body else None)

    def connect(self) -> socket.socket:
        """A bare connection, which holds little of what is not read."""
        link = socket.socket()
        link.settimeout(30)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", self.port))
        return link

    def send(self, body: Any, key: str = "") -> socket.socket:
        """A bare connection on which a completion was asked for."""
        link, content = self.connect(), json.dumps(body).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        )
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        link.sendall(head.encode() + content)
        return link


def read_all(link: socket.socket) -> bytes:
    """What comes until the other side ends the connection."""
    parts = []
    try:
        while part := link.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
