"""Attention masks: which keys a query sees, by order, document, prefix and pattern.

    visible = (earlier or in the prefix) and (same document) and (allowed by the pattern)

The reference and all fast paths share one description, `Mask`, and one function, `visible_mask`.
Patterns use positions within a document, so a packed sequence sees what its documents would see
alone. Knows nothing of scores or values.
Source: Child et al. 2019, arXiv:1904.10509 (strided, fixed); Beltagy et al. 2020, arXiv:2004.05150
(windows with global tokens).
"""

import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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
        raise ShapeError(
            f"Queries have the shape {tuple(q.shape)} and keys {tuple(k.shape)}; expected "
            "(B, H, T, K) and (B, G, S, K) with H a multiple of G."
        )
    tensors = (
        ("documents", mask.documents, S),
        ("prefix", mask.prefix, S),
        ("queries", mask.queries, T),
    )
    for name, numbers, length in tensors:
        if numbers is not None and tuple(numbers.shape) not in ((B, length), (1, length)):
            raise ShapeError(
                f"Mask.{name} has the shape {tuple(numbers.shape)}; expected {(B, length)}, for "
                f"{T} queries of {S} keys."
            )
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
    """Which keys are at or before each query, or in a prefix."""
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
    """Whether a tensor is fake, as in a memory plan."""
    fakes = sys.modules.get("torch._subclasses.fake_tensor")
    return fakes is not None and isinstance(x, fakes.FakeTensor)
