"""Pieces: which part of a whole tensor each process holds, who writes it, who needs it.

A piece is a box: where it begins in the whole tensor, and how large it is. A plain tensor is the
box of all of it; a DTensor's share follows from its placements. What several processes hold alike
is written once, by turns, large tensors cut into rows, so that all write about as much.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from groundup.core import ShapeError

CUT_BYTES = 2**20
"""What is smaller is not cut: a piece has a cost of its own."""


class Box(NamedTuple):
    """A part of a tensor."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.sizes)

    def within(self, other: "Box") -> tuple[slice, ...]:
        """Its place in a box that holds it.

        >>> Box((4, 0), (2, 8)).within(Box((3, 0), (5, 8)))
        (slice(1, 3, None), slice(0, 8, None))
        """
        ends = zip(self.starts, self.sizes, other.starts, strict=True)
        return tuple(slice(start - zero, start - zero + size) for start, size, zero in ends)

    def overlap(self, other: "Box") -> "Box | None":
        """What two boxes of one tensor have in common; None if nothing.

        >>> Box((0,), (5,)).overlap(Box((3,), (5,)))
        Box(starts=(3,), sizes=(2,))
        """
        starts = tuple(map(max, self.starts, other.starts))
        ends = (min(a + b, c + d) for a, b, c, d in zip(*self, *other, strict=True))
        sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return Box(starts, sizes) if all(size > 0 for size in sizes) else None


class Piece(NamedTuple):
    """A box of a named tensor of a part, such as the optimizer's."""

    part: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    """Of the whole tensor."""
    box: Box
    item_bytes: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.box.count * self.item_bytes

    @property
    def key(self) -> str:
        """Its name in a file: the tensor's, and where it begins unless it is all of it."""
        if self.box.sizes == self.shape:
            return self.name
        return f"{self.name}@{','.join(map(str, self.box.starts))}"


class Held(NamedTuple):
    """What a process holds of a tensor."""

    local: Tensor
    shape: tuple[int, ...]
    box: Box


def held(tensor: Tensor) -> Held:
    """This process's own share of a tensor, without copying.

    Raises ShapeError for sums that are not yet added up, which are no state.
    """
    tensor, shape = tensor.detach(), tuple(tensor.shape)
    if not isinstance(tensor, DTensor):
        return Held(tensor, shape, Box((0,) * tensor.ndim, shape))
    if any(placement.is_partial() for placement in tensor.placements):
        raise ShapeError(
            f"A tensor with placements {tensor.placements} holds parts of sums; add them up with "
            "redistribute before saving it."
        )
    local = tensor.to_local()
    sizes, starts = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return Held(local, shape, Box(tuple(starts) or (0,) * len(shape), tuple(sizes)))


def pieces_of(part: str, name: str, tensor: Tensor) -> Iterator[Piece]:
    """The piece that this process holds; none if its share is empty."""
    local, shape, box = held(tensor)
    if local.numel() and tuple(local.shape) != box.sizes:
        raise ShapeError(
            f"{name} has a share of {tuple(local.shape)} where {box.sizes} is expected; its "
            "placements do not say what it holds."
        )
    if local.numel() or not math.prod(shape):
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield Piece(part, name, dtype, shape, box, tensor.element_size())


def share_out(holding: Sequence[Iterable[Piece]]) -> list[list[Piece]]:
    """What each process writes, given what each holds: every number once, the work even.

    Raises ShapeError if processes differ about a tensor, or do not hold all of it between them.
    """
    holders: dict[Piece, list[int]] = {}
    for process, pieces in enumerate(holding):
        for piece in pieces:
            holders.setdefault(piece, []).append(process)
    check_whole(holders)
    loads, writes = [0] * len(holding), [list[Piece]() for _ in holding]
    for piece in sorted(holders, key=lambda piece: (-piece.bytes, piece)):
        for cut in cuts(piece, len(holders[piece])):
            least = min(holders[piece], key=loads.__getitem__)
            loads[least] += cut.bytes
            writes[least].append(cut)
    return writes


def cuts(piece: Piece, most: int) -> Iterator[Piece]:
    """A piece in runs of its rows, none below `CUT_BYTES` and so many at most."""
    rows = piece.box.sizes[0] if piece.box.sizes else 1
    count = max(1, min(most, rows, piece.bytes // CUT_BYTES))
    if count == 1:
        yield piece
        return
    for number in range(count):
        start, end = rows * number // count, rows * (number + 1) // count
        starts = (piece.box.starts[0] + start, *piece.box.starts[1:])
        yield piece._replace(box=Box(starts, (end - start, *piece.box.sizes[1:])))


def check_whole(pieces: Iterable[Piece]) -> None:
    """Raise unless the boxes of each tensor fill it and do not overlap.

    Shares form a grid, so the intervals of one dimension are equal or apart.
    """
    tensors: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        tensors.setdefault((piece.part, piece.name), []).append(piece)
    for (part, name), found in tensors.items():
        if len({(piece.dtype, piece.shape) for piece in found}) > 1:
            told = " and ".join(sorted({f"{piece.dtype} {piece.shape}" for piece in found}))
            raise ShapeError(f"Processes hold {name} of {part!r} as {told}; expected one of them.")
        apart = all(map(are_apart, zip(*(intervals(piece.box) for piece in found), strict=True)))
        total = sum(piece.box.count for piece in found)
        if not apart or total != math.prod(found[0].shape):
            raise ShapeError(
                f"The processes' shares of {name} of {part!r} do not make up its "
                f"{found[0].shape}: {total:,} numbers in {len(found)} pieces"
                f"{'' if apart else ' that overlap'}."
            )


def intervals(box: Box) -> list[tuple[int, int]]:
    """(start, end) along each dimension."""
    return [(start, start + size) for start, size in zip(*box, strict=True)]


def are_apart(found: Iterable[tuple[int, int]]) -> bool:
    """Whether intervals that differ do not overlap."""
    rows = sorted(set(found))
    return all(before[1] <= after[0] for before, after in zip(rows, rows[1:], strict=False))
