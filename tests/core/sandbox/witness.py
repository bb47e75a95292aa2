"""Looks from outside at what a hostile program did: files, listeners, processes left behind."""

import contextlib
import os
import re
import socket
from pathlib import Path


class Witness:
    """A file to steal, doors to knock at, and eyes on all processes."""

    def __init__(self, folder: Path) -> None:
        self.canary = folder / "canary" / "file.txt"
        self.canary.parent.mkdir()
        self.canary.write_text("the caller's")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.place = str(self.canary.parent / "socket")
        self.name = f"groundup-{os.getpid()}-{id(self)}"
        self.unix.bind(self.place)
        self.abstract.bind("\0" + self.name)
        for door in self.doors:
            door.setblocking(False)
        self.unix.listen()
        self.abstract.listen()

    @property
    def doors(self) -> tuple[socket.socket, ...]:
        return self.tcp, self.udp, self.unix, self.abstract

    @property
    def arguments(self) -> list[str]:
        """What a program is told: canary, ports, sockets and the number of this process."""
        ports = [str(door.getsockname()[1]) for door in (self.tcp, self.udp)]
        return [str(self.canary), *ports, self.place, self.name, str(os.getpid())]

    def saw(self, printed: str) -> list[str]:
        """Everything that should not have happened."""
        seen = []
        if self.canary.read_text() != "the caller's" or len(os.listdir(self.canary.parent)) != 2:
            seen.append("the caller's folder changed")
        for door in (self.tcp, self.unix, self.abstract):
            with contextlib.suppress(BlockingIOError):
                door.accept()[0].close()
                seen.append(f"somebody connected to {door.getsockname()}")
        with contextlib.suppress(BlockingIOError):
            seen.append(f"UDP brought {self.udp.recv(99)}")
        space = re.search(r"space (\d+)", printed)
        if space and int(space[1]) != os.stat("/proc/self/ns/pid").st_ino:
            seen += [f"process {number} lives on" for number in inhabitants(int(space[1]))]
        return seen

    def __enter__(self) -> "Witness":
        return self

    def __exit__(self, *_: object) -> None:
        for door in self.doors:
            door.close()


def inhabitants(space: int) -> list[str]:
    """Processes in a process namespace."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{number}/ns/pid").st_ino == space:
                found.append(number)
    return found
