"""A persistent cache of answers: an append-only file of JSON lines, and its index.

    {"key": "9f3c…", "answer": {"logprob": -3.2, "is_greedy": false, "tokens": 2}, "price": 0.0}

A line is written as soon as its answer arrives, so a kill loses no answer; a partial last line is
truncated when the file is opened. A key is the hash of the complete request. Only the offsets of
answers are in memory. Several processes may append to one file. Failures are not stored.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    ArtifactError,
    Completion,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
    digest,
    record,
)

from ..task.task import RequestKind, Response

KEY_BYTES = 16


class AnswerTotals(NamedTuple):
    """Totals of the answers in a file."""

    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    price: float = 0.0

    def plus(self, answer: Response, price: float) -> "AnswerTotals":
        """These totals with one more answer."""
        return AnswerTotals(
            self.requests + 1,
            self.prompt_tokens + getattr(answer, "prompt_tokens", 0),
            self.tokens + getattr(answer, "tokens", 0),
            self.price + price,
        )


class AnswerCache:
    """A file of answers; use it in a `with` block or close it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "answers.jsonl"
    >>> with AnswerCache(path) as answers:
    ...     answers.put("ab" * 16, Likelihood(-1.5, True, 3))
    >>> with AnswerCache(path) as answers:
    ...     answers.get("ab" * 16), answers.get("cd" * 16)
    (Likelihood(logprob=-1.5, is_greedy=True, tokens=3, truncated_tokens=0), None)
    """

    def __init__(self, path: Path, shared: "AnswerCache | None" = None) -> None:
        """Open a file and build its index; ArtifactError for a file of another kind.

        shared  answers of other runs of the same model, which are read and added to as well
        """
        self.path, self.totals, self.shared = Path(path), AnswerTotals(), shared
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a+b", buffering=0)  # noqa: SIM115  closed by close()
        self.reader = open(self.path, "rb")  # noqa: SIM115  closed by close()
        self.offsets: dict[bytes, int] = {}
        try:
            with self.locked():
                self.build_index()
        except ArtifactError:
            self.close()
            raise

    def __enter__(self) -> "AnswerCache":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.offsets)

    def build_index(self) -> None:
        """Index every complete line; truncate a partial one, report invalid ones."""
        offset, damaged = 0, 0
        for line in self.reader:
            if not line.endswith(b"\n"):
                self.file.truncate(offset)
                break
            try:
                key, answer, price = _parse_line(line)
                self.offsets[key] = offset
                self.totals = self.totals.plus(answer, price)
            except (ValueError, KeyError, TypeError):
                damaged += 1
            offset += len(line)
        if damaged and not self.offsets:
            raise ArtifactError(f"{self.path} holds no readable answers; delete it to start again.")
        if damaged:
            record.log(
                f"{damaged} damaged lines of {self.path} are skipped; they are requested again."
            )

    def get(self, key: str) -> Response | None:
        """The answer to a request; None if it is not stored."""
        offset = self.offsets.get(bytes.fromhex(key))
        if offset is None:
            return None if self.shared is None else self.shared.get(key)
        self.reader.seek(offset)
        try:
            return _parse_line(self.reader.readline())[1]
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(
                f"{self.path} was changed by another program while it was read; run again."
            ) from None

    def put(self, key: str, answer: Response, price: float = 0.0) -> None:
        """Store an answer; a Reason is not stored."""
        if isinstance(answer, Reason):
            return
        line = {"key": key, "answer": response_to_json(answer), "price": price}
        data = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self.locked():
            self.offsets[bytes.fromhex(key)] = self.file.seek(0, os.SEEK_END)
            while data:
                data = data[self.file.write(data) :]
        self.totals = self.totals.plus(answer, price)
        if self.shared is not None:
            self.shared.put(key, answer, price)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the file against other processes."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Sync the file to disk and close it."""
        os.fsync(self.file.fileno())
        self.file.close()
        self.reader.close()


def _parse_line(line: bytes) -> tuple[bytes, Response, float]:
    row = json.loads(line)
    fields = row["answer"]
    kind = Likelihood if "logprob" in fields else Completion
    answer = kind(truncated_tokens=fields.pop("cut", 0), **fields)
    return bytes.fromhex(row["key"]), answer, float(row["price"])


def response_to_json(answer: Response) -> dict[str, Any]:
    """The fields of an answer in files, where truncated_tokens is `cut`."""
    return {"cut" if name == "truncated_tokens" else name: value
            for name, value in answer._asdict().items()}  # fmt: skip


class ModelRequest(NamedTuple):
    """One request to a model; equal ones are sent once."""

    key: str
    prompt: LoglikelihoodRequest | str
    sampling: Sampling | None = None


def _make_request(
    kind: RequestKind, prompt: LoglikelihoodRequest | str, sampling: Sampling | None = None
) -> ModelRequest:
    """Build a request with its key.

    >>> asked = LoglikelihoodRequest("a", "b")
    >>> _make_request("multiple_choice", asked).key == _make_request("loglikelihood", asked).key
    True
    """
    kind = "loglikelihood" if kind == "multiple_choice" else kind
    what: list[Any] = [kind, list(prompt) if isinstance(prompt, LoglikelihoodRequest) else prompt]
    if sampling is not None:
        what.append(sampling.to_dict())
    return ModelRequest(digest(what)[: 2 * KEY_BYTES], prompt, sampling)


def build_requests(
    kind: RequestKind,
    prompt: str,
    pairs: tuple[LoglikelihoodRequest, ...],
    sampling: Sampling,
    repeats: int,
) -> Iterator[ModelRequest]:
    """The requests of one item in scoring order; greedy repeats are one request."""
    if kind in ("loglikelihood", "multiple_choice"):
        yield from (_make_request(kind, pair) for pair in pairs)
    elif kind == "loglikelihood_rolling":
        yield _make_request(kind, prompt)
    else:
        for number in range(repeats):
            seed = sampling.seed + number * (sampling.temperature > 0)
            yield _make_request(kind, prompt, sampling.model_copy(update={"seed": seed}))
