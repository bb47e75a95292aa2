"""A real HTTP server with a real model behind it, which answers as told or misbehaves as told.

The model has one token a byte and weights of its own, so every likelihood that comes through the
wire can be compared with the one computed beside it. What it speaks is OpenAI's protocol with
vLLM's additions (a first token of its own, prompt_logprobs, add_generation_prompt).
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from groundup.core import Message, Sampling
from groundup.generate import Engine
from groundup.tokenizer import render
from tests.generate.tiny import tiny_engine

MODEL = "tiny"
CONTEXT = 256
Behaviour = Callable[["Answering"], None]


class Peer(ThreadingHTTPServer):
    """The server; its address is `url`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, begins: bool = True, scores: bool = True) -> None:
        """Listen on a free port of this machine.

        begins  put a first token before every text, as servers do for models that expect one
        scores  answer `echo` with log-probabilities
        """
        super().__init__(("127.0.0.1", 0), Answering)
        self.begins, self.scores = begins, scores
        self.engine: Engine = tiny_engine(context_length=CONTEXT)
        self.lock = threading.Lock()
        self.script: deque[Behaviour] = deque()
        self.always: Behaviour | None = None
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.closing = threading.Event()
        self.busy = self.busiest = 0

    def __enter__(self) -> "Peer":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what half of these tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def bodies(self, route: str) -> list[Any]:
        """What was sent to a route."""
        return [body for path, _, body in self.asked if path == f"/v1/{route}"]


class Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise every answer waits 40 ms for an acknowledgement
    server: Peer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer(None)

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.answer(json.loads(self.rfile.read(size)))

    def answer(self, body: Any) -> None:
        with self.server.lock:
            self.server.asked.append((self.path, dict(self.headers), body))
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
            behave = self.server.script.popleft() if self.server.script else self.server.always
        self.body = body
        try:
            (behave or good)(self)
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def send(
        self, content: bytes, status: int = 200, kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_json(
        self, value: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send(json.dumps(value).encode(), status, headers=headers)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def send_event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        self.send_chunk(f"data: {text}\n\n".encode())


def good(peer: Answering) -> None:
    """Answer as a good server does."""
    routes = {
        "/v1/models": lambda: {"object": "list", "data": [{"id": MODEL}, {"id": "tiny-large"}]},
        "/v1/chat/completions": lambda: chat(peer.server, peer.body),
        "/v1/completions": lambda: complete(peer.server, peer.body),
        "/v1/embeddings": lambda: embed(peer.server, peer.body),
    }
    if peer.path not in routes:
        return peer.send_json({"error": {"message": f"no route {peer.path}"}}, 404)
    try:
        with peer.server.lock:
            reply = routes[peer.path]()
    except Refused as error:
        return peer.send_json({"error": {"message": str(error), "type": "invalid"}}, 400)
    if (peer.body or {}).get("stream"):
        return stream(peer, reply)
    return peer.send_json(reply)


class Refused(Exception):
    """What the server does not do."""


def chat(server: Peer, body: Any) -> Any:
    messages = tuple(Message(**message) for message in body["messages"])
    asks = body.get("add_generation_prompt", True)
    prompt = render(server.engine.tokenizer, messages, add_generation_prompt=asks).ids
    made = answered(server, prompt, body)
    choice = {"index": 0, "finish_reason": made["finish_reason"]}
    choice["message"] = {"role": "assistant", "content": made["text"]}
    if body.get("logprobs"):
        rows = zip(made["ids"], made["logprobs"], strict=True)
        choice["logprobs"] = {"content": [{"id": i, "token": "", "logprob": p} for i, p in rows]}
    reply = {"choices": [choice], "usage": made["usage"]}
    if "prompt_logprobs" in body:
        values, _ = scored(server, prompt)
        rows = zip(prompt[1:], values[1:], strict=True)
        reply["prompt_logprobs"] = [None, *({str(i): {"logprob": p}} for i, p in rows)]
    return reply


def complete(server: Peer, body: Any) -> Any:
    tokenizer = server.engine.tokenizer
    first = [next(iter(tokenizer.specials.values()))] if server.begins else []
    prompt = first + tokenizer.encode(body["prompt"])
    if body.get("echo") and not server.scores:
        raise Refused("Only no echo is supported")
    made = answered(server, prompt, body)
    choice = {"index": 0, "text": made["text"], "finish_reason": made["finish_reason"]}
    if body.get("echo"):
        ids = prompt + list(made["ids"])
        values, best = scored(server, ids)
        choice["text"] = body["prompt"] + made["text"]
        choice["logprobs"] = {
            "tokens": [spell(tokenizer, i) for i in ids],
            "token_logprobs": values,
            "top_logprobs": [None if top is None else {"?": top} for top in best],
        }
    return {"choices": [choice], "usage": made["usage"]}


def spell(tokenizer: Any, i: int) -> str:
    """A token as OpenAI's completions spell it."""
    if i in tokenizer.specials.values():
        return next(name for name, special in tokenizer.specials.items() if special == i)
    data = tokenizer.decode_bytes([i])
    return data.decode() if data.isascii() else "bytes:" + "".join(f"\\x{b:02x}" for b in data)


def answered(server: Peer, prompt: list[int], body: Any) -> dict[str, Any]:
    """Continue ids; the text is cut at the first of at most four stops."""
    limit = body.get("max_tokens", 16)
    if len(prompt) + limit > CONTEXT:
        raise Refused(f"This model's maximum context length is {CONTEXT} tokens.")
    stops = body.get("stop") or []
    if len(stops) > 4:
        raise Refused("stop: at most 4 sequences")
    sampling = Sampling(
        temperature=body.get("temperature", 1.0), max_tokens=limit, seed=body.get("seed", 0)
    )
    made = server.engine.continue_ids([prompt], sampling)[0]
    places = [made.text.find(stop) for stop in stops]
    cut = min((place for place in places if place >= 0), default=None)
    return {
        "text": made.text[:cut],
        "ids": made.ids,
        "logprobs": made.logprobs,
        "finish_reason": "stop" if cut is not None else made.finish_reason,
        "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(made.ids)},
    }


@torch.no_grad()
def scored(server: Peer, ids: list[int]) -> tuple[list[float | None], list[float | None]]:
    """Log-probability of each id after those before it, and the highest one there."""
    logits = server.engine.model.logits(torch.tensor([ids]))[0]
    logprobs = logits[:, : server.engine.tokenizer.vocab_size].log_softmax(-1)
    mine = logprobs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    return [None, *mine.tolist()], [None, *logprobs[:-1].max(-1).values.tolist()]


def embed(server: Peer, body: Any) -> Any:
    rows = server.engine.embed(body["input"]).tolist()
    data = [{"index": i, "embedding": row} for i, row in enumerate(rows)]
    return {"data": data[::-1], "usage": {"prompt_tokens": 1}}


def stream(peer: Answering, reply: Any) -> None:
    """Send a reply in pieces, with a comment in between."""
    choice = reply["choices"][0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    peer.begin_stream()
    for piece in [text[i : i + 3] for i in range(0, len(text), 3)]:
        peer.send_event({"choices": [piece_of(choice, piece, None)]})
        peer.send_chunk(b": still here\n\n")
    last = piece_of(choice, "", choice["finish_reason"])
    peer.send_event({"choices": [last | {"logprobs": choice.get("logprobs")}]})
    if (peer.body.get("stream_options") or {}).get("include_usage"):
        peer.send_event({"choices": [], "usage": reply["usage"]})
    peer.send_event("[DONE]")
    peer.send_chunk(b"")


def piece_of(choice: Any, piece: str, finish: str | None) -> Any:
    content = {"delta": {"content": piece}} if "message" in choice else {"text": piece}
    return {"index": 0, "finish_reason": finish, **content}


# Misbehaviour


def status(code: int, message: str = "no", headers: dict[str, str] | None = None) -> Behaviour:
    """An error with a status."""
    return lambda peer: peer.send_json({"error": {"message": message}}, code, headers)


def raw(content: bytes, kind: str = "application/json", code: int = 200) -> Behaviour:
    """Any bytes as an answer."""
    return lambda peer: peer.send(content, code, kind)


def hang(peer: Answering) -> None:
    """Say nothing until the test ends."""
    peer.server.closing.wait(60)
    peer.close_connection = True


def hang_up(peer: Answering) -> None:
    """Close the connection without a word."""
    peer.close_connection = True


def cut_body(peer: Answering) -> None:
    """Promise more bytes than come."""
    peer.send_response(200)
    peer.send_header("Content-Type", "application/json")
    peer.send_header("Content-Length", "1000")
    peer.end_headers()
    peer.wfile.write(b'{"choices": [')
    peer.close_connection = True


def half_stream(peer: Answering) -> None:
    """Two pieces, and then the connection breaks."""
    peer.begin_stream()
    for piece in ("half", " of"):
        peer.send_event({"choices": [{"index": 0, "delta": {"content": piece}}]})
    peer.wfile.flush()
    peer.close_connection = True


def early_done(peer: Answering) -> None:
    """A stream that ends in order, but whose answer has no end."""
    peer.begin_stream()
    peer.send_event({"choices": [{"index": 0, "delta": {"content": "half"}}]})
    peer.send_event("[DONE]")
    peer.send_chunk(b"")


def infinite(peer: Answering) -> None:
    """A stream that never ends."""
    peer.begin_stream()
    while not peer.server.closing.is_set():
        peer.send_event({"choices": [{"index": 0, "delta": {"content": "x" * 1000}}]})


def drip(peer: Answering) -> None:
    """A byte now and then: never idle, never done."""
    peer.begin_stream()
    while not peer.server.closing.wait(0.02):
        peer.send_chunk(b":")
