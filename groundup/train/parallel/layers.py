"""Layers: a model cut between its layers over a line of processes, and the plain way to train it.

    first process   embedding, the first layers
    others          layers
    last process    layers, norm, head and loss

A process keeps its layers under their numbers in the whole model, so that names of parameters stay
as they are. All have the rows; hidden states alone travel, and their gradients back. `in_turn` is
the reference of pipeline.py: one process computes while the others wait. A tied embedding is
looked up by the first process and is the head of the last: the first owns it, adds up both
gradients and tells the last its new weights.
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

from ..batches import Batch
from ..loop import Gradients, Loss
from ..precision import Precision

TIED = "embed_tokens.weight"


class Layers(nn.Module):
    """Some layers of a model, under the numbers that they have in it."""

    def __init__(self, layers: dict[int, nn.Module]) -> None:
        super().__init__()
        for number, layer in layers.items():
            self.add_module(str(number), layer)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.children())


def parts_of(layers: int, parts: int) -> list[range]:
    """Which layers each of a number of processes computes; earlier ones have one more.

    The last has the head and the loss besides.

    >>> parts_of(5, 2)
    [range(0, 3), range(3, 5)]
    """
    borders = [math.ceil(layers * place / parts) for place in range(parts + 1)]
    return [range(*pair) for pair in zip(borders, borders[1:], strict=False)]


def check_layers(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError for a model that cannot be cut between its layers so often."""
    if parts > config.layers:
        raise ConfigError(
            f"pipeline={parts} processes share the model's layers={config.layers}, and each needs "
            f"one; choose pipeline={config.layers} at most."
        )
    told = None
    if config.kind == "encoder_decoder":
        told = "a model of kind 'encoder_decoder', whose decoder reads the encoder at every layer"
    elif config.position.kind == "buckets":
        told = "position.kind='buckets', one table of distances for all layers"
    elif config.feedforward.experts is not None:
        told = "experts, whose routers' losses lie in every layer; use mesh dimension expert"
    if told:
        raise ConfigError(f"Mesh dimension pipeline cannot cut {told}.")


class Stage:
    """A process's layers of a model, and its neighbours."""

    def __init__(
        self, model: Transformer, loss: Loss, precision: Precision, line: DeviceMesh
    ) -> None:
        """Cut a whole model down to this process's layers, in place.

        line  the processes that share the layers

        Raises ConfigError for a model that cannot be cut so.
        """
        self.model, self.loss, self.precision = model, loss, precision
        self.place, self.parts, self.group = line.get_local_rank(), line.size(), line.get_group()
        check_layers(model.config, self.parts)
        self.is_first, self.is_last = self.place == 0, self.place == self.parts - 1
        self.is_tied = model.config.tied_embeddings and self.parts > 1
        self.dtype = next(model.parameters()).dtype
        self.cut()

    def cut(self) -> None:
        """Forget what other processes have."""
        model = self.model
        own = parts_of(model.config.layers, self.parts)[self.place]
        model.layers = Layers({i: model.layers[i] for i in own})  # type: ignore[assignment]
        if not self.is_first:
            model.embed_positions = model.embed_types = None
            model.embed_norm = nn.Identity()
            if not (self.is_last and self.is_tied):
                model.embed_tokens = nn.Identity()  # type: ignore[assignment]
        if not self.is_last:
            model.norm = model.transform = nn.Identity()
            model.lm_head = model.lm_bias = None

    @property
    def owned(self) -> dict[str, nn.Parameter]:
        """What this process moves: all that it has but a copy of the tied embedding."""
        named = dict(self.model.named_parameters())
        if self.is_tied and not self.is_first:
            named.pop(TIED, None)
        return named

    def room(self, batch: Batch) -> Float[Tensor, "B T D"]:
        """Space for the hidden states of a micro-batch, or for their gradients."""
        shape = (*batch.ids.shape, self.model.config.width)
        return torch.empty(shape, dtype=self.dtype, device=batch.ids.device)

    def compute(self, batch: Batch, arrived: Tensor | None) -> Tensor | LossSum:
        """Hidden states after this process's layers; on the last process the loss.

        arrived  hidden states after the layers before; None on the first process
        """
        self.model.arrived = arrived
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
            self.model.arrived = None

    def share(self, found: Tensor | LossSum, weight: float) -> Tensor:
        """What a backward pass begins with: of a loss its share of the step, scaled."""
        if isinstance(found, LossSum):
            return found.total / weight * self.precision.scale
        return found

    def send(self, tensor: Tensor, step: int) -> None:
        """Send to the process so many places behind this one, and wait."""
        distributed.send(tensor, group=self.group, group_dst=self.place + step)

    def take(self, room: Tensor, step: int) -> Tensor:
        """Wait for what the process so many places behind this one sends."""
        distributed.recv(room, group=self.group, group_src=self.place + step)
        return room

    def add_tied(self) -> None:
        """Bring the tied embedding's gradient as an output to that of its input."""
        if not self.is_tied or not (self.is_first or self.is_last):
            return
        weight = self.model.embed_tokens.weight
        if self.is_last:
            grad = weight.grad if weight.grad is not None else torch.zeros_like(weight)
            self.send(grad.contiguous(), 1 - self.parts)
            weight.grad = None
        else:
            other = self.take(torch.empty_like(weight), self.parts - 1)
            weight.grad = other if weight.grad is None else weight.grad + other

    @torch.no_grad()
    def settle(self) -> None:
        """Tell the last process the first one's tied embedding."""
        if self.is_tied and self.is_first:
            self.send(self.model.embed_tokens.weight.detach().contiguous(), self.parts - 1)
        elif self.is_tied and self.is_last:
            self.take(self.model.embed_tokens.weight.data, 1 - self.parts)


def in_turn(stage: Stage) -> Gradients:
    """Gradients of one micro-batch after the other, forward and backward through all processes."""

    def gradients(micro_batches: Sequence[Batch], weight: float) -> float:
        total = 0.0
        for batch in micro_batches:
            arrived = None
            if not stage.is_first:
                arrived = stage.take(stage.room(batch), -1).requires_grad_()
            made = stage.share(stage.compute(batch, arrived), weight)
            if stage.is_last:
                total += float(made.detach()) / stage.precision.scale
                made.backward()
            else:
                stage.send(made.detach(), 1)
                made.backward(stage.take(stage.room(batch), 1))
            if arrived is not None:
                assert arrived.grad is not None, "every layer adds to what arrives"
                stage.send(arrived.grad.contiguous(), -1)
        stage.add_tied()
        return total

    return gradients
