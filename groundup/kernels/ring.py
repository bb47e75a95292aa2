"""Ring attention: sequences are sharded over processes, and keys and values rotate in a ring.

    process r of P has chunks r and 2P-1-r of a sequence's 2P        balances work of a causal mask
    out = sum over chunks of exp(lse_chunk - lse) out_chunk          lse = logsumexp of the scores

Every process keeps its queries; keys, values and their document numbers are sent to the next
process, so that after P - 1 steps all queries have seen all keys, and no process stores more than
two shards. Communication overlaps with computation. Backward rotates again: the gradients of keys
and values travel with them and return with the last step. Sums are in float32 or higher precision.
Knows process groups, but no models. Source: Liu et al. 2023, arXiv:2310.01889; the order of chunks:
Zhu, ring-flash-attention (2024).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed

from groundup.core import ConfigError, ShapeError

from .attention import DEFAULT_SCORES, QUERY_CHUNK, ScoreOptions
from .mask import CAUSAL_MASK, AttentionPattern, Mask, check_attention_shapes, pattern_allows

DISTANCE_PATTERNS = ("full", "window", "strided")
"""Patterns that depend only on the distance of two positions; the others need positions within a
document, which a shard does not have."""


class Ring(NamedTuple):
    """The processes that share sequences, and this process's rank."""

    size: int = 1
    rank: int = 0
    group: distributed.ProcessGroup | None = None


class KeyValueShard(NamedTuple):
    """A shard of keys with their values and masks, which rotates."""

    k: Float[Tensor, "B G t K"]
    v: Float[Tensor, "B G t W"]
    documents: Int[Tensor, "B t"] | None
    prefix: Bool[Tensor, "B t"] | None


class PendingExchange(NamedTuple):
    """Tensors being received from the previous process."""

    tensors: tuple[Tensor | None, ...]
    works: Sequence[distributed.Work]

    def wait(self) -> tuple[Tensor | None, ...]:
        """Wait for the tensors."""
        for work in self.works:
            work.wait()
        return self.tensors


class ScoreBlock(NamedTuple):
    """A block of queries and keys: slices of the shards, and their first positions."""

    query_slice: slice
    key_slice: slice
    first_query: int
    first_key: int


def shard_positions(length: int, ring: Ring) -> Int[Tensor, " t"]:
    """Positions of a sequence that a process has.

    Raises ShapeError if the length is not divisible into two chunks per process.

    >>> shard_positions(8, Ring(2, 0)), shard_positions(8, Ring(2, 1))
    (tensor([0, 1, 6, 7]), tensor([2, 3, 4, 5]))
    """
    if length % (2 * ring.size):
        raise ShapeError(
            f"A sequence of {length} tokens cannot be sharded over context={ring.size} processes; "
            f"the length must be a multiple of {2 * ring.size}, such as "
            f"{math.ceil(length / (2 * ring.size)) * 2 * ring.size}."
        )
    chunks = torch.arange(length).view(2 * ring.size, -1)
    return chunks[list(_chunk_indices(ring.rank, ring.size))].flatten()


def _chunk_indices(rank: int, size: int) -> tuple[int, int]:
    return rank, 2 * size - 1 - rank


# As torch.compiler.disable, which would import the compiler: a second per process.
@torch._disable_dynamo
def ring_attention(
    q: Float[Tensor, "B H t K"], k: Float[Tensor, "B G t K"], v: Float[Tensor, "B G t W"], *,
    ring: Ring, mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES,
    chunk: int = QUERY_CHUNK,
) -> Float[Tensor, "B H t W"]:  # fmt: skip
    """`attention` of the complete sequences, at this process's positions (`shard_positions`).

    mask   order and pattern of the complete sequences; documents and prefix of this shard
    chunk  queries per chunk

    All processes of the ring must call it together, forward and backward. Products use autocast's
    dtype if autocast is on.

    Raises ShapeError for mismatched shapes; ConfigError for a bias of the scores and for patterns
    that need positions within documents.
    """
    check_attention_shapes(q, k, mask)
    _check_supported(mask, scores, q.shape[2])
    if torch.is_autocast_enabled(q.device.type):
        dtype = torch.get_autocast_dtype(q.device.type)
        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    return RingAttention.apply(q, k, v, RingSchedule(ring, mask, scores, chunk))


def _check_supported(mask: Mask, scores: ScoreOptions, length: int) -> None:
    """Raise ConfigError or ShapeError for what sharded sequences do not support."""
    if length % 2:
        raise ShapeError(f"A shard has {length} tokens; two chunks need an even number.")
    if scores.sinks is not None:
        raise ConfigError("Sharded sequences (context > 1) do not support attention sinks.")
    if scores.bias is not None:
        what = "Sharded sequences (context > 1) do not support a bias of the scores (alibi"
        raise ConfigError(f"{what}, buckets, transformer_xl); use position.kind='rope'.")
    kind = mask.pattern.kind
    if kind not in DISTANCE_PATTERNS and mask.documents is not None:
        raise ConfigError(
            f"The pattern {kind!r} needs positions within documents, which sharded sequences "
            f"(context > 1) do not have; expected one of {', '.join(DISTANCE_PATTERNS)}."
        )


class RingSchedule(NamedTuple):
    """The blocks of queries and keys, shared by forward and backward."""

    ring: Ring
    mask: Mask
    scores: ScoreOptions
    chunk: int

    def blocks(self, source: int, length: int) -> Iterator[ScoreBlock]:
        """Yield the blocks of this process's queries with another's keys; skips hidden blocks.

        source  process that owns the keys
        length  tokens of a shard
        """
        half, causal = length // 2, self.mask.causal and self.mask.prefix is None
        own = enumerate(_chunk_indices(self.ring.rank, self.ring.size))
        others = list(enumerate(_chunk_indices(source, self.ring.size)))
        for (a, chunk), start in ((c, s) for c in own for s in range(0, half, self.chunk)):
            end = min(start + self.chunk, half)
            first = chunk * half + start
            for b, other in others:
                seen = half if not causal or other < chunk else end if other == chunk else 0
                nearest = first - (other * half + seen - 1)
                if seen and not (causal and _is_out_of_window(self.mask.pattern, nearest)):
                    yield ScoreBlock(
                        slice(a * half + start, a * half + end), slice(b * half, b * half + seen),
                        first, other * half,
                    )  # fmt: skip

    def block_mask(
        self, block: ScoreBlock, keys: KeyValueShard
    ) -> Bool[Tensor, "b 1 1 t s"] | None:
        """Mask of a block; None if all keys are visible."""
        device, mask = keys.k.device, self.mask
        is_earlier = (
            block.first_key + block.key_slice.stop - block.key_slice.start <= block.first_query + 1
        )
        is_free = mask.documents is None and mask.prefix is None and mask.pattern.kind == "full"
        if is_free and (is_earlier or not mask.causal):
            return None
        T, S = (part.stop - part.start for part in (block.query_slice, block.key_slice))
        query = torch.arange(T, device=device)[:, None] + block.first_query
        key = torch.arange(S, device=device)[None] + block.first_key
        seen = (key <= query if mask.causal else torch.ones_like(key <= query))[None]
        if keys.prefix is not None:
            seen = seen | keys.prefix[:, None, block.key_slice]
        seen = seen & pattern_allows(mask.pattern, query, key)
        if keys.documents is not None and mask.documents is not None:
            own, others = mask.documents[:, block.query_slice], keys.documents[:, block.key_slice]
            seen = seen & (own[:, :, None] == others[:, None]) & (others >= 0)[:, None]
        return seen[:, None, None]

    def scaled_scores(
        self, q: Float[Tensor, "B G R t K"], k: Float[Tensor, "B G s K"]
    ) -> Float[Tensor, "B G R t s"]:
        """Scores: scaled products of queries and keys with softcap, in float32 or higher
        precision."""
        x = _stack_heads(q) @ k.mT
        x = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(2, q.shape[2:4])
        x = x * self.score_scale(q.shape[-1])
        if self.scores.softcap is None:
            return x
        return self.scores.softcap * torch.tanh(x / self.scores.softcap)

    def score_scale(self, width: int) -> float:
        """Scale of the products."""
        return 1 / math.sqrt(width) if self.scores.scale is None else self.scores.scale


def _is_out_of_window(pattern: AttentionPattern, nearest: int) -> bool:
    """Whether a causal pattern hides all keys at this distance or farther."""
    return pattern.kind == "window" and nearest >= pattern.window


def _stack_heads(x: Float[Tensor, "B G R t K"]) -> Float[Tensor, "B G Rt K"]:
    """Stack the query heads of each key head, so that keys are not copied."""
    return x.flatten(2, 3)


def _send_to_next(tensors: Sequence[Tensor | None], ring: Ring) -> PendingExchange:
    """Start sending tensors to the next process and receiving those of the previous one."""
    if ring.size == 1:
        return PendingExchange(tuple(tensors), ())
    after, before = (ring.rank + 1) % ring.size, (ring.rank - 1) % ring.size
    arriving = tuple(None if x is None else torch.empty_like(x) for x in tensors)
    moves: list[distributed.P2POp] = []
    for tag, (own, buffer) in enumerate(zip(tensors, arriving, strict=True)):
        if own is not None and buffer is not None:
            send, receive = distributed.isend, distributed.irecv
            moves.append(distributed.P2POp(send, own, None, ring.group, tag, after))
            moves.append(distributed.P2POp(receive, buffer, None, ring.group, tag, before))
    return PendingExchange(arriving, distributed.batch_isend_irecv(moves))


def _rotate_shards(own: KeyValueShard, ring: Ring) -> Iterator[tuple[int, KeyValueShard]]:
    """Yield (owner's rank, shard) for every shard, this process's own first."""
    current = own
    for step in range(ring.size):
        is_last = step == ring.size - 1
        moving = None if is_last else _send_to_next(current, ring)
        yield (ring.rank - step) % ring.size, current
        if moving is not None:
            current = KeyValueShard(*moving.wait())  # type: ignore[arg-type]


class OnlineSoftmax:
    """Online softmax: a weighted average over blocks of scores, in float32 or higher precision.

    State: the maximum score m, the sum l of exp(score - m) and the sum o of exp(score - m) v; a
    block with a larger score rescales the previous sums.
    """

    def __init__(self, q: Float[Tensor, "B G R t K"], width: int) -> None:
        exact = torch.promote_types(q.dtype, torch.float32)
        self.lowest = torch.finfo(exact).min
        self.largest = q.new_full((*q.shape[:4], 1), self.lowest, dtype=exact)
        self.sum = torch.zeros_like(self.largest)
        self.out = q.new_zeros((*q.shape[:4], width), dtype=exact)

    def add(
        self, query: slice, products: Float[Tensor, "B G R t s"],
        seen: Bool[Tensor, "b 1 1 t s"] | None, v: Float[Tensor, "B G s W"],
    ) -> None:  # fmt: skip
        """Accumulate a block of scores and values for some queries."""
        largest, total, out = (
            state[..., query, :] for state in (self.largest, self.sum, self.out)
        )  # views
        if seen is not None:
            products = products.masked_fill_(~seen, self.lowest)
        new = torch.maximum(largest, products.amax(-1, keepdim=True))
        weights = (products - new).exp_()
        if seen is not None:  # queries without a visible key so far have uniform weights
            weights.masked_fill_(~seen, 0.0)
        shrink = (largest - new).exp_()
        largest.copy_(new)
        total.mul_(shrink).add_(weights.sum(-1, keepdim=True))
        block = (_stack_heads(weights.to(v.dtype)) @ v).unflatten(2, weights.shape[2:4])
        out.mul_(shrink).add_(block)

    def average(self) -> Float[Tensor, "B G R t W"]:
        """The averages; zeros for queries without visible keys."""
        return self.out / self.sum.masked_fill(self.sum == 0, 1.0)

    def logsumexp(self) -> Float[Tensor, "B G R t 1"]:
        """Logsumexp of each query's scores; inf without visible keys, which zeroes the weights."""
        return torch.where(self.sum == 0, torch.inf, self.largest + self.sum.log())


class RingAttention(torch.autograd.Function):
    """Forward and backward of `ring_attention`."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, walk: RingSchedule) -> Tensor:
        """Process every shard of keys."""
        grouped = q.unflatten(1, (k.shape[1], -1))  # (B, G, R, t, K)
        own = KeyValueShard(k.contiguous(), v.contiguous(), _contiguous(walk.mask.documents),
                    _contiguous(walk.mask.prefix))  # fmt: skip
        online = OnlineSoftmax(grouped, v.shape[-1])
        with torch.autocast(q.device.type, enabled=False):
            for source, keys in _rotate_shards(own, walk.ring):
                for piece in walk.blocks(source, q.shape[2]):
                    products = walk.scaled_scores(
                        grouped[..., piece.query_slice, :], keys.k[:, :, piece.key_slice]
                    )
                    online.add(piece.query_slice, products, walk.block_mask(piece, keys),
                               keys.v[:, :, piece.key_slice])  # fmt: skip
        out = online.average().to(q.dtype)
        ctx.walk, ctx.masks = walk, own[2:]
        ctx.save_for_backward(grouped, own.k, own.v, out, online.logsumexp())
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Rotate again; gradients of keys and values travel with their shards back to the owner."""
        q, k, v, out, logsumexp = ctx.saved_tensors
        walk, ring = ctx.walk, ctx.walk.ring
        grad = grad.unflatten(1, (k.shape[1], -1))
        inner = (grad.to(logsumexp.dtype) * out).sum(-1, keepdim=True)  # (B, G, R, t, 1)
        state = RingBackward(walk, q, grad.to(q.dtype), logsumexp, inner)
        grad_q = torch.zeros_like(q, dtype=logsumexp.dtype)
        moving = None
        with torch.autocast(q.device.type, enabled=False):
            for source, keys in _rotate_shards(KeyValueShard(k, v, *ctx.masks), ring):
                grads = state.gradients(source, keys, grad_q)
                for own, others in zip(grads, moving.wait() if moving else (), strict=False):
                    own.add_(others)  # type: ignore[arg-type]
                moving = _send_to_next(grads, ring)
        assert moving is not None, "a ring has at least one process"
        grad_k, grad_v = moving.wait()
        assert grad_k is not None and grad_v is not None, "both were sent"
        return grad_q.flatten(1, 2).to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype), None


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


class RingBackward(NamedTuple):
    """The inputs of the backward pass."""

    schedule: RingSchedule
    q: Float[Tensor, "B G R t K"]
    grad: Float[Tensor, "B G R t W"]
    logsumexp: Float[Tensor, "B G R t 1"]
    inner: Float[Tensor, "B G R t 1"]
    """Dot product of each query's output and its gradient."""

    def gradients(
        self, source: int, keys: KeyValueShard, grad_q: Float[Tensor, "B G R t K"]
    ) -> list[Tensor]:
        """Gradients of a shard's keys and values from this process's queries; adds to `grad_q`.

        p = exp(s - lse);  dv = p^T do;  ds = p (do v^T - do·o);  dq = ds k;  dk = ds^T q
        """
        exact, cap = grad_q.dtype, self.schedule.scores.softcap
        grad_k = torch.zeros_like(keys.k, dtype=exact)
        grad_v = torch.zeros_like(keys.v, dtype=exact)
        for piece in self.schedule.blocks(source, self.q.shape[3]):
            q, grad = self.q[..., piece.query_slice, :], self.grad[..., piece.query_slice, :]
            k, v = keys.k[:, :, piece.key_slice], keys.v[:, :, piece.key_slice]
            products = self.schedule.scaled_scores(q, k)
            weights = (products - self.logsumexp[..., piece.query_slice, :]).exp_()
            seen = self.schedule.block_mask(piece, keys)
            if seen is not None:
                weights.masked_fill_(~seen, 0.0)
            grad_v[:, :, piece.key_slice] += _stack_heads(weights.to(v.dtype)).mT @ _stack_heads(
                grad
            )
            errors = (_stack_heads(grad) @ v.mT).unflatten(2, grad.shape[2:4]).to(exact)
            errors = weights * (errors - self.inner[..., piece.query_slice, :])
            if cap is not None:
                errors = errors * (1 - (products / cap).square())
            errors = _stack_heads((errors * self.schedule.score_scale(q.shape[-1])).to(k.dtype))
            grad_q[..., piece.query_slice, :] += (errors @ k).unflatten(2, grad.shape[2:4])
            grad_k[:, :, piece.key_slice] += errors.mT @ _stack_heads(q)
        return [grad_k, grad_v]
