"""Written by one mesh, a checkpoint is resumed by any other; a process that dies breaks nothing."""

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

from groundup.core import ArtifactError, GroundupError
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    LoopOptions,
    OptimConfig,
    Optimizer,
    causal_loss,
)
from groundup.train.checkpoint.shards import assign_writers, local_shard, tensor_shards
from groundup.train.checkpoint.store import _shard_from_json
from groundup.train.checkpoint.writing import Coordinator
from groundup.train.loop import train
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh
from tests.train.parallel.processes import spawned
from tests.train.test_loop import ragged_batch, tiny_model

ADAMW = OptimConfig(matrix_optimizer="adamw", clip=0.0)
"""Clipping and Muon are for whole gradients, which the room `parallel` sees to."""


class Run:
    """A tiny model, sharded by torch itself if there are several processes."""

    def __init__(self, folder: Path, count: int, *, tensor: bool = False, seed: int = 0):
        self.model, self.mesh = tiny_model(seed=seed), SINGLE_PROCESS
        if count > 1:
            name = "tensor" if tensor else "data"
            self.mesh = Mesh(init_device_mesh("cpu", (count,), mesh_dim_names=(name,)))
            self.tensor_parallel() if tensor else self.shard()
        self.optimizer = Optimizer(self.model.named_parameters(), ADAMW)
        config = CheckpointConfig(limit_seconds=60.0, keep=9)
        parts = {"model": self.model, "optimizer": self.optimizer}
        self.checkpoints = Checkpoints(folder, parts, config, mesh=self.mesh)

    def shard(self) -> None:
        for layer in self.model.layers:
            fully_shard(layer, mesh=self.mesh.device_mesh)
        fully_shard(self.model, mesh=self.mesh.device_mesh)
        for module in (self.model, *self.model.layers):
            module.set_gradient_divide_factor(1.0)  # the loop divides by the weight of all
            module.set_force_sum_reduction_for_comms(True)  # gloo has no other

    def tensor_parallel(self) -> None:
        plan = {"gate_proj": ColwiseParallel(), "up_proj": ColwiseParallel(),
                "down_proj": RowwiseParallel()}  # fmt: skip
        for layer in self.model.layers:
            parallelize_module(layer.feedforward, self.mesh.device_mesh, plan)

    def go(self, start: int, steps: int) -> list[float]:
        """Each process sees its rows of the batch."""
        number, count = self.mesh.rank_along("data"), self.mesh.size("data")

        def batches(step: int):
            batch = ragged_batch(rows=8, seed=step)
            rows = slice(8 * number // count, 8 * (number + 1) // count)
            return [batch._replace(**{n: getattr(batch, n)[rows] for n in FIELDS})]

        plan = LoopOptions(steps, start, mesh=self.mesh)
        moves = train(self.model, batches, causal_loss, self.optimizer, lambda s: 1.0, plan)
        return [step.loss for step in moves]

    def whole(self) -> dict[str, torch.Tensor]:
        """All tensors of model and optimizer, whole."""
        named = dict(self.model.named_parameters()) | self.optimizer.state()
        return {name: t.detach().full_tensor() if isinstance(t, DTensor) else t.detach()
                for name, t in named.items()}  # fmt: skip


FIELDS = ("ids", "targets", "weights", "documents")


def plain_run(folder: Path) -> list[float]:
    """Losses of an undisturbed run of one process, and its state after three steps on disk."""
    run = Run(folder / "plain", 1)
    run.go(0, 3)
    run.checkpoints.save(3)
    run.checkpoints.close()
    return run.go(3, 6)


def save_sharded(number: int, count: int, folder: Path) -> None:
    """Two processes train three steps and save."""
    run = Run(folder / "sharded", count)
    run.go(0, 3)
    run.checkpoints.save(3)
    run.checkpoints.close()
    written = sorted(path.name for path in (folder / "sharded" / "step-00000003").iterdir())
    assert f"model-{number:05d}.safetensors" in written and f"random-{number:05d}.safetensors" in (
        written
    )


def resume_elsewhere(
    number: int, count: int, folder: Path, tensor: bool, losses: list[float]
) -> None:
    """Another mesh goes on from there as one process would."""
    run = Run(folder / "sharded", count, tensor=tensor, seed=11)
    assert run.checkpoints.resume().step == 3
    other = Run(folder / "plain", 1, seed=12)
    assert other.checkpoints.resume().step == 3
    own, wanted = run.whole(), other.whole()
    assert own.keys() == wanted.keys()
    for name, tensor_of in wanted.items():
        torch.testing.assert_close(own[name], tensor_of, rtol=1e-5, atol=1e-5)
    if not tensor:
        found = run.go(3, 6)
        torch.testing.assert_close(torch.tensor(found), torch.tensor(losses), rtol=1e-5, atol=1e-5)
    run.checkpoints.save(9)  # what this mesh writes is the same numbers again
    run.checkpoints.close()
    distributed.barrier()
    single = Run(folder / "sharded", 1, seed=13)
    assert single.checkpoints.resume().step == 9
    found = single.whole()
    for name, tensor_of in run.whole().items():
        assert torch.equal(found[name], tensor_of), name
    distributed.barrier()
    if number == 0:
        shutil.rmtree(folder / "sharded" / "step-00000009")
    distributed.barrier()


def exact_again(number: int, count: int, folder: Path) -> None:
    """The same mesh goes on with the same bits, chance included."""
    run = Run(folder, count)
    run.go(0, 2)
    torch.manual_seed(100 + number)
    run.checkpoints.save(2)
    run.checkpoints.close()
    drawn, losses = torch.rand(3), run.go(2, 5)
    again = Run(folder, count, seed=4)
    assert again.checkpoints.resume().step == 2
    assert torch.equal(torch.rand(3), drawn)
    assert again.go(2, 5) == losses
    found = again.whole()
    assert all(torch.equal(found[name], tensor) for name, tensor in run.whole().items())


def two_ways(number: int, count: int) -> None:
    """Shares along two dimensions of a mesh are where torch says they are."""
    grid = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    whole = torch.arange(7 * 6).view(7, 6)
    layouts = ([Shard(0), Shard(1)], [Shard(0), Shard(0)], [Replicate(), Shard(1)],
               [Shard(0), Replicate()])  # fmt: skip
    for placements in layouts:
        tensor = distribute_tensor(whole, grid, placements)
        local, shape, box = local_shard(tensor)
        assert shape == (7, 6)
        place = tuple(slice(a, a + b) for a, b in zip(*box, strict=True))
        assert torch.equal(local, whole[place]), placements
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 8)
    wanted = linear.weight.detach().clone()
    parallelize_module(linear, grid["tensor"], ColwiseParallel())
    fully_shard(linear, mesh=grid["data"])  # both along the rows: strided
    local, _, box = local_shard(linear.weight)
    assert torch.equal(local, wanted[tuple(slice(a, a + b) for a, b in zip(*box, strict=True))])
    every = Coordinator(Mesh(grid), 20.0).all_gather_json(
        list(tensor_shards("model", "w", linear.weight))
    )
    writes = assign_writers([list(map(_shard_from_json, pieces)) for pieces in every])
    assert sum(piece.box.count for mine in writes for piece in mine) == 48


class Stage:
    """A part that is this process's alone, as a stage of a pipeline is."""

    def __init__(self, number: int) -> None:
        self.tensors = {f"layers.{number}.w": torch.full((2, 2), float(number))}

    def state(self) -> dict[str, torch.Tensor]:
        return self.tensors

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.tensors = state


class AllStages(Stage):
    """What one process without a pipeline holds."""

    def __init__(self) -> None:
        self.tensors = {f"layers.{n}.w": torch.full((2, 2), -1.0) for n in range(2)}


def save_stages(number: int, count: int, folder: Path) -> None:
    """Each process saves its own stage."""
    mesh = Mesh(init_device_mesh("cpu", (count,), mesh_dim_names=("pipeline",)))
    checkpoints = Checkpoints(folder, {"model": Stage(number)}, mesh=mesh)
    checkpoints.save(1)
    checkpoints.close()


def one_is_full(number: int, count: int, folder: Path) -> None:
    """The disk of one process is full: all say so, and the last checkpoint is whole."""
    run = Run(folder, count)
    run.checkpoints.save(1)
    run.checkpoints.wait()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if number == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    with pytest.raises(GroundupError, match="process 1: File too large.*step-00000001 is intact"):
        run.checkpoints.save(2)
        run.checkpoints.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    distributed.barrier()
    assert [path.name for path in folder.iterdir()] == ["step-00000001"]
    assert Run(folder, count, seed=3).checkpoints.resume().step == 1


def one_dies(number: int, count: int, folder: Path, dying: int) -> None:
    """A process is killed after it wrote its files and before it said so."""
    run = Run(folder, count)
    run.checkpoints.save(1)
    run.checkpoints.wait()
    if number == dying:
        run.checkpoints.writers.all_gather_json = lambda value: os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(ArtifactError, match="2 processes answered within"):
        run.checkpoints.save(2)
        run.checkpoints.wait()
    os._exit(0)  # the group is broken: leaving it politely would wait for the dead


def two_do_all(number: int, count: int, folder: Path, losses: list[float]) -> None:
    """One start of processes for all of it: starting takes longest."""
    exact_again(number, count, folder / "again")
    save_sharded(number, count, folder)
    resume_elsewhere(number, count, folder, True, losses)
    save_stages(number, count, folder / "stages")
    one_is_full(number, count, folder / "full")
    one_dies(number, count, folder / "killed", 1)


def four_do_all(number: int, count: int, folder: Path, losses: list[float]) -> None:
    """The same for four."""
    two_ways(number, count)
    resume_elsewhere(number, count, folder, False, losses)


def is_whole_at_one(folder: Path) -> bool:
    """Whether the killed run's last checkpoint opens and nothing else is there."""
    resumed = Run(folder, 1, seed=8).checkpoints.resume()
    return resumed.step == 1 and [path.name for path in folder.iterdir()] == ["step-00000001"]


@pytest.mark.slow
def test_what_two_saved_four_go_on_with(tmp_path):
    losses = plain_run(tmp_path)
    spawned(save_sharded, 2, tmp_path)
    spawned(four_do_all, 4, tmp_path, losses)


def test_two_processes_save_and_others_go_on(tmp_path):
    losses = plain_run(tmp_path)
    spawned(two_do_all, 2, tmp_path, losses, codes=[0, -signal.SIGKILL])
    assert is_whole_at_one(tmp_path / "killed")
    one = Run(tmp_path / "sharded", 1, seed=5)
    assert one.checkpoints.resume().step == 3
    found = one.go(3, 6)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(losses), rtol=1e-5, atol=1e-5)
    part = AllStages()
    assert Checkpoints(tmp_path / "stages", {"model": part}).resume().step == 1
    assert [float(t[0, 0]) for t in part.tensors.values()] == [0.0, 1.0]
    with pytest.raises(ArtifactError, match="another model: layers.1.w not in this one"):
        Checkpoints(tmp_path / "stages", {"model": Stage(0)}).resume()


@pytest.mark.slow
def test_the_first_process_may_die_too(tmp_path):
    spawned(one_dies, 2, tmp_path, 0, codes=[-signal.SIGKILL, 0])
    assert is_whole_at_one(tmp_path)
