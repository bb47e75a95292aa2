"""Pipeline parallelism: processes with some of the layers each, on several micro-batches at once.

    gpipe   all forward passes, then all backward passes
    1f1b    as few forward passes as fill the pipeline, then one of each in turn

Both have the same bubble, (P - 1) / (M + P - 1) for P processes and M micro-batches; 1f1b keeps the
activations of at most P micro-batches where gpipe keeps M. A process's actions are a list, a pure
function; between two actions it sends its output and receives its next input in one batched call,
so that no two processes deadlock. These are our own schedules, not torch's, because they accept
micro-batches of unequal sizes, a loss that is a sum over the weight of the global step, and
documents and targets that every process has anyway.
Gradients are those of `stages._sequential_gradients`, bit for bit.
Source: Huang et al. 2018, arXiv:1811.06965 (GPipe); Narayanan et al. 2021, arXiv:2104.04473 (1F1B).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, distributed, nn

from groundup.kernels import LossSum
from groundup.model import Transformer

from ..batches import MicroBatch
from ..loop import Gradients, Loss
from ..precision import Precision
from .mesh import Mesh
from .stages import PipelineStage

ScheduleName = Literal["gpipe", "1f1b"]


class Action(NamedTuple):
    """One pass of one micro-batch through a process's layers."""

    kind: Literal["forward", "backward"]
    micro_batch: int


def pipeline_actions(
    schedule: ScheduleName, rank: int, parts: int, micro_batches: int
) -> list[Action]:
    """The actions of one pipeline process in a step, in order.

    >>> [f"{kind[0]}{number}" for kind, number in pipeline_actions("1f1b", 0, 2, 3)]
    ['f0', 'f1', 'b0', 'f2', 'b1', 'b2']
    """
    first = micro_batches if schedule == "gpipe" else min(parts - 1 - rank, micro_batches)
    plan = [Action("forward", number) for number in range(first)]
    for number in range(first, micro_batches):
        plan += [Action("forward", number), Action("backward", number - first)]
    return plan + [
        Action("backward", number) for number in range(micro_batches - first, micro_batches)
    ]


def max_in_flight(plan: Sequence[Action]) -> int:
    """Largest number of micro-batches whose activations a process keeps at one time.

    >>> [max_in_flight(pipeline_actions(name, 0, 4, 16)) for name in ("gpipe", "1f1b")]
    [16, 4]
    """
    in_flight = most = 0
    for action in plan:
        in_flight += 1 if action.kind == "forward" else -1
        most = max(most, in_flight)
    return most


def bubble_share(parts: int, micro_batches: int) -> float:
    """Share of a step in which a process waits, if all micro-batches take equally long.

    >>> round(bubble_share(4, 8), 3)
    0.273
    """
    return (parts - 1) / (micro_batches + parts - 1)


def simulated_bubble_share(
    plans: Sequence[Sequence[Action]], forward: float = 1, backward: float = 2
) -> float:
    """The same, by simulating the actions of all processes.

    plans              actions of each process
    forward, backward  time of a pass; messages take none
    """
    took = {"forward": forward, "backward": backward}
    ends: dict[tuple[int, Action], float] = {}
    clocks, nexts = [0.0] * len(plans), [0] * len(plans)
    while any(done < len(plan) for done, plan in zip(nexts, plans, strict=True)):
        before = sum(nexts)
        for rank, plan in enumerate(plans):
            while nexts[rank] < len(plan):
                action = plan[nexts[rank]]
                needed = [
                    (rank + step, action) for step in _message_sources(action, rank, len(plans))
                ]
                if any(each not in ends for each in needed):
                    break
                start = max([clocks[rank], *(ends[each] for each in needed)])
                clocks[rank] = ends[rank, action] = start + took[action.kind]
                nexts[rank] += 1
        assert sum(nexts) > before, "the processes are deadlocked"
    busy = sum(took[action.kind] for plan in plans for action in plan)
    return 1 - busy / (max(clocks) * len(plans))


def _message_sources(action: Action, place: int, parts: int) -> list[int]:
    """Relative ranks that an action needs a message from: -1 the previous process, 1 the next."""
    if action.kind == "forward":
        return [-1] if place > 0 else []
    return [1] if place < parts - 1 else []


class ParallelPipeline(NamedTuple):
    """A pipeline stage on one process."""

    parameters: dict[str, nn.Parameter]
    """Those it updates, under the model's full names."""
    gradients: Gradients
    synchronise: Callable[[], None]
    """Called after parameters were updated or loaded."""
    loss: Loss
    """For validation: every process gets the model's loss."""


def apply_pipeline(
    model: Transformer,
    loss: Loss,
    precision: Precision,
    mesh: Mesh,
    *,
    schedule: ScheduleName = "1f1b",
) -> ParallelPipeline:
    """Reduce a complete model to this process's pipeline stage, in place.

    Raises ConfigError for unsupported models.
    """
    stage = PipelineStage(model, loss, precision, mesh.submesh("pipeline"))

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        step = PipelinePass(stage, micro_batches, weight)
        total = step.run(
            pipeline_actions(schedule, stage.rank, stage.num_stages, len(micro_batches))
        )
        stage.add_tied_gradient()
        return total

    return ParallelPipeline(
        stage.owned_parameters, gradients, stage.synchronise_tied, _broadcast_loss(stage)
    )


class PipelinePass:
    """One step of one process: its micro-batches, and the tensors between their passes."""

    def __init__(
        self, stage: PipelineStage, micro_batches: Sequence[MicroBatch], weight: float
    ) -> None:
        self.stage, self.micro_batches, self.weight = stage, micro_batches, weight
        self.inputs: dict[int, Tensor] = {}
        """Inputs from the previous process, by micro-batch, until their gradients are sent."""
        self.outputs: dict[int, Tensor] = {}
        """Outputs of this process, until their backward pass."""
        self.output_gradients: dict[int, Tensor] = {}
        """Gradients of the outputs, from the next process."""
        self.pending_sends: list[tuple[distributed.Work, Tensor]] = []
        """Running sends, and the tensors that must not change until they finish."""
        self.total = 0.0

    def run(self, plan: Sequence[Action]) -> float:
        """Run the actions; return this process's share of the mean loss."""
        self.exchange(None, None, plan[0] if plan else None)
        for action, following in zip(plan, [*plan[1:], None], strict=True):
            output = self.forward(action) if action.kind == "forward" else self.backward(action)
            self.exchange(action, output, following)
        for work, _ in self.pending_sends:
            work.wait()
        return self.total

    def forward(self, action: Action) -> Tensor | None:
        """Compute a micro-batch; return what the next process needs."""
        number, stage = action.micro_batch, self.stage
        arrived = self.inputs.get(number)
        if arrived is not None:
            arrived.requires_grad_()
        output = stage.compute(self.micro_batches[number], arrived)
        self.outputs[number] = stage.backward_root(output, self.weight)
        if not stage.is_last:
            return self.outputs[number].detach()
        self.total += float(self.outputs[number].detach()) / stage.precision.scale
        return None

    def backward(self, action: Action) -> Tensor | None:
        """Add a micro-batch's gradients; return what the previous process needs."""
        number = action.micro_batch
        self.outputs.pop(number).backward(self.output_gradients.pop(number, None))
        arrived = self.inputs.pop(number, None)
        return None if arrived is None or arrived.grad is None else arrived.grad.contiguous()

    def exchange(self, done: Action | None, made: Tensor | None, following: Action | None) -> None:
        """Send an output and wait for the next input."""
        stage, moves = self.stage, []
        if following is not None:
            room = stage.receive_buffer(self.micro_batches[following.micro_batch])
            for step in _message_sources(following, stage.rank, stage.num_stages):
                peer = stage.rank + step
                moves.append(distributed.P2POp(distributed.irecv, room, None, stage.group, 0, peer))
                received = self.inputs if following.kind == "forward" else self.output_gradients
                received[following.micro_batch] = room
        needed = len(moves)
        if done is not None and made is not None:
            peer = stage.rank + (1 if done.kind == "forward" else -1)
            moves.append(distributed.P2POp(distributed.isend, made, None, stage.group, 0, peer))
        works = distributed.batch_isend_irecv(moves) if moves else []
        for work in works[:needed]:
            work.wait()
        if made is not None:
            self.pending_sends += [(work, made) for work in works[needed:]]


def _broadcast_loss(stage: PipelineStage) -> Loss:
    """The loss of a micro-batch through all processes, broadcast to each; no gradients."""

    @torch.no_grad()
    def loss(model: Transformer, batch: MicroBatch) -> LossSum:
        arrived = None if stage.is_first else stage.receive(stage.receive_buffer(batch), -1)
        output = stage.compute(batch, arrived)
        if isinstance(output, LossSum):
            pair = torch.stack([output.total.double(), output.weight.double()])
        else:
            stage.send(output, 1)
            pair = torch.empty(2, dtype=torch.float64, device=batch.ids.device)
        distributed.broadcast(pair, group=stage.group, group_src=stage.num_stages - 1)
        return LossSum(pair[0], pair[1])

    return loss
