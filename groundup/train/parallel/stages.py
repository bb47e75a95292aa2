"""A model's layers split over a line of processes, with a sequential reference schedule.

    first process   embedding, the first layers
    others          layers
    last process    layers, norm, head and loss

A process keeps its layers under their numbers in the full model, so parameter names do not change.
All processes have the batch; only hidden states and their gradients are sent.
`_sequential_gradients` is the reference of pipeline.py: one process computes while the others wait.
A tied embedding is the input of the first process and the head of the last: the first owns it, sums
both gradients and sends the last its updated weights.
"""

import math
from collections.abc import Iterator, Sequence

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
    elif config.position.kind == "buckets":
        problem = "position.kind='buckets', which all layers share"
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
            model.embed_norm = nn.Identity()
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


def _sequential_gradients(stage: PipelineStage) -> Gradients:
    """Gradients of one micro-batch after the other, forward and backward through all processes."""

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        total = 0.0
        for batch in micro_batches:
            arrived = None
            if not stage.is_first:
                arrived = stage.receive(stage.receive_buffer(batch), -1).requires_grad_()
            output = stage.backward_root(stage.compute(batch, arrived), weight)
            if stage.is_last:
                total += float(output.detach()) / stage.precision.scale
                output.backward()
            else:
                stage.send(output.detach(), 1)
                output.backward(stage.receive(stage.receive_buffer(batch), 1))
            if arrived is not None:
                assert arrived.grad is not None, "every layer has a residual connection"
                stage.send(arrived.grad.contiguous(), -1)
        stage.add_tied_gradient()
        return total

    return gradients
