"""Self-test run in a sandbox before any untrusted code: everything here must fail.

`probe.py FILE PORT PROCESSES`: a file of the caller, a listening port of this machine, and the
number of processes allowed. Prints a line for each attempt that succeeded.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _count_forks(allowed: int) -> int:
    children: list[int] = []
    while len(children) <= allowed + 4 and _succeeds(lambda: children.append(_fork_idle())):
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
    return len(children)


def _fork_idle() -> int:
    child = os.fork()
    if not child:
        signal.pause()
    return child


def _find_leaks(file: str, port: int, processes: int) -> list[str]:
    with open("/proc/self/status") as text:
        status = {name: value.strip() for name, _, value in (row.partition(":") for row in text)}
    with open("/proc/net/dev") as text:
        devices = {line.split(":")[0].strip() for line in text if ":" in line}
    attempts = {
        "sees processes of the machine": sum(name.isdigit() for name in os.listdir("/proc")) > 4,
        "reads a file of the caller": _succeeds(lambda: os.stat(file)),
        "writes to the system": _succeeds(lambda: os.mkdir("/usr/probe")),
        "writes to the root": _succeeds(lambda: os.mkdir("/probe")),
        "reaches a port": _succeeds(lambda: socket.create_connection(("127.0.0.1", port), 1)),
        f"has network devices {devices}": devices != {"lo"},
        f"starts more than {processes} processes": _count_forks(processes) > processes,
        "keeps capabilities": int(status["CapPrm"], 16) | int(status["CapBnd"], 16) != 0,
        "may gain privileges": status["NoNewPrivs"] != "1",
        "has no filter of system calls": status["Seccomp"] != "2",
    }
    return [what for what, succeeded in attempts.items() if succeeded]


if __name__ == "__main__":
    print("\n".join(_find_leaks(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
