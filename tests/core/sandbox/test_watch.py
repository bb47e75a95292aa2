"""How a program ended is read from its code and its last words; its family is counted whole."""

import os
import socket
import subprocess
import sys

import pytest

from groundup.core.sandbox.watch import (
    _child_processes,
    _classify_exit,
    _resident_bytes,
    _socket_bytes,
)

NEST = """
import os, sys
kept = bytearray(40_000_000)
kept[::4096] = b"x" * len(kept[::4096])
if os.fork() == 0:
    mine = bytearray(60_000_000)
    mine[::4096] = b"x" * len(mine[::4096])
    print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("code", "stderr", "status", "message"),
    [
        (0, "warning", "ok", ""),
        (1, "Traceback\n  line\nValueError: no\n", "failed", "ValueError: no"),
        (3, "", "failed", "exit code 3"),
        (1, "x\nMemoryError\n", "memory", "MemoryError"),
        (137, "", "killed", "ended by SIGKILL"),
        (139, "MemoryError", "killed", "ended by SIGSEGV"),
        (152, "", "timeout", "used up its processor time"),
        (255, "", "failed", "exit code 255"),
        (1, "E: \x1b[2J\x1b]0;own\x07\r\u202eno", "failed", r"E: \x1b[2J\x1b]0;own\x07\r\u202eno"),
        (1, "x" * 10_000, "failed", "x" * 500),
    ],
)
def test_how_it_ended(code: int, stderr: str, status: str, message: str):
    assert _classify_exit(code, stderr) == (status, message)


def test_memory_of_a_family_is_added_up():
    with subprocess.Popen(
        [sys.executable, "-c", NEST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
        assert len(list(_child_processes(process.pid))) == 1
        assert 140e6 < _resident_bytes(process.pid) < 200e6
        process.stdin.close()
    assert list(_child_processes(process.pid)) == [] and _resident_bytes(process.pid) == 0


def test_this_process_sees_itself():
    assert _resident_bytes(os.getpid()) > 1_000_000


def test_sockets_count_as_full_and_connections_by_what_they_hold():
    one = 212_992  # the kernel's usual buffer, or more where it was raised
    before = _socket_bytes(os.getpid())
    pairs = [socket.socketpair() for _ in range(200)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        near.sendall(b"x" * 100_000)
        assert _socket_bytes(os.getpid()) - before > 390 * one
        near.close()
        far.close()
    for pair in pairs:
        pair[0].close()
        pair[1].close()


def test_a_process_that_is_gone_has_no_sockets():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert _socket_bytes(process.pid) == 0
