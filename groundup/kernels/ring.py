"""Attention of rows whose places are spread over processes: keys and values go round a ring.

    process r of P holds the chunks r and 2P-1-r of a row's 2P       equal work under a causal mask
    out = sum over chunks of exp(lse_chunk - lse) out_chunk          lse = logsumexp of the scores

Every process keeps its queries; keys, values and the numbers of their documents pass from each to
the next, so that after P - 1 passes all queries have met all keys, and no process ever held more
than two shares of them. While one share is computed the next one travels. Backward goes round
again: the gradients of keys and values travel with them, and come home with the last pass. Sums
are in float32 or better whatever the products are in. Knows process groups, but no models.
Source: Liu et al. 2023, arXiv:2310.01889; the order of chunks: Zhu, ring-flash-attention (2024).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed

from groundup.core import ConfigError, ShapeError

from .attention import CHUNK, PLAIN, Scores
from .mask import CAUSAL, Mask, Pattern, check_fit, sees

BY_DISTANCE = ("full", "window", "strided")
"""Patterns that look at the distance of two places alone; the others ask where a document began,
which a share of a row does not say."""


class Ring(NamedTuple):
    """Processes that share rows, and which of them this one is."""

    size: int = 1
    place: int = 0
    group: distributed.ProcessGroup | None = None


class Share(NamedTuple):
    """Keys and what belongs to them: what travels."""

    k: Float[Tensor, "B G t K"]
    v: Float[Tensor, "B G t W"]
    documents: Int[Tensor, "B t"] | None
    prefix: Bool[Tensor, "B t"] | None


class Passing(NamedTuple):
    """Tensors on their way from the process before."""

    tensors: tuple[Tensor | None, ...]
    works: Sequence[distributed.Work]

    def arrived(self) -> tuple[Tensor | None, ...]:
        """The tensors, when they are there."""
        for work in self.works:
            work.wait()
        return self.tensors


class Piece(NamedTuple):
    """Some queries and some keys of a share that meet: places in the share, and in the row."""

    query: slice
    key: slice
    first_query: int
    first_key: int


def held_places(length: int, ring: Ring) -> Int[Tensor, " t"]:
    """Which places of a row of so many tokens a process holds.

    Raises ShapeError if the row does not fall into two chunks a process.

    >>> held_places(8, Ring(2, 0)), held_places(8, Ring(2, 1))
    (tensor([0, 1, 6, 7]), tensor([2, 3, 4, 5]))
    """
    if length % (2 * ring.size):
        raise ShapeError(
            f"A row of {length} tokens cannot be shared by context={ring.size} processes; its "
            f"length must be a multiple of {2 * ring.size}, such as "
            f"{math.ceil(length / (2 * ring.size)) * 2 * ring.size}."
        )
    chunks = torch.arange(length).view(2 * ring.size, -1)
    return chunks[list(chunks_of(ring.place, ring.size))].flatten()


def chunks_of(place: int, size: int) -> tuple[int, int]:
    """The two chunks of a row that a process holds."""
    return place, 2 * size - 1 - place


# torch.compiler.disable does the same and imports the compiler at once: a second in every process.
@torch._disable_dynamo
def ring_attention(
    q: Float[Tensor, "B H t K"],
    k: Float[Tensor, "B G t K"],
    v: Float[Tensor, "B G t W"],
    *,
    ring: Ring,
    mask: Mask = CAUSAL,
    scores: Scores = PLAIN,
    chunk: int = CHUNK,
) -> Float[Tensor, "B H t W"]:
    """What `attention` of the whole rows gives at this process's places, see `held_places`.

    mask   order and pattern of the whole rows; documents and prefix of this process's places
    chunk  queries that are computed together

    All processes of the ring call it together, forward and backward. Products run in autocast's
    dtype where autocast is on.

    Raises ShapeError if shapes do not fit; ConfigError for a bias of the scores and for patterns
    that ask for places within documents.
    """
    check_fit(q, k, mask)
    check_shares(mask, scores, q.shape[2])
    if torch.is_autocast_enabled(q.device.type):
        dtype = torch.get_autocast_dtype(q.device.type)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    return RingAttention.apply(q, k, v, Walk(ring, mask, scores, chunk))


def check_shares(mask: Mask, scores: Scores, length: int) -> None:
    """Refuse what shares of rows cannot say.

    Raises ConfigError and ShapeError.
    """
    if length % 2:
        raise ShapeError(
            f"A share of {length} tokens came; expected an even number: two chunks of each row."
        )
    if scores.bias is not None:
        raise ConfigError(
            "Rows that are spread over processes (context > 1) take no bias of the scores, as "
            "alibi, buckets and transformer_xl give; train with position.kind='rope'."
        )
    kind = mask.pattern.kind
    if kind not in BY_DISTANCE and mask.documents is not None:
        raise ConfigError(
            f"The pattern {kind!r} counts places from the start of a document, which a share of a "
            f"row does not know (context > 1); expected one of {', '.join(BY_DISTANCE)}."
        )


class Walk(NamedTuple):
    """How queries meet keys: what forward and backward share."""

    ring: Ring
    mask: Mask
    scores: Scores
    chunk: int

    def pieces(self, source: int, length: int) -> Iterator[Piece]:
        """What of this process's queries meets what of another's keys; unseen keys are left out.

        source  process whose keys they are
        length  tokens of a share
        """
        half, causal = length // 2, self.mask.causal and self.mask.prefix is None
        own = enumerate(chunks_of(self.ring.place, self.ring.size))
        others = list(enumerate(chunks_of(source, self.ring.size)))
        for (a, chunk), start in ((each, s) for each in own for s in range(0, half, self.chunk)):
            end = min(start + self.chunk, half)
            first = chunk * half + start
            for b, other in others:
                seen = half if not causal or other < chunk else end if other == chunk else 0
                nearest = first - (other * half + seen - 1)
                if seen and not (causal and is_beyond(self.mask.pattern, nearest)):
                    yield Piece(
                        slice(a * half + start, a * half + end), slice(b * half, b * half + seen),
                        first, other * half,
                    )  # fmt: skip

    def seen(self, piece: Piece, keys: Share) -> Bool[Tensor, "b 1 1 t s"] | None:
        """Which keys of a piece its queries see; None: all see all."""
        device, mask = keys.k.device, self.mask
        is_earlier = piece.first_key + piece.key.stop - piece.key.start <= piece.first_query + 1
        is_free = mask.documents is None and mask.prefix is None and mask.pattern.kind == "full"
        if is_free and (is_earlier or not mask.causal):
            return None
        T, S = (part.stop - part.start for part in (piece.query, piece.key))
        query = torch.arange(T, device=device)[:, None] + piece.first_query
        key = torch.arange(S, device=device)[None] + piece.first_key
        seen = (key <= query if mask.causal else torch.ones_like(key <= query))[None]
        if keys.prefix is not None:
            seen = seen | keys.prefix[:, None, piece.key]
        seen = seen & sees(mask.pattern, query, key)
        if keys.documents is not None and mask.documents is not None:
            own, others = mask.documents[:, piece.query], keys.documents[:, piece.key]
            seen = seen & (own[:, :, None] == others[:, None]) & (others >= 0)[:, None]
        return seen[:, None, None]

    def products(
        self, q: Float[Tensor, "B G R t K"], k: Float[Tensor, "B G s K"]
    ) -> Float[Tensor, "B G R t s"]:
        """Scaled products of queries and keys, bent by the softcap, in float32 or better."""
        found = stacked(q) @ k.mT
        found = found.to(torch.promote_types(found.dtype, torch.float32)).unflatten(2, q.shape[2:4])
        found = found * self.scale(q.shape[-1])
        if self.scores.softcap is None:
            return found
        return self.scores.softcap * torch.tanh(found / self.scores.softcap)

    def scale(self, width: int) -> float:
        """Factor of the products."""
        return 1 / math.sqrt(width) if self.scores.scale is None else self.scores.scale


def is_beyond(pattern: Pattern, nearest: int) -> bool:
    """Whether a causal pattern sees no key at this distance or farther."""
    return pattern.kind == "window" and nearest >= pattern.window


def stacked(x: Float[Tensor, "B G R t K"]) -> Float[Tensor, "B G Rt K"]:
    """The query heads of one key head, one after the other: keys are never copied."""
    return x.flatten(2, 3)


def passed(tensors: Sequence[Tensor | None], ring: Ring) -> Passing:
    """Send tensors to the next process of the ring and take those of the one before."""
    if ring.size == 1:
        return Passing(tuple(tensors), ())
    after, before = (ring.place + 1) % ring.size, (ring.place - 1) % ring.size
    arriving = tuple(None if each is None else torch.empty_like(each) for each in tensors)
    moves: list[distributed.P2POp] = []
    for tag, (own, room) in enumerate(zip(tensors, arriving, strict=True)):
        if own is not None and room is not None:
            send, take = distributed.isend, distributed.irecv
            moves.append(distributed.P2POp(send, own, None, ring.group, tag, after))
            moves.append(distributed.P2POp(take, room, None, ring.group, tag, before))
    return Passing(arriving, distributed.batch_isend_irecv(moves))


def rounds(own: Share, ring: Ring) -> Iterator[tuple[int, Share]]:
    """Every process's share in turn, this one's own first, with the number of its process."""
    held = own
    for step in range(ring.size):
        is_last = step == ring.size - 1
        moving = None if is_last else passed(held, ring)
        yield (ring.place - step) % ring.size, held
        if moving is not None:
            held = Share(*moving.arrived())  # type: ignore[arg-type]


class Online:
    """A softmax average that takes its scores in pieces, in float32 or better.

    It keeps the largest score m, the sum l of exp(score - m) and the sum o of exp(score - m) v; a
    piece with a larger score shrinks what was summed before.
    """

    def __init__(self, q: Float[Tensor, "B G R t K"], width: int) -> None:
        exact = torch.promote_types(q.dtype, torch.float32)
        self.lowest = torch.finfo(exact).min
        self.largest = q.new_full((*q.shape[:4], 1), self.lowest, dtype=exact)
        self.sum = torch.zeros_like(self.largest)
        self.out = q.new_zeros((*q.shape[:4], width), dtype=exact)

    def add(
        self,
        query: slice,
        products: Float[Tensor, "B G R t s"],
        seen: Bool[Tensor, "b 1 1 t s"] | None,
        v: Float[Tensor, "B G s W"],
    ) -> None:
        """Take in what some queries see of some values."""
        largest, total, out = (
            kept[..., query, :] for kept in (self.largest, self.sum, self.out)
        )  # views
        if seen is not None:
            products = products.masked_fill_(~seen, self.lowest)
        new = torch.maximum(largest, products.amax(-1, keepdim=True))
        weights = (products - new).exp_()
        if seen is not None:  # a query that has seen nothing yet weighs its unseen keys alike
            weights.masked_fill_(~seen, 0.0)
        shrink = (largest - new).exp_()
        largest.copy_(new)
        total.mul_(shrink).add_(weights.sum(-1, keepdim=True))
        found = (stacked(weights.to(v.dtype)) @ v).unflatten(2, weights.shape[2:4])
        out.mul_(shrink).add_(found)

    def average(self) -> Float[Tensor, "B G R t W"]:
        """The averages; zeros for queries that saw nothing."""
        return self.out / self.sum.masked_fill(self.sum == 0, 1.0)

    def logsumexp(self) -> Float[Tensor, "B G R t 1"]:
        """Of each query's scores; infinite, so that no weight is left, where it saw nothing."""
        return torch.where(self.sum == 0, torch.inf, self.largest + self.sum.log())


class RingAttention(torch.autograd.Function):
    """The averages and, going round again, their gradients; see `ring_attention`."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, walk: Walk) -> Tensor:
        """Meet every process's keys."""
        grouped = q.unflatten(1, (k.shape[1], -1))  # (B, G, R, t, K)
        own = Share(k.contiguous(), v.contiguous(), whole(walk.mask.documents),
                    whole(walk.mask.prefix))  # fmt: skip
        online = Online(grouped, v.shape[-1])
        with torch.autocast(q.device.type, enabled=False):
            for source, keys in rounds(own, walk.ring):
                for piece in walk.pieces(source, q.shape[2]):
                    products = walk.products(grouped[..., piece.query, :], keys.k[:, :, piece.key])
                    online.add(piece.query, products, walk.seen(piece, keys),
                               keys.v[:, :, piece.key])  # fmt: skip
        out = online.average().to(q.dtype)
        ctx.walk, ctx.given = walk, own[2:]
        ctx.save_for_backward(grouped, own.k, own.v, out, online.logsumexp())
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Go round again; gradients of keys and values travel with them and end at home."""
        q, k, v, out, logsumexp = ctx.saved_tensors
        walk, ring = ctx.walk, ctx.walk.ring
        grad = grad.unflatten(1, (k.shape[1], -1))
        inner = (grad.to(logsumexp.dtype) * out).sum(-1, keepdim=True)  # (B, G, R, t, 1)
        known = Backward(walk, q, grad.to(q.dtype), logsumexp, inner)
        grad_q = torch.zeros_like(q, dtype=logsumexp.dtype)
        moving = None
        with torch.autocast(q.device.type, enabled=False):
            for source, keys in rounds(Share(k, v, *ctx.given), ring):
                found = known.gradients(source, keys, grad_q)
                for mine, others in zip(found, moving.arrived() if moving else (), strict=False):
                    mine.add_(others)  # type: ignore[arg-type]
                moving = passed(found, ring)
        assert moving is not None, "a ring has a process"
        grad_k, grad_v = moving.arrived()
        assert grad_k is not None and grad_v is not None, "both were sent"
        return grad_q.flatten(1, 2).to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype), None


def whole(tensor: Tensor | None) -> Tensor | None:
    """The tensor without gaps, as messages need it."""
    return None if tensor is None else tensor.contiguous()


class Backward(NamedTuple):
    """What the gradients of every share of keys are made from."""

    walk: Walk
    q: Float[Tensor, "B G R t K"]
    grad: Float[Tensor, "B G R t W"]
    logsumexp: Float[Tensor, "B G R t 1"]
    inner: Float[Tensor, "B G R t 1"]
    """Of each query, the product of its output and that one's gradient."""

    def gradients(
        self, source: int, keys: Share, grad_q: Float[Tensor, "B G R t K"]
    ) -> list[Tensor]:
        """What this process's queries ask of a share's keys and values; theirs go to `grad_q`.

        p = exp(s - lse);  dv = p^T do;  ds = p (do v^T - do·o);  dq = ds k;  dk = ds^T q
        """
        exact, cap = grad_q.dtype, self.walk.scores.softcap
        grad_k = torch.zeros_like(keys.k, dtype=exact)
        grad_v = torch.zeros_like(keys.v, dtype=exact)
        for piece in self.walk.pieces(source, self.q.shape[3]):
            q, grad = self.q[..., piece.query, :], self.grad[..., piece.query, :]
            k, v = keys.k[:, :, piece.key], keys.v[:, :, piece.key]
            products = self.walk.products(q, k)
            weights = (products - self.logsumexp[..., piece.query, :]).exp_()
            seen = self.walk.seen(piece, keys)
            if seen is not None:
                weights.masked_fill_(~seen, 0.0)
            grad_v[:, :, piece.key] += stacked(weights.to(v.dtype)).mT @ stacked(grad)
            errors = (stacked(grad) @ v.mT).unflatten(2, grad.shape[2:4]).to(exact)
            errors = weights * (errors - self.inner[..., piece.query, :])
            if cap is not None:
                errors = errors * (1 - (products / cap).square())
            errors = stacked((errors * self.walk.scale(q.shape[-1])).to(k.dtype))
            grad_q[..., piece.query, :] += (errors @ k).unflatten(2, grad.shape[2:4])
            grad_k[:, :, piece.key] += errors.mT @ stacked(q)
        return [grad_k, grad_v]
