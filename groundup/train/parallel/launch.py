"""Launching: joining the processes that torchrun started, and ending together.

    with launched("data=2,tensor=2") as mesh:     # torchrun --nproc-per-node 4 …
        ...

A process that dies says nothing, and whoever waits for it waits for long: NCCL for minutes, and
gloo ends with a closed connection and no name. So every process has a thread that beats in the
processes' common store and listens to the others'. Who is not heard for `patience` seconds is dead;
who fails says why. The others stop and name it. Only the first process shows progress.
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

from .mesh import ALONE, Mesh, open_mesh, sizes_for

PATIENCE_SECONDS = 20.0
"""Silence after which a process counts as dead; a long save holds a thread for some seconds."""
HURRY_SECONDS = 5.0
"""The same once a call to the others has failed, so that one of them must be gone."""
BEAT_SECONDS = 0.5
GRACE_SECONDS = 4.0
"""Time for the main thread to end by itself before a process that waits for the dead is ended."""

LOST = b"lost: "
"""How the last word of a process begins that found another to be gone."""


class Place(NamedTuple):
    """What torchrun tells a process of itself."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""
    local_world: int = 1


def place_of(environment: Mapping[str, str]) -> Place:
    """Read torchrun's variables; one process if there are none.

    Raises ConfigError for half of them.
    """
    if "WORLD_SIZE" not in environment:
        return Place()
    wanted = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in wanted if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is set and {', '.join(missing)} is not; start processes with torchrun, "
            "which sets all of them, or unset WORLD_SIZE."
        )
    rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    local = int(environment.get("LOCAL_RANK", rank))
    return Place(rank, world, local, int(environment.get("LOCAL_WORLD_SIZE", world)))


@contextmanager
def launched(
    mesh: str = "", *, seed: int = 0, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Mesh]:
    """Join the processes that torchrun started; leave together, whatever happens to one.

    mesh  such as "data=2,tensor=2"; empty: all processes along `data`

    Raises ConfigError if the mesh needs another number of processes, and ProcessLost, naming it,
    when another process dies or fails. In that case no more than about 25 seconds pass, and what a
    checkpoint has kept is whole.
    """
    place = place_of(os.environ)
    sizes = sizes_for(mesh, place.world)
    torch.manual_seed(seed)
    if place.world == 1:
        yield ALONE
        return
    kind = settle_in(place)
    watch = Watch(place, patience_seconds)
    watch.start()
    with answering(signal.SIGTERM, ended):
        try:
            yield open_mesh(sizes, kind)
            distributed.barrier()
        except BaseException as error:
            with answering(signal.SIGTERM, signal.SIG_IGN):
                watch.leave(error)
            raise
    watch.stop("done")
    distributed.barrier()  # the store lies with one of them, who must not go first
    distributed.destroy_process_group()


@contextmanager
def answering(number: int, answer: Any) -> Iterator[None]:
    """Answer a signal so for a while, in the main thread; others get none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, answer)
    try:
        yield
    finally:
        signal.signal(number, before)


def ended(number: int, frame: FrameType | None) -> None:
    """Leave in order: torchrun ends all processes so when one has died."""
    raise SystemExit(128 + number)


def together(
    mesh: Mesh, out: Path, make: Callable[[Callable[[Draft], None]], Artifact],
    write: Callable[[Draft], None],
) -> Artifact:  # fmt: skip
    """An artifact that all processes train for and the first one makes.

    make   makes it at `out` with the writer that it is given, unless it is there: `produce`
    write  trains; every process runs it at once, and only the first may write into the draft

    What the first process finds wrong before it writes ends the others too.
    """
    if mesh.grid is None:
        return make(write)
    if not mesh.is_first:
        place = mesh.told("")
        if place:
            folders = {name: Path(folder) for name, folder in json.loads(place).items()}
            write(Draft(folders["path"], folders["scratch"], folders["log"]))
        distributed.barrier()
        return Artifact.open(out)
    began = []

    def written(draft: Draft) -> None:
        began.append(draft)
        folders = {"path": draft.path, "scratch": draft.scratch, "log": draft.log}
        mesh.told(json.dumps({name: str(folder) for name, folder in folders.items()}))
        write(draft)

    found = make(written)
    if not began:  # it was there
        mesh.told("")
    distributed.barrier()
    return found


def settle_in(place: Place) -> str:
    """Pick device, threads and voice, and start the process group; return the kind of device.

    Raises ConfigError for more processes than cards.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda":
        cards = torch.cuda.device_count()
        if place.local_world > cards:
            raise ConfigError(
                f"{place.local_world} processes were started on a machine with {cards} cards; "
                f"start {cards} (torchrun --nproc-per-node {cards}), or hide the cards with "
                "CUDA_VISIBLE_DEVICES= to train on processors."
            )
        torch.cuda.set_device(place.local_rank)
    elif os.environ.get("OMP_NUM_THREADS", "1") == "1":  # what torchrun sets if nobody did
        torch.set_num_threads(max(1, device.cores() // place.local_world))
    if place.rank > 0:
        record.use("silent")
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=place.rank, world_size=place.world)
    return kind


class Watch(threading.Thread):
    """Beats for its process, listens to the others, and ends its process when one is lost."""

    def __init__(self, place: Place, patience_seconds: float) -> None:
        """Join the store by a connection of its own: the group's may be waiting for something."""
        super().__init__(daemon=True, name="watch")
        self.place, self.patience = place, patience_seconds
        self.store = distributed.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
            timeout=timedelta(seconds=HURRY_SECONDS),
        )  # fmt: skip
        self.heard = {rank: (b"", time.monotonic()) for rank in range(place.world)}
        self.lost = threading.Event()
        self.over = threading.Event()
        self.what = ""
        self.store.set(self.key(place.rank), "0")
        distributed.barrier()  # from here on all have a key

    def key(self, rank: int) -> str:
        """Where a process beats in the store."""
        return f"groundup/alive/{rank}"

    def run(self) -> None:
        """Beat and listen until the process ends or another is lost."""
        beats = 0
        while not self.over.wait(BEAT_SECONDS):
            beats += 1
            try:
                self.store.set(self.key(self.place.rank), str(beats))
                self.listen()
            except RuntimeError:  # the store's own errors are
                self.judge("The processes' meeting point is gone: process 0, or torchrun, died.")
            if self.lost.is_set():
                break
        if self.lost.is_set() and not self.over.wait(GRACE_SECONDS):
            print(f"groundup: {self.verdict}", file=sys.stderr, flush=True)
            os._exit(1)  # the main thread waits, in a call that knows no signals, for the dead

    def listen(self) -> None:
        """Note who has beaten, and judge who has not or who says that it failed."""
        others = [rank for rank in range(self.place.world) if rank != self.place.rank]
        now = time.monotonic()
        for rank, value in zip(
            others, self.store.multi_get([self.key(rank) for rank in others]), strict=True
        ):
            before, since = self.heard[rank]
            if value != before:
                self.heard[rank] = (value, now)
            elif value != b"done" and now - since > self.patience:
                silence = f"nothing was heard of it for {now - since:.0f} seconds"
                self.judge(f"{self.name_of(rank)} died: {silence}.")
            if value.startswith(b"failed"):
                self.judge(f"{self.name_of(rank)} {value.decode().rstrip('.')}.")
            if value.startswith(LOST):  # who was first to notice tells the rest
                self.judge(value.removeprefix(LOST).decode())

    def name_of(self, rank: int) -> str:
        """A process as people are told of it."""
        return f"Process {rank} of {self.place.world}"

    def judge(self, what: str) -> None:
        """Note what happened first."""
        if not self.lost.is_set():
            self.what = what
            self.tell(LOST.decode() + what)
            self.lost.set()

    @property
    def verdict(self) -> str:
        """What happened, and what to do."""
        return (
            f"{self.what} The others stop; start the same command again to go on from the last "
            "checkpoint, or from the beginning if there is none yet."
        )

    def tell(self, value: str) -> None:
        """Put a last word where this process beat."""
        try:
            self.store.set(self.key(self.place.rank), value)
        except RuntimeError:
            pass  # there is nobody left to tell

    def stop(self, last: str) -> None:
        """End the thread; tell the others why no more is heard of this process."""
        self.over.set()
        self.join()
        self.tell(last)

    def leave(self, error: BaseException) -> None:
        """End after an error: one of our own is told to the others, another's is named.

        Raises ProcessLost if this process failed because another was gone.
        """
        if isinstance(
            error, KeyboardInterrupt
        ):  # all stop alike after a checkpoint, or one at once
            return self.stop("failed: interrupted" if type(error) is KeyboardInterrupt else "done")
        if is_of_others(error) or isinstance(error, SystemExit):
            self.patience = min(self.patience, HURRY_SECONDS)
            if self.lost.wait(3 * HURRY_SECONDS):  # on a busy machine beats are heard late
                self.stop(LOST.decode() + self.what)
                if self.place.rank == 0:  # the store may lie here, and others have yet to read
                    time.sleep(4 * BEAT_SECONDS)
                raise ProcessLost(self.verdict) from None
        lines = str(error).splitlines() or [type(error).__name__]
        return self.stop(f"failed: {lines[0][:300]}")


def is_of_others(error: BaseException) -> bool:
    """Whether an error is that of a call to other processes.

    gloo's are plain RuntimeErrors that name its source file, such as `[…/gloo/transport/tcp/…]
    Connection closed by peer`.
    """
    if isinstance(error, distributed.DistError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("gloo" in said or "Connection " in said)
