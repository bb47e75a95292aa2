"""Of two real processes the one with more work is named; who trains alone waits for nobody."""

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
from groundup.train.services.model_statistics import _squares_by_module
from groundup.train.services.stragglers import WorkTimer, _find_straggler, report_stragglers
from tests.train.parallel.processes import run
from tests.train.services.steps import steps_of, tiny
from tests.train.test_loop import ragged_batch


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
    assert (None if found is None else found.rank) == rank
