"""Attention: each query averages the values of the keys that it sees.

`reference_attention` is the definition, in loops. `attention` dispatches to the fastest equivalent:
in training, two matrix products around a float32 softmax (in C++ if available), `chunk` queries at
a time, or PyTorch's flash kernel; without gradients on CPUs, the loop of native/interval.py; if a
pattern hides most keys, `sparse_attention`, which never touches those; else flash, which never
stores the (T, S) scores; `tiled_attention` shows how. Queries are the last T of S positions, so a
cache needs no offset. Visibility is defined by a `Mask` alone. Knows nothing of position embeddings
or caches.

Which backend trains faster depends on length, heads, dtype, CPU and threads: by rule, or autotuned
(compiled.py). Backends differ in rounding, so a run's choices are part of its determinism contract
and are restored on resume. They must be set before blocks are compiled, which reads them as
constants.
Source: Vaswani et al. 2017, arXiv:1706.03762; grouped keys: Ainslie et al. 2023, arXiv:2305.13245.
"""

import math
import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from groundup.core import ConfigError

from .mask import (
    CAUSAL_MASK,
    Mask,
    check_attention_shapes,
    drop_unreachable_keys,
    is_sparse_worthwhile,
    sparse_attention,
    visible_mask,
)
from .native.interval import (
    has_native_softmax,
    interval_attention,
    interval_softmax,
    key_intervals,
    uses_native_loop,
)

MAX_MATMUL_LENGTH = 2048
"""Maximum sequence length of the matmul backend; beyond, its scores need too much memory."""
QUERY_CHUNK, MIN_QUERY_CHUNK = 512, 64
"""Queries per chunk: later keys are skipped, and the scores remain small."""


KEY_TILE = 256
"""Keys per tile of the running softmax."""


class AttentionBackend(NamedTuple):
    """An implementation of attention."""

    kind: Literal["matmul", "flash"]
    chunk: int = QUERY_CHUNK
    """Queries per chunk, for matmul."""


class AttentionShape(NamedTuple):
    """A class of sequences whose attention has about the same cost."""

    heads: int
    kv_heads: int
    head_dim: int
    length: int
    """Tokens, rounded up to a power of two."""
    is_packed: bool
    """Whether sequences hold several documents; flash then cannot skip later keys."""
    dtype: str

    @property
    def key(self) -> str:
        """Its key in JSON.

        >>> AttentionShape(6, 2, 64, 256, True, "bfloat16").key
        '6/2 heads of 64, 256 packed tokens, bfloat16'
        """
        tokens = f"{self.length} {'packed ' if self.is_packed else ''}tokens"
        return f"{self.heads}/{self.kv_heads} heads of {self.head_dim}, {tokens}, {self.dtype}"


CHOSEN_BACKENDS: dict[str, AttentionBackend] = {}
"""Backends of this process by shape name; shapes without one follow the rule."""


def attention_shape(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], is_packed: bool
) -> AttentionShape:
    """The shape class of these tensors."""
    length = 1 << max(k.shape[2] - 1, 0).bit_length()
    dtype = str(q.dtype).removeprefix("torch.")
    return AttentionShape(q.shape[1], k.shape[1], q.shape[3], length, is_packed, dtype)


def backend_for(
    heads: int, kv_heads: int, head_dim: int, length: int, is_packed: bool, dtype: str
) -> AttentionBackend:
    """The backend of a shape: the chosen one, else by length.

    Compiled code holds it as a constant, so `set_backend` resets compiled code.

    >>> backend_for(6, 6, 64, 4096, False, "bfloat16").kind
    'flash'
    """
    shape = AttentionShape(heads, kv_heads, head_dim, length, is_packed, dtype)
    kind = "matmul" if length <= MAX_MATMUL_LENGTH else "flash"
    return CHOSEN_BACKENDS.get(shape.key) or AttentionBackend(kind)


# As torch.compiler.assume_constant_result does, but importing that would cost a second.
backend_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


def quarter_chunk(length: int) -> int:
    """The smaller chunk size to autotune: a quarter of the sequence, which visits 5/8 of the keys.

    More chunks skip little more and take long to compile; at least 64.

    >>> quarter_chunk(256), quarter_chunk(2048), quarter_chunk(16)
    (64, 512, 64)
    """
    return max(MIN_QUERY_CHUNK, length // 4)


def set_backend(shape: AttentionShape, backend: AttentionBackend) -> None:
    """Set the backend of a shape; resets compiled code if it changes."""
    if CHOSEN_BACKENDS.get(shape.key) != backend:
        CHOSEN_BACKENDS[shape.key] = backend
        _reset_compiled()


def chosen_backends() -> dict[str, list[str | int]]:
    """The chosen backends, for a determinism contract."""
    return {name: list(way) for name, way in sorted(CHOSEN_BACKENDS.items())}


def restore_backends(contract: dict[str, list[str | int]]) -> None:
    """Restore exactly the backends of a resumed run.

    Raises ConfigError for an invalid backend.
    """
    ways = {name: parse_backend(value) for name, value in contract.items()}
    if ways != CHOSEN_BACKENDS:
        CHOSEN_BACKENDS.clear()
        CHOSEN_BACKENDS.update(ways)
        _reset_compiled()


def _reset_compiled() -> None:
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def parse_backend(value: object) -> AttentionBackend:
    """Parse a backend from JSON."""
    match value:
        case ["matmul" | "flash" as kind, int() as chunk] if chunk > 0:
            return AttentionBackend(kind, chunk)
    raise ConfigError(
        f'{value} is not an attention backend; expected ["matmul" or "flash", chunk].'
    )


class ScoreOptions(NamedTuple):
    """How products of queries and keys become scores, before the softmax."""

    scale: float | None = None
    """Scale of the products; None: 1 / sqrt(K)."""
    bias: Float[Tensor, "b H T S"] | None = None
    """Added to the scaled products, for relative positions."""
    softcap: float | None = None
    """Scores x become softcap * tanh(x / softcap), after the bias; None: unchanged."""
    sinks: Float[Tensor, " H"] | None = None
    """A score per head of no key: it takes weight from all others (Xiao et al. 2023,
    arXiv:2309.17453, section 3.3)."""


DEFAULT_SCORES = ScoreOptions()


def reference_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"], *,
    mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention by its definition, one query at a time; slow, for tests and documentation.

    out[b, h, t] = sum_s softmax_s(cap(q·k * scale + bias)) v[s]      over the s that t sees

    Head h reads key/value head h // (H / G). A query that sees no key yields zeros.

    >>> v = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> reference_attention(torch.zeros_like(v), v, v).flatten()
    tensor([1., 2.])
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    scale = 1 / math.sqrt(K) if scores.scale is None else scores.scale
    seen = visible_mask(mask, T, S, q.device).expand(B, T, S)
    out = q.new_zeros(B, H, T, v.shape[-1])
    for b in range(B):
        for h in range(H):
            for t in range(T):
                keys, values = k[b, h * G // H][seen[b, t]], v[b, h * G // H][seen[b, t]]
                products = keys @ q[b, h, t] * scale
                if scores.bias is not None:
                    products = products + scores.bias[b % len(scores.bias), h, t][seen[b, t]]
                if scores.softcap is not None:
                    products = scores.softcap * torch.tanh(products / scores.softcap)
                if scores.sinks is not None:
                    products = torch.cat([products, scores.sinks[h, None]])
                out[b, h, t] = products.softmax(-1)[: len(values)] @ values
    return out


def attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"], *,
    mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention by the fastest implementation for these inputs; equal to `reference_attention`.

    Raises ShapeError if the shapes of queries, keys and mask do not match.
    """
    check_attention_shapes(q, k, mask)
    is_written_out = scores.softcap is not None or scores.sinks is not None
    if scores.bias is None and not is_written_out:
        seen = (
            key_intervals(mask, q.shape[2], k.shape[2], q.device) if uses_native_loop(q) else None
        )
        if seen is not None:
            return interval_attention(q, k, v, seen, scale=scores.scale)
        if is_sparse_worthwhile(mask, q.shape[2], k.shape[2]):
            return sparse_attention(q, k, v, mask=mask, scale=scores.scale)
        k, v, mask = drop_unreachable_keys(k, v, mask, q.shape[2])
    way = AttentionBackend("flash")
    if torch.is_grad_enabled() and q.device.type == "cpu":
        way = backend_for(*attention_shape(q, k, mask.documents is not None))
    if is_written_out and not torch.is_grad_enabled() and k.shape[2] > MAX_MATMUL_LENGTH:
        return tiled_attention(q, k, v, mask=mask, scores=scores)
    if way.kind == "matmul" or is_written_out:
        return matmul_attention(q, k, v, mask=mask, scores=scores, chunk=way.chunk)
    return flash_attention(q, k, v, mask=mask, scores=scores)


class Branches(NamedTuple):
    """How rows fork: `count` branches of one length behind a trunk of `trunk` positions."""

    trunk: int
    count: int


def branched_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T W"], *,
    mask: Mask, scores: ScoreOptions = DEFAULT_SCORES, branches: Branches,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention in which each branch sees the trunk and itself, as if it stood alone behind it.

    mask  causal; its documents tell padding alone, which is before a trunk and behind a branch
    """
    trunk, count = branches
    assert mask.documents is not None and scores.bias is None, "branches are padded rows"
    real = mask.documents.sign().clamp(max=0)  # (B, T), 0 or -1

    def split(x: Tensor) -> Tensor:  # (B, G, T, K) -> (B * count, G, length, K)
        return x[:, :, trunk:].unflatten(2, (count, -1)).transpose(1, 2).flatten(0, 1)

    def behind(x: Tensor) -> Tensor:
        return torch.cat([x[:, :, :trunk].repeat_interleave(count, 0), split(x)], dim=2)

    seen = behind(real[:, None, :, None])[:, 0, :, 0]
    first = attention(
        q[:, :, :trunk], k[:, :, :trunk], v[:, :, :trunk],
        mask=mask._replace(documents=real[:, :trunk]), scores=scores,
    )  # fmt: skip
    own = attention(
        split(q), behind(k), behind(v), mask=mask._replace(documents=seen), scores=scores
    )
    own = own.unflatten(0, (-1, count)).transpose(1, 2).flatten(2, 3)
    return torch.cat([first, own], dim=2)


def matmul_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"], *,
    mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES, chunk: int = QUERY_CHUNK,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention as two matrix products, `chunk` queries at a time over the keys that they see."""
    T, S = q.shape[2], k.shape[2]
    is_plain = mask.causal and mask.prefix is None and mask.queries is None
    if T <= chunk or not is_plain:
        return _softmax_attention(q, k, v, mask, scores)
    parts = []
    for start in range(0, T, chunk):
        end = min(start + chunk, T)
        seen = S - T + end  # keys at or before the chunk's last query
        own = None if mask.documents is None else mask.documents[:, :seen]
        bias = None if scores.bias is None else scores.bias[:, :, start:end, :seen]
        parts.append(
            _softmax_attention(
                q[:, :, start:end], k[:, :, :seen], v[:, :, :seen],
                mask._replace(documents=own), scores._replace(bias=bias),
            )
        )  # fmt: skip
    return torch.cat(parts, dim=2)


def _softmax_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"],
    mask: Mask, scores: ScoreOptions,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Two matrix products with a softmax between them, in float32 or higher precision.

    The H / G query heads of one key head are stacked along T, so keys are never copied.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    stacked = q.reshape(B, G, H // G * T, K)
    products = stacked @ k.mT  # (B, G, H / G * T, S)
    if (
        scores.bias is None and scores.softcap is None and scores.sinks is None
        and has_native_softmax(q.device.type, products.dtype)
    ):  # fmt: skip
        seen = key_intervals(mask, T, S, q.device)
        if seen is not None:
            scale = 1 / math.sqrt(K) if scores.scale is None else scores.scale
            weights = interval_softmax(products.view(B, H, T, S), *seen, scale)
            out = weights.to(v.dtype).view(B, G, H // G * T, S) @ v
            return out.view(B, H, T, v.shape[-1])
    products = products.view(B, G, H // G, T, S)
    exact = torch.promote_types(products.dtype, torch.float32)
    seen = visible_mask(mask, T, S, q.device)[:, None, None]  # (B or 1, 1, 1, T, S)
    products = products.to(exact) * (1 / math.sqrt(K) if scores.scale is None else scores.scale)
    if scores.bias is not None:
        products = products + scores.bias.to(exact).unflatten(1, (G, H // G))
    if scores.softcap is not None:
        products = scores.softcap * torch.tanh(products / scores.softcap)
    products = products.masked_fill(~seen, torch.finfo(exact).min)
    if scores.sinks is not None:  # a key that has no value
        sinks = scores.sinks.to(exact).view(1, G, -1, 1, 1).expand(B, -1, -1, T, 1)
        products = torch.cat([products, sinks], dim=-1)
    weights = products.softmax(-1)[..., :S]
    if mask.documents is not None:  # a query that sees nothing has uniform weights: zero them
        weights = weights * seen
    out = weights.to(v.dtype).view(B, G, H // G * T, S) @ v
    return out.view(B, H, T, v.shape[-1])


def tiled_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"], *,
    mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES, tile: int = KEY_TILE,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention with a running softmax over tiles of keys: scores of one tile exist at a time.

    Of the keys so far it keeps the largest score m, the sum l of e^(score - m) and the sum o of
    the weighted values; a tile with a larger score rescales both by e^(m_old - m_new). So memory
    is linear in T, and the result is `reference_attention`'s but for rounding. The loops in C++
    (interval.cpp, stack.cpp) compute this.
    Source: Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    scale = 1 / math.sqrt(K) if scores.scale is None else scores.scale
    exact = torch.promote_types(q.dtype, torch.float32)
    queries = q.to(exact).unflatten(1, (G, H // G)) * scale  # (B, G, H / G, T, K)
    seen = visible_mask(mask, T, S, q.device)[:, None, None]
    most = queries.new_full((B, G, H // G, T, 1), -torch.inf)
    if scores.sinks is not None:
        most = most.maximum(scores.sinks.to(exact).view(1, G, -1, 1, 1))
    total = torch.full_like(most, float(scores.sinks is not None))
    out = queries.new_zeros(B, G, H // G, T, v.shape[3])
    for start in range(0, S, tile):
        keys = slice(start, start + tile)
        products = queries @ k[:, :, None, keys].to(exact).mT  # (B, G, H / G, T, tile)
        if scores.bias is not None:
            products = products + scores.bias[..., keys].to(exact).unflatten(1, (G, H // G))
        if scores.softcap is not None:
            products = scores.softcap * torch.tanh(products / scores.softcap)
        products = products.masked_fill(~seen[..., keys], -torch.inf)
        highest = torch.maximum(most, products.amax(-1, keepdim=True))
        finite = highest.clamp(min=torch.finfo(exact).min)  # -inf - -inf would be NaN
        weights, kept = (products - finite).exp(), (most - finite).exp()
        total = total * kept + weights.sum(-1, keepdim=True)
        out = out * kept + weights @ v[:, :, None, keys].to(exact)
        most = highest
    out = out / total.where(total > 0, torch.ones_like(total))  # no visible key yields zeros
    return out.flatten(1, 2).to(q.dtype)


def flash_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"], *,
    mask: Mask = CAUSAL_MASK, scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention by PyTorch's fused kernel, which never stores all scores; without softcap.

    A single query needs no causal mask, so its H / G heads become the kernel's queries.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    is_unmasked = mask.documents is None and mask.pattern.kind == "full" and scores.bias is None
    is_grouped, scale = H != G, scores.scale
    if T == 1 and scores.bias is None:
        seen = None if is_unmasked else visible_mask(mask, 1, S, q.device)[:, None]
        folded = q.reshape(B, G, H // G, K)
        out = scaled_dot_product_attention(folded, k, v, attn_mask=seen, scale=scale)
        out = out.reshape(B, H, 1, v.shape[-1])
    elif is_unmasked and mask.prefix is None and (T == S or not mask.causal):
        return scaled_dot_product_attention(
            q, k, v, is_causal=mask.causal, scale=scale, enable_gqa=is_grouped
        )
    else:
        seen = visible_mask(mask, T, S, q.device)[:, None]  # (B or 1, 1, T, S)
        added = seen if scores.bias is None else _masked_bias(scores.bias, seen, q.dtype)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=added, scale=scale, enable_gqa=is_grouped
        )
    if mask.documents is None:
        return out
    own = mask.documents[:, S - T :] if mask.queries is None else mask.queries
    return out.masked_fill(~(own >= 0)[:, None, :, None], 0.0)  # (B, 1, T, 1)


def _masked_bias(
    bias: Float[Tensor, "b H T S"], seen: Tensor, dtype: torch.dtype
) -> Float[Tensor, "B H T S"]:
    """The bias with the lowest finite number at hidden keys."""
    return bias.to(dtype).masked_fill(~seen, torch.finfo(dtype).min)
