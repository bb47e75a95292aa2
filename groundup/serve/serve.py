"""The verb `serve`: opens a model and an index, and answers on a port until it is stopped.

SIGTERM and Ctrl-C let running answers end; a second one cuts them off. SIGHUP opens what the
label or the directory holds now, without a failed request. Strangers need keys.
"""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import Field

from groundup.core import (
    Config,
    ConfigError,
    GroundupError,
    record,
)
from groundup.generate import PromptEncoder, read_chat_template, read_source_frame
from groundup.tokenizer import ChatTemplate, load_tokenizer

from .admission import Admission, AdmissionSettings, is_local_host
from .api import create_app
from .connection import WebServer
from .engine.process import Engines
from .engine.settings import EngineSettings
from .keys import KeyRing
from .metrics import Meter
from .openai.answering import Served, read_defaults
from .spans import trace_requests


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


class ServerReport(NamedTuple):
    """How a server ended; everything was said while it ran."""

    requests: int
    is_printed = True


def serve(
    model: Path | None = None, *, index: Path | None = None, host: str = "127.0.0.1",
    port: int = 8000, name: str = "", workers: int = 1, keys: Path | None = None,
    otlp: str = "", config: ServeConfig | None = None,
) -> ServerReport:  # fmt: skip
    """Serve a model, an index, or both, to OpenAI's clients and to a browser.

    With an index, questions are answered from its documents, with quotes, by the model if there is
    one. The page at / is a chat, and the one at /search finds passages.

    model    directory of a language model or of a text encoder
    index    directory that `groundup index` made
    host     address to listen on
    port     0 takes a free one
    name     of the model for clients; default: its directory's
    workers  engines, each with the model in memory
    keys     file of `groundup keys add`; needed unless only this machine is served
    otlp     URL of an OpenTelemetry collector that gets a span of each request
    config   cache, batches and times

    Raises ConfigError if there is nothing to serve or keys are needed, and what opening raises.
    """
    if model is None and index is None:
        raise ConfigError(
            "There is nothing to serve; give a model, --index DIR, or both. "
            "See `groundup serve --help`."
        )
    settings = config or ServeConfig()
    engine = settings.engine.model_copy(
        update={
            "model": str(model.absolute()) if model else settings.engine.model,
            "index": str(index.absolute()) if index else settings.engine.index,
        }
    )
    update = {
        "engine": engine, "keys": str(keys or settings.keys), "otlp": otlp or settings.otlp
    }  # fmt: skip
    server = Server(settings.model_copy(update=update), workers, name)
    return server.run(host, port)


class Server:
    """One server, from its start to its end."""

    def __init__(self, config: ServeConfig, workers: int, name: str) -> None:
        self.config, self.workers = config, workers
        path = Path(config.engine.model or config.engine.index)
        self.name = name or path.resolve().name
        self.keys = KeyRing(Path(config.keys)) if config.keys else None

    def run(self, host: str, port: int) -> ServerReport:
        """Serve until a signal ends it; ConfigError if strangers could ask without keys."""
        if self.keys is None and not is_local_host(host):
            what = f"--host {host} lets other machines ask, which needs keys"
            raise ConfigError(f"{what}: groundup keys add keys.json NAME, then --keys keys.json.")
        listening = _listen(host, port, self.config.backlog)
        asyncio.run(self._run(listening))
        return ServerReport(0)

    async def _run(self, listening: socket.socket) -> None:
        engines = Engines(self.workers)
        begun = time.perf_counter()
        await engines.open(self.config.engine)
        served = self._served(engines)
        app = create_app(served)
        app.router.lifespan_context = self._lifespan(engines)
        settings = self.config.admission
        admitted = Admission(app, served.meter, self.keys, settings)
        traced = trace_requests(admitted, self.config.otlp)
        address, port = listening.getsockname()[:2]
        seconds = time.perf_counter() - begun
        record.log(f"{self.name} answers at http://{address}:{port} after {seconds:.1f} s.")
        await WebServer(traced, settings, self.config.drain_seconds).serve(sockets=[listening])

    def _lifespan(self, engines: Engines) -> Any:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload(engines)))
            yield
            await engines.close()

        return lifespan

    async def _reload(self, engines: Engines) -> None:
        """Open what is there now; what was served goes on if that fails."""
        try:
            await engines.open(self.config.engine)
        except GroundupError as error:
            record.log(f"Not reloaded, the former goes on: {error}")
        else:
            record.log("Reloaded: new requests are answered by what is there now.")

    def _served(self, engines: Engines) -> Served:
        engine = self.config.engine
        path = Path(engine.model) if engine.model else None
        is_writer = engines.facts.get("kind") == "language_model"
        prompts, has_template = None, True
        if path is not None and is_writer:
            tokenizer = load_tokenizer(path)
            template = read_chat_template(path, tokenizer)
            own = template if isinstance(template, ChatTemplate) else None
            prompts = PromptEncoder(tokenizer, own, read_source_frame(path))
            has_template = template is not None
        return Served(
            self.name, engines, prompts, read_defaults(path) if path and is_writer else {},
            Meter(engines, self.name), None, int(time.time()),
            has_template=has_template, has_index=bool(engine.index),
        )  # fmt: skip


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket; ConfigError if the address is taken or none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} is not free ({error.strerror}); give another --host or --port."
        ) from None
    listening.listen(backlog)
    listening.setblocking(False)
    return listening
