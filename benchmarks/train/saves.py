"""What a checkpoint costs: how long training stands still, its bytes, and resuming.

    python -m benchmarks.train.saves [--rounds 5] [--sizes 14M 124M] [--out DIR]

Each round saves the same state (weights and optimizer, one process) by four ways, in turned order:
ours beside training and at once, and torch's own distributed checkpoint in both. The stall is the
time until the call comes back; whole is the time until all is on the disk. Torch's writer calls
fsync as ours does, and hashes nothing. Then ours is resumed, hashes checked. Rows compare stalls: a
ratio above 1 says how many times less ours stands still.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import distributed
from torch.distributed import checkpoint as peer

from groundup.core import record
from groundup.model import ModelConfig, Transformer, from_depth, preset
from groundup.train import CheckpointConfig, Checkpoints, OptimConfig, Optimizer

SIZES: dict[str, Callable[[], ModelConfig]] = {
    "14M": lambda: from_depth(6, 10_240, 2048).config,
    "124M": lambda: ModelConfig(**dict(preset("gpt-2").config)),
}


class Took(NamedTuple):
    """One save."""

    stall_seconds: float
    stall_cpu_seconds: float
    """Of the calling thread: what the stall is on a machine with nothing else to do, but for the
    disk."""
    whole_seconds: float


class Clock:
    """Time since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.thread_time()

    def stalled(self) -> tuple[float, float]:
        """Seconds by the wall, and of this thread's work."""
        return time.perf_counter() - self.wall, time.thread_time() - self.cpu

    def took(self, stalled: tuple[float, float]) -> Took:
        """All of it, now that it is whole."""
        return Took(*stalled, time.perf_counter() - self.wall)


class Sides:
    """The same state, saved four ways."""

    def __init__(self, size: str, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.model = Transformer(SIZES[size](), seed=0)
        self.optimizer = Optimizer(self.model.named_parameters(), OptimConfig())
        parts = {"model": self.model, "optimizer": self.optimizer}
        self.beside = Checkpoints(folder / "beside", parts)
        self.at_once = Checkpoints(folder / "once", parts, CheckpointConfig(asynchronous=False))

    @property
    def state(self) -> dict[str, Any]:
        """What the peer is given."""
        return {"model": dict(self.model.state_dict()), "optimizer": self.optimizer.state()}

    def ours(self, checkpoints: Checkpoints) -> Took:
        """One save of ours."""
        self.number += 1
        clock = Clock()
        checkpoints.save(self.number)
        stalled = clock.stalled()
        checkpoints.wait()
        return clock.took(stalled)

    def peers(self, beside: bool) -> Took:
        """One save of torch's."""
        self.number += 1
        place = self.folder / f"peer-{self.number}"
        clock = Clock()
        if beside:
            pending = peer.async_save(self.state, checkpoint_id=place)
            stalled = clock.stalled()
            pending.result()
        else:
            peer.save(self.state, checkpoint_id=place)
            stalled = clock.stalled()
        took = clock.took(stalled)
        shutil.rmtree(place)
        return took

    def resumed(self) -> float:
        """Seconds until the newest of ours is loaded again, in the state of an earlier one."""
        started = time.perf_counter()
        self.beside.resume()
        return time.perf_counter() - started


def measure(size: str, folder: Path, rounds: int) -> tuple[list[Any], dict[str, Any]]:
    """Rows and notes of one size."""
    from benchmarks.table import Peer, alternate, compare, version

    sides, took = Sides(size, folder), dict[str, list[Took]]()

    def timed(name: str, call: Callable[[], Took]) -> Callable[[], float]:
        def go() -> float:
            found = call()
            took.setdefault(name, []).append(found)
            return found.stall_seconds * 1000

        return go

    stalls = alternate(
        {
            "ours beside": timed("ours beside", lambda: sides.ours(sides.beside)),
            "torch beside": timed("torch beside", lambda: sides.peers(True)),
            "ours at once": timed("ours at once", lambda: sides.ours(sides.at_once)),
            "torch at once": timed("torch at once", lambda: sides.peers(False)),
        },
        rounds,
    )
    named = Peer("torch.distributed.checkpoint", version("torch"))
    rows = [
        compare(f"save {size}, training stands still ({how})", "ms", stalls[f"ours {how}"],
                stalls[f"torch {how}"], named, less_is_better=True)
        for how in ("beside", "at once")
    ]  # fmt: skip
    place = next((folder / "beside").glob("step-*"))
    size_bytes = sum(path.stat().st_size for path in place.iterdir())
    resumes = [sides.resumed() for _ in range(rounds)]
    notes = {
        f"{size}: parameters": sum(p.numel() for p in sides.model.parameters()),
        f"{size}: bytes": size_bytes,
        f"{size}: first stall beside, CPU ms, memory for the copy being new": round(
            took["ours beside"][0].stall_cpu_seconds * 1000, 1
        ),
        f"{size}: stall, CPU ms": {
            name: round(1000 * median(each.stall_cpu_seconds for each in found[1:]), 1)
            for name, found in took.items()
        },
        f"{size}: seconds until whole": {
            name: round(median(each.whole_seconds for each in found[1:]), 3)
            for name, found in took.items()
        },
        f"{size}: resume seconds, hashes checked": round(median(resumes), 3),
    }
    return rows, notes


def main() -> None:
    """Measure each size, print and keep the rows."""
    from benchmarks.table import report

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument(
        "--out", type=Path, help="folder for the checkpoints, on the disk that counts"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="saves-", dir=arguments.out))
    record.set_output_mode("plain")
    store = distributed.FileStore(str(folder / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    torch.manual_seed(0)
    rows, notes = [], dict[str, Any]()
    try:
        for size in arguments.sizes:
            found, told = measure(size, folder / size, arguments.rounds)
            rows += found
            notes |= told
            shutil.rmtree(folder / size)
    finally:
        distributed.destroy_process_group()
        shutil.rmtree(folder)
    notes["threads"] = torch.get_num_threads()
    notes["peak memory, bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report("train_saves", rows, notes)
    sys.exit(0)


if __name__ == "__main__":
    main()
