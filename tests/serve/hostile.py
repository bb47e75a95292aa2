"""Requests that nobody should send: valid ones that were changed, and those made to hurt.

    faults = [send(client, hostile_request(seed=0, number=number)) for number in range(300)]

A server must answer each with what was wrong, in OpenAI's form, or do what was asked; never with a
5xx, and never not at all.
"""

import copy
import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

PATIENCE_SECONDS = 60.0
QUESTION = [{"role": "user", "content": "What is tea made of?"}]
TOOL = {"type": "function", "function": {
    "name": "weather", "parameters": {"type": "object", "properties": {"days": {"enum": [1, 2]}}},
}}  # fmt: skip
FREE: dict[str, Any] = {"model": "tiny", "max_tokens": 3, "grounded": False, "seed": 1}
VALID: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", FREE | {
        "messages": [{"role": "system", "content": "x"}, *QUESTION], "temperature": 0.5,
        "top_p": 0.9, "n": 2, "stop": ["a", "bc"], "logit_bias": {"5": 1.5}, "logprobs": True,
        "top_logprobs": 2, "presence_penalty": 0.1, "frequency_penalty": 0.1, "top_k": 5,
        "min_p": 0.01, "repetition_penalty": 1.1, "min_tokens": 1, "stop_token_ids": [7],
        "stream": True, "stream_options": {"include_usage": True}, "user": "u",
        "metadata": {"a": "b"}, "store": False}),
    ("/v1/chat/completions", FREE | {
        "messages": [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [{
            "id": "call_1", "type": "function", "function": {
                "name": "weather", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "7"}]}],
        "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True}),
    ("/v1/chat/completions", FREE | {
        "messages": QUESTION, "response_format": {"type": "json_schema", "json_schema": {
            "name": "cup", "strict": True, "schema": {
                "type": "object", "properties": {"size": {"type": "integer"}},
                "required": ["size"], "additionalProperties": False}}}}),
    ("/v1/chat/completions", FREE | {
        "messages": QUESTION, "structured_outputs": {"regex": "[a-z]{3}"}}),
    ("/v1/chat/completions", {
        "model": "tiny", "messages": QUESTION, "only": ["*.md"], "quotes": 2, "stream": True}),
    ("/v1/completions", {
        "model": "tiny", "prompt": ["Tea", "Cups"], "max_tokens": 3, "echo": True, "logprobs": 2,
        "n": 2, "best_of": 2, "stop": "x", "seed": 3}),
    ("/v1/completions", {
        "model": "tiny", "prompt": [[5, 6, 7], [8]], "max_tokens": 0, "echo": True, "logprobs": 0}),
    ("/v1/embeddings", {
        "model": "tiny", "input": ["tea", "cup"], "encoding_format": "base64", "user": "u"}),
    ("/v1/responses", {
        "model": "tiny", "instructions": "Be brief.", "max_output_tokens": 3, "grounded": False,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Tea?"}]}],
        "tools": [{"type": "function", **TOOL["function"]}], "tool_choice": "auto",
        "metadata": {"a": "b"}, "temperature": 1, "top_p": 1, "stream": True, "store": True}),
    ("/v1/responses", {
        "model": "tiny", "input": "Tea?", "max_output_tokens": 3, "grounded": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"enum": [1, 2]}}}}),
    ("/tokenize", {"model": "tiny", "prompt": "Tea", "return_token_strs": True}),
    ("/tokenize", {"messages": QUESTION}),
    ("/detokenize", {"model": "tiny", "tokens": [5, 6, 7]}),
)  # fmt: skip
RAW = {
    "<nan>": "NaN", "<infinity>": "Infinity", "<minus>": "-Infinity", "<huge>": "9" * 400,
    "<digits>": "1" * 5000, "<exponent>": "1e400", "<surrogate>": r'"\ud800"',
    "<pair>": r'"\udc00\ud800"', "<deep>": "[" * 5000 + "]" * 5000, "<nested>": '{"a":' * 150
    + "1" + "}" * 150, "<null byte>": r'"\u0000"', "<repeated>": '{"a": 1, "a": 2}',
    "<bad escape>": r'"\x"', "<comment>": "1 /* x */",
}  # fmt: skip
"""JSON that Python does not write, by the text that stands for it."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 17, 1.5, -0.0, 1e308, 2**31, 2**63, -(2**63), 2**64, "", " ",
    "a", "1", "null", "\n", "😀" * 50, "a" * 5000, "%s{0}${x}", "../../etc/passwd", [], [[]],
    [None], {}, {"a": {}}, {"type": "text"}, {"$ref": "#"}, [1, "a"], ["a"] * 100, list(range(300)),
    {"type": "object"}, {str(i): 1 for i in range(50)}, *RAW,
)  # fmt: skip
PATHS = (
    "/v1/models/..%2f..%2fetc%2fpasswd", "/v1/models/%00", "/v1/models/%ff%fe", "/v1/models//",
    "/v1/models/" + "a" * 5000, "/v1/models/%ED%A0%80", "/v1/responses/..%2f..", "/v1/responses/",
    "/v1/responses/%F0%9F%98%80", "/v1", "/v1/", "/", "//v1/models", "/v1/chat/completions/",
    "/v1/models?x=" + "y" * 2000, "/V1/MODELS", "/v1/chat", "/.env", "/v1/models/tiny/../../x",
)  # fmt: skip
NAMES = [f"r{i}_{j}" for i in range(200) for j in range(20)]
SCHEMAS: tuple[Any, ...] = (
    {"$ref": "#"}, {"$ref": "#/nowhere"}, {"$ref": "http://localhost/x"}, {"type": "wizard"},
    {"type": "integer", "multipleOf": 1_000_003}, {"type": "string", "pattern": "(a+)+$"},
    {"type": "string", "pattern": "((a{0,100}){0,100}){0,100}"}, {"not": {}}, {"enum": []},
    {"enum": [f"value {i}" for i in range(5000)]}, {"type": "string", "minLength": 10**6},
    {"type": "array", "minItems": 10**6}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"oneOf": [{"required": NAMES[20 * i : 20 * i + 20]} for i in range(200)]},
    {"properties": {name: {"type": "string"} for name in NAMES}}, {"type": ["string", 5]},
    {"properties": []}, {"required": "a"}, {"items": "x"}, {"anyOf": {}}, {"type": None},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": "x"}}},
    {"type": "integer", "minimum": -(10**100), "maximum": 10**100}, {"const": "<nan>"},
)  # fmt: skip
REGEXES = (
    "(a+)+b", "((a*)*)*", "a{1000000}", "((a{100}){100}){100}", "(", "[", "\\", "(?=a)b", r"\1",
    "(a|b)*a(a|b){200}", r"(\p{L}{1,100}){1,100}", "x" * 20_000, "|".join(map(str, range(9000))),
    "", "(?i)(?s).*", r"\u{110000}", "[z-a]", "a{5,2}", "\0", "(" * 3000 + ")" * 3000,
)  # fmt: skip
GRAMMARS = (
    "start: start", "start: a\na: b\nb: a", "nothing", 'start: "a', "start: %json {", "%import x",
    'start: s\ns: s s | "a" | ""', 'start: s{1000000}\ns: "a"', "start: /(/", "%llguidance {}",
    "start: r0\n" + "".join(f'r{i}: "a" r{i + 1}\n' for i in range(9000)) + 'r9000: "z"',
    "start: " + "(" * 9000 + '"a"' + ")" * 9000, 'start: %json {"not": {}}',
    'start: A\nA: /(.|\\n)*/ & ~/(.*a.{20}){5}/', 'start: a{1000}\na: b{1000}\nb: "x"{1000}',
)  # fmt: skip


class HostileRequest(NamedTuple):
    """What is sent."""

    what: str
    path: str
    body: bytes = b""
    method: str = "POST"
    kind: str = "application/json"
    """Its Content-Type."""


def to_bytes(value: Any) -> bytes:
    """JSON, with what Python does not write in its place."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode()


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value."""
    if place:
        yield place
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*place, key))


def _changed(rng: random.Random) -> HostileRequest:
    """A valid request with one to three values that are others, gone, or new."""
    path, body = copy.deepcopy(rng.choice(VALID))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.choice([*_places(body)])
        inside: Any = body
        for key in place[:-1]:
            inside = inside[key]
        how = rng.randrange(6)
        if how == 0:
            del inside[place[-1]]
        elif how == 1 and isinstance(inside, dict):
            inside[rng.choice(("x", "functions", "", "model ", "__proto__"))] = copy.deepcopy(
                rng.choice(VALUES)
            )
        else:
            inside[place[-1]] = copy.deepcopy(rng.choice(VALUES))
        if not body:
            break
    return HostileRequest("changed", path, to_bytes(body))


def _broken(rng: random.Random) -> HostileRequest:
    """A valid request whose bytes are damaged."""
    path, body = rng.choice(VALID)
    data = to_bytes(body)
    at = rng.randrange(len(data))
    how = rng.randrange(5)
    if how == 0:
        return HostileRequest("truncated", path, data[:at])
    if how == 1:
        return HostileRequest("invalid UTF-8", path, data[:at] + b"\xff\xc3\x28" + data[at:])
    if how == 2:
        bits = bytes([data[at] ^ 1 << rng.randrange(8)])
        return HostileRequest("a bit", path, data[:at] + bits + data[at + 1 :])
    if how == 3:
        other = rng.choice((b"", b"[]", b"1", b'"x"', b"null", b"{}", b"{" * 9999, b"\0", b"\xef"))
        return HostileRequest("another value", path, other)
    kind = rng.choice(("text/plain", "multipart/form-data", "", "application/x-www-form-urlencoded",
                       "application/json; charset=utf-16", "\xff"))  # fmt: skip
    return HostileRequest("content type", path, data, kind=kind)


def _elsewhere(rng: random.Random) -> HostileRequest:
    """Another method or path."""
    path, body = rng.choice(VALID)
    if rng.random() < 0.4:
        method = rng.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"))
        return HostileRequest("method", path, to_bytes(body), method)
    method = rng.choice(("GET", "DELETE", "POST"))
    return HostileRequest("path", rng.choice(PATHS), b"", method)


def _grammar(rng: random.Random) -> HostileRequest:
    """A constraint that is invalid or explodes."""
    body = FREE | {"messages": QUESTION}
    how = rng.randrange(4)
    if how == 0:
        schema = {"name": "n", "schema": rng.choice(SCHEMAS)}
        body |= {"response_format": {"type": "json_schema", "json_schema": schema}}
    elif how == 1:
        function = {"name": "f", "parameters": rng.choice(SCHEMAS)}
        body |= {"tools": [{"type": "function", "function": function}]}
    elif how == 2:
        body |= {"structured_outputs": {"regex": rng.choice(REGEXES)}}
    else:
        body |= {"structured_outputs": {"grammar": rng.choice(GRAMMARS)}}
    return HostileRequest("grammar", "/v1/chat/completions", to_bytes(body))


def _large(rng: random.Random) -> HostileRequest:
    """More than anybody needs of something."""
    path, body = rng.choice(large_bodies(rng))()
    return HostileRequest("large", path, to_bytes(body))


def large_bodies(rng: random.Random) -> tuple[Callable[[], tuple[str, Any]], ...]:
    """What makes paths and bodies of megabytes, or that ask for much."""
    chat, size = FREE | {"messages": QUESTION}, 10 * 2**20
    text = rng.choice(("a" * size, "tea " * (size // 4), "漢" * (size // 3), "\n" * size))
    return (
        lambda: ("/v1/chat/completions", chat | {"messages": [{"role": "user", "content": text}]}),
        lambda: ("/v1/chat/completions", {
            "model": "tiny", "messages": [{"role": "user", "content": text}]}),
        lambda: ("/v1/completions", {"model": "tiny", "prompt": text}),
        lambda: ("/v1/completions", {"model": "tiny", "prompt": ["a"] * 2048, "n": 128}),
        lambda: ("/v1/completions", {"model": "tiny", "prompt": [7] * 10**6}),
        lambda: ("/v1/completions", {"model": "tiny", "prompt": ["a", *[5] * 10**6]}),
        lambda: ("/v1/completions", {"model": "tiny", "prompt": [-1.5] * 10**6}),
        lambda: ("/v1/chat/completions", chat | {
            "messages": [{"role": "user", "content": [5] * 10**6}]}),
        lambda: ("/v1/embeddings", {"model": "tiny", "input": text}),
        lambda: ("/v1/embeddings", {"model": "tiny", "input": ["a b"] * 2048}),
        lambda: ("/v1/responses", {"model": "tiny", "input": text}),
        lambda: ("/tokenize", {"prompt": text}),
        lambda: ("/detokenize", {"tokens": [5] * 10**6}),
        lambda: ("/v1/chat/completions", chat | {"stop": [str(i) for i in range(1000)]}),
        lambda: ("/v1/chat/completions", chat | {"stop": ["a" * 10**6] * 16}),
        lambda: ("/v1/chat/completions", chat | {
            "logit_bias": {str(i): -100 for i in range(259)}}),
        lambda: ("/v1/chat/completions", chat | {
            "logit_bias": {str(i): "x" for i in range(10**5)}}),
        lambda: ("/v1/chat/completions", chat | {"messages": QUESTION * 10**4}),
        lambda: ("/v1/chat/completions", chat | {"messages": [5] * 10**6}),
        lambda: ("/v1/chat/completions", chat | {"tools": [TOOL] * 1000}),
        lambda: ("/v1/chat/completions", chat | {"n": 128, "logprobs": True, "top_logprobs": 20}),
        lambda: ("/v1/chat/completions", chat | {"model": "m" * size}),
        lambda: ("/v1/chat/completions", chat | {f"x{i}": 1 for i in range(10**5)}),
        lambda: ("/v1/chat/completions", chat | {"structured_outputs": {
            "choice": [f"{i}" * 500 for i in range(3000)]}}),
    )  # fmt: skip


def hostile_request(seed: int, number: int) -> HostileRequest:
    """One of the requests of a seed."""
    rng = random.Random(f"{seed} {number}")
    kinds = (_changed, _broken, _elsewhere, _grammar, _large)
    return rng.choices(kinds, (0.6, 0.15, 0.1, 0.12, 0.03))[0](rng)


def send(client: httpx.Client, request: HostileRequest) -> str:
    """Send a request; what is wrong with the answer, empty if nothing is."""
    try:
        answer = client.request(
            request.method, request.path, content=request.body,
            headers={"content-type": request.kind.encode("latin-1")}, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except httpx.HTTPError as error:
        return f"{type(error).__name__} {error}"
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.text[:300]}"
    if answer.status_code < 400 or request.method == "HEAD":
        return ""
    try:
        error = answer.json()["error"]
        is_good = set(error) == {"message", "type", "param", "code"} and error["type"]
        is_good = is_good and error["message"].strip()[-1] in ".!?" and len(error["message"]) < 1000
    except (ValueError, KeyError, TypeError, IndexError):
        is_good = False
    return "" if is_good else f"{answer.status_code} {answer.text[:300]}"


RAW_REQUESTS = (
    b"", b"\r\n\r\n", b"GET", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{\"model\":",
    b"GET /v1/models HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20_000)) + b"\r\n",
    b"GET /v1/models HTTP/1.1\r\nX: " + b"y" * 10**6 + b"\r\n\r\n",
    b"GET /" + b"a" * 10**6 + b" HTTP/1.1\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" * 50,
)  # fmt: skip
"""Bytes on a connection, which is half closed then."""


def send_raw(url: str, data: bytes) -> str:
    """Send bytes and close our half; what is wrong with the answer, empty if nothing is."""
    place = urlsplit(url)
    received = b""
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(2**16):
                received += part
        except TimeoutError:
            return "no answer and not closed"
        except OSError:
            pass  # it may close on us
    statuses = [line.split()[1] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return "" if all(status < b"500" for status in statuses) else f"{statuses} for {data[:60]!r}"
