"""Processes begin together and end together, and whoever survives names who did not."""

import os
import signal
import socket
import time
from typing import Any

import pytest

from groundup.core import ConfigError
from groundup.train.parallel.launch import Place, launched, place_of
from tests.train.parallel.processes import CONTEXT, collect

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}  # fmt: skip


def test_what_torchrun_tells_is_read():
    assert place_of({}) == Place(0, 1, 0, 1)
    assert place_of(TORCHRUN) == Place(3, 8, 1, 2)


def test_half_of_what_torchrun_tells_is_refused():
    with pytest.raises(ConfigError, match="WORLD_SIZE is set and RANK, MASTER_PORT is not"):
        place_of({"WORLD_SIZE": "2", "MASTER_ADDR": "localhost"})


def test_one_process_needs_no_group_and_no_more():
    with launched("") as mesh:
        assert mesh.grid is None
    with pytest.raises(ConfigError, match="needs 2 processes, and 1 .* --nproc-per-node 2"):
        with launched("data=2"):
            pass


def together(world: int, fate: str, seconds: float) -> list[Any]:
    """What each of some processes saw when `fate` befell the second one; or how it ended."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    lines = [CONTEXT.Pipe(duplex=False) for _ in range(world)]
    processes = [
        CONTEXT.Process(target=member, args=(rank, world, port, fate, lines[rank][1]), daemon=True)
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for _, sender in lines:
        sender.close()
    spared = [line for rank, (line, _) in enumerate(lines) if fate == "none" or rank != 1]
    try:
        if fate == "stopped":  # others hang in a call, so that their watches end them
            processes[0].join(seconds)
            return [processes[0].exitcode]
        return collect(spared, seconds)
    finally:
        for process in processes:
            process.kill()
            process.join()


def member(rank: int, world: int, port: int, fate: str, line: Any) -> None:
    """Sum numbers with the others for ever; the second process meets its fate at the third sum."""
    place = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    started = time.monotonic()
    try:
        with launched(f"data={world}", patience_seconds=8.0) as mesh:
            for step in range(3 if fate == "none" else 1_000_000):
                if rank == 1 and step == 2:
                    if fate == "killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                    if fate == "stopped":
                        os.kill(os.getpid(), signal.SIGSTOP)
                    if fate == "fails":
                        raise OSError("No space left on device")
                total = mesh.sum(1.0)
        line.send((True, total))
    except BaseException as error:
        line.send((True, f"{time.monotonic() - started:.0f} {type(error).__name__}: {error}"))


def test_processes_that_all_end_leave_quietly():
    assert together(2, "none", 90) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("killed", "Process 1 of 3 died: nothing was heard of it"),
        ("fails", "Process 1 of 3 failed: No space left on device. The others stop"),
    ],
)
def test_survivors_end_within_30_seconds_and_name_the_lost(fate: str, told: str):
    for seen in together(3, fate, 90):
        seconds, _, error = seen.partition(" ")
        assert int(seconds) < 30 and error.startswith("ProcessLost: ") and told in error


def test_survivors_that_hang_in_a_call_are_ended_too():
    started = time.monotonic()
    assert together(2, "stopped", 60) == [1]
    assert time.monotonic() - started < 30
