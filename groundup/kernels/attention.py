"""Attention: each query averages the values of the keys that it sees.

`reference_attention` is the definition, in loops. `attention` dispatches to the fastest equivalent:
in training, two matrix products around a float32 softmax (in C++ if available) or PyTorch's flash
kernel, as backends.py decides; without gradients on CPUs, the loop of native/interval.py; if a
pattern hides most keys, sparse.py, which never touches those; else flash, which never stores the
(T, S) scores. Queries are the last T of S positions, so a cache needs no offset. Visibility is
defined by a `Mask` alone. Knows nothing of position embeddings, projections or caches.
Source: Vaswani et al. 2017, arXiv:1706.03762; grouped keys: Ainslie et al. 2023, arXiv:2305.13245.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .backends import QUERY_CHUNK, AttentionBackend, attention_shape, backend_for
from .mask import CAUSAL_MASK, Mask, check_attention_shapes, visible_mask
from .native.interval import interval_attention, key_intervals, uses_native_loop
from .native.softmax import has_native_softmax, interval_softmax
from .sparse import drop_unreachable_keys, is_sparse_worthwhile, sparse_attention


class ScoreOptions(NamedTuple):
    """How products of queries and keys become scores, before the softmax."""

    scale: float | None = None
    """Scale of the products; None: 1 / sqrt(K)."""
    bias: Float[Tensor, "b H T S"] | None = None
    """Added to the scaled products, for relative positions."""
    softcap: float | None = None
    """Scores x become softcap * tanh(x / softcap), after the bias; None: unchanged."""


DEFAULT_SCORES = ScoreOptions()


def reference_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    *,
    mask: Mask = CAUSAL_MASK,
    scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:
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
                out[b, h, t] = products.softmax(-1) @ values
    return out


def attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    *,
    mask: Mask = CAUSAL_MASK,
    scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:
    """Attention by the fastest implementation for these inputs; equal to `reference_attention`.

    Raises ShapeError if the shapes of queries, keys and mask do not match.
    """
    check_attention_shapes(q, k, mask)
    if scores.bias is None and scores.softcap is None:
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
    if way.kind == "matmul" or scores.softcap is not None:
        return matmul_attention(q, k, v, mask=mask, scores=scores, chunk=way.chunk)
    return flash_attention(q, k, v, mask=mask, scores=scores)


def matmul_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    *,
    mask: Mask = CAUSAL_MASK,
    scores: ScoreOptions = DEFAULT_SCORES,
    chunk: int = QUERY_CHUNK,
) -> Float[Tensor, "B H T W"]:
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
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    mask: Mask,
    scores: ScoreOptions,
) -> Float[Tensor, "B H T W"]:
    """Two matrix products with a softmax between them, in float32 or higher precision.

    The H / G query heads of one key head are stacked along T, so keys are never copied.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    stacked = q.reshape(B, G, H // G * T, K)
    products = stacked @ k.mT  # (B, G, H / G * T, S)
    if (
        scores.bias is None
        and scores.softcap is None
        and has_native_softmax(q.device.type, products.dtype)
    ):
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
    weights = products.masked_fill(~seen, torch.finfo(exact).min).softmax(-1)
    if mask.documents is not None:  # a query that sees nothing has uniform weights: zero them
        weights = weights * seen
    out = weights.to(v.dtype).view(B, G, H // G * T, S) @ v
    return out.view(B, H, T, v.shape[-1])


def flash_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S W"],
    *,
    mask: Mask = CAUSAL_MASK,
    scores: ScoreOptions = DEFAULT_SCORES,
) -> Float[Tensor, "B H T W"]:
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
