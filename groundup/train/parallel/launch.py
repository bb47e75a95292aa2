"""Launching: join the processes that torchrun started, and end together.

    with joined_processes("data=2,tensor=2") as mesh:     # torchrun --nproc-per-node 4 …
        ...

A process that dies does not say so, and the others wait long for it: NCCL for minutes, and gloo
ends with a closed connection and no name. So every process has a heartbeat thread that writes to
the common store and watches the others'. A process that is silent for `patience` seconds is dead; a
failing one reports why. The others stop and name it. Only rank 0 shows progress.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import distributed

from groundup.core import Artifact, ConfigError, Draft, ProcessLost, device, record

from .mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh

HEARTBEAT_TIMEOUT_SECONDS = 20.0
"""Silence after which a process counts as dead; a long save blocks a thread for seconds."""
SHORT_TIMEOUT_SECONDS = 5.0
"""The same after a failed collective, when one process must be dead."""
HEARTBEAT_SECONDS = 0.5
GRACE_SECONDS = 4.0
"""Time for the main thread to end by itself before a hanging process is killed."""

LOST_PREFIX = b"lost: "
"""Prefix of the last message of a process that found another one dead."""


class ProcessRank(NamedTuple):
    """This process's ranks, from torchrun."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""
    local_world_size: int = 1


def _read_torchrun_rank(environment: Mapping[str, str]) -> ProcessRank:
    """Read torchrun's variables; a single process if there are none.

    Raises ConfigError if some are missing.
    """
    if "WORLD_SIZE" not in environment:
        return ProcessRank()
    wanted = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in wanted if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is set but not {', '.join(missing)}; start processes with torchrun, which "
            "sets all of them, or unset WORLD_SIZE."
        )
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    local = int(environment.get("LOCAL_RANK", rank))
    return ProcessRank(rank, world, local, int(environment.get("LOCAL_WORLD_SIZE", world)))


@contextmanager
def joined_processes(
    mesh: str = "", *, seed: int = 0, patience_seconds: float = HEARTBEAT_TIMEOUT_SECONDS
) -> Iterator[Mesh]:
    """Join the processes that torchrun started, and end together even if one fails.

    mesh  such as "data=2,tensor=2"; empty: all processes along `data`

    Raises ConfigError if the mesh needs another number of processes, and ProcessLost, naming it,
    when another process dies or fails. That takes at most about 25 seconds, and saved checkpoints
    are complete.
    """
    place = _read_torchrun_rank(os.environ)
    sizes = mesh_sizes(mesh, place.world_size)
    torch.manual_seed(seed)
    if place.world_size == 1:
        yield SINGLE_PROCESS
        return
    kind = _start_process_group(place)
    watch = HeartbeatThread(place, patience_seconds)
    watch.start()
    with _on_signal(signal.SIGTERM, _exit_on_signal):
        try:
            yield open_mesh(sizes, kind)
            distributed.barrier()
        except BaseException as error:
            with _on_signal(signal.SIGTERM, signal.SIG_IGN):
                watch.report_error(error)
            raise
    watch.stop("done")
    distributed.barrier()  # one of them hosts the store and must not exit first
    distributed.destroy_process_group()


@contextmanager
def _on_signal(number: int, answer: Any) -> Iterator[None]:
    """Install a signal handler for a while; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, answer)
    try:
        yield
    finally:
        signal.signal(number, before)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Exit in order: torchrun sends SIGTERM to all processes when one has died."""
    raise SystemExit(128 + number)


def produce_together(
    mesh: Mesh, out: Path, make: Callable[[Callable[[Draft], None]], Artifact],
    write: Callable[[Draft], None],
) -> Artifact:  # fmt: skip
    """Produce an artifact for which all processes train and which rank 0 writes.

    make   makes it at `out` with the given writer, unless it exists: `produce`
    write  trains; every process runs it, and only rank 0 may write into the draft

    An error of rank 0 before it writes ends the other processes too.
    """
    if mesh.device_mesh is None:
        return make(write)
    if not mesh.is_first:
        draft_folders = mesh.broadcast_text("")
        if draft_folders:
            folders = {name: Path(folder) for name, folder in json.loads(draft_folders).items()}
            write(Draft(folders["path"], folders["scratch"], folders["log"]))
        distributed.barrier()
        return Artifact.open(out)
    began = []

    def written(draft: Draft) -> None:
        began.append(draft)
        folders = {"path": draft.path, "scratch": draft.scratch, "log": draft.log}
        mesh.broadcast_text(json.dumps({name: str(folder) for name, folder in folders.items()}))
        write(draft)

    artifact = make(written)
    if not began:  # the artifact existed
        mesh.broadcast_text("")
    distributed.barrier()
    return artifact


def _start_process_group(place: ProcessRank) -> str:
    """Set device, threads and output mode, and start the process group; return the device type.

    Raises ConfigError for more processes than GPUs.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        gpus = torch.cuda.device_count()
        if place.local_world_size > gpus:
            raise ConfigError(
                f"{place.local_world_size} processes were started on a machine with {gpus} GPUs; "
                f"start "
                f"{gpus} (torchrun --nproc-per-node {gpus}), or hide the GPUs with "
                "CUDA_VISIBLE_DEVICES= to train on the CPU."
            )
        torch.cuda.set_device(place.local_rank)
    elif os.environ.get("OMP_NUM_THREADS", "1") == "1":  # torchrun's default
        torch.set_num_threads(max(1, device.available_cores() // place.local_world_size))
    if place.rank > 0:
        record.set_output_mode("silent")
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=place.rank, world_size=place.world_size)
    return kind


class HeartbeatThread(threading.Thread):
    """Sends heartbeats, watches the others', and ends its process when one is lost."""

    def __init__(self, place: ProcessRank, patience_seconds: float) -> None:
        """Connect to the store separately: the process group's connection may be blocked."""
        super().__init__(daemon=True, name="watch")
        self.process_rank, self.patience = place, patience_seconds
        self.store = distributed.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
            timeout=timedelta(seconds=SHORT_TIMEOUT_SECONDS),
        )  # fmt: skip
        self.last_heartbeats = {rank: (b"", time.monotonic()) for rank in range(place.world_size)}
        self.lost = threading.Event()
        self.stopped = threading.Event()
        self.loss_message = ""
        self.store.set(self.store_key(place.rank), "0")
        distributed.barrier()  # all keys exist from here on

    def store_key(self, rank: int) -> str:
        """Store key of a process's heartbeat."""
        return f"groundup/alive/{rank}"

    def run(self) -> None:
        """Send and check heartbeats until the process ends or another one is lost."""
        beats = 0
        while not self.stopped.wait(HEARTBEAT_SECONDS):
            beats += 1
            try:
                self.store.set(self.store_key(self.process_rank.rank), str(beats))
                self.check_heartbeats()
            except RuntimeError:  # the type of the store's errors
                self.record_loss("The processes' store is lost: process 0, or torchrun, died.")
            if self.lost.is_set():
                break
        if self.lost.is_set() and not self.stopped.wait(GRACE_SECONDS):
            print(f"groundup: {self.loss_report}", file=sys.stderr, flush=True)
            os._exit(1)  # the main thread hangs in a collective that ignores signals

    def check_heartbeats(self) -> None:
        """Check the others' heartbeats for silence and failure messages."""
        others = [
            rank for rank in range(self.process_rank.world_size) if rank != self.process_rank.rank
        ]
        now = time.monotonic()
        for rank, value in zip(
            others, self.store.multi_get([self.store_key(rank) for rank in others]), strict=True
        ):
            previous, since = self.last_heartbeats[rank]
            if value != previous:
                self.last_heartbeats[rank] = (value, now)
            elif value != b"done" and now - since > self.patience:
                silence = f"no heartbeat for {now - since:.0f} seconds"
                self.record_loss(f"{self.process_name(rank)} died: {silence}.")
            if value.startswith(b"failed"):
                self.record_loss(f"{self.process_name(rank)} {value.decode().rstrip('.')}.")
            if value.startswith(LOST_PREFIX):  # another process noticed a loss first
                self.record_loss(value.removeprefix(LOST_PREFIX).decode())

    def process_name(self, rank: int) -> str:
        """A process's name in messages."""
        return f"Process {rank} of {self.process_rank.world_size}"

    def record_loss(self, what: str) -> None:
        """Record the first loss."""
        if not self.lost.is_set():
            self.loss_message = what
            self.write_last_message(LOST_PREFIX.decode() + what)
            self.lost.set()

    @property
    def loss_report(self) -> str:
        """What happened, and what to do."""
        return (
            f"{self.loss_message} The others stop; run the same command again to resume from the "
            f"last "
            "checkpoint, or from the beginning if there is none yet."
        )

    def write_last_message(self, value: str) -> None:
        """Write a last message in place of the heartbeat."""
        try:
            self.store.set(self.store_key(self.process_rank.rank), value)
        except RuntimeError:
            pass  # no process left to inform

    def stop(self, last: str) -> None:
        """End the thread; tell the others why the heartbeat ends."""
        self.stopped.set()
        self.join()
        self.write_last_message(last)

    def report_error(self, error: BaseException) -> None:
        """End after an error: report this process's own error, or name the process that was lost.

        Raises ProcessLost if this process failed because another one was lost.
        """
        if isinstance(error, KeyboardInterrupt):  # a subclass means all stop after a checkpoint
            return self.stop("failed: interrupted" if type(error) is KeyboardInterrupt else "done")
        if _is_collective_error(error) or isinstance(error, SystemExit):
            self.patience = min(self.patience, SHORT_TIMEOUT_SECONDS)
            if self.lost.wait(3 * SHORT_TIMEOUT_SECONDS):  # on a busy machine heartbeats are late
                self.stop(LOST_PREFIX.decode() + self.loss_message)
                if (
                    self.process_rank.rank == 0
                ):  # this process may host the store, which others still read
                    time.sleep(4 * HEARTBEAT_SECONDS)
                raise ProcessLost(self.loss_report) from None
        lines = str(error).splitlines() or [type(error).__name__]
        return self.stop(f"failed: {lines[0][:300]}")


def _is_collective_error(error: BaseException) -> bool:
    """Whether an error comes from a collective call.

    gloo's are plain RuntimeErrors that name its source file, such as `[…/gloo/transport/tcp/…]
    Connection closed by peer`.
    """
    if isinstance(error, distributed.DistError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("gloo" in text or "Connection " in text)
