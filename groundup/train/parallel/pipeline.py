"""Pipeline parallelism: processes with some of the layers each, on several micro-batches at once.

    first process   embedding, the first layers
    others          layers
    last process    layers, norm, head and loss

    gpipe   all forward passes, then all backward passes
    1f1b    as few forward passes as fill the pipeline, then one of each in turn

A process keeps its layers under their numbers in the full model, so parameter names do not change.
All processes have the batch; only hidden states and their gradients are sent. A tied embedding is
the input of the first process and the head of the last: the first owns it, sums both gradients and
sends the last its updated weights.
Both schedules have the same bubble, (P - 1) / (M + P - 1) for P processes and M micro-batches; 1f1b
keeps the activations of at most P micro-batches where gpipe keeps M. A process's actions are a
list, a pure function; between two actions it sends its output and receives its next input in one
batched call, so that no two processes deadlock. These are our own schedules, not torch's, because
they accept micro-batches of unequal sizes, a loss that is a sum over the weight of the global step,
and documents and targets that every process has anyway.
Gradients are those of one process computing while the others wait (tests: `_sequential_gradients`),
bit for bit.
Source: Huang et al. 2018, arXiv:1811.06965 (GPipe); Narayanan et al. 2021, arXiv:2104.04473 (1F1B).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh

from groundup.core import ConfigError
from groundup.kernels import LossSum
from groundup.model import ModelConfig, Transformer

from ..batches import MicroBatch
from ..loop import Gradients, Loss
from ..precision import Precision
from .mesh import Mesh

TIED_WEIGHT = "embed_tokens.weight"


class NumberedLayers(nn.Module):
    """Some layers of a model, under their numbers in it."""

    def __init__(self, layers: dict[int, nn.Module]) -> None:
        super().__init__()
        for number, layer in layers.items():
            self.add_module(str(number), layer)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.children())


def split_layers(layers: int, parts: int) -> list[range]:
    """The layers of each pipeline process; earlier ones have one more.

    The last process also has the head and the loss.

    >>> split_layers(5, 2)
    [range(0, 3), range(3, 5)]
    """
    borders = [math.ceil(layers * rank / parts) for rank in range(parts + 1)]
    return [range(*pair) for pair in zip(borders, borders[1:], strict=False)]


def check_layers(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError for a model that cannot be split into so many pipeline stages."""
    if parts > config.layers:
        raise ConfigError(
            f"pipeline={parts} needs a layer per process, but the model has layers="
            f"{config.layers}; use at most pipeline={config.layers}."
        )
    problem = None
    if config.kind == "encoder_decoder":
        problem = "kind='encoder_decoder', whose decoder reads the encoder at every layer"
    elif config.position.kind in ("buckets", "disentangled"):
        problem = f"position.kind={config.position.kind!r}, which all layers share"
    elif config.feedforward.experts is not None:
        problem = "experts, which have router losses in every layer; use mesh dimension expert"
    if problem:
        raise ConfigError(f"Mesh dimension pipeline does not support {problem}.")


class PipelineStage:
    """A process's layers of a model, and its neighbours."""

    def __init__(
        self, model: Transformer, loss: Loss, precision: Precision, line: DeviceMesh
    ) -> None:
        """Reduce a complete model to this process's layers, in place.

        line  the processes that share the layers

        Raises ConfigError for an unsupported model.
        """
        self.model, self.loss, self.precision = model, loss, precision
        self.rank, self.num_stages, self.group = (
            line.get_local_rank(),
            line.size(),
            line.get_group(),
        )
        check_layers(model.config, self.num_stages)
        self.is_first, self.is_last = self.rank == 0, self.rank == self.num_stages - 1
        self.is_tied = model.config.tied_embeddings and self.num_stages > 1
        self.dtype = next(model.parameters()).dtype
        self.drop_other_stages()

    def drop_other_stages(self) -> None:
        """Drop the modules of other processes."""
        model = self.model
        own = split_layers(model.config.layers, self.num_stages)[self.rank]
        model.layers = NumberedLayers({i: model.layers[i] for i in own})  # type: ignore[assignment]
        if not self.is_first:
            model.embed_positions = model.embed_types = None
            model.embed_norm = model.embed_proj = nn.Identity()
            if not (self.is_last and self.is_tied):
                model.embed_tokens = nn.Identity()  # type: ignore[assignment]
        if not self.is_last:
            model.norm = model.transform = nn.Identity()
            model.lm_head = model.lm_bias = None

    @property
    def owned_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that this process updates: all but a copy of the tied embedding."""
        named = dict(self.model.named_parameters())
        if self.is_tied and not self.is_first:
            named.pop(TIED_WEIGHT, None)
        return named

    def receive_buffer(self, batch: MicroBatch) -> Float[Tensor, "B T D"]:
        """A buffer for the hidden states of a micro-batch, or for their gradients."""
        shape = (*batch.ids.shape, self.model.config.width)
        return torch.empty(shape, dtype=self.dtype, device=batch.ids.device)

    def compute(self, batch: MicroBatch, arrived: Tensor | None) -> Tensor | LossSum:
        """Hidden states after this process's layers; on the last process the loss.

        arrived  hidden states from the previous process; None on the first
        """
        self.model.received_hidden = arrived
        try:
            with self.precision.autocast(batch.ids.device.type):
                if self.is_last:
                    return self.loss(self.model, batch)
                hidden = self.model(
                    batch.ids, positions=batch.positions, documents=batch.documents,
                    types=batch.types if self.is_first else None, prefix=batch.prefix,
                )  # fmt: skip
                return hidden.to(self.dtype).contiguous()
        finally:
            self.model.received_hidden = None

    def backward_root(self, found: Tensor | LossSum, weight: float) -> Tensor:
        """The tensor to start backward from: of a loss, its scaled share of the step."""
        if isinstance(found, LossSum):
            return found.total / weight * self.precision.scale
        return found

    def send(self, tensor: Tensor, offset: int) -> None:
        """Send to the process at a relative rank, and wait."""
        distributed.send(tensor, group=self.group, group_dst=self.rank + offset)

    def receive(self, buffer: Tensor, offset: int) -> Tensor:
        """Receive from the process at a relative rank."""
        distributed.recv(buffer, group=self.group, group_src=self.rank + offset)
        return buffer

    def add_tied_gradient(self) -> None:
        """Add the tied embedding's output gradient to its input gradient."""
        if not self.is_tied or not (self.is_first or self.is_last):
            return
        weight = self.model.embed_tokens.weight
        if self.is_last:
            grad = weight.grad if weight.grad is not None else torch.zeros_like(weight)
            self.send(grad.contiguous(), 1 - self.num_stages)
            weight.grad = None
        else:
            other = self.receive(torch.empty_like(weight), self.num_stages - 1)
            weight.grad = other if weight.grad is None else weight.grad + other

    @torch.no_grad()
    def synchronise_tied(self) -> None:
        """Send the first process's tied embedding to the last."""
        if self.is_tied and self.is_first:
            self.send(self.model.embed_tokens.weight.detach().contiguous(), self.num_stages - 1)
        elif self.is_tied and self.is_last:
            self.receive(self.model.embed_tokens.weight.data, 1 - self.num_stages)


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
