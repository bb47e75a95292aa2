"""Real processes that compute together, started once and used by every test of a session."""

import atexit
import functools
import importlib
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

SIZE = 4
LIMIT_SECONDS = 90
"""A test that waits longer hangs, and fails."""


def member(rank: int, port: int, calls: Connection) -> None:
    """The body of one process: does what it is told, and tells what came of it."""
    os.environ["GROUNDUP_COMPILE"] = "0"
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=SIZE,
        timeout=timedelta(seconds=LIMIT_SECONDS),
    )  # fmt: skip
    while True:
        told = calls.recv()
        if told is None:
            break
        module, name, arguments = told
        try:
            torch.manual_seed(0)
            calls.send((True, getattr(importlib.import_module(module), name)(*arguments)))
        except BaseException:
            calls.send((False, traceback.format_exc()))
    distributed.destroy_process_group()


class Crew:
    """Four processes with a gloo group of all."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self.calls, self.processes = [], []
        for rank in range(SIZE):
            own, theirs = context.Pipe()
            process = context.Process(target=member, args=(rank, port, theirs), daemon=True)
            process.start()
            self.calls.append(own)
            self.processes.append(process)

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What each process found, by rank; a failure or a hang of one fails the test."""
        for call in self.calls:
            call.send((work.__module__, work.__name__, arguments))
        found = []
        for rank, call in enumerate(self.calls):
            if not call.poll(LIMIT_SECONDS):
                self.end()
                raise TimeoutError(f"Process {rank} did not answer in {LIMIT_SECONDS} seconds.")
            found.append(call.recv())
        wrong = [
            f"process {rank}: {told}" for rank, (is_done, told) in enumerate(found) if not is_done
        ]
        assert not wrong, "\n".join(wrong)
        return [told for _, told in found]

    def end(self) -> None:
        """Stop the processes; the next test that asks starts new ones."""
        crew.cache_clear()
        for process in self.processes:
            process.kill()


@functools.cache
def crew() -> Crew:
    """The processes, started when first asked for."""
    started = Crew()
    atexit.register(started.end)
    return started
