"""What a checkpoint saves: the tensors of stateful objects, and the shard of each process.

A shard is a box of the global tensor: start and size along each dimension. A plain tensor is one
box; a DTensor's shard follows from its placements. What several processes have replicated is
written once, large tensors split along rows, so that all processes write about the same amount.
"""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from groundup.core import ShapeError, digest

MIN_SPLIT_BYTES = 2**20
"""Smaller tensors are not split: each piece has an overhead."""


class Bounds(NamedTuple):
    """A box of a tensor: start and size along each dimension."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.sizes)

    def within(self, other: "Bounds") -> tuple[slice, ...]:
        """Slices of this box relative to a box that contains it.

        >>> Bounds((4, 0), (2, 8)).within(Bounds((3, 0), (5, 8)))
        (slice(1, 3, None), slice(0, 8, None))
        """
        ends = zip(self.starts, self.sizes, other.starts, strict=True)
        return tuple(slice(start - zero, start - zero + size) for start, size, zero in ends)

    def overlap(self, other: "Bounds") -> "Bounds | None":
        """The intersection with another box; None if empty.

        >>> Bounds((0,), (5,)).overlap(Bounds((3,), (5,)))
        Bounds(starts=(3,), sizes=(2,))
        """
        starts = tuple(map(max, self.starts, other.starts))
        ends = (min(a + b, c + d) for a, b, c, d in zip(*self, *other, strict=True))
        sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return Bounds(starts, sizes) if all(size > 0 for size in sizes) else None


class TensorShard(NamedTuple):
    """A box of a named tensor of a checkpointed part, such as the optimizer's."""

    part: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    """Shape of the global tensor."""
    box: Bounds
    item_bytes: int

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.box.count * self.item_bytes

    @property
    def key(self) -> str:
        """Name in a file: the tensor's, with the start unless it is the complete tensor."""
        if self.box.sizes == self.shape:
            return self.name
        return f"{self.name}@{','.join(map(str, self.box.starts))}"


class LocalShard(NamedTuple):
    """A process's shard of a tensor, with the global shape."""

    local: Tensor
    shape: tuple[int, ...]
    box: Bounds


def local_shard(tensor: Tensor) -> LocalShard:
    """This process's shard of a tensor, without copying.

    Raises ShapeError for partial sums.
    """
    tensor, shape = tensor.detach(), tuple(tensor.shape)
    if not isinstance(tensor, DTensor):
        return LocalShard(tensor, shape, Bounds((0,) * tensor.ndim, shape))
    if any(placement.is_partial() for placement in tensor.placements):
        raise ShapeError(
            f"A tensor with placements {tensor.placements} holds partial sums; reduce them with "
            "redistribute before saving."
        )
    local = tensor.to_local()
    sizes, starts = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return LocalShard(local, shape, Bounds(tuple(starts) or (0,) * len(shape), tuple(sizes)))


def tensor_shards(part: str, name: str, tensor: Tensor) -> Iterator[TensorShard]:
    """This process's piece of a tensor; none if its shard is empty."""
    local, shape, box = local_shard(tensor)
    if local.numel() and tuple(local.shape) != box.sizes:
        raise ShapeError(
            f"{name} has a local shard of shape {tuple(local.shape)}, but its placements imply "
            f"{box.sizes}."
        )
    if local.numel() or not math.prod(shape):
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield TensorShard(part, name, dtype, shape, box, tensor.element_size())


def assign_writers(holding: Sequence[Iterable[TensorShard]]) -> list[list[TensorShard]]:
    """What each process writes, given what each has: every element once, bytes balanced.

    Raises ShapeError if processes disagree about a tensor, or together do not cover it.
    """
    holders: dict[TensorShard, list[int]] = {}
    for process, pieces in enumerate(holding):
        for piece in pieces:
            holders.setdefault(piece, []).append(process)
    _check_coverage(holders)
    loads, writes = [0] * len(holding), [list[TensorShard]() for _ in holding]
    for piece in sorted(holders, key=lambda piece: (-piece.bytes, piece)):
        for cut in _split_rows(piece, len(holders[piece])):
            least = min(holders[piece], key=loads.__getitem__)
            loads[least] += cut.bytes
            writes[least].append(cut)
    return writes


def _split_rows(piece: TensorShard, most: int) -> Iterator[TensorShard]:
    """Split a piece along rows into at most `most` pieces of at least `MIN_SPLIT_BYTES`."""
    rows = piece.box.sizes[0] if piece.box.sizes else 1
    count = max(1, min(most, rows, piece.bytes // MIN_SPLIT_BYTES))
    if count == 1:
        yield piece
        return
    for number in range(count):
        start, end = rows * number // count, rows * (number + 1) // count
        starts = (piece.box.starts[0] + start, *piece.box.starts[1:])
        yield piece._replace(box=Bounds(starts, (end - start, *piece.box.sizes[1:])))


def _check_coverage(pieces: Iterable[TensorShard]) -> None:
    """Raise ShapeError unless the boxes of each tensor cover it without overlap.

    Shards form a grid, so the intervals of one dimension are equal or disjoint.
    """
    tensors: dict[tuple[str, str], list[TensorShard]] = {}
    for piece in pieces:
        tensors.setdefault((piece.part, piece.name), []).append(piece)
    for (part, name), found in tensors.items():
        if len({(piece.dtype, piece.shape) for piece in found}) > 1:
            kinds = " and ".join(sorted({f"{piece.dtype} {piece.shape}" for piece in found}))
            raise ShapeError(f"Processes have {name} of {part!r} as {kinds}; expected one of them.")
        intervals = (
            [(start, start + size) for start, size in zip(*piece.box, strict=True)]
            for piece in found
        )
        disjoint = all(map(_are_disjoint, zip(*intervals, strict=True)))
        total = sum(piece.box.count for piece in found)
        if not disjoint or total != math.prod(found[0].shape):
            raise ShapeError(
                f"The shards of {name} of {part!r} do not cover its shape {found[0].shape}: "
                f"{total:,} elements in {len(found)} pieces{'' if disjoint else ' that overlap'}."
            )


def _are_disjoint(found: Iterable[tuple[int, int]]) -> bool:
    distinct = sorted(set(found))
    return all(a[1] <= b[0] for a, b in zip(distinct, distinct[1:], strict=False))


@runtime_checkable
class Stateful(Protocol):
    """Anything with a state of plain or DTensor tensors, which may be the live ones."""

    def state(self) -> dict[str, Tensor]:
        """State by name; names and shapes are the same before and after a save."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore from a checkpoint: the tensors of `state`, filled."""
        ...


class TensorState:
    """Live tensors: a module's parameters and persistent buffers, or those of a mapping."""

    def __init__(self, source: nn.Module | Mapping[str, Tensor]) -> None:
        self.source = source

    def state(self) -> dict[str, Tensor]:
        """The live tensors; tied parameters appear once."""
        if not isinstance(self.source, nn.Module):
            return {name: tensor.detach() for name, tensor in self.source.items()}
        named: dict[str, Tensor] = dict(self.source.named_parameters())
        shared = {name for name, _ in self.source.named_parameters(remove_duplicate=False)}
        rest = {n: t for n, t in self.source.state_dict().items() if n not in shared}
        buffers = {name: tensor for name, tensor in rest.items() if isinstance(tensor, Tensor)}
        return {name: tensor.detach() for name, tensor in (named | buffers).items()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy into the live tensors."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class RandomState:
    """This process's random states: Python's, numpy's, torch's and the GPU's.

    Names begin with the rank, so processes do not share them.
    """

    def __init__(self, number: int) -> None:
        self.rank = number

    def state(self) -> dict[str, Tensor]:
        """All states as tensors."""
        _, words, gauss = random.getstate()
        kind = np.random.get_state(legacy=False)
        assert isinstance(kind, dict), "not the legacy tuple"
        states = {
            "python": torch.tensor(words, dtype=torch.long),
            "python.gauss": torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
            "numpy": torch.from_numpy(kind["state"]["key"].astype(np.int64)),
            "numpy.place": torch.tensor([kind["state"]["pos"], kind["has_gauss"]]),
            "numpy.gauss": torch.tensor(kind["gauss"], dtype=torch.float64),
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        return {f"{self.rank:05d}.{name}": tensor for name, tensor in states.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set all states."""
        own = {name.partition(".")[2]: tensor for name, tensor in state.items()}
        gauss = float(own["python.gauss"])
        words = tuple(own["python"].tolist())
        random.setstate((3, words, None if math.isnan(gauss) else gauss))
        key, (pos, has_gauss) = own["numpy"].numpy().astype(np.uint32), own["numpy.place"].tolist()
        np.random.set_state(("MT19937", key, pos, has_gauss, float(own["numpy.gauss"])))
        torch.set_rng_state(own["torch"])
        if "cuda" in own and torch.cuda.is_available():
            torch.cuda.set_rng_state(own["cuda"])

    def seed_from(self, state: Tensor) -> None:
        """Seed deterministically from another process's state and this one's rank."""
        seed = int(digest([state.tolist(), self.rank]), 16)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed % 2**63)
