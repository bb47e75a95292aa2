"""The verb `serve`: opens a model and an index, and answers on a port until it is stopped.

SIGTERM and Ctrl-C let running answers end; a second one cuts them off. SIGHUP, or a label that
moves, opens what is there now: new requests go to it when it is ready, and the former engines end
with their last request, so none fails and each is answered by one model. Strangers need keys.
"""

import asyncio
import contextlib
import signal
import socket
import time
import weakref
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import Field
from starlette.types import ASGIApp

from groundup.core import Config, ConfigError, GroundupError, record
from groundup.generate import PromptEncoder, read_model_text
from groundup.tokenizer import ChatTemplate

from .admission import Admission, AdmissionSettings, is_local_host
from .api import create_app
from .connection import WebServer
from .engine.process import Engines
from .engine.settings import EngineSettings
from .keys import KeyRing
from .metrics import Meter
from .openai.answering import Served, read_defaults
from .receipts import Receipts, default_folder
from .releases import Releases
from .spans import trace_requests

WATCH_SECONDS = 1.0
"""Between two looks at the label that is served."""


class ServeConfig(Config):
    """How requests are served."""

    engine: EngineSettings = EngineSettings()
    """What each engine computes with."""
    admission: AdmissionSettings = AdmissionSettings()
    """Limits of what clients ask for."""
    keys: str = ""
    """File of API keys; empty: this machine alone is served, without keys."""
    otlp: str = ""
    """URL of an OpenTelemetry collector; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or no spans."""
    backlog: int = Field(default=2048, ge=1)
    """Connections that wait to be accepted."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """Time for running answers to end after SIGTERM."""


def serve(
    model: Path | None = None, *, index: Path | None = None, host: str = "127.0.0.1",
    port: int = 8000, name: str = "", workers: int = 1, releases: Path = Path("releases"),
    accept_rejected: bool = False, receipts: Path | None = None, no_receipts: bool = False,
    keys: Path | None = None, otlp: str = "", config: ServeConfig | None = None,
) -> None:  # fmt: skip
    """Serve a model, an index, or both, to OpenAI's clients and to a browser.

    With an index, questions are answered from its documents, with quotes, by the model if there is
    one. The page at / is a chat, and the one at /search finds passages.

    model            directory of a language model or of a text encoder, or a label of releases
    index            directory that `groundup index` made
    host             address to listen on
    port             0 takes a free one
    name             of the model for clients; default: its directory's, or the label
    workers          engines, each with the model in memory
    releases         folder of the labels' ledgers; a label that moves is served at once
    accept_rejected  serve what failed its verdict, which is recorded
    receipts         folder for what `groundup replay` needs of each answer, prompts included;
                     default: ~/.local/state/groundup/receipts
    no_receipts      keep none
    keys             file of `groundup keys add`; needed unless only this machine is served
    otlp             URL of an OpenTelemetry collector that gets a span of each request
    config           cache, batches and times

    Raises ConfigError if there is nothing to serve or keys are needed, GateFailed if it was
    rejected, and what opening raises.
    """
    if model is None and index is None:
        raise ConfigError(
            "There is nothing to serve; give a model, --index DIR, or both. "
            "See `groundup serve --help`."
        )
    if workers < 1 or not 0 <= port < 2**16:
        raise ConfigError(f"workers={workers}, port={port}: expected an engine or more, and a port "
                          "below 65,536.")  # fmt: skip
    settings = config or ServeConfig()
    paths = {"model": model, "index": index}
    given = {name: str(path) for name, path in paths.items() if path is not None}
    update = {
        "engine": settings.engine.model_copy(update=given), "keys": str(keys or settings.keys),
        "otlp": otlp or settings.otlp,
    }  # fmt: skip
    Server(
        settings.model_copy(update=update), workers, name, Releases(releases, accept_rejected),
        None if no_receipts else receipts or default_folder(),
    ).run(host, port)  # fmt: skip


class Server:
    """One server, from its start to its end."""

    def __init__(
        self, config: ServeConfig, workers: int, name: str,
        releases: Releases | None = None, receipts: Path | None = None,
    ) -> None:  # fmt: skip
        self.config, self.workers = config, workers
        self.releases = releases or Releases(Path("releases"))
        path = Path(config.engine.model or config.engine.index)
        self.name = name or self.releases.label_of(config.engine) or path.resolve().name
        self.receipts = None if receipts is None else Receipts(receipts)
        self.keys = KeyRing(Path(config.keys)) if config.keys else None
        self.meter: Meter | None = None
        self.opened: list[Engines] = []
        """What is served, and before it what still has requests."""
        self.stamp: tuple[int, ...] = ()
        """Of the label that is served."""
        self.reloading = asyncio.Lock()
        self.tasks = set[asyncio.Task[None]]()
        """What runs beside the requests; the event loop alone would not keep it."""

    def run(self, host: str, port: int) -> None:
        """Serve until a signal ends it; ConfigError if strangers could ask without keys."""
        if self.keys is None and not is_local_host(host):
            what = f"--host {host} lets other machines ask, which needs keys"
            raise ConfigError(f"{what}: groundup keys add keys.json NAME, then --keys keys.json.")
        with _listen(host, port, self.config.backlog) as listening:
            asyncio.run(self._run(listening))

    async def _run(self, listening: socket.socket) -> None:
        begun = time.perf_counter()
        app = create_app(await self.open())  # kept by the application alone: see `_end`
        app.router.lifespan_context = self._lifespan
        settings = self.config.admission
        admitted = Admission(app, app.state.served.meter, self.keys, settings)
        traced = trace_requests(admitted, self.config.otlp)
        address, port = listening.getsockname()[:2]
        seconds = time.perf_counter() - begun
        record.log(f"{self.name} answers at http://{address}:{port} after {seconds:.1f} s.")
        # uvicorn raises the signal that ended it once more, when there are receipts to write.
        signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            await WebServer(traced, settings, self.config.drain_seconds).serve(sockets=[listening])
        finally:
            if self.receipts is not None:
                self.receipts.close()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload(app)))
        watching = loop.create_task(self._watch(app))
        yield
        watching.cancel()
        await asyncio.gather(*(engines.close() for engines in self.opened))

    async def _watch(self, app: FastAPI) -> None:
        """Reload when the label moves."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with contextlib.suppress(GroundupError, OSError):
                if self.releases.stamp_of(self.config.engine) != self.stamp:
                    await self._reload(app)

    async def _reload(self, app: FastAPI) -> None:
        """Open what is there now; requests that run are answered by what they began with."""
        async with self.reloading:
            try:
                served = await self.open()
            except Exception as error:  # whatever is wrong with it
                record.log(f"Not reloaded, the former goes on: {error}")
                return
            former, app.state.served = app.state.served, served
            served.engines.restarts, served.meter.engines = former.engines.restarts, served.engines
            served.kept = former.kept
            self._begin(self._end(former.engines, weakref.ref(former)))
            what = served.release.get("bundle") or served.identity
            record.log(f"Reloaded: new requests are answered by {what or served.name} now.")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _end(self, engines: Engines, served: weakref.ref[Served]) -> None:
        """End engines when no request has what they served."""
        while served() is not None:
            await asyncio.sleep(WATCH_SECONDS / 10)
        await engines.close()
        self.opened.remove(engines)

    async def open(self) -> Served:
        """Open what the label or the directory holds now."""
        self.stamp = self.releases.stamp_of(self.config.engine)
        resolved = await asyncio.to_thread(self.releases.resolve, self.config.engine)
        engines = Engines(self.workers)
        await engines.open(resolved.settings)
        try:
            served = await asyncio.to_thread(self._served, engines)
        except BaseException:
            await engines.close()
            raise
        self.opened.append(engines)
        served.release = resolved.release
        return served

    def _served(self, engines: Engines) -> Served:
        engine, facts = engines.running[0].settings, engines.facts
        prompts, defaults, has_template = None, dict[str, Any](), True
        if facts.get("kind") == "language_model":
            path = Path(engine.model)
            tokenizer, template, _, frame = read_model_text(path)
            own = template if isinstance(template, ChatTemplate) else None
            prompts, defaults = PromptEncoder(tokenizer, own, frame), read_defaults(path)
            has_template = template is not None
        self.meter = self.meter or Meter(engines, self.name)
        return Served(
            self.name, engines, prompts, defaults, self.meter, self.receipts, int(time.time()),
            facts["identity"].get("model", ""), has_template, bool(engine.index),
        )  # fmt: skip


class OpenApplication(NamedTuple):
    """A server without a port."""

    application: ASGIApp
    engines: Engines


async def open_application(config: ServeConfig, workers: int, name: str) -> OpenApplication:
    """What `serve` puts behind a port, for another server that has one; without receipts."""
    server = Server(config, workers, name)
    served = await server.open()
    admitted = Admission(create_app(served), served.meter, server.keys, config.admission)
    return OpenApplication(admitted, served.engines)


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket; ConfigError if the address is taken or none of this machine's."""
    is_ipv6 = ":" in host
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if is_ipv6 else socket.AF_INET, backlog=backlog,
            dualstack_ipv6=is_ipv6 and socket.has_dualstack_ipv6(),
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"{error.strerror}; give another --host or --port.") from None
    listening.setblocking(False)
    return listening
