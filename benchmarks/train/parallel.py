"""What each way to divide training holds and sends on a process, by formula and measured.

    python -m benchmarks.train.parallel [--depth 4] [--rows 8] [--length 128]

Real processes on gloo take one step of a decoder with AdamW: bytes of weights, gradients and
optimizer states of process 0 at their fullest between two passes, and bytes that it sends, by
collective. Where a mesh has `expert`, layers have four experts of half the width, of which a token
takes two. Writes `results/parallel.json` and prints the tables of docs/reference/train/parallel.md.
"""

import argparse
import os
import socket
from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.distributed.tensor import DTensor

from benchmarks import table
from benchmarks.train.communication import (
    CommunicationCounter,
    StepWorkload,
    TrainingStateBytes,
    _local_shapes,
    _local_storage_bytes,
    _training_state_bytes,
    communication_volume,
)
from groundup.core import write_json
from groundup.kernels import LossSum
from groundup.model import ExpertsConfig, ModelConfig, Transformer, from_depth
from groundup.train import (
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    RouterConfig,
    causal_loss,
    split_batch,
)
from groundup.train.loop import Loss
from groundup.train.objectives.losses import add_router_losses
from groundup.train.parallel.apply import parallelise
from groundup.train.parallel.context import local_positions
from groundup.train.parallel.data import local_sequences
from groundup.train.parallel.expert import summing_function
from groundup.train.parallel.mesh import Mesh, RankOf, open_mesh, parse_dimensions

IDS = 2048


class Plan(NamedTuple):
    """One way to divide a step."""

    mesh: str
    zero: int = 0
    dtype: torch.dtype = torch.float32
    micro_batches: int = 1

    @property
    def processes(self) -> int:
        """How many it needs."""
        total = 1
        for size in parse_dimensions(self.mesh).values():
            total *= size
        return total


PLANS = [
    Plan("data=2"), Plan("shard=2", 1), Plan("shard=2", 2), Plan("shard=2", 3),
    Plan("shard=2", 2, torch.bfloat16), Plan("shard=2", 3, torch.bfloat16),
    Plan("data=4"), Plan("shard=4", 1), Plan("shard=4", 2), Plan("shard=4", 3),
    Plan("shard=4", 3, torch.float32, 2), Plan("data=2,shard=2", 3), Plan("tensor=2"),
    Plan("tensor=4"), Plan("data=2,tensor=2"), Plan("shard=2,tensor=2", 3),
    Plan("pipeline=2", micro_batches=4), Plan("pipeline=4", micro_batches=8), Plan("context=2"),
    Plan("context=2", 0, torch.bfloat16), Plan("context=4"), Plan("expert=2"), Plan("expert=4"),
    Plan("pipeline=2,data=2", micro_batches=4), Plan("pipeline=2,context=2", micro_batches=4),
    Plan("data=2,context=2"), Plan("data=2,expert=2"),
]  # fmt: skip


class Size(NamedTuple):
    """What a step computes."""

    depth: int
    rows: int
    length: int


class Found(NamedTuple):
    """What one process held and sent."""

    held: TrainingStateBytes
    sent: dict[str, float]


def shape(size: Size, plan: Plan) -> ModelConfig:
    """The dial's model with few ids; four key heads, that four processes may have them."""
    config = from_depth(size.depth, IDS, 2048).config
    part = config.attention.model_copy(update={"heads": 4, "kv_heads": 4})
    feed = config.feedforward
    if "expert" in parse_dimensions(plan.mesh):
        experts = ExpertsConfig(count=4, chosen=2)
        feed = feed.model_copy(update={"width": feed.width // 2, "experts": experts})
    return config.model_copy(update={"attention": part, "feedforward": feed})


def loss_of(config: ModelConfig, mesh: Mesh) -> Loss:
    """Of next tokens, and of routers where there are experts."""
    experts = config.feedforward.experts
    if experts is None:
        return causal_loss
    return add_router_losses(
        causal_loss, RouterConfig(), experts.chosen, add=summing_function(mesh)
    )


def measure(plan: Plan, size: Size) -> Found:
    """One step of this process."""
    config, precision = shape(size, plan), Precision(plan.dtype)
    mesh = open_mesh(parse_dimensions(plan.mesh), "cpu")
    body, lost = Transformer(config), loss_of(config, mesh)
    weights, gradients = [0], [0]

    def loss(model: nn.Module, batch: MicroBatch) -> LossSum:
        found = lost(body, batch)
        weights.append(_local_storage_bytes([*body.parameters(), *made.parameters.values()]))
        return found

    def noted(_: Any = None) -> None:
        gradients.append(
            _local_storage_bytes(p.grad for p in body.parameters() if p.grad is not None)
        )

    if plan.zero < 2:  # before gradients go to their owners
        for parameter in body.parameters():
            parameter.register_post_accumulate_grad_hook(noted)
    made = parallelise(body, loss, precision, mesh, zero=max(1, plan.zero))
    optimizer = Optimizer(
        made.parameters.items(), OptimConfig(matrix_optimizer="adamw"), names=made.names
    )
    rows = local_positions(local_sequences(batch_of(size), mesh), config, mesh)
    parts = split_batch(rows, plan.micro_batches)
    assert made.gradients is not None, "processes have gradients of their own"
    with CommunicationCounter() as counted:
        made.gradients(parts, float(size.rows * size.length))
        noted()
        made.synchronise()
    weights.append(
        _local_storage_bytes(body.parameters())
    )  # a pipeline's last process alone has a loss
    states = [own(t).nbytes for name, t in optimizer.state().items() if name != "steps"]
    return Found(TrainingStateBytes(max(weights), max(gradients), sum(states)), counted.bytes)


def own(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def batch_of(size: Size) -> MicroBatch:
    """The rows of a whole step."""
    ids = torch.randint(IDS, (size.rows, size.length + 1), generator=torch.Generator())
    return MicroBatch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(),
                 torch.ones(size.rows, size.length), None)  # fmt: skip


def formula(plan: Plan, size: Size) -> Found:
    """The same of process 0, computed."""
    sizes, config = parse_dimensions(plan.mesh), shape(size, plan)
    compute = 2 if plan.dtype == torch.bfloat16 else 4
    share = RankOf(0, sizes.get("shard", 1))
    others = sizes.get("data", 1) * share.parts * sizes.get("expert", 1)
    rows = size.rows // (others * plan.micro_batches)
    total: Counter[str] = Counter()
    load = StepWorkload(rows, size.length, plan.micro_batches, compute, document_bytes=0)
    for one in communication_volume(config, sizes, load, zero=plan.zero):
        total[one.collective] += one.bytes  # type: ignore[assignment]
    expected = _training_state_bytes(
        _local_shapes(config, sizes), share, plan.zero, compute_bytes=compute
    )
    return Found(expected, dict(total))


def work(rank: int, world: int, port: int, plans: list[Plan], size: Size, results: Any) -> None:
    """One process of some plans, one after the other."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "GROUNDUP_COMPILE": "0"}
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    found = [measure(plan, size) for plan in plans]
    if rank == 0:
        results.put([(tuple(one.held), one.sent) for one in found])
    distributed.barrier()
    distributed.destroy_process_group()


def run(world: int, plans: list[Plan], size: Size) -> list[Found]:
    """Start so many processes for some plans; what the first one found."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    results = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(work, (world, port, plans, size, results), nprocs=world)
    return [Found(TrainingStateBytes(*numbers), sent) for numbers, sent in results.get()]


def main() -> None:
    """Measure every plan and print a row for each."""
    reader = argparse.ArgumentParser(description=__doc__)
    for name, default in (("depth", 4), ("rows", 8), ("length", 128)):
        reader.add_argument(f"--{name}", type=int, default=default)
    size = Size(**vars(reader.parse_args()))
    print("| mesh | zero | compute | micro | weights | gradients | states | sent | formula |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    worlds = {plan.processes: [p for p in PLANS if p.processes == plan.processes] for plan in PLANS}
    measured = {p: f for world, some in worlds.items()
                for p, f in zip(some, run(world, some, size), strict=True)}  # fmt: skip
    for plan in PLANS:
        found, expected = measured[plan], formula(plan, size)
        rows.append({
            "mesh": plan.mesh, "zero": plan.zero, "dtype": str(plan.dtype),
            "micro_batches": plan.micro_batches,
            "held": found.held._asdict(), "held by formula": expected.held._asdict(),
            "sent": found.sent, "sent by formula": expected.sent,
        })  # fmt: skip
        print(line(plan, found, expected), flush=True)
    notes = {"model": shape(size, PLANS[0]).model_dump(mode="json"), "size": size._asdict(),
             "machine": table.machine_class()}  # fmt: skip
    write_json(table.RESULTS / "parallel.json", {"rows": [], "plans": rows, "notes": notes})


def line(plan: Plan, found: Found, expected: Found) -> str:
    """A row of the table, in millions of bytes; what differs from its formula shows both."""
    cells = [plan.mesh, str(plan.zero or ""), str(plan.dtype).removeprefix("torch."),
             str(plan.micro_batches)]  # fmt: skip
    for ours, told in zip(found.held, expected.held, strict=True):
        cells.append(f"{ours / 1e6:.2f}" + ("" if ours == told else f" ({told / 1e6:.2f})"))
    sent, told = sum(found.sent.values()), sum(expected.sent.values())
    cells += [f"{sent / 1e6:.2f}", f"{told / 1e6:.2f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
