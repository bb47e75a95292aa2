"""Real processes on gloo, one thread each; one that hangs or fails is a failure of the test."""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, multiprocessing

LIMIT_SECONDS = 150.0


def spawned(
    work: Callable[..., None], count: int, *arguments: Any, codes: list[int] | None = None
) -> None:
    """Run `work(number, count, *arguments)` in each of so many processes; all end with code 0.

    codes  what they end with instead
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=begin, args=(work, number, count, port, arguments))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + LIMIT_SECONDS
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    hung = [number for number, process in enumerate(processes) if process.is_alive()]
    for process in processes:
        process.kill()
    assert not hung, f"processes {hung} did not end within {LIMIT_SECONDS:.0f} s"
    found = [process.exitcode for process in processes]
    assert found == (codes or [0] * count), f"exit codes {found}; what they said is above"


def begin(
    work: Callable[..., None], number: int, count: int, port: int, arguments: tuple[Any, ...]
) -> None:
    """Join the group and work."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=number, world_size=count)
    work(number, count, *arguments)
    distributed.destroy_process_group()
