"""Ledgers: append-only JSON-lines files, and pointers moved by compare-and-swap.

A line holds a sequence number, the time, the content and the hash of the previous line, so a lost,
edited or reordered line is detected. An append locks the file and returns after fsync. A crash can
leave only an unacknowledged torn last line: one without its newline, or with NUL bytes that were
never written. Readers skip it; the next append truncates it.

    {"sequence": 2, "when": "2026-01-31T12:00:00Z", "content": {…}, "previous": "…", "hash": "…"}

With a key the hash is an HMAC: nobody without it can write, edit, move or drop a line, except the
last ones. A pointer is a ledger whose last line holds the current value; earlier lines are its
history.
"""

import fcntl
import getpass
import hmac
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, NamedTuple

from .artifact import digest, fsync_path, open_nofollow
from .errors import ArtifactError, DataError, disk_error

GENESIS_HASH = "0" * 64
BLOCK_BYTES = 4096


class LedgerEntry(NamedTuple):
    """One line of a ledger."""

    sequence: int
    """1-based."""
    when: str
    """ISO 8601, UTC."""
    content: dict[str, Any]
    previous: str
    """`hash` of the previous line; 64 zeros in the first line."""
    hash: str
    """sha256 over the four fields above, hex; with a key, its HMAC-SHA256."""


class Ledger:
    """An append-only file of JSON records.

    >>> import tempfile
    >>> ledger = Ledger(Path(tempfile.mkdtemp()) / "looks.jsonl")
    >>> ledger.append({"who": "ana"}).sequence
    1
    >>> [entry.content for entry in ledger.read()]
    [{'who': 'ana'}]
    """

    def __init__(self, path: Path, key: bytes = b"") -> None:
        """Name a file, which may not exist yet; `key` signs its lines."""
        self.path, self.key = Path(path), key

    def append(self, content: dict[str, Any]) -> LedgerEntry:
        """Append one record durably and return its entry; raises as `append_all`."""
        return self.append_all([content])[0]

    def append_all(self, contents: Iterable[dict[str, Any]]) -> list[LedgerEntry]:
        """Append records durably, in one write, and return their entries.

        Raises DataError if a content is not JSON, ArtifactError if the last line is damaged, and
        CapacityError if the disk is full; the ledger then stays unchanged.
        """
        with self.lock_for_append() as file:
            return self._append(file, contents, self._last_entry(file))

    def read(self, after: int = 0) -> Iterator[LedgerEntry]:
        """Yield the entries with a higher sequence number, in order, verifying the hash chain.

        Raises ArtifactError naming the first line that is damaged, missing or out of order.
        """
        if not self.path.exists():
            return
        expected, previous = 1, GENESIS_HASH
        with open(self.path, "rb") as file:
            end = _complete_end(file)
            file.seek(0)
            while file.tell() < end:
                entry = self._parse_entry(file.readline(), f"line {expected}")
                if (entry.sequence, entry.previous) != (expected, previous):
                    raise _damaged_error(
                        self.path, f"line {expected} does not follow the one before"
                    )
                expected, previous = expected + 1, entry.hash
                if entry.sequence > after:
                    yield entry

    def last(self) -> LedgerEntry | None:
        """The last entry, read without the others; None if there is none."""
        if not self.path.exists():
            return None
        with open(self.path, "rb") as file:
            return self._last_entry(file)

    def torn_bytes(self) -> int:
        """Bytes after the last complete line, left by a kill; readers skip them."""
        if not self.path.exists():
            return 0
        with open(self.path, "rb") as file:
            if file.seek(0, os.SEEK_END) > _complete_end(file):
                fcntl.flock(file, fcntl.LOCK_SH)  # an append in progress ends first
            return file.seek(0, os.SEEK_END) - _complete_end(file)

    @contextmanager
    def lock_for_append(self) -> Iterator[FileIO]:
        """Lock the ledger for appending, after truncating a torn last line."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with open(self.path, "a+b", buffering=0, opener=open_nofollow) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if is_new:
                    fsync_path(self.path.parent)
                end = _complete_end(file)
                if end < file.seek(0, os.SEEK_END):
                    file.truncate(end)
                yield file
        except OSError as error:
            raise disk_error(self.path, error) from error

    def append_locked(
        self, file: FileIO, content: dict[str, Any], last: LedgerEntry | None
    ) -> LedgerEntry:
        """Write one line after `last` while the lock is held; truncate it again on failure."""
        return self._append(file, [content], last)[0]

    def _append(
        self, file: FileIO, contents: Iterable[dict[str, Any]], last: LedgerEntry | None
    ) -> list[LedgerEntry]:
        entries, when, end = list[LedgerEntry](), _utc_now(), file.seek(0, os.SEEK_END)
        for content in map(_to_json_values, contents):
            sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS_HASH)
            hash = _entry_hash(sequence, when, content, previous, self.key)
            entries.append(last := LedgerEntry(sequence, when, content, previous, hash))
        lines = [json.dumps(e._asdict(), ensure_ascii=False, allow_nan=False) for e in entries]
        rest = "".join(f"{line}\n" for line in lines).encode()
        try:
            while rest:
                rest = rest[file.write(rest) :]  # an unbuffered write may be partial
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
        return entries

    def _last_entry(self, file: FileIO | BufferedReader) -> LedgerEntry | None:
        """The last complete entry, read backwards from the end."""
        end = _complete_end(file)
        if end == 0:
            return None
        start = _line_start(file, end)
        file.seek(start)
        return self._parse_entry(file.read(end - start), "the last line")

    def _parse_entry(self, line: bytes, where: str) -> LedgerEntry:
        try:
            entry = LedgerEntry(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise _damaged_error(self.path, f"{where} is no entry ({error})") from None
        if entry.hash != _entry_hash(*entry[:4], self.key):
            what = "its signature does not fit" if self.key else "its hash does not fit"
            raise _damaged_error(self.path, f"{where} was edited: {what}")
        return entry


class Pointer:
    """A durable value changed by compare-and-swap.

    >>> import tempfile
    >>> pointer = Pointer(Path(tempfile.mkdtemp()) / "current.jsonl")
    >>> pointer.move(None, "snapshot-1", author="ana", reason="first")
    >>> pointer.move("snapshot-1", "snapshot-2", author="ben", reason="two new files")
    >>> pointer.value
    'snapshot-2'
    """

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)

    @property
    def value(self) -> Any:
        """The current value; None before the first move."""
        last = self.ledger.last()
        return last.content["value"] if last else None

    def move(self, expected: Any, value: Any, *, author: str, reason: str) -> None:
        """Set the value if it still is `expected`.

        Raises ArtifactError naming the current value and its author if it is not.
        """
        with self.ledger.lock_for_append() as file:
            last = self.ledger.last()
            current = last.content["value"] if last else None
            if current != expected:
                who = f", set by {last.content['author']} at {last.when}" if last else ""
                raise ArtifactError(
                    f"{self.ledger.path} expected to be at {expected!r}; it is at {current!r}"
                    f"{who}; look at the new value and decide again."
                )
            self.ledger.append_locked(
                file, {"value": value, "author": author, "reason": reason}, last
            )

    def history(self) -> list[LedgerEntry]:
        """Every move, oldest first; content has value, author and reason."""
        return list(self.ledger.read())


def user_name() -> str:
    """The system's user name; `unknown` if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _to_json_values(content: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        return json.loads(text.encode())
    except (TypeError, ValueError) as error:
        raise DataError(f"A ledger takes JSON values without NaN; got {error}.") from None


def _entry_hash(
    sequence: int, when: str, content: dict[str, Any], previous: str, key: bytes = b""
) -> str:
    plain = digest([sequence, when, content, previous])
    return hmac.digest(key, plain.encode(), "sha256").hex() if key else plain


def _damaged_error(path: Path, what: str) -> ArtifactError:
    """Error for a ledger that was changed by something other than an append."""
    return ArtifactError(
        f"{path}: {what}; restore the file from a copy, or remove what was added to it by hand."
    )


def _is_torn(line: bytes) -> bool:
    return not line.endswith(b"\n") or b"\0" in line


def _complete_end(file: FileIO | BufferedReader) -> int:
    size = file.seek(0, os.SEEK_END)
    while size:
        start = _line_start(file, size)
        file.seek(start)
        if not _is_torn(file.read(size - start)):
            return size
        size = start
    return 0


def _line_start(file: FileIO | BufferedReader, end: int) -> int:
    """Offset of the start of the line that ends at `end` (newline included)."""
    position = end - 1
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _utc_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
