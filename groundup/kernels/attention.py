"""Causal attention: each query averages the values of the keys at or before its own place.

Three ways to the same numbers. `reference_attention` is the definition, in loops. The fast path
`attention` picks between two matrix products with a softmax in float32, which train fastest on
rows that are not too long (compiled, the softmax and the mask are one kernel), and PyTorch's flash
kernel, which never holds the (T, S) scores. Queries are the last T of S positions, so a cache needs
no offset. `documents` numbers the document of each position: attention stays inside a document, and
-1 is padding that nobody attends to. Knows nothing of positions, projections or caches.
Source: Vaswani et al. 2017, arXiv:1706.03762; grouped keys: Ainslie et al. 2023, arXiv:2305.13245.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

MATMUL_UP_TO = 2048
"""Longest row that trains by matrix products on CPUs; beyond, their scores need too much memory."""
CHUNK = 512
"""Queries that are computed together: later keys are skipped, and scores stay small."""


def reference_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    *,
    documents: Int[Tensor, "B S"] | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention by its definition, one query at a time; slow, for tests and for reading.

    out[b, h, t] = sum_s softmax_s(q·k / sqrt(K)) v[s]      over s <= t + S - T, same document

    Head h reads key/value head h // (H / G). A query that may see nothing gives zeros.

    >>> v = torch.tensor([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> reference_attention(torch.zeros_like(v), v, v).flatten()
    tensor([1., 2.])
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    out = torch.zeros_like(q)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                seen = torch.arange(S, device=q.device) <= t + S - T  # (S,)
                if documents is not None:
                    seen &= (documents[b] == documents[b, t + S - T]) & (documents[b] >= 0)
                if seen.any():
                    keys, values = k[b, h * G // H][seen], v[b, h * G // H][seen]
                    weights = (keys @ q[b, h, t] / math.sqrt(K)).softmax(-1)
                    out[b, h, t] = weights @ values
    return out


def attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    *,
    documents: Int[Tensor, "B S"] | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention by the fastest way for these shapes; equal to `reference_attention`."""
    trains = torch.is_grad_enabled() and k.shape[2] <= MATMUL_UP_TO
    if trains and q.device.type == "cpu":
        return matmul_attention(q, k, v, documents=documents)
    return flash_attention(q, k, v, documents=documents)


def matmul_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    *,
    documents: Int[Tensor, "B S"] | None = None,
    chunk: int = CHUNK,
) -> Float[Tensor, "B H T K"]:
    """Attention as two matrix products, `chunk` queries at a time over the keys they may see."""
    T, S = q.shape[2], k.shape[2]
    if T <= chunk:
        return attend(q, k, v, documents)
    parts = []
    for start in range(0, T, chunk):
        end = min(start + chunk, T)
        seen = S - T + end  # keys at or before the chunk's last query
        own = None if documents is None else documents[:, :seen]
        parts.append(attend(q[:, :, start:end], k[:, :, :seen], v[:, :, :seen], own))
    return torch.cat(parts, dim=2)


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    documents: Int[Tensor, "B S"] | None,
) -> Float[Tensor, "B H T K"]:
    """Two matrix products with a softmax between them, in float32 or better.

    The H / G query heads of one key head are stacked along T, so keys are never copied.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    stacked = q.reshape(B, G, H // G * T, K)
    scores = (stacked @ k.mT).view(B, G, H // G, T, S)
    exact = torch.promote_types(scores.dtype, torch.float32)
    mask = visible(documents, T, S, q.device)[:, None, None]  # (B or 1, 1, 1, T, S)
    scores = scores.to(exact) * (1 / math.sqrt(K))
    weights = scores.masked_fill(~mask, torch.finfo(exact).min).softmax(-1)
    if documents is not None:  # a row that sees nothing has uniform weights: make them zero
        weights = weights * mask
    out = weights.to(v.dtype).view(B, G, H // G * T, S) @ v
    return out.view(B, H, T, K)


def flash_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    *,
    documents: Int[Tensor, "B S"] | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention by PyTorch's fused kernel, which never holds all scores.

    A single query has no future to hide, so its H / G heads become the kernel's queries.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    if T == 1:
        mask = None if documents is None else visible(documents, 1, S, q.device)[:, None]
        out = scaled_dot_product_attention(q.reshape(B, G, H // G, K), k, v, attn_mask=mask)
        out = out.reshape(B, H, 1, K)
    elif documents is None and T == S:
        return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=H != G)
    else:
        mask = visible(documents, T, S, q.device)[:, None]  # (B or 1, 1, T, S)
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=H != G)
    if documents is None:
        return out
    is_real = (documents[:, S - T :] >= 0)[:, None, :, None]  # (B, 1, T, 1)
    return out.masked_fill(~is_real, 0.0)


def visible(
    documents: Int[Tensor, "B S"] | None, T: int, S: int, device: torch.device
) -> Bool[Tensor, "b T S"]:
    """Which of S keys each of the last T queries may see: no later one, no other document's.

    >>> visible(torch.tensor([[-1, 0, 0, 1]]), 2, 4, torch.device("cpu")).int()
    tensor([[[0, 1, 1, 0],
             [0, 0, 0, 1]]], dtype=torch.int32)
    """
    keys = torch.arange(S, device=device)
    seen = keys[None, None, :] <= keys[None, S - T :, None]  # (1, T, S)
    if documents is None:
        return seen
    same = documents[:, S - T :, None] == documents[:, None, :]  # (B, T, S)
    return seen & same & (documents[:, None, :] >= 0)
