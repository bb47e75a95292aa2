"""The engine's process as the server sees it: started, asked, lost and started again.

A process that ends takes its requests with it: each gets an EngineLost, and another process is
started at once. A new model is opened in engines of its own; see serve.py.
"""

import asyncio
import itertools
import signal
import socket
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from groundup.core import (
    ArtifactError,
    CapacityError,
    ConfigError,
    DataError,
    GroundupError,
    ShapeError,
    TokenLogprob,
    child,
    device,
    record,
)

from .settings import EngineSettings

MAX_LINE_BYTES = 2**28
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 30.0
"""Before an engine is started again that ended at once, doubled each time."""
STEADY_SECONDS = 10.0
"""An engine that ran so long did not end at once."""
KINDS = {
    each.__name__: each
    for each in (ArtifactError, CapacityError, ConfigError, DataError, ShapeError)
} | {"MissingExtra": ConfigError}


class EngineLost(GroundupError):
    """The engine ended before it answered."""

    exit_code = 1


class ChosenToken(NamedTuple):
    """One token of an answer, or of a prompt that is scored."""

    request: int
    """Index of the prompt."""
    id: int
    logprob: float | None
    """None for the first token of a prompt, which nothing predicts."""
    alternatives: Sequence[TokenLogprob] = ()
    """The most likely tokens at its place, if they were asked for."""
    ended: str | None = None
    """Why the answer ends with it: stop or length."""


class EngineProcess:
    """One process that computes; its requests are numbered."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.facts: dict[str, Any] = {}
        """What the process said of itself when it was ready."""
        self.metrics: dict[str, Any] = {}
        self.process: asyncio.subprocess.Process | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.numbers = itertools.count(1)
        self.inboxes: dict[int, asyncio.Queue[dict[str, Any] | ChosenToken]] = {}
        self.ready = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.how = ""
        """Why it ended."""
        self.reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until its model is open.

        Raises what opening raises, and EngineLost if it ends without a word.
        """
        ours, theirs = socket.socketpair()
        settings, number = self.settings.model_dump_json(), str(theirs.fileno())
        command = child.python_command("-m", "groundup.serve.engine.worker", number, settings)
        self.process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[theirs.fileno()],
            env=child.python_environment(device.allocator_settings()),
            stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        reader, self.writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
        self.reading = asyncio.create_task(self._read(reader))
        self.facts = await self.ready

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Hand on what the process says, until it ends."""
        try:
            while line := await reader.readline():
                self._hand_on(from_json(line))
        except (ConnectionError, ValueError) as error:
            record.log(f"The engine's words were cut off: {error}")
        assert self.process is not None, "it was started"
        code = await self.process.wait()
        self.how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.ended.set()
        lost = EngineLost(f"The engine ended ({self.how}).")
        if not self.ready.done():
            self.ready.set_exception(lost)
        for inbox in self.inboxes.values():
            inbox.put_nowait({"error": ["EngineLost", str(lost)]})

    def _hand_on(self, message: dict[str, Any]) -> None:
        if tokens := message.get("tokens"):
            self.metrics = message["metrics"]
            for number, *token in tokens:
                if (inbox := self.inboxes.get(number)) is not None:
                    id, logprob, alternatives, ended = token
                    found = [TokenLogprob(*each) for each in alternatives]
                    inbox.put_nowait(ChosenToken(number, id, logprob, found, ended))
        elif "id" in message:
            if (inbox := self.inboxes.get(message["id"])) is not None:
                inbox.put_nowait(message)
        elif "ready" in message:
            self.ready.set_result(message["ready"])
        elif not self.ready.done():
            self.ready.set_exception(_error_of(message["failed"]))

    def _send(self, message: dict[str, Any]) -> None:
        if self.ended.is_set() or self.writer is None:
            raise EngineLost("The engine is being started again; try again in a few seconds.")
        self.writer.write(to_json(message) + b"\n")

    async def call(self, do: str, fields: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """What the process answers to one request.

        Raises its error as one of `groundup.core`, and EngineLost if it ends before.
        """
        number, inbox = next(self.numbers), asyncio.Queue[Any]()
        self.inboxes[number] = inbox
        try:
            self._send({"id": number, "do": do, **fields})
            message = await inbox.get()
        finally:
            del self.inboxes[number]
        if "error" in message:
            raise _error_of(message["error"])
        return message["result"]

    async def ask_documents(self, method: str, *arguments: Any) -> Any:
        """What a method of the documents gives; raises as `call`."""
        return await self.call("documents", {"method": method, "arguments": arguments})

    async def generate(
        self, requests: Sequence[dict[str, Any]]
    ) -> AsyncGenerator[ChosenToken, None]:
        """Continue prompts; yield their tokens as they come. What is left is given up at the end.

        requests  ids, sampling (JSON values), seed and salt of each

        Raises as `call`.
        """
        inbox = asyncio.Queue[Any]()
        numbers = {next(self.numbers): index for index in range(len(requests))}
        self.inboxes |= dict.fromkeys(numbers, inbox)
        left = set(numbers)
        try:
            for number, request in zip(numbers, requests, strict=True):
                self._send({"id": number, "do": "generate", **request})
            while left:
                token = await inbox.get()
                if not isinstance(token, ChosenToken):
                    left.discard(token.get("id", 0))
                    raise _error_of(token["error"])
                if token.ended is not None:
                    left.discard(token.request)
                yield token._replace(request=numbers[token.request])
        finally:
            for number in numbers:
                del self.inboxes[number]
            if not self.ended.is_set():
                for number in left:
                    self._send({"id": 0, "do": "abort", "request": number})

    async def stop(self) -> None:
        """End the process once its requests have ended."""
        while self.inboxes and not self.ended.is_set():
            await asyncio.sleep(0.05)
        if self.writer is not None:
            self.writer.close()
        await self.ended.wait()


def _error_of(words: Sequence[str]) -> GroundupError:
    kind, message = words
    if kind in KINDS:
        return KINDS[kind](message)
    return EngineLost(message if kind == "EngineLost" else f"A defect in the engine: {message}.")


class Engines:
    """Some engines with equal settings, which are kept running."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.running: list[EngineProcess] = []
        self.keepers: list[asyncio.Task[None]] = []
        self.restarts = 0

    async def open(self, settings: EngineSettings) -> None:
        """Start the engines; raises what opening raises."""
        started = [EngineProcess(settings) for _ in range(self.count)]
        try:
            await asyncio.gather(*(each.start() for each in started))
        except BaseException:
            for each in started:
                if each.process is not None and each.process.returncode is None:
                    each.process.kill()
            raise
        self.running = started
        self.keepers = [asyncio.create_task(self._keep(at)) for at in range(self.count)]

    async def _keep(self, at: int) -> None:
        """Start an engine again each time that it ends."""
        wait, since = FIRST_WAIT_SECONDS, time.monotonic()
        while True:
            await self.running[at].ended.wait()
            is_steady = time.monotonic() - since > STEADY_SECONDS
            wait = FIRST_WAIT_SECONDS if is_steady else min(2 * wait, LONGEST_WAIT_SECONDS)
            self.restarts += 1
            how = f"The engine ended ({self.running[at].how}) and is started again"
            record.log(f"{how} (number {self.restarts}).")
            engine, since = EngineProcess(self.running[at].settings), time.monotonic()
            try:
                await engine.start()
            except GroundupError as error:
                record.log(f"The engine does not start: {error} Again in {wait:g} s.")
                await asyncio.sleep(wait)
                continue
            record.log(f"The engine answers again after {time.monotonic() - since:.1f} s.")
            self.running[at] = engine

    def choose(self, ids: Sequence[int] = ()) -> EngineProcess:
        """The engine for a prompt: one that has seen its beginning, unless another is idler.

        Raises EngineLost if none runs.
        """
        alive = [each for each in self.running if not each.ended.is_set()]
        if not alive:
            raise EngineLost("The engine is being started again; try again in a few seconds.")
        idlest = min(alive, key=lambda each: len(each.inboxes))
        if not ids:
            return idlest
        usual = alive[hash(tuple(ids[:PREFIX_TOKENS])) % len(alive)]
        is_busy = len(usual.inboxes) > 2 * len(idlest.inboxes) + 4
        return idlest if is_busy else usual

    @property
    def facts(self) -> dict[str, Any]:
        """What the engines said of themselves."""
        return self.running[0].facts

    async def close(self) -> None:
        """End the engines once their requests have ended."""
        for keeper in self.keepers:
            keeper.cancel()
        await asyncio.gather(*(each.stop() for each in self.running))


PREFIX_TOKENS = 64
"""First tokens of a prompt by which an engine is chosen: equal ones find each other's cache."""
