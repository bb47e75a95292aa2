"""What a block asks of the operating system to keep: each call in order, and what it leaves open.

Published is what appears under a name that does not begin with a dot. It must be on the disk before
it appears: a power failure may otherwise leave the name with other content, or none. So at each
rename the file must be as it was at its last fsync, with all that lies in it if it is a folder, and
after it the folder that holds the name must be synced.
"""

import builtins
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.core.artifact import MANIFEST, UNHASHED_NAMES

WRITING = ("w", "a", "x", "+")
EXIT_KILLED = 77


class Recorder:
    """Notes calls below a folder: `calls` in words, `wrong` what was published unsynced."""

    def __init__(self, root: Path, kill_at: int | None = None) -> None:
        self.root, self.kill_at = root.resolve(), kill_at
        self.calls: list[str] = []
        self.wrong: list[str] = []
        self.synced: dict[int, tuple[int, int]] = {}
        """Inode to size and time at the last fsync; what stood before counts as synced."""
        for path in filter(Path.is_file, self.root.rglob("*")):
            self.synced[path.stat().st_ino] = state(path.stat())
        self.names_due: dict[Path, str] = {}
        """Folders in which a name appeared that is not on the disk yet."""
        self.lock = threading.RLock()

    def name(self, path: Any) -> str | None:
        """A path below the folder, or None for what lies elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = Path(os.path.abspath(os.fspath(path)))
        real = path.parent.resolve() / path.name
        return real.relative_to(self.root).as_posix() if real.is_relative_to(self.root) else None

    def note(self, what: str, *paths: Any) -> bool:
        """Write a call down, unless it is elsewhere; end the process if it is the fatal one."""
        names = [self.name(path) for path in paths]
        if None in names:
            return False
        if len(self.calls) == self.kill_at:
            os._exit(EXIT_KILLED)
        self.calls.append(" ".join([what, *map(str, names)]))
        return True

    def fsync(self, handle: int) -> None:
        """After a file's or a folder's fsync."""
        self.synced[os.fstat(handle).st_ino] = state(os.stat(handle))
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        self.names_due.pop(place, None)

    def publish(self, source: Path, target: Path) -> None:
        """Before a rename to a name that readers look for; a manifest publishes its folder."""
        is_manifest = target.name == MANIFEST
        above = [folder for folder in target.resolve().parents if folder.is_relative_to(self.root)]
        if is_manifest or not any(map(is_unfinished, above)):
            files = [source, *(target.parent if is_manifest else source).rglob("*")]
            for path in files:
                if path.is_file() and not path.is_symlink() and not self.is_synced(path):
                    name = self.name(path)
                    if not is_manifest or is_payload(path.relative_to(target.parent)):
                        self.wrong.append(f"{name} is not synced when {target.name} appears")
        self.names_due[target.parent.resolve()] = target.name

    def is_synced(self, path: Path) -> bool:
        """Whether a file was not written to after its last fsync."""
        about = path.stat()
        return self.synced.get(about.st_ino) == state(about)

    def unsynced(self, *patterns: str) -> list[str]:
        """What a finished block left for the system to write when it likes."""
        files = [path for pattern in patterns for path in self.root.glob(pattern)]
        open_files = [str(self.name(path)) for path in files if not self.is_synced(path)]
        return self.wrong + open_files + [f"the name {name}" for name in self.names_due.values()]


def is_unfinished(folder: Path) -> bool:
    """Whether a folder is an artifact that is being written: nobody reads what lies in it."""
    return (folder / ".lock").exists() and not (folder / MANIFEST).exists()


def is_payload(path: Path) -> bool:
    """Whether a file counts for an artifact's id."""
    return path.parts[0] not in UNHASHED_NAMES


def state(about: os.stat_result) -> tuple[int, int]:
    """What changes when a file is written to."""
    return about.st_size, about.st_mtime_ns


@contextmanager
def recording(root: Path, kill_at: int | None = None) -> Iterator[Recorder]:
    """Record what the block does below `root`; with `kill_at` the process ends before that call."""
    recorder = Recorder(root, kill_at)
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "link", "unlink",
                                                 "mkdir", "rmdir")}  # fmt: skip
    real_open = builtins.open

    def fsync(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        with recorder.lock:
            is_ours = recorder.note("fsync", number)
            real["fsync"](number)
            if is_ours:
                recorder.fsync(number)

    def moving(name: str) -> Callable[..., None]:
        def move(source: Any, target: Any, **places: Any) -> None:
            with recorder.lock:
                if recorder.note(name, source, target) and Path(target).name[0] != ".":
                    recorder.publish(Path(source), Path(target))
                real[name](source, target, **places)

        return move

    def changing(name: str) -> Callable[..., None]:
        def change(path: Any, *rest: Any, dir_fd: int | None = None) -> None:
            with recorder.lock:
                if dir_fd is None:
                    recorder.note(name, path)
                real[name](path, *rest, dir_fd=dir_fd)

        return change

    def open_(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if not isinstance(file, int) and any(sign in mode for sign in WRITING):
            with recorder.lock:
                recorder.note("open", file)
        return real_open(file, mode, *rest, **more)

    ours = {"fsync": fsync} | {name: moving(name) for name in ("replace", "rename", "link")}
    ours |= {name: changing(name) for name in ("unlink", "mkdir", "rmdir")}
    try:
        for name, call in ours.items():
            setattr(os, name, call)
        builtins.open = io.open = open_
        yield recorder
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        builtins.open = io.open = real_open


def killed_at(root: Path, number: int, act: Callable[[], None]) -> bool:
    """Run `act` in a process of its own that ends before its call of this number.

    Returns False if it had fewer calls and came to its end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: threads and fork
        child = os.fork()
    if child == 0:
        status = 1
        try:
            with recording(root, number):
                act()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    assert code in (0, EXIT_KILLED), f"the child failed before call {number}"
    return code == EXIT_KILLED
