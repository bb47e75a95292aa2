"""The process that computes: one model, one cache, and an index if there is one.

It reads requests from a socket and writes what comes of them, a line of JSON each:

    {"id": 7, "do": "generate", "ids": […], "sampling": {…}}      a request
    {"tokens": [[7, 512, -0.31, null, null], …], "metrics": {…}}  a step: request, token, …
    {"id": 8, "result": …}   {"id": 9, "error": ["ConfigError", "…"]}

All requests share one batch (generate/batching/engine.py). Grammars, answers from documents, scores
and vectors are worked on in threads, so that no step waits for them. Knows nothing of HTTP.
"""

import json
import os
import queue
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from groundup import __version__
from groundup.core import (
    CapacityError,
    ConfigError,
    GroundupError,
    Reason,
    Sampling,
    device,
    record,
)

from .settings import EngineSettings, identity_of

if TYPE_CHECKING:
    from groundup.generate import BatchEngine, DecodeRequest, Engine, Grammar, TokenEvent

    from .documents import Documents

THREADS = 2
"""Requests that are worked on at a time beside the batch."""
IN_THREADS = ("documents", "embed", "score")


class EngineWorker:
    """Answers the requests of one socket until it is closed."""

    def __init__(self, settings: EngineSettings, link: socket.socket | None) -> None:
        """Open nothing yet; without a link nobody is answered, as in replay.py."""
        self.settings, self.link = settings, link
        self.arrived: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        """What the loop does next; None: the server has gone."""
        self.events = deque["TokenEvent"]()
        self.numbers: dict[int, int] = {}
        """Numbers in the batch by request, of those that run."""
        self.requests: dict[int, int] = {}
        """Requests by their number in the batch."""
        self.compiling = set[int]()
        """Requests whose grammars are compiled; one that is given up is no longer among them."""
        self.threads = ThreadPoolExecutor(THREADS, "documents")
        self.sending = threading.Lock()

    def run(self) -> None:
        """Open what the settings name, say what it is, and serve."""
        self.send({"ready": self.describe()})
        threading.Thread(target=self.read, daemon=True).start()
        while self.process_arrived():
            if self.numbers:
                self.batch.step()
                self.send_tokens()

    def process_arrived(self) -> bool:
        """Do what has arrived, and wait for it if nothing is computed; False at the end."""
        while True:
            try:
                action = self.arrived.get(block=not self.numbers)
            except queue.Empty:
                return True
            if action is None:
                return False
            action()
            if self.numbers and self.arrived.empty():
                return True

    def read(self) -> None:
        """Read requests until the socket is closed; some have their threads."""
        assert self.link is not None, "it serves"
        for line in self.link.makefile("rb"):
            request = from_json(line)
            work = getattr(self, f"do_{request['do']}")
            if request["do"] in IN_THREADS:
                self.threads.submit(self.answer, work, request)
            else:
                self.schedule(work, request)
        self.arrived.put(None)

    def schedule(self, work: Callable[..., Any], request: dict[str, Any]) -> None:
        """Let the loop do a request before its next step."""
        self.arrived.put(partial(self.answer, work, request))

    def answer(self, work: Callable[..., Any], request: dict[str, Any]) -> None:
        """Do one request, and send its result or its error."""
        number = request["id"]
        try:
            result = work(request)
        except GroundupError as error:
            self.send({"id": number, "error": [type(error).__name__, str(error)]})
        except Exception as error:  # a defect of one request must not end the others
            record.log(f"A request failed: {type(error).__name__}: {error}")
            self.send({"id": number, "error": ["Defect", type(error).__name__]})
        else:
            if result is not None:
                self.send({"id": number, "result": result})

    def send(self, message: dict[str, Any]) -> None:
        """Write one line; the process ends if nobody reads it."""
        assert self.link is not None, "it serves"
        try:
            with self.sending:
                self.link.sendall(to_json(message, inf_nan_mode="null") + b"\n")
        except OSError:
            os._exit(0)

    def send_tokens(self) -> None:
        """Write what the last step chose."""
        tokens = []
        while self.events:
            event = self.events.popleft()
            if (request := self.requests.get(event.request)) is None:
                continue  # it was given up after this step
            if isinstance(event.ended, Reason):
                self.send({"id": request, "error": ["ConfigError", event.ended.message]})
            else:
                ended = event.ended and event.ended.finish_reason
                tokens.append((request, event.id, event.logprob, event.alternatives, ended))
            if event.ended is not None:
                del self.numbers[request], self.requests[event.request]
        if tokens:
            self.send({"tokens": tokens, "metrics": self.do_report()})

    # What can be asked for.

    def do_generate(self, request: dict[str, Any]) -> None:
        """Let a prompt wait for the batch; its tokens are sent as they come."""
        sampling, number = Sampling.model_validate(request["sampling"]), request["id"]
        if sampling.constraint and "grammar" not in request:
            self.compiling.add(number)
            self.grammars.start(sampling).add_done_callback(
                lambda done: self.schedule(self.do_generate, request | {"grammar": done})
            )
            return
        if sampling.constraint and number not in self.compiling:
            return  # it was given up
        self.compiling.discard(number)
        self.engine.max_new_tokens(request["ids"], sampling)
        grammar = request["grammar"].result() if "grammar" in request else None
        with self.batch.lock:  # an answer from documents may step meanwhile: no token may be missed
            begun = self.batch.add(self.decode_request(request, sampling, grammar))
            self.batch.subscribe(begun, self.events)
        self.numbers[number], self.requests[begun] = begun, number

    def decode_request(
        self, request: dict[str, Any], sampling: Sampling, grammar: "Grammar | None"
    ) -> "DecodeRequest":
        """A request as the batch takes it.

        Prefixes are shared by a tenant's requests, or by none where the stack cannot share.
        """
        from groundup.generate import DecodeRequest

        salt = request.get("salt", "") if self.is_native else str(request["id"])
        return DecodeRequest(
            request["ids"], sampling, request.get("seed"), salt=salt, end_ids=self.engine.end_ids,
            grammar=grammar, decode=self.engine.decode_text,
        )  # fmt: skip

    @property
    def is_native(self) -> bool:
        """Whether the native stack computes, which gives a request the same bits in any batch."""
        return self.batch is self.engine.cached.native.engine

    def do_abort(self, request: dict[str, Any]) -> None:
        """Give up a request, and free what it holds."""
        self.compiling.discard(request["request"])
        number = self.numbers.pop(request["request"], None)
        if number is not None:
            self.batch.abort(number)
            del self.requests[number]

    def do_score(self, request: dict[str, Any]) -> dict[str, Any]:
        """Log-probabilities of the tokens of a prompt, and the likeliest ones at each place."""
        scored = self.engine.score_prompt(request["ids"], request["top"])
        return {"logprobs": scored.logprobs, "alternatives": scored.alternatives}

    def do_embed(self, request: dict[str, Any]) -> dict[str, Any]:
        """A vector for each text, and how many tokens an encoder read; CapacityError if cut."""
        from groundup.model import TextEncoder

        texts, encoder, tokens = request["texts"], self.encoder, 0
        if isinstance(encoder, TextEncoder):
            sizes = [len(encoder.encode(encoder.prompt + text)) for text in texts]
            if max(sizes) > encoder.max_tokens:
                at = sizes.index(max(sizes))
                raise CapacityError(f"Input {at} has {sizes[at]} tokens; this encoder reads "
                                    f"{encoder.max_tokens}: shorten or split it.")  # fmt: skip
            tokens = sum(sizes) + len(texts) * (len(encoder.before) + len(encoder.after))
        rows = (self.engine if encoder is None else encoder).embed(texts)
        return {"rows": rows.tolist(), "tokens": tokens}

    def do_documents(self, request: dict[str, Any]) -> Any:
        """What the documents say: one of their methods, by its name (see documents.py)."""
        return self.documents.call(request["method"], *request["arguments"])

    def do_report(self, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the engine has done so far, and what it holds now."""
        if not self.writes:
            return {}
        batch = self.batch
        waiting = sum(map(len, batch.scheduler.waiting.values()))
        return asdict(batch.metrics) | {
            "running": len(batch.scheduler.running), "waiting": waiting + len(self.compiling),
            "blocks": batch.pool.num_blocks, "free_blocks": len(batch.pool.free),
        }  # fmt: skip

    # What is open.

    def describe(self) -> dict[str, Any]:
        """What the server must know of what is open."""
        facts: dict[str, Any] = {
            "groundup": __version__, "device": device.fingerprint(),
            "identity": identity_of(self.settings),
        }  # fmt: skip
        if self.settings.index:
            facts["index"] = self.documents.current().artifact.id
        if not self.writes:
            return facts | ({} if self.encoder is None else {"kind": "encoder"})
        import torch

        engine, batch = self.engine, self.batch
        room = min(engine.context_length, batch.pool.num_blocks * batch.pool.block_tokens)
        return facts | {
            "kind": "language_model", "context_length": room, "threads": torch.get_num_threads(),
            "end_ids": engine.end_ids, "native": self.is_native,
            "dtype": str(engine.model.head.dtype).removeprefix("torch."),
            "kernels": torch.backends.cpu.get_cpu_capability(),
        }  # fmt: skip

    @property
    def writes(self) -> bool:
        """Whether there is a language model."""
        return bool(self.settings.model) and self.encoder is None

    @cached_property
    def encoder(self) -> Any:
        """The text encoder, if the model is one."""
        from groundup.embeddings import is_static_encoder
        from groundup.retrieve import load_text_encoder

        if not self.settings.model:
            return None
        path = Path(self.settings.model)
        is_encoder = (path / "modules.json").is_file() or is_static_encoder(path)
        return load_text_encoder(path) if is_encoder else None

    @cached_property
    def engine(self) -> "Engine":
        """The language model; ConfigError if there is none."""
        from groundup.generate import Engine

        if not self.settings.model:
            raise ConfigError("No model is served here; give one: groundup serve MODEL.")
        if self.encoder is not None:
            raise ConfigError("The model is a text encoder, which writes nothing.")
        device.set_num_threads()
        bits = self.settings.bits
        engine = Engine.open(self.settings.model, bits=bits or None)  # pyright: ignore
        engine.model.train(False)  # for all threads, whichever ends first
        return engine

    @cached_property
    def batch(self) -> "BatchEngine":
        """The batch of the language model; ConfigError if there is none."""
        return self.engine.open_batch(self.settings.cache_tokens, self.settings.max_running)

    @cached_property
    def grammars(self) -> Any:
        """Compiles grammars in a thread."""
        from groundup.generate import GrammarCompiler

        return GrammarCompiler(self.engine.tokenizer, self.engine.end_ids)

    @cached_property
    def documents(self) -> "Documents":
        """The index; ConfigError if there is none."""
        from .documents import Documents

        if not self.settings.index:
            raise ConfigError("No index is served here; give one: groundup serve --index I.")
        return Documents(self.settings, self.engine if self.writes else None)


def main() -> None:
    """Serve the socket whose number is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this
    link = socket.socket(fileno=int(sys.argv[1]))
    worker = EngineWorker(EngineSettings.model_validate(json.loads(sys.argv[2])), link)
    try:
        worker.run()
    except GroundupError as error:
        worker.send({"failed": [type(error).__name__, str(error)]})
    os._exit(0)  # threads that still work on an answer have nobody to send it to


if __name__ == "__main__":
    main()
