"""Real processes on gloo, one thread each, that end in time: a hang is a failure.

    found = run(2, work, *given)        what `work(*given)` returned in each process, by rank

`work` is a function of a module and returns plain values or arrays. Processes are forked from one
that has imported torch and groundup but has no threads, so that starting four of them is cheap.
"""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil
import pytest

GLANCE_SECONDS = 5.0
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.train.parallel.preload"])


def run(world: int, work: Callable[..., Any], *given: Any, seconds: float = 60.0) -> list[Any]:
    """Call a function in so many processes that form one group; what each returned."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [CONTEXT.Pipe(duplex=False) for _ in range(world)]
        processes = [
            CONTEXT.Process(
                target=one, args=(rank, world, folder, lines[rank][1], work, given), daemon=True
            )
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        for _, sender in lines:
            sender.close()
        try:
            return collect([receiver for receiver, _ in lines], processes, seconds)
        finally:
            for process in processes:
                process.kill()
                process.join()


def collect(lines: list[Connection], processes: list[Any], seconds: float) -> list[Any]:
    """What each process sends; the test fails at the first error, or if all wait for each other.

    Those that hang use no processor; those that a busy machine lets wait use some now and then.
    """
    found: dict[int, Any] = {}
    idle, spent = 0.0, -1.0
    while len(found) < len(lines):
        waiting = [line for rank, line in enumerate(lines) if rank not in found]
        if not (ready := wait(waiting, GLANCE_SECONDS)):
            before, spent = spent, sum(map(processor_seconds, processes))
            idle = idle + GLANCE_SECONDS if spent <= before else 0.0
            if idle >= seconds:
                pytest.fail(f"Of {len(lines)} processes {len(waiting)} did nothing for {idle} s.")
        for line in ready:
            rank = next(rank for rank, other in enumerate(lines) if other is line)
            try:
                is_good, value = line.recv()  # type: ignore[union-attr]
            except EOFError:
                pytest.fail(f"Process {rank} died without a word.")
            if not is_good:
                pytest.fail(f"Process {rank}:\n{value}")
            found[rank] = value
    return [found[rank] for rank in range(len(lines))]


def processor_seconds(process: Any) -> float:
    """Processor time that a process took so far; 0 once it is gone."""
    try:
        return sum(psutil.Process(process.pid).cpu_times()[:2])
    except psutil.Error:
        return 0.0


def one(
    rank: int, world: int, folder: str, line: Connection, work: Callable[..., Any], given: Any
) -> None:
    """One process: join the group, work, tell, leave."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    torch.manual_seed(0)
    os.environ["GROUNDUP_COMPILE"] = "0"
    try:
        distributed.init_process_group(
            "gloo", init_method=f"file://{Path(folder) / 'meeting'}", rank=rank, world_size=world,
            timeout=timedelta(seconds=170),
        )  # fmt: skip
        line.send((True, work(*given)))
        distributed.barrier()
        distributed.destroy_process_group()
    except BaseException:
        line.send((False, traceback.format_exc()))
