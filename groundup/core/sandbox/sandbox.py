"""Run foreign code where it reaches nothing, and tell how it ended.

    box = Sandbox.open()                            refuses where the machine cannot contain
    box.python("print(6 * 7)").stdout               '42\\n'
    box.run(["/usr/bin/env"], limits=Limits(seconds=2)).status

Two ways in, bubblewrap first, then util-linux's unshare; both give a program namespaces of its own
(no network, no other processes), read-only system folders and interpreter, one private folder,
no capabilities, a filter of system calls, and limits. Linux 5.14 or newer, x86-64 or ARM64.
What no limit of the kernel adds up (memory over processes, number of files) is watched from
outside, as are time and output. Every program runs alone; calls from several threads are safe.
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
from .watch import Limits, Outcome, Watch

Way = Literal["bubblewrap", "namespaces"]
WAYS: tuple[Way, ...] = ("bubblewrap", "namespaces")

HERE = Path(__file__).parent
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
"""Not /dev/zero: mapped and shared, it is memory that no limit counts."""
LINKS = {"/dev/shm": FOLDER, "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
         "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}  # fmt: skip
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": FOLDER, "TMPDIR": FOLDER, "LANG": "C.UTF-8",
               "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # fmt: skip
DENIED: dict[str, dict[str, list[int | None]]] = json.loads((HERE / "denied.json").read_text())
"""System calls that no program gets, by what they are for: number on x86-64, number on ARM64."""
SETUP_SECONDS = 30.0


class Sandbox:
    """A way to run foreign code on this machine that was tried and found to contain it."""

    def __init__(self, way: Way, readable: tuple[str, ...] = ()) -> None:
        """Take a way without trying it; use `open`."""
        self.way: Way = way
        self.mounts = list(mounts(readable))

    @classmethod
    def open(cls, way: Way | None = None, readable: Sequence[Path] = ()) -> "Sandbox":
        """The first way that contains foreign code here, or this one; `readable` folders are shown.

        Raises ConfigError, with every reason, if there is none (nothing runs unprotected), and for
        a readable folder that is not there or holds a way out, a socket or a pipe.
        """
        if way not in (None, *WAYS):
            raise ConfigError(f"The ways into a sandbox are {' and '.join(WAYS)}; got {way!r}.")
        shown = tuple(str(checked_folder(Path(path))) for path in readable)
        refusals = []
        for each in (way,) if way else WAYS:
            if not (refusal := why_not(each)):
                return cls(each, shown)
            refusals.append(f"{each}: {refusal}")
        raise ConfigError(
            f"This machine cannot contain foreign code ({'; '.join(refusals)}); install bubblewrap "
            "(apt-get install bubblewrap) and allow user namespaces, or use another machine."
        )

    def python(
        self,
        program: str,
        arguments: Sequence[str] = (),
        *,
        files: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        passed: Sequence[int] = (),
        limits: Limits | None = None,
    ) -> Outcome:
        """Run a Python program with this interpreter; see `run`."""
        files = {**(files or {}), "main.py": program}
        command = [sys.executable, "-B", "-s", "main.py", *arguments]
        return self.run(command, files=files, stdin=stdin, passed=passed, limits=limits)

    def run(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        passed: Sequence[int] = (),
        limits: Limits | None = None,
    ) -> Outcome:
        """Run a command to its end and take everything that it started down with it.

        command    program by its whole path, and arguments
        files      text by relative name, written into the working folder before the start
        passed     open files of this process that the program gets, under the same numbers

        Raises ConfigError if the sandbox itself cannot be set up, or the command not be started.
        """
        limits = limits or Limits()
        check_call(command, files or {}, passed)
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            wanted = self._specification(command, files or {}, limits)
            specification = stack.enter_context(temporary(json.dumps(wanted).encode()))
            numbers = (specification.fileno(), theirs.fileno())
            process = subprocess.Popen(
                [*self._entrance(limits), *inside(self.way), *map(str, numbers)],
                stdin=stack.enter_context(temporary(stdin)) if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env={},
                pass_fds=(*numbers, *passed), start_new_session=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            theirs.close()
            folder = self._ready(ours, process)
            stack.callback(os.close, folder)
            watch = Watch(process, folder, limits)
            ours.send(b"go")
            outcome = watch.outcome()
            # The program cannot write here: its end is closed as it starts.
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                if told := ours.recv(1_000, socket.MSG_DONTWAIT):
                    said = told.decode(errors="replace")
                    raise ConfigError(f"The command could not be started: {said}")
            return outcome

    def _specification(
        self, command: Sequence[str], files: Mapping[str, str], limits: Limits
    ) -> dict[str, Any]:
        """What inside.py is to do."""
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
            "identity": stranger() if os.geteuid() == 0 else 0,
            # A folder that is there, for the new root; in the program's own mounts alone.
            "root": "/proc" if self.way == "namespaces" else "",
            "mounts": self.mounts,
            "denied": DENIED,
            "folder_bytes": limits.folder_bytes,
        }

    def _entrance(self, limits: Limits) -> list[str]:
        """The command that makes the namespaces and runs what follows it in them."""
        is_root = os.geteuid() == 0
        if self.way == "namespaces":
            user = [] if is_root else ["--user", "--map-root-user"]
            spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
            return [find("unshare"), *user, *spaces]
        parts = {"read": "--ro-bind", "device": "--dev-bind", "link": "--symlink"}
        above = sorted({str(up) for *_, place in self.mounts for up in Path(place).parents})
        places = [text for up in above[1:] for text in ("--dir", up)]
        places += [text for kind, *ends in self.mounts for text in (parts[kind], *ends)]
        # Root keeps what it needs to become a stranger; inside.py gives it up.
        kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP") if is_root else ()
        user = [] if is_root else ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        return [
            find("bwrap"), *user, "--unshare-pid", "--unshare-net", "--unshare-ipc",
            "--unshare-uts", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL",
            *(text for name in kept for text in ("--cap-add", name)), *places,
            "--ro-bind", str(HERE / "inside.py"), "/inside.py", "--proc", "/proc",
            "--perms", "1777", "--size", str(limits.folder_bytes), "--tmpfs", FOLDER,
            "--remount-ro", "/", "--",
        ]  # fmt: skip

    def _ready(self, control: socket.socket, process: subprocess.Popen[bytes]) -> int:
        """Wait until the program starts; return the handle of its folder."""
        control.settimeout(SETUP_SECONDS)
        try:
            told, handles, _, _ = socket.recv_fds(control, 1_000, 1)
        except TimeoutError:
            told, handles = f"nothing happened for {SETUP_SECONDS:.0f} s".encode(), []
        if handles:
            return handles[0]
        process.kill()
        said = told or process.communicate()[1]
        raise ConfigError(
            f"The sandbox could not be set up: {said.decode(errors='replace').strip()}"
        )


def inside(way: Way) -> list[str]:
    """The command that inside.py is."""
    place = "/inside.py" if way == "bubblewrap" else str(HERE / "inside.py")
    return [sys.executable, "-I", "-S", "-B", place]


def find(program: str) -> str:
    """Whole path of a program.

    Raises ConfigError if it is not installed.
    """
    if found := shutil.which(program):
        return found
    raise ConfigError(f"{program} is not installed")


def stranger() -> int:
    """A user id that nobody has, for each program its own, so that its processes are counted."""
    *_, last = Path("/proc/self/uid_map").read_text().splitlines()
    first, _, count = map(int, last.split())
    return first + count // 2 + int.from_bytes(os.urandom(4)) % max(count // 2 - 2, 1)


def mounts(readable: Sequence[str]) -> Iterator[list[str]]:
    """What a program sees of this machine: (kind, source, place)."""
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


def checked_folder(path: Path) -> Path:
    """A folder, or file, to show, links resolved.

    Raises ConfigError if it is not there, cannot be read whole, or holds what is neither file,
    folder nor link: a mount that is read-only leaves sockets, pipes and devices in use.
    """
    try:
        found = path.resolve(strict=True)
        left = [found]
        while left:
            each = left.pop()
            if stat.S_ISDIR(mode := each.lstat().st_mode):
                left += each.iterdir()
            elif not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise ConfigError(
                    f"{path} cannot be shown to a program: {each} is a socket, a pipe or a device, "
                    "which it could write to; move that elsewhere."
                )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{path} cannot be shown to a program: {error}.") from None
    return found


def check_call(command: Sequence[str], files: Mapping[str, str], passed: Sequence[int]) -> None:
    """Raise ConfigError for what no program can be started with."""
    if not command or isinstance(command, str):
        raise ConfigError(f"Expected a command as a list, ['/bin/ls', …]; got {command!r}.")
    for text in (*command, *files):
        try:
            is_plain = b"\0" not in os.fsencode(text)
        except (UnicodeEncodeError, TypeError):
            is_plain = False
        if not is_plain:
            raise ConfigError(f"{text!r} is no argument or file's name: it has a NUL or no text.")
    for name in files:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise ConfigError(f"The file {name!r} would lie outside the program's folder.")
    for number in passed:
        try:
            os.fstat(number)
        except (OSError, OverflowError):
            raise ConfigError(f"passed={number} is no open file of this process.") from None


def temporary(content: bytes) -> IO[bytes]:
    """An open file without a name that holds the content, to be read from its start."""
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


@functools.cache
def why_not(way: Way) -> str:
    """Try a way once in this process: empty if it contains, else what is missing or leaks."""
    limits = Limits(processes=8, seconds=60.0)
    with tempfile.NamedTemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [file.name, str(server.getsockname()[1]), str(limits.processes)]
        try:
            program = (HERE / "probe.py").read_text()
            ended = Sandbox(way).python(program, arguments, limits=limits)
        except (ConfigError, OSError) as error:
            return str(error)
    if ended.status != "ok":
        return f"a harmless program fails: {ended.message}"
    return "; ".join(f"a program {leak}" for leak in ended.stdout.split("\n") if leak)
