"""Which keys a query sees: by order, by document, by prefix and by pattern.

    seen = (earlier or in the prefix) and (same document) and (pattern's places)

One description, `Mask`, and one function, `visible`, are shared by the reference and by every fast
way. A pattern speaks of places counted from the start of a document, so a packed row sees what its
documents would see alone. Knows nothing of scores or values.
Source: Child et al. 2019, arXiv:1904.10509 (strided, fixed); Beltagy et al. 2020, arXiv:2004.05150
(windows with global tokens).
"""

import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import ShapeError


class Pattern(NamedTuple):
    """Which places a query sees.

    full     all
    window   those nearer than `window`: the last `window` tokens, itself included
    block    those of its own block of `window` tokens
    strided  those nearer than `window`, and every `stride`-th one counted from itself
    fixed    those of its own block of `stride` tokens, and the last `tokens` of every block
    global   those nearer than `window`, and the first `tokens`, which see everything
    """

    kind: Literal["full", "window", "block", "strided", "fixed", "global"] = "full"
    window: int = 0
    """Tokens."""
    stride: int = 0
    """Tokens."""
    tokens: int = 0
    """How many tokens of a block, or of the document, every query sees."""


NEEDS = {
    "full": (),
    "window": ("window",),
    "block": ("window",),
    "strided": ("window", "stride"),
    "fixed": ("stride", "tokens"),
    "global": ("window", "tokens"),
}
"""The sizes that each kind of pattern has; all others are 0."""


class Mask(NamedTuple):
    """What each of T queries may see of S keys; queries are the last T places of the keys."""

    causal: bool = True
    """Nothing later than the query itself."""
    pattern: Pattern = Pattern()
    documents: Int[Tensor, "B S"] | None = None
    """Number of each key's document, -1 for padding; None: each row is one document."""
    queries: Int[Tensor, "B T"] | None = None
    """Number of each query's document where keys come from elsewhere; None: the keys' last T."""
    prefix: Bool[Tensor, "B S"] | None = None
    """Keys that their whole document sees, earlier tokens too."""


CAUSAL = Mask()


def check_fit(q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], mask: Mask) -> None:
    """Refuse queries, keys and a mask that do not fit each other, by their shapes alone.

    Raises ShapeError.
    """
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    if k.shape[0] != B or k.shape[3] != K or H % G:
        raise ShapeError(
            f"Queries have the shape {tuple(q.shape)} and keys {tuple(k.shape)}; expected "
            "(B, H, T, K) and (B, G, S, K) with H a multiple of G."
        )
    given = (
        ("documents", mask.documents, S),
        ("prefix", mask.prefix, S),
        ("queries", mask.queries, T),
    )
    for name, numbers, length in given:
        if numbers is not None and tuple(numbers.shape) not in ((B, length), (1, length)):
            raise ShapeError(
                f"Mask.{name} has the shape {tuple(numbers.shape)}; expected {(B, length)}, for "
                f"{T} queries of {S} keys."
            )
    is_own = mask.causal or mask.pattern.kind != "full"
    if T > S and (is_own or mask.documents is not None and mask.queries is None):
        raise ShapeError(
            f"{T} queries cannot be the last of {S} keys; give all keys, or a mask without order "
            "and pattern and with the queries' own documents."
        )


def visible(mask: Mask, T: int, S: int, device: torch.device | str) -> Bool[Tensor, "b T S"]:
    """Which of S keys each of T queries may see.

    >>> visible(Mask(documents=torch.tensor([[-1, 0, 0, 1]])), 2, 4, "cpu").int()
    tensor([[[0, 1, 1, 0],
             [0, 0, 0, 1]]], dtype=torch.int32)
    """
    index = torch.arange(S, device=device)
    seen = ordered(mask, index, T)  # (b, T, S)
    if mask.pattern.kind != "full":
        places = index[None] if mask.documents is None else places_of(mask.documents)  # (b, S)
        seen = seen & sees(mask.pattern, places[:, S - T :, None], places[:, None, :])
    if mask.documents is None:
        return seen
    own = mask.documents[:, S - T :] if mask.queries is None else mask.queries  # (B, T)
    return seen & (own[:, :, None] == mask.documents[:, None, :]) & (mask.documents >= 0)[:, None]


def ordered(mask: Mask, index: Int[Tensor, " S"], T: int) -> Bool[Tensor, "b T S"]:
    """Which keys come at or before each query, or lie in a prefix."""
    S = len(index)
    if not mask.causal:
        return torch.ones(1, T, S, dtype=torch.bool, device=index.device)
    earlier = index[None, None, :] <= index[None, S - T :, None]  # (1, T, S)
    return earlier if mask.prefix is None else earlier | mask.prefix[:, None, :]


def sees(
    pattern: Pattern, query: Int[Tensor, "*q"], key: Int[Tensor, "*k"]
) -> Bool[Tensor, "*seen"]:
    """Whether a query at one place sees a key at another; the two broadcast.

    >>> sees(Pattern("strided", window=2, stride=3), torch.tensor([6]), torch.arange(7)).int()
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


def places_of(documents: Int[Tensor, "B S"]) -> Int[Tensor, "B S"]:
    """Each token's place in its document, counted from 0; padding counts as a document.

    >>> places_of(torch.tensor([[-1, -1, 0, 0, 0, 1, 1]]))
    tensor([[0, 1, 0, 1, 2, 0, 1]])
    """
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    is_first = torch.ones_like(documents, dtype=torch.bool)
    is_first[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(is_first, index, 0).cummax(1).values


def is_scattered(documents: Int[Tensor, "B S"]) -> bool:
    """Whether a document may lie in more than one piece: its number comes again, or after a larger.

    >>> is_scattered(torch.tensor([[-1, 0, 0, 1]])), is_scattered(torch.tensor([[0, -1, 0, 1]]))
    (False, True)
    """
    if torch.compiler.is_compiling() or has_no_numbers(documents):
        return False  # what trains is packed in order, and no graph breaks here
    highest = documents.cummax(1).values[:, :-1]
    begins = (documents[:, 1:] >= 0) & (documents[:, 1:] != documents[:, :-1])
    return bool((begins & (documents[:, 1:] <= highest)).any())


def has_no_numbers(x: Tensor) -> bool:
    """Whether a tensor has a shape alone, as in a plan of memory."""
    fakes = sys.modules.get("torch._subclasses.fake_tensor")
    return fakes is not None and isinstance(x, fakes.FakeTensor)
