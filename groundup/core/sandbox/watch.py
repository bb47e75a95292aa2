"""Watch a program from outside until it ends or breaks a limit, and end all that it started.

The kernel holds limits that concern one process; here are those that no kernel setting adds up
without rights: time, output, memory over all processes and sockets, number of files. A process
namespace dies with its first process, and the kernel reports that one's death only after all
others', so when `outcome` returns nothing of the program is left.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PositiveFloat

from ..config import Config
from ..record import one_line, size

Status = Literal["ok", "failed", "killed", "timeout", "memory", "output_limit", "file_limit"]
POLL_SECONDS, GRAIN = 0.02, 65_536
LONGEST_MESSAGE = 500
"""Characters; the program wrote them."""
Count = Annotated[int, Field(gt=0, le=2**48)]
"""More than any machine has; the kernel's own settings end at 2**63."""

TABLES = ("unix", "tcp", "tcp6", "udp", "udp6")
"""In /proc/PID/net: every socket that the filter lets a program make, a row each."""
DATAGRAM, QUEUED = "0002", 12
"""A unix datagram socket keeps 11 messages of senders that are gone, beside what it sent itself."""


class Limits(Config):
    """What a program may use; more ends it."""

    seconds: PositiveFloat = 10.0
    """Of the clock."""
    cpu_seconds: Count = 10
    """Of each process."""
    memory_bytes: Count = 2**30
    """Address space of each process, and resident memory and sockets of all together."""
    processes: Count = 32
    """Processes and threads at one time."""
    folder_bytes: Count = 64 * 2**20
    """All files together; they lie in memory."""
    files: Count = 4_096
    open_files: Annotated[int, Field(ge=16, le=2**20)] = 128
    """In each process."""
    output_bytes: Count = 2**20
    """Of stdout, and again of stderr; what comes after is not kept."""


class Outcome(NamedTuple):
    """How a program ended."""

    status: Status
    exit_code: int
    """Its own, or 128 + the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float
    message: str
    """Why, in a line; empty if it ended with 0."""


class Watch:
    """Eyes on one program, from its start."""

    def __init__(self, process: subprocess.Popen[bytes], folder: int, limits: Limits) -> None:
        """Watch the program under `process`, the one that made its namespaces."""
        assert process.stdout and process.stderr
        self.process, self.folder, self.limits = process, folder, limits
        self.started = time.monotonic()
        self.output = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        self.is_flooded = False
        self.inner = next(iter(children(process.pid)))
        self.first = os.pidfd_open(self.inner)

    def outcome(self) -> Outcome:
        """Wait for the end, or bring it about."""
        try:
            broken = self._broken_limit()
        finally:
            seconds = time.monotonic() - self.started
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.first, signal.SIGKILL)
            select.select([self.first], [], [])
            os.close(self.first)
        for pipe in self.output:
            while self._read(pipe):
                pass
        code = self.process.wait()
        code = code if code >= 0 else 128 - code
        stdout, stderr = (text.decode(errors="replace") for text in self.output.values())
        status, message = broken or how_ended(code, stderr)
        return Outcome(status, code, stdout, stderr, seconds, message)

    def _broken_limit(self) -> tuple[Status, str] | None:
        """Read what the program writes until it ends (None) or breaks a limit."""
        with os.fdopen(os.pidfd_open(self.process.pid)) as end, DefaultSelector() as selector:
            for number in (end.fileno(), *self.output):
                selector.register(number, EVENT_READ)
            while True:
                for key, _ in selector.select(POLL_SECONDS):
                    if key.fd == end.fileno():
                        return None
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                if broken := self._over():
                    return broken

    def _read(self, pipe: int) -> bool:
        """Take what is in a pipe, keeping no more than the limit; False at its end."""
        data = os.read(pipe, GRAIN)
        kept = self.output[pipe]
        kept += data[: self.limits.output_bytes - len(kept)]
        self.is_flooded |= len(data) > 0 and len(kept) == self.limits.output_bytes
        return bool(data)

    def _over(self) -> tuple[Status, str] | None:
        """The limit that is broken now, if one is."""
        limits, place = self.limits, os.fstatvfs(self.folder)
        if time.monotonic() - self.started > limits.seconds:
            return "timeout", f"took longer than {limits.seconds:g} s"
        if self.is_flooded:
            return "output_limit", f"wrote more than {size(limits.output_bytes)}"
        held = resident_bytes(self.process.pid) + socket_bytes(self.inner)
        if held > limits.memory_bytes:
            return "memory", f"used more than {size(limits.memory_bytes)}"
        if place.f_files - place.f_ffree > limits.files:
            return "file_limit", f"made more than {limits.files} files"
        return None


def how_ended(code: int, stderr: str) -> tuple[Status, str]:
    """Read an exit code: 0, one above 128 for a signal, or another.

    >>> how_ended(139, "")
    ('killed', 'ended by SIGSEGV')
    """
    last = one_line(stderr.rstrip().rpartition("\n")[2])[:LONGEST_MESSAGE]
    if code == 0:
        return "ok", ""
    if code == 128 + signal.SIGXCPU:
        return "timeout", "used up its processor time"
    if code - 128 in {*signal.Signals}:
        return "killed", f"ended by {signal.Signals(code - 128).name}"
    return ("memory" if last.startswith("MemoryError") else "failed"), last or f"exit code {code}"


def children(process: int) -> Iterator[int]:
    """Processes that a process started and that live; none if it is gone."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            yield from map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())


def resident_bytes(process: int) -> int:
    """Memory of a process and its descendants, files of the machine that they map left out.

    A page that a fork shares counts for each, so this is rather too much than too little.
    """
    total, found = 0, [process]
    while found:
        each = found.pop()
        with contextlib.suppress(OSError):  # it ended meanwhile
            rows = map(str.split, Path(f"/proc/{each}/status").read_text().splitlines())
            total += 1024 * sum(int(row[1]) for row in rows if row[0] in ("RssAnon:", "RssShmem:"))
        found += children(each)
    return total


def socket_bytes(process: int) -> int:
    """The most that the sockets in a process's network may hold; 0 once it is gone.

    The kernel does not tell what a unix socket holds, so each counts as full: the system's usual
    buffer and the message that went over it. For TCP, whose buffers grow, its queues come on top,
    twice, as the kernel's own records about a message take up to as much again.
    """
    with socket.socket(socket.AF_UNIX) as usual:
        full = usual.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + GRAIN
    total = 0
    for table in TABLES:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # no IPv6, or it ended
            rows = Path(f"/proc/{process}/net/{table}").read_text(errors="replace").splitlines()
            for row in map(str.split, rows[1:]):
                if table == "unix":
                    total += full * (QUEUED if row[4] == DATAGRAM else 1)
                else:
                    total += full + 2 * sum(int(queue, 16) for queue in row[4].split(":"))
    return total
