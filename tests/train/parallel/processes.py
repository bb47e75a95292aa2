"""Real processes on gloo, one thread each, that end in time: a hang is a failure.

    found = run(2, work, *given)        what `work(*given)` returned in each process, by rank
    spawned(work, 2, *given)            `work(rank, 2, *given)` in each, which may be killed
    done = torchrun(2, "pretrain", …)   the command line in each, as torchrun starts them

`work` is a function of a module and returns plain values or arrays. Processes are forked from one
that has imported torch and groundup but has no threads, so that starting four of them is cheap.
"""

import multiprocessing
import os
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil
import pytest

GLANCE_SECONDS, LIMIT_SECONDS = 5.0, 150.0
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.train.parallel.preload"])


class SegmentationFault(Exception):
    """A process ended by one."""


def run(world: int, work: Callable[..., Any], *given: Any, seconds: float = 60.0) -> list[Any]:
    """Call a function in so many processes that form one group; what each returned.

    gloo's own thread faults now and then, once in several runs of the whole suite (in
    `pt_gloo_runloop`, says the kernel): all are started once more then. One of ours comes again.
    """
    try:
        return run_once(world, work, *given, seconds=seconds)
    except SegmentationFault:
        return run_once(world, work, *given, seconds=seconds)


def run_once(world: int, work: Callable[..., Any], *given: Any, seconds: float) -> list[Any]:
    """Like `run`, with no second start."""
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
                processes[rank].join(GLANCE_SECONDS)
                if processes[rank].exitcode == -signal.SIGSEGV:
                    raise SegmentationFault(f"of process {rank}") from None
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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def ended(
    target: Callable[..., None], world: int, *arguments: Any, stops_all: bool = False
) -> list[int | None]:
    """Exit codes of processes that call `target(rank, world, port, *arguments)`.

    stops_all  whether the first that fails ends the others, as under torchrun
    """
    port, end = free_port(), time.monotonic() + LIMIT_SECONDS
    processes = [
        CONTEXT.Process(target=target, args=(rank, world, port, *arguments))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    running = {process.sentinel: process for process in processes}
    while running and (ready := wait(list(running), max(0.0, end - time.monotonic()))):
        for done in [running.pop(sentinel) for sentinel in ready]:  # type: ignore[arg-type]
            done.join()
            if stops_all and done.exitcode:
                for process in running.values():
                    process.terminate()
    for process in running.values():
        process.kill()
    assert not running, f"{len(running)} processes did not end within {LIMIT_SECONDS:.0f} s"
    return [process.exitcode for process in processes]


def spawned(
    work: Callable[..., None], world: int, *given: Any, codes: list[int] | None = None
) -> None:
    """Run `work(rank, world, *given)` in processes that form one group; all end with code 0.

    codes  what they end with instead
    """
    found = ended(joined, world, work, given)
    assert found == (codes or [0] * world), f"exit codes {found}; what they said is above"


def joined(rank: int, world: int, port: int, work: Callable[..., None], given: Any) -> None:
    """Join the group, work, leave."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    work(rank, world, *given)
    distributed.destroy_process_group()


def torchrun(world: int, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in processes that know their places as torchrun tells them."""
    with tempfile.TemporaryDirectory() as folder:
        codes = ended(take_place, world, folder, words, stops_all=True)
        out, err = (Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err"))
    return subprocess.CompletedProcess(words, max(code or 0 for code in codes), out, err)


def take_place(rank: int, world: int, port: int, folder: str, words: Sequence[str]) -> None:
    """One process of torchrun."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank),
                   "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "localhost",
                   "MASTER_PORT": str(port)}  # fmt: skip
    command_line(folder, words)


def command_line(folder: str, words: Sequence[str]) -> None:
    """Run the command line uncompiled; what it says goes to the files `out` and `err`."""
    import torch

    from groundup.cli import main

    torch.set_num_threads(1)
    os.environ["GROUNDUP_COMPILE"] = "0"
    redirect(1, Path(folder, "out"))
    redirect(2, Path(folder, "err"))
    main(list(words))


def redirect(number: int, file: Path) -> None:
    """Let a file descriptor append to a file."""
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
