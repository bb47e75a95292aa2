"""A hang is told of once, with the stacks of all threads, and ends the run when its time is up.

Of two real processes the one with more work is named; who trains alone waits for nobody.
"""

import threading
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from groundup.core import record
from groundup.train import LoopOptions, causal_loss, train
from groundup.train.loop import accumulate_gradients
from groundup.train.parallel.mesh import Mesh
from groundup.train.precision import Precision
from groundup.train.services.inspection import _squares_by_module
from groundup.train.services.watchdog import (
    Watchdog,
    WatchdogConfig,
    WorkTimer,
    _find_straggler,
    report_stragglers,
)
from tests.train.parallel.processes import ended, redirect, run
from tests.train.services.steps import steps_of, tiny
from tests.train.services.test_metrics import step
from tests.train.test_loop import ragged_batch

CONFIG = WatchdogConfig(multiple=10, floor_seconds=30, limit_seconds=600)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def after(dog: Watchdog, clock: Clock, seconds: list[float], outside: float = 0.0) -> None:
    """Let steps take so long, and what lies between them."""

    def steps():
        for number, taken in enumerate(seconds):
            clock.now += taken
            dog.check_progress()
            yield step(number)

    for _ in dog.watch_steps(steps()):
        clock.now += outside
        dog.check_progress()


@pytest.fixture
def said(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(record, "log", found.append)
    return found


def dog_of(tmp_path, clock: Clock) -> tuple[Watchdog, list[str]]:
    ended: list[str] = []
    return Watchdog(tmp_path / "stacks.txt", CONFIG, clock=clock, end=ended.append), ended


@pytest.mark.parametrize(
    "seconds, outside",
    [
        ([300.0, 1, 1, 1, 1, 1, 1], 0.0),  # the first step compiles
        ([1.0] * 8 + [29.0] + [1.0] * 3, 0.0),  # a new length compiles
        ([10.0] * 8 + [90.0], 0.0),  # slow steps
        ([1.0] * 9, 500.0),  # validation, samples, saving
    ],
)
def test_compilation_and_validation_are_no_hangs(seconds, outside, tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    after(dog, clock, seconds, outside)
    assert not said and not ended


def test_a_hang_is_told_once_with_the_stacks_of_every_thread(tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    stop = threading.Event()
    other = threading.Thread(target=waiting_for_a_peer, args=(stop,))
    other.start()
    after(dog, clock, [1.0] * 8)
    dog.begin_phase(8, True)
    for _ in range(3):
        clock.now += 31
        dog.check_progress()
    stop.set()
    other.join()
    assert len(said) == 1
    assert "step 8 has taken 31 s, the median step 1 s, in process" in said[0].lower()
    text = (tmp_path / "stacks.txt").read_text()
    assert "waiting_for_a_peer" in text and "test_a_hang_is_told_once" in text
    assert not ended


def waiting_for_a_peer(stop: threading.Event) -> None:
    stop.wait(60)


@pytest.mark.parametrize("is_in_step", [True, False])
def test_the_run_is_ended_when_the_limit_has_passed(is_in_step, tmp_path, said):
    dog, ended = dog_of(tmp_path, clock := Clock())
    dog.begin_phase(3, is_in_step)
    clock.now += 601
    dog.check_progress()
    what = "step 3" if is_in_step else "the work after step 3"
    assert len(ended) == 1 and f"is ended: {what} has taken 601 s" in ended[0]
    assert dog.ended.is_set()


def hang(rank: int, world: int, port: int, folder: Path) -> None:
    """A process that waits for itself, as for a collective whose peer is gone."""
    redirect(2, folder / "said")

    def stuck():
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
        yield

    config = WatchdogConfig(limit_seconds=0.2)
    with Watchdog(folder / "stacks.txt", config, poll_seconds=0.05) as dog:
        for _ in dog.watch_steps(stuck()):
            pass


def test_a_process_that_is_stuck_is_ended_with_an_error(tmp_path):
    assert ended(hang, 1, tmp_path) == [1]
    said = (tmp_path / "said").read_text()
    assert said.startswith("Error: The run hangs and is ended: step 0 has taken")
    assert "in stuck" in (tmp_path / "stacks.txt").read_text()


class Work:
    """A clock that stands still but for products of matrices."""

    def __init__(self) -> None:
        self.products = 0

    def __call__(self) -> float:
        return float(self.products)

    def do(self, times: int) -> None:
        for _ in range(times):
            torch.mm(torch.ones(8, 8), torch.ones(8, 8))
            self.products += 1


def one(folder: str) -> list[str]:
    """A process: the second does three times the work on each batch, and all of it once more."""
    rank = distributed.get_rank()
    mesh = Mesh(init_device_mesh("cpu", (2,), mesh_dim_names=("data",)))
    model, optimizer = tiny()
    work = Work()
    own = WorkTimer(work)

    def batches(step: int):
        work.do(30 if rank == 1 else 10)
        work.do(500 if rank == 0 and step == 1 else 0)  # once, as a compilation
        return [ragged_batch(rows=2, seed=2 * step + rank)]

    gradients = own.timed(accumulate_gradients(model, causal_loss, Precision()))
    steps = train(model, own.timed(batches), causal_loss, optimizer, lambda s: 1.0,
                  LoopOptions(8, mesh=mesh), gradients=gradients)  # fmt: skip
    metrics = record.MetricsFile(Path(folder) / "m.jsonl") if mesh.is_first else None
    said: list[str] = []
    record.log = said.append
    for _ in report_stragglers(steps, own, 4, metrics, mesh=mesh):
        pass
    whole = torch.arange(6.0).reshape(2, 3)
    shares = {
        "layers.0.attention.out.weight": distribute_tensor(whole, mesh.device_mesh, [Shard(0)])
    }
    assert _squares_by_module(shares) == pytest.approx({"layers.0.attention": 55.0})
    if metrics is not None:
        metrics.close()
    return said


def test_the_slower_of_two_processes_is_named_by_the_first(tmp_path):
    first, second = run(2, one, str(tmp_path))
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [(row["step"], row["own seconds by rank"], row["straggler"]) for row in rows] == [
        (3, [10.0, 30.0], 1),
        (7, [10.0, 30.0], 1),
    ]
    assert len(first) == 2 and not second
    assert "rank 1 is 3.0 times as slow as the others, 30 s of own work against 10 s" in first[0]


def test_who_trains_alone_names_nobody(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(record, "log", said.append)
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    assert len(list(report_stragglers(steps_of(*tiny()), WorkTimer(), 2, metrics))) == 6
    metrics.close()
    assert not said and not (tmp_path / "m.jsonl").read_text()


@pytest.mark.parametrize(
    "seconds, rank",
    [([1.0], None), ([1.0, 1.4], None), ([1.0, 1.6], 1), ([2.0, 1.0, 1.9, 2.1], None)],
)
def test_a_straggler_is_slower_than_the_others_by_a_factor(seconds, rank):
    found = _find_straggler(seconds, 1.5)
    assert (None if found is None else found[0]) == rank
