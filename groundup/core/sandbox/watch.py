"""Monitor a program from outside until it ends or exceeds a limit, and kill all its processes.

The kernel enforces per-process limits; this module enforces those that need privileges in the
kernel: time, output, total memory of all processes and sockets, number of files. A pid namespace
dies with its first process, and the kernel reports that death only after all others, so no process
of the program is left when `wait` returns.
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
from ..record import format_bytes, single_line

Status = Literal["ok", "failed", "killed", "timeout", "memory", "output_limit", "file_limit"]
POLL_SECONDS, READ_BYTES = 0.02, 65_536
MAX_MESSAGE_CHARACTERS = 500
"""Characters taken from the program's own stderr."""
Count = Annotated[int, Field(gt=0, le=2**48)]
"""More than any machine has, and below the kernel's own limit of 2**63."""

SOCKET_TABLES = ("unix", "tcp", "tcp6", "udp", "udp6")
"""Files of /proc/PID/net that list every kind of socket that the seccomp filter allows."""
DATAGRAM, QUEUED_MESSAGES = "0002", 12
"""A unix datagram socket keeps 11 messages of closed senders in addition to what it sent itself."""


class SandboxLimits(Config):
    """Resource limits of a program; exceeding one ends it."""

    seconds: PositiveFloat = 10.0
    """Wall-clock time."""
    cpu_seconds: Count = 10
    """Per process."""
    memory_bytes: Count = 2**30
    """Address space per process, and total resident memory and socket buffers."""
    processes: Count = 32
    """Processes and threads at one time."""
    folder_bytes: Count = 64 * 2**20
    """Total size of all files; they are kept in memory."""
    files: Count = 4_096
    open_files: Annotated[int, Field(ge=16, le=2**20)] = 128
    """Per process."""
    output_bytes: Count = 2**20
    """Of stdout and of stderr each; the rest is discarded."""


class SandboxResult(NamedTuple):
    """How a program ended."""

    status: Status
    exit_code: int
    """Its own, or 128 + the number of the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float
    message: str
    """Why, in one line; empty if it exited with 0."""


class ProcessMonitor:
    """Monitors one program from its start."""

    def __init__(
        self, process: subprocess.Popen[bytes], folder: int, limits: SandboxLimits
    ) -> None:
        """Monitor the program below `process`, the one that created its namespaces."""
        assert process.stdout and process.stderr
        self.process, self.folder, self.limits = process, folder, limits
        self.started = time.monotonic()
        self.output = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        self.is_flooded = False
        self.inner = next(iter(_child_processes(process.pid)))
        self.first = os.pidfd_open(self.inner)

    def wait(self) -> SandboxResult:
        """Wait until the program ends, or kill it at a limit."""
        try:
            broken = self._read_until_end()
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
        status, message = broken or _classify_exit(code, stderr)
        return SandboxResult(status, code, stdout, stderr, seconds, message)

    def _read_until_end(self) -> tuple[Status, str] | None:
        """Read the program's output until it ends (None) or exceeds a limit."""
        with os.fdopen(os.pidfd_open(self.process.pid)) as end, DefaultSelector() as selector:
            for number in (end.fileno(), *self.output):
                selector.register(number, EVENT_READ)
            while True:
                for key, _ in selector.select(POLL_SECONDS):
                    if key.fd == end.fileno():
                        return None
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                if broken := self._exceeded_limit():
                    return broken

    def _read(self, pipe: int) -> bool:
        """Read from a pipe, keeping no more than the limit; False at its end."""
        data = os.read(pipe, READ_BYTES)
        kept = self.output[pipe]
        kept += data[: self.limits.output_bytes - len(kept)]
        self.is_flooded |= len(data) > 0 and len(kept) == self.limits.output_bytes
        return bool(data)

    def _exceeded_limit(self) -> tuple[Status, str] | None:
        """The limit that is exceeded now, if any."""
        limits, disk = self.limits, os.fstatvfs(self.folder)
        if time.monotonic() - self.started > limits.seconds:
            return "timeout", f"took longer than {limits.seconds:g} s"
        if self.is_flooded:
            return "output_limit", f"wrote more than {format_bytes(limits.output_bytes)}"
        if _resident_bytes(self.process.pid) + _socket_bytes(self.inner) > limits.memory_bytes:
            return "memory", f"used more than {format_bytes(limits.memory_bytes)}"
        if disk.f_files - disk.f_ffree > limits.files:
            return "file_limit", f"made more than {limits.files} files"
        return None


def _classify_exit(code: int, stderr: str) -> tuple[Status, str]:
    """Status and message for an exit code; above 128 it is a signal.

    >>> _classify_exit(139, "")
    ('killed', 'ended by SIGSEGV')
    """
    last = single_line(stderr.rstrip().rpartition("\n")[2])[:MAX_MESSAGE_CHARACTERS]
    if code == 0:
        return "ok", ""
    if code == 128 + signal.SIGXCPU:
        return "timeout", "used up its processor time"
    if code - 128 in {*signal.Signals}:
        return "killed", f"ended by {signal.Signals(code - 128).name}"
    return ("memory" if last.startswith("MemoryError") else "failed"), last or f"exit code {code}"


def _child_processes(process: int) -> Iterator[int]:
    """Living child processes; none if the process is gone."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            yield from map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())


def _resident_bytes(process: int) -> int:
    """Resident memory of a process and its descendants, without mapped files of the machine.

    Pages shared after a fork count for each process, so this overestimates.
    """
    total, pending = 0, [process]
    while pending:
        each = pending.pop()
        with contextlib.suppress(OSError):  # it ended meanwhile
            rows = map(str.split, Path(f"/proc/{each}/status").read_text().splitlines())
            total += 1024 * sum(int(row[1]) for row in rows if row[0] in ("RssAnon:", "RssShmem:"))
        pending += _child_processes(each)
    return total


def _socket_bytes(process: int) -> int:
    """Upper bound of the memory of the sockets in a process's network namespace; 0 once it is gone.

    The kernel does not report a unix socket's fill level, so each counts as full: the default
    buffer and one message beyond it. TCP buffers grow, so their queues are added twice, because the
    kernel's bookkeeping per message can take as much again.
    """
    with socket.socket(socket.AF_UNIX) as usual:
        full = usual.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + READ_BYTES
    total = 0
    for table in SOCKET_TABLES:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # no IPv6, or it has ended
            rows = Path(f"/proc/{process}/net/{table}").read_text(errors="replace").splitlines()
            for row in map(str.split, rows[1:]):
                if table == "unix":
                    total += full * (QUEUED_MESSAGES if row[4] == DATAGRAM else 1)
                else:
                    total += full + 2 * sum(int(queue, 16) for queue in row[4].split(":"))
    return total
