"""Attention masks: which keys a query sees, by order, document, prefix and pattern.

    visible = (earlier or in the prefix) and (same document) and (allowed by the pattern)

The reference and all fast paths share one description, `Mask`, and one function, `visible_mask`.
Patterns use positions within a document, so a packed sequence sees what its documents would see
alone. `sparse_attention` skips the keys that a pattern hides: a band of queries sees the keys of
its band and its neighbours, as an overlapping view without copies, and the few far keys of the
pattern, so the cost is O(T x window), not O(T²).
Source: Child et al. 2019, arXiv:1904.10509 (strided, fixed); Beltagy et al. 2020, arXiv:2004.05150
(windows with global tokens).
"""

import math
import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from groundup.core import ShapeError


class AttentionPattern(NamedTuple):
    """Which positions a query sees.

    full     all
    window   distance less than `window`: the last `window` tokens, including itself
    block    its own block of `window` tokens
    strided  distance less than `window`, and every `stride`-th position counted from itself
    fixed    its own block of `stride` tokens, and the last `tokens` of every block
    global   distance less than `window`, and the first `tokens`, which see everything
    """

    kind: Literal["full", "window", "block", "strided", "fixed", "global"] = "full"
    window: int = 0
    """Tokens."""
    stride: int = 0
    """Tokens."""
    tokens: int = 0
    """Tokens of a block, or of the document, that every query sees."""


PATTERN_SIZES = {
    "full": (),
    "window": ("window",),
    "block": ("window",),
    "strided": ("window", "stride"),
    "fixed": ("stride", "tokens"),
    "global": ("window", "tokens"),
}
"""Sizes used by each kind of pattern; the others are 0."""


class Mask(NamedTuple):
    """Which of S keys each of T queries may see; queries are the last T positions of the keys."""

    causal: bool = True
    """Hide keys after the query."""
    pattern: AttentionPattern = AttentionPattern()
    documents: Int[Tensor, "B S"] | None = None
    """Document number of each key, -1 for padding; None: each sequence is one document."""
    queries: Int[Tensor, "B T"] | None = None
    """Document number of each query in cross-attention; None: the keys' last T."""
    prefix: Bool[Tensor, "B S"] | None = None
    """Keys that are visible to all of their document, including earlier tokens."""


CAUSAL_MASK = Mask()


def check_attention_shapes(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], mask: Mask
) -> None:
    """Raise ShapeError unless the shapes of queries, keys and mask match."""
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    if k.shape[0] != B or k.shape[3] != K or H % G:
        what = f"Queries have the shape {tuple(q.shape)} and keys {tuple(k.shape)}"
        raise ShapeError(f"{what}; expected (B, H, T, K) and (B, G, S, K) with H a multiple of G.")
    tensors = (
        ("documents", mask.documents, S),
        ("prefix", mask.prefix, S),
        ("queries", mask.queries, T),
    )
    for name, numbers, length in tensors:
        if numbers is not None and tuple(numbers.shape) not in ((B, length), (1, length)):
            what = f"Mask.{name} has the shape {tuple(numbers.shape)}"
            raise ShapeError(f"{what}; expected {(B, length)}, for {T} queries of {S} keys.")
    is_own = mask.causal or mask.pattern.kind != "full"
    if T > S and (is_own or mask.documents is not None and mask.queries is None):
        raise ShapeError(
            f"{T} queries cannot be the last of {S} keys; pass all keys, or a mask that is "
            "not causal, has no pattern and sets `queries`."
        )


def visible_mask(mask: Mask, T: int, S: int, device: torch.device | str) -> Bool[Tensor, "b T S"]:
    """Which of S keys each of T queries may see.

    >>> visible_mask(Mask(documents=torch.tensor([[-1, 0, 0, 1]])), 2, 4, "cpu").int()
    tensor([[[0, 1, 1, 0],
             [0, 0, 0, 1]]], dtype=torch.int32)
    """
    index = torch.arange(S, device=device)
    seen = _order_mask(mask, index, T)  # (b, T, S)
    if mask.pattern.kind != "full":
        places = (
            index[None] if mask.documents is None else document_positions(mask.documents)
        )  # (b, S)
        seen = seen & pattern_allows(mask.pattern, places[:, S - T :, None], places[:, None, :])
    if mask.documents is None:
        return seen
    own = mask.documents[:, S - T :] if mask.queries is None else mask.queries  # (B, T)
    return seen & (own[:, :, None] == mask.documents[:, None, :]) & (mask.documents >= 0)[:, None]


def _order_mask(mask: Mask, index: Int[Tensor, " S"], T: int) -> Bool[Tensor, "b T S"]:
    S = len(index)
    if not mask.causal:
        return torch.ones(1, T, S, dtype=torch.bool, device=index.device)
    earlier = index[None, None, :] <= index[None, S - T :, None]  # (1, T, S)
    return earlier if mask.prefix is None else earlier | mask.prefix[:, None, :]


def pattern_allows(
    pattern: AttentionPattern, query: Int[Tensor, "*q"], key: Int[Tensor, "*k"]
) -> Bool[Tensor, "*seen"]:
    """Whether the pattern shows a key position to a query position; the two broadcast.

    >>> pattern = AttentionPattern("strided", window=2, stride=3)
    >>> pattern_allows(pattern, torch.tensor([6]), torch.arange(7)).int()
    tensor([1, 0, 0, 1, 0, 1, 1], dtype=torch.int32)
    """
    near = (query - key).abs() < pattern.window
    match pattern.kind:
        case "window":
            return near
        case "block":
            return query // pattern.window == key // pattern.window
        case "strided":
            return near | ((query - key) % pattern.stride == 0)
        case "fixed":
            own = query // pattern.stride == key // pattern.stride
            return own | (key % pattern.stride >= pattern.stride - pattern.tokens)
        case "global":
            return near | (key < pattern.tokens) | (query < pattern.tokens)
        case _:
            return torch.ones_like(near)


def document_positions(documents: Int[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Position of each token in its document, from 0; padding counts as a document.

    >>> document_positions(torch.tensor([[-1, -1, 0, 0, 0, 1, 1]]))
    tensor([[0, 1, 0, 1, 2, 0, 1]])
    """
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_first = torch.ones_like(documents, dtype=torch.bool)
    is_first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(is_first, index, 0).cummax(1).values


def has_split_document(documents: Int[Tensor, "B S"]) -> bool:
    """Whether a document may be non-contiguous: its number recurs, or follows a larger one.

    >>> [has_split_document(torch.tensor([row])) for row in ([-1, 0, 0, 1], [0, -1, 0, 1])]
    [False, True]
    """
    if torch.compiler.is_compiling() or _is_fake_tensor(documents):
        return False  # training batches are packed in order; avoids a graph break
    highest = documents.cummax(1).values[:, :-1]
    begins = (documents[:, 1:] >= 0) & (documents[:, 1:] != documents[:, :-1])
    return bool((begins & (documents[:, 1:] <= highest)).any())


def _is_fake_tensor(x: Tensor) -> bool:
    fakes = sys.modules.get("torch._subclasses.fake_tensor")
    return fakes is not None and isinstance(x, fakes.FakeTensor)


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
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T W"], *,
    mask: Mask, scale: float | None = None,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
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
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T W"], *,
    mask: Mask, scale: float | None,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
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
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T W"], *,
    mask: Mask, scale: float | None,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
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
