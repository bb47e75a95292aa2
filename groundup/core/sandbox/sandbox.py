"""Run untrusted code in isolation, and report how it ended.

    box = Sandbox.open()                            raises if the machine cannot isolate it
    box.run_python("print(6 * 7)").stdout           '42\\n'
    box.run(["/usr/bin/env"], limits=SandboxLimits(seconds=2)).status

Two backends, bubblewrap first, then util-linux's unshare. Both give a program its own namespaces
(no network, no other processes), read-only system folders and interpreter, one private folder,
no capabilities, a seccomp filter and resource limits. Linux 5.14 or newer, x86-64 or ARM64.
Limits that the kernel does not sum (total memory, number of files) are monitored from outside, as
are time and output. Every program gets its own sandbox; calls from several threads are safe.
"""

import contextlib
import functools
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from ..errors import ConfigError
from .inside import FOLDER
from .watch import ProcessMonitor, SandboxLimits, SandboxResult

SandboxBackend = Literal["bubblewrap", "namespaces"]
BACKENDS: tuple[SandboxBackend, ...] = ("bubblewrap", "namespaces")

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


class Sandbox:
    """A sandbox backend that passed the self-test on this machine."""

    def __init__(self, backend: SandboxBackend, readable: tuple[str, ...] = ()) -> None:
        """Use a backend without the self-test; prefer `open`."""
        self.backend: SandboxBackend = backend
        self.mounts = list(mounts(readable))

    @classmethod
    def open(
        cls, backend: SandboxBackend | None = None, readable: Sequence[Path] = ()
    ) -> "Sandbox":
        """The first backend that passes the self-test, or the given one.

        readable  folders that programs may read

        Raises ConfigError, with every reason, if none passes (nothing runs unprotected), and for a
        readable folder that is missing or contains a socket, pipe or device.
        """
        if backend not in (None, *BACKENDS):
            raise ConfigError(
                f"The ways into a sandbox are {' and '.join(BACKENDS)}; got {backend!r}."
            )
        shown = tuple(str(_resolve_readable(Path(path))) for path in readable)
        refusals = []
        for each in (backend,) if backend else BACKENDS:
            if not (refusal := _self_test(each)):
                return cls(each, shown)
            refusals.append(f"{each}: {refusal}")
        raise ConfigError(
            f"This machine cannot contain foreign code ({'; '.join(refusals)}); install bubblewrap "
            "(apt-get install bubblewrap) and allow user namespaces, or use another machine."
        )

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
                [*self._namespace_command(limits), *_inside_command(self.backend),
                 *map(str, numbers)],
                stdin=stack.enter_context(_temporary_file(stdin)) if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={},
                pass_fds=(*numbers, *pass_fds), start_new_session=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            remote.close()
            folder = self._wait_until_ready(control, process)
            stack.callback(os.close, folder)
            watch = ProcessMonitor(process, folder, limits)
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
        """Instructions for inside.py."""
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
            "root": "/proc" if self.backend == "namespaces" else "",
            "mounts": self.mounts,
            "denied": DENIED,
            "folder_bytes": limits.folder_bytes,
        }

    def _namespace_command(self, limits: SandboxLimits) -> list[str]:
        """Command prefix that creates the namespaces and runs the rest inside them."""
        is_root = os.geteuid() == 0
        if self.backend == "namespaces":
            user = [] if is_root else ["--user", "--map-root-user"]
            spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
            return [_require_program("unshare"), *user, *spaces]
        flags = {"read": "--ro-bind", "device": "--dev-bind", "link": "--symlink"}
        parents = sorted({str(up) for *_, path in self.mounts for up in Path(path).parents})
        binds = [text for up in parents[1:] for text in ("--dir", up)]
        binds += [text for kind, *ends in self.mounts for text in (flags[kind], *ends)]
        # Root needs these to change to an unprivileged user id; inside.py then drops them.
        capabilities = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP") if is_root else ()
        user = [] if is_root else ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        return [
            _require_program("bwrap"), *user, "--unshare-pid", "--unshare-net", "--unshare-ipc",
            "--unshare-uts", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL",
            *(text for name in capabilities for text in ("--cap-add", name)), *binds,
            "--ro-bind", str(HERE / "inside.py"), "/inside.py", "--proc", "/proc",
            "--perms", "1777", "--size", str(limits.folder_bytes), "--tmpfs", FOLDER,
            "--remount-ro", "/", "--",
        ]  # fmt: skip

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


def _inside_command(backend: SandboxBackend) -> list[str]:
    """Command that runs inside.py."""
    script = "/inside.py" if backend == "bubblewrap" else str(HERE / "inside.py")
    return [sys.executable, "-I", "-S", "-B", script]


def _require_program(program: str) -> str:
    """Absolute path of a program; ConfigError if it is not installed."""
    if path := shutil.which(program):
        return path
    raise ConfigError(f"{program} is not installed")


def _unused_user_id() -> int:
    """A random unused user id, so that the kernel's process limit counts this program alone."""
    *_, last = Path("/proc/self/uid_map").read_text().splitlines()
    first, _, count = map(int, last.split())
    return first + count // 2 + int.from_bytes(os.urandom(4)) % max(count // 2 - 2, 1)


def mounts(readable: Sequence[str]) -> Iterator[list[str]]:
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
    """Raise ConfigError for an invalid command, file name or file descriptor."""
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
    """An anonymous temporary file with this content."""
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


@functools.cache
def _self_test(backend: SandboxBackend) -> str:
    """Self-test of a backend, cached: empty if it isolates, else what is missing or leaks."""
    limits = SandboxLimits(processes=8, seconds=60.0)
    with tempfile.NamedTemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [file.name, str(server.getsockname()[1]), str(limits.processes)]
        try:
            program = (HERE / "probe.py").read_text()
            ended = Sandbox(backend).run_python(program, arguments, limits=limits)
        except (ConfigError, OSError) as error:
            return str(error)
    if ended.status != "ok":
        return f"a harmless program fails: {ended.message}"
    return "; ".join(f"a program {leak}" for leak in ended.stdout.split("\n") if leak)
