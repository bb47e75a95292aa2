"""Run untrusted code in isolation, and report how it ended.

    box = Sandbox.open()                            raises if the machine cannot isolate it
    box.run_python("print(6 * 7)").stdout           '42\\n'
    box.run(["/usr/bin/env"], limits=SandboxLimits(seconds=2)).status

util-linux's unshare gives a program its own namespaces (no network, no other processes); inside.py
gives it read-only system folders and interpreter, one private folder, no capabilities, a seccomp
filter and resource limits. Linux 5.14 or newer, x86-64 or ARM64. Limits that the kernel does not
sum (total memory of processes and sockets, number of files) are monitored from outside, as are time
and output. Every program gets its own sandbox; calls from several threads are safe.

A pid namespace dies with its first process, and the kernel reports that death only after all
others, so no process of the program is left when `run` returns.
"""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Annotated, Any, Literal, NamedTuple

from pydantic import Field, PositiveFloat

from ..config import Config
from ..errors import ConfigError
from ..record import format_bytes, single_line
from .inside import FOLDER

HERE = Path(__file__).parent
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not /dev/zero: a shared mapping of it is memory that no limit counts."""
LINKS = {"/dev/shm": FOLDER, "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
         "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}  # fmt: skip
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": FOLDER, "TMPDIR": FOLDER, "LANG": "C.UTF-8",
               "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # fmt: skip
DENIED: dict[str, dict[str, list[int | None]]] = json.loads((HERE / "denied.json").read_text())
"""Denied system calls by purpose: number on x86-64, number on ARM64."""
SETUP_SECONDS = 30.0
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


class Sandbox:
    """A sandbox that passed the self-test on this machine."""

    def __init__(self, readable: tuple[str, ...] = ()) -> None:
        """Make a sandbox without the self-test; prefer `open`."""
        self.mounts = list(_mounts(readable))

    @classmethod
    def open(cls, readable: Sequence[Path] = ()) -> "Sandbox":
        """A sandbox, after the self-test.

        readable  folders that programs may read

        Raises ConfigError with the reason if the test fails (nothing runs unprotected), and for a
        readable folder that is missing or contains a socket, pipe or device.
        """
        shown = tuple(str(_resolve_readable(Path(path))) for path in readable)
        if refusal := _self_test():
            raise ConfigError(
                f"This machine cannot contain foreign code ({refusal}); install util-linux and "
                "allow user namespaces, or use another machine."
            )
        return cls(shown)

    def run_python(
        self,
        program: str,
        arguments: Sequence[str] = (),
        *,
        files: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        pass_fds: Sequence[int] = (),
        limits: SandboxLimits | None = None,
    ) -> SandboxResult:
        """Run a Python program with this interpreter; see `run`."""
        files = {**(files or {}), "main.py": program}
        command = [sys.executable, "-B", "-s", "main.py", *arguments]
        return self.run(command, files=files, stdin=stdin, pass_fds=pass_fds, limits=limits)

    def run(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        pass_fds: Sequence[int] = (),
        limits: SandboxLimits | None = None,
    ) -> SandboxResult:
        """Run a command until it ends, and kill every process that it started.

        command    absolute path of the program, and arguments
        files      text by relative name, written into the working folder before the start
        pass_fds   file descriptors of this process that the program inherits, same numbers

        Raises ConfigError if the sandbox cannot be set up or the command cannot be started.
        """
        limits = limits or SandboxLimits()
        _check_arguments(command, files or {}, pass_fds)
        with contextlib.ExitStack() as stack:
            control, remote = socket.socketpair()
            stack.enter_context(control)
            stack.enter_context(remote)
            content = json.dumps(self._specification(command, files or {}, limits)).encode()
            specification = stack.enter_context(_temporary_file(content))
            numbers = (specification.fileno(), remote.fileno())
            process = subprocess.Popen(
                [*_namespace_command(), sys.executable, "-I", "-S", "-B",
                 str(HERE / "inside.py"), *map(str, numbers)],
                stdin=stack.enter_context(_temporary_file(stdin)) if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={},
                pass_fds=(*numbers, *pass_fds), start_new_session=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            remote.close()
            folder = self._wait_until_ready(control, process)
            stack.callback(os.close, folder)
            watch = _ProcessMonitor(process, folder, limits)
            control.send(b"go")
            outcome = watch.wait()
            # Only inside.py can write here: its end is closed on exec.
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                if reply := control.recv(1_000, socket.MSG_DONTWAIT):
                    message = reply.decode(errors="replace")
                    raise ConfigError(f"The command could not be started: {message}")
            return outcome

    def _specification(
        self, command: Sequence[str], files: Mapping[str, str], limits: SandboxLimits
    ) -> dict[str, Any]:
        kernel = {
            "RLIMIT_AS": limits.memory_bytes, "RLIMIT_NPROC": limits.processes + 1,
            "RLIMIT_FSIZE": limits.folder_bytes, "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_CPU": limits.cpu_seconds, "RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0, "RLIMIT_SIGPENDING": 1_024,
        }  # fmt: skip
        return {
            "command": [*command],
            "environment": ENVIRONMENT,
            "files": dict(files),
            "limits": kernel,
            "identity": _unused_user_id() if os.geteuid() == 0 else 0,
            # Any existing folder can hold the new root; only the program's mount namespace sees it.
            "root": "/proc",
            "mounts": self.mounts,
            "denied": DENIED,
            "folder_bytes": limits.folder_bytes,
        }

    def _wait_until_ready(self, control: socket.socket, process: subprocess.Popen[bytes]) -> int:
        """Wait until the program starts; return a file descriptor of its folder."""
        control.settimeout(SETUP_SECONDS)
        try:
            reply, handles, _, _ = socket.recv_fds(control, 1_000, 1)
        except TimeoutError:
            reply, handles = f"nothing happened for {SETUP_SECONDS:.0f} s".encode(), []
        if handles:
            return handles[0]
        process.kill()
        message = (reply or process.communicate()[1]).decode(errors="replace").strip()
        raise ConfigError(f"The sandbox could not be set up: {message}")


def _namespace_command() -> list[str]:
    """Command prefix that creates the namespaces; ConfigError without util-linux."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise ConfigError("unshare is not installed")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    return [unshare, *user, *spaces]


def _unused_user_id() -> int:
    """A random unused user id, so that the kernel's process limit counts this program alone."""
    *_, last = Path("/proc/self/uid_map").read_text().splitlines()
    first, _, count = map(int, last.split())
    return first + count // 2 + int.from_bytes(os.urandom(4)) % max(count // 2 - 2, 1)


def _mounts(readable: Sequence[str]) -> Iterator[list[str]]:
    """Mounts of the program's file system: (kind, source, target path)."""
    interpreter = os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))
    prefixes = dict.fromkeys((interpreter, sys.base_prefix, sys.prefix))
    parts = ("bin", "lib", "lib64", "pyvenv.cfg")
    for path in [*SYSTEM, *(os.path.join(p, part) for p in prefixes for part in parts), *readable]:
        if path not in SYSTEM and path.startswith("/usr/"):
            continue
        if os.path.islink(path):
            yield ["link", os.readlink(path), path]
        elif os.path.exists(path):
            yield ["read", path, path]
    yield from (["device", path, path] for path in DEVICES)
    if not any(path.startswith("/tmp/") for path in (*prefixes, *readable)):
        yield ["link", FOLDER, "/tmp"]
    yield from (["link", target, path] for path, target in LINKS.items())


def _resolve_readable(path: Path) -> Path:
    """Resolve a readable folder or file.

    Raises ConfigError if it is missing, cannot be read completely, or contains sockets, pipes or
    devices, which stay writable even on a read-only mount.
    """
    try:
        folder = path.resolve(strict=True)
        pending = [folder]
        while pending:
            each = pending.pop()
            if stat.S_ISDIR(mode := each.lstat().st_mode):
                pending += each.iterdir()
            elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise ConfigError(
                    f"{path} cannot be shown to a program: {each} is a socket, a pipe or a device, "
                    "which it could write to; move that elsewhere."
                )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{path} cannot be shown to a program: {error}.") from None
    return folder


def _check_arguments(
    command: Sequence[str], files: Mapping[str, str], passed: Sequence[int]
) -> None:
    if not command or isinstance(command, str):
        raise ConfigError(f"Expected a command as a list, ['/bin/ls', …]; got {command!r}.")
    for text in (*command, *files):
        try:
            is_valid = b"\0" not in os.fsencode(text)
        except (UnicodeEncodeError, TypeError):
            is_valid = False
        if not is_valid:
            raise ConfigError(f"{text!r} is no argument or file's name: it has a NUL or no text.")
    for name in files:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise ConfigError(f"The file {name!r} would lie outside the program's folder.")
    for number in passed:
        try:
            os.fstat(number)
        except (OSError, OverflowError):
            raise ConfigError(f"pass_fds={number} is no open file of this process.") from None


def _temporary_file(content: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


@functools.cache
def _self_test() -> str:
    """Self-test, cached: empty if a sandbox isolates, else what is missing or leaks."""
    limits = SandboxLimits(processes=8, seconds=60.0)
    with tempfile.NamedTemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [file.name, str(server.getsockname()[1]), str(limits.processes)]
        try:
            program = (HERE / "probe.py").read_text()
            ended = Sandbox().run_python(program, arguments, limits=limits)
        except (ConfigError, OSError) as error:
            return str(error)
    if ended.status != "ok":
        return f"a harmless program fails: {ended.message}"
    return "; ".join(f"a program {leak}" for leak in ended.stdout.split("\n") if leak)


class _ProcessMonitor:
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
