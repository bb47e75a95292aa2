"""Sparse attention: keys that a pattern hides are skipped, not masked.

A band of queries sees the keys of its band and its neighbours, as an overlapping view without
copies, and the few far keys of the pattern. Cost is O(T x window), not O(T²). The mask within a
band is `mask.pattern_allows`, as in the reference. Source: Child et al. 2019, arXiv:1904.10509;
Beltagy et al. 2020, arXiv:2004.05150.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from .mask import AttentionPattern, Mask, document_positions, has_split_document, pattern_allows

MIN_SPARSITY_RATIO = 4
"""Minimum ratio of sequence length to pattern reach for which bands are used."""


class BandLayout(NamedTuple):
    """Bands of `size` queries, each with `before` and `after` additional keys."""

    size: int
    before: int
    after: int

    @property
    def width(self) -> int:
        """Keys of a band."""
        return self.before + self.size + self.after


def _pattern_reach(pattern: AttentionPattern) -> int:
    """Tokens that a query sees on one side, including itself, without far keys."""
    return pattern.stride if pattern.kind == "fixed" else pattern.window


def is_sparse_worthwhile(mask: Mask, T: int, S: int) -> bool:
    """Whether complete sequences are long enough for their pattern to use bands.

    Patterns with far keys need single-document sequences, since in packed ones the far keys differ
    per sequence. A non-contiguous document has nearby positions far apart.
    """
    if mask.pattern.kind == "full" or T != S or mask.prefix is not None:
        return False
    if T < MIN_SPARSITY_RATIO * _pattern_reach(mask.pattern):
        return False
    if mask.documents is None:
        return True
    has_far = mask.pattern.kind in ("strided", "fixed", "global")
    return not has_far and not has_split_document(mask.documents)


def drop_unreachable_keys(k: Tensor, v: Tensor, mask: Mask, T: int) -> tuple[Tensor, Tensor, Mask]:
    """Drop cached keys that are outside every query's window."""
    S = k.shape[2]
    kept = T + mask.pattern.window - 1
    if mask.pattern.kind != "window" or S <= kept or mask.prefix is not None:
        return k, v, mask
    if mask.documents is not None and has_split_document(mask.documents):
        return k, v, mask
    documents = None if mask.documents is None else mask.documents[:, S - kept :]
    return k[:, :, S - kept :], v[:, :, S - kept :], mask._replace(documents=documents)


def sparse_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    *,
    mask: Mask,
    scale: float | None = None,
) -> Float[Tensor, "B H T W"]:
    """Attention of complete sequences under a pattern; see `is_sparse_worthwhile`."""
    if mask.pattern.kind == "strided":
        return _strided_attention(q, k, v, mask=mask, scale=scale)
    out = _banded_attention(q, k, v, mask=mask, scale=scale)
    if mask.pattern.kind == "global":  # the first tokens see everything
        first = mask.pattern.tokens
        whole = scaled_dot_product_attention(
            q[:, :, :first], k[:, :, :first] if mask.causal else k,
            v[:, :, :first] if mask.causal else v,
            is_causal=mask.causal, scale=scale, enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        out = torch.cat([whole, out[:, :, first:]], dim=2)
    return out


def _banded_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    *,
    mask: Mask,
    scale: float | None,
) -> Float[Tensor, "B H T W"]:
    """Each band of queries against the keys around it and the pattern's far keys."""
    B, H, T, K = q.shape
    bands = _band_layout(mask, T)
    rows = _to_bands(q, bands)  # (B, H, n, size, K)
    far = _far_keys(mask.pattern, T, q.device)  # (F,)
    keys, values = (_append_far_keys(_band_keys(x, bands), x, far) for x in (k, v))
    seen = _band_mask(mask, bands, T, far)  # (b, n, size, width + F)
    out = scaled_dot_product_attention(
        rows.transpose(1, 2).flatten(0, 1), keys.transpose(1, 2).flatten(0, 1),
        values.transpose(1, 2).flatten(0, 1),
        attn_mask=seen.expand(B, *seen.shape[1:]).flatten(0, 1)[:, None],
        scale=scale, enable_gqa=H != k.shape[1],
    )  # fmt: skip
    out = out.unflatten(0, (B, -1)).transpose(1, 2).flatten(2, 3)[:, :, :T]  # (B, H, T, W)
    if mask.documents is None:
        return out
    return out.masked_fill((mask.documents < 0)[:, None, :, None], 0.0)


def _band_layout(mask: Mask, T: int) -> BandLayout:
    """Bands of a quarter window: smaller ones waste fewer products, larger ones use the kernel
    better."""
    beyond = _pattern_reach(mask.pattern) - 1
    size = min(T, max(64, (beyond + 1) // 4))
    return BandLayout(size, beyond, 0 if mask.causal else beyond)


def _to_bands(x: Float[Tensor, "B H T K"], bands: BandLayout) -> Float[Tensor, "B H n size K"]:
    """Reshape a sequence into bands, zero-padded."""
    return pad(x, (0, 0, 0, -x.shape[2] % bands.size)).unflatten(2, (-1, bands.size))


def _band_keys(x: Float[Tensor, "B G T K"], bands: BandLayout) -> Float[Tensor, "B G n width K"]:
    """Keys of every band: overlapping views, zeros beyond the sequence."""
    end = bands.after + -x.shape[2] % bands.size
    return pad(x, (0, 0, bands.before, end)).unfold(2, bands.width, bands.size).mT


def _far_keys(pattern: AttentionPattern, T: int, device: torch.device) -> Int[Tensor, " F"]:
    """Positions of the far keys, which all queries see."""
    places = torch.arange(T, device=device)
    match pattern.kind:
        case "fixed":
            return places[places % pattern.stride >= pattern.stride - pattern.tokens]
        case "global":
            return places[: pattern.tokens]
        case _:
            return places[:0]


def _append_far_keys(
    near: Float[Tensor, "B G n width K"], x: Float[Tensor, "B G T K"], far: Int[Tensor, " F"]
) -> Float[Tensor, "B G n keys K"]:
    """Append the far keys to the keys of every band."""
    if not len(far):
        return near  # avoids a copy
    return torch.cat([near, x[:, :, None, far].expand(-1, -1, near.shape[2], -1, -1)], dim=3)


def _band_mask(
    mask: Mask, bands: BandLayout, T: int, far: Int[Tensor, " F"]
) -> Bool[Tensor, "b n size keys"]:
    """Mask of every band; a far key inside the band counts once."""
    index = torch.arange(T + bands.width, dtype=torch.int32, device=far.device)  # half the memory
    starts = index[: T : bands.size, None]  # (n, 1)
    queries = (starts + index[: bands.size])[:, :, None]
    near = (starts - bands.before + index[: bands.width])[:, None]
    beyond = far.int()[None, None].expand(len(starts), 1, -1)
    inside = (near >= 0) & (near < T)
    is_far = (beyond < near[:, :, :1]) | (beyond > near[:, :, -1:])
    keys = torch.cat([near, beyond], dim=2)  # (n, 1, width + F)
    seen = torch.cat([inside, is_far], dim=2) & ((keys <= queries) | (not mask.causal))
    if mask.documents is None:
        return (seen & pattern_allows(mask.pattern, queries, keys))[None]
    places, numbers = document_positions(mask.documents), mask.documents
    q, s = queries.clamp(max=T - 1), keys.clamp(0, T - 1)
    same = (numbers[:, q] == numbers[:, s]) & (numbers[:, s] >= 0)
    return seen & same & pattern_allows(mask.pattern, places[:, q], places[:, s])


def _strided_attention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    *,
    mask: Mask,
    scale: float | None,
) -> Float[Tensor, "B H T W"]:
    """Near keys by bands and every stride-th key by columns, in one softmax."""
    H, T, K = q.shape[1:]
    G, stride = k.shape[1], mask.pattern.stride
    bands, factor = _band_layout(mask, T), 1 / math.sqrt(K) if scale is None else scale
    exact = torch.promote_types(q.dtype, torch.float32)
    k, v = (x.repeat_interleave(H // G, dim=1) for x in (k, v))
    window = mask._replace(pattern=AttentionPattern("window", window=mask.pattern.window))
    seen = _band_mask(window, bands, T, torch.arange(0, device=q.device))[0]  # (n, size, width)
    near = (_to_bands(q, bands) @ _band_keys(k, bands).mT).to(exact) * factor
    near = near.masked_fill(~seen, -torch.inf).flatten(2, 3)[:, :, :T]  # (B, H, T, width)
    far = (_to_columns(q, stride) @ _to_columns(k, stride).mT).to(
        exact
    ) * factor  # (B, H, stride, m, m)
    far = far.masked_fill(~_column_mask(mask, T, q.device), -torch.inf)
    far = _from_columns(far, T)  # (B, H, T, m)
    weights = torch.cat([near, far], dim=-1).softmax(-1).to(v.dtype)
    near, far = weights[..., : bands.width], weights[..., bands.width :]
    out = (_to_bands(near, bands) @ _band_keys(v, bands)).flatten(2, 3)[:, :, :T]
    return out + _from_columns(_to_columns(far, stride) @ _to_columns(v, stride), T)


def _to_columns(x: Shaped[Tensor, "B H T K"], stride: int) -> Shaped[Tensor, "B H stride m K"]:
    """Group tokens by position modulo the stride, zero-padded."""
    return pad(x, (0, 0, 0, -x.shape[2] % stride)).unflatten(2, (-1, stride)).transpose(2, 3)


def _from_columns(x: Float[Tensor, "B H stride m K"], T: int) -> Float[Tensor, "B H T K"]:
    """Inverse of `_to_columns`: restore token order."""
    return x.transpose(2, 3).flatten(2, 3)[:, :, :T]


def _column_mask(mask: Mask, T: int, device: torch.device) -> Bool[Tensor, "stride m m"]:
    """Which keys of its column a query sees: those outside its window."""
    stride = mask.pattern.stride
    places = _to_columns(torch.arange(T, device=device)[None, None, :, None] + 1, stride)[
        0, 0, :, :, 0
    ]
    query, key = places[:, :, None], places[:, None, :]  # 0 is padding
    seen = (key > 0) & ((query - key).abs() >= mask.pattern.window)
    return seen & (key <= query) if mask.causal else seen
