"""Local shards and complete tensors, for plain tensors and DTensors alike; a mean of the weights.

A sharded weight (by FSDP or a tensor-parallel plan) is a DTensor of which this process has a shard.
Elementwise updates work on the shards; `full_tensor` gathers, `extract_shard` extracts this
process's shard again, without communication. A plain tensor is its own shard, so callers need not
distinguish.

`WeightAverage` is an exponential moving average of the weights, which is often the better model:

    mean += share · (weight - mean)        share = (1 - decay) / (1 - decay^t), or 1 - decay

The first share is bias-corrected as in Adam: at every step the mean is a weighted mean of all
weights so far, without a term from initialisation. Uncorrected, the first weights keep the factor
decay^t, as in torch's AveragedModel.
Source: Polyak & Juditsky 1992; the correction, Kingma & Ba 2015, arXiv:1412.6980, §3.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor, empty
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from groundup.core import ConfigError


def local_tensor(tensor: Tensor) -> Tensor:
    """This process's shard, without copying."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def place_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """A gradient placed as its weight is; partial sums are reduced."""
    if isinstance(gradient, DTensor) and isinstance(weight, DTensor):
        if gradient.placements != weight.placements:
            return gradient.redistribute(placements=weight.placements)
    return gradient


def full_like_placement(
    weight: Tensor, shape: tuple[int, ...], dtype: torch.dtype, fill: int = 0
) -> Tensor:
    """A constant tensor of another shape, placed as the weight is."""
    if not isinstance(weight, DTensor):
        return torch.full(shape, fill, dtype=dtype, device=weight.device)
    mesh, placements = weight.device_mesh, weight.placements
    tensor = empty(shape, dtype=dtype, device_mesh=mesh, placements=placements)
    tensor.to_local().fill_(fill)
    return tensor


def reduce_partial(tensor: Tensor) -> Tensor:
    """A tensor with its partial sums reduced."""
    if isinstance(tensor, DTensor) and any(each.is_partial() for each in tensor.placements):
        reduced = [Replicate() if each.is_partial() else each for each in tensor.placements]
        return tensor.redistribute(placements=reduced)
    return tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """The complete tensor, gathered on every process if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather_shards(part: Tensor, weight: Tensor) -> Tensor:
    """The complete tensor, from shards placed as the weight is."""
    if not isinstance(weight, DTensor):
        return part
    return DTensor.from_local(
        part, weight.device_mesh, weight.placements,
        run_check=False, shape=weight.shape, stride=weight.stride(),
    ).full_tensor()  # fmt: skip


def extract_shard(tensor: Tensor, weight: Tensor) -> Tensor:
    """This process's shard of a complete tensor, placed as the weight is."""
    if not isinstance(weight, DTensor):
        return tensor
    mesh, placements = weight.device_mesh, weight.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None).to_local()


def copy_into(into: Tensor, source: Tensor) -> None:
    """Fill a tensor from a complete one, or from one that is sharded as it is."""
    is_sharded = isinstance(source, DTensor)
    local_tensor(into).copy_(local_tensor(source) if is_sharded else extract_shard(source, into))


def flat_indices(tensor: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """Flat index of each element of this process's shard in the complete tensor, mod 2^32 (int32).

    rows     of the shard: along the first axis
    columns  of those: along the last one

    >>> flat_indices(torch.zeros(3, 2), slice(1, 3))
    tensor([[2, 3],
            [4, 5]], dtype=torch.int32)
    """
    size, first = tuple(tensor.shape), (0,) * tensor.ndim
    if isinstance(tensor, DTensor):
        mesh, placements = tensor.device_mesh, tensor.placements
        size, first = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    index = torch.zeros((), dtype=torch.int32, device=tensor.device)
    stride = 1
    for axis in reversed(range(tensor.ndim)):
        along = torch.arange(first[axis], first[axis] + size[axis], device=tensor.device)
        if axis == 0:
            along = along[rows]
        if axis == tensor.ndim - 1:
            along = along[columns]
        along = (along * stride).to(torch.int32)
        index = index + along.view(-1, *[1] * (tensor.ndim - axis - 1))
        stride *= tensor.shape[axis]
    return index


class WeightAverage:
    """Moving average of some weights, in float32, sharded as they are."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        decay: float,
        *,
        is_corrected: bool = True,
    ) -> None:
        """Start empty: the first update copies the weights.

        decay  share of the mean that each update keeps, in [0, 1)
        """
        if not 0 <= decay < 1:
            raise ConfigError(f"decay={decay} must be at least 0 and below 1.")
        self.weights = dict(parameters)
        self.decay, self.is_corrected, self.updates = decay, is_corrected, 0
        self.means = {
            name: torch.zeros_like(w, dtype=torch.float32, requires_grad=False)
            for name, w in self.weights.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the mean."""
        self.updates += 1
        share = 1 - self.decay
        if self.is_corrected:
            share /= 1 - self.decay**self.updates
        means = [local_tensor(mean) for mean in self.means.values()]
        weights = [local_tensor(weight).float() for weight in self.weights.values()]
        if self.updates == 1:
            torch._foreach_copy_(means, weights)
        else:
            torch._foreach_lerp_(means, weights, share)

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the mean as its weights; restores the weights exactly on exit.

        Weights that are not averaged stay. Where processes have shards of weights that the model
        has replicated, only the shards change, and the caller synchronises before and after.
        Raises ConfigError before the first update.
        """
        if not self.updates:
            raise ConfigError("The weight average has no updates yet; call update() first.")
        own = {name: self.weights[name] for name, _ in model.named_parameters()
               if name in self.means}  # fmt: skip
        if not own:
            raise ConfigError("The weight average shares no weight name with the model.")
        saved = {name: local_tensor(p).clone() for name, p in own.items()}
        try:
            with torch.no_grad():
                for name, p in own.items():
                    local_tensor(p).copy_(local_tensor(self.means[name]))
            yield model
        finally:
            with torch.no_grad():
                for name, p in own.items():
                    local_tensor(p).copy_(saved[name])

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        means = {f"average.{name}": mean for name, mean in self.means.items()}
        return {"updates": torch.tensor(self.updates), **means}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state; ConfigError if it is of other weights."""
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise ConfigError(f"The weight average is of another model: {', '.join(odd)} differ.")
        for name, tensor in state.items():
            copy_into(own[name], tensor)
        self.updates = int(state["updates"])
