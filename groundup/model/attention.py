"""The attention of a block: project, normalise and turn, attend, project back.

    q, k, v = x W_q, y W_k, y W_v        y = x, or an encoder's output in cross attention
    out = attend(rotate(norm(q)), rotate(norm(k)), v) W_o

Norming queries and keys keeps scores bounded however weights grow. Knows the cache only as a place
that takes new keys and values and gives back all of them.
Source: Vaswani et al. 2017, arXiv:1706.03762; the norms: Henry et al. 2020, arXiv:2010.04245.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.kernels import Mask, Scores, attention

from .cache import Cache, KeysValues
from .config import ModelConfig
from .norm import norm
from .positions.relative import DistanceBias
from .positions.rotary import Rotation, rotate


class Encoded(NamedTuple):
    """What cross attention reads: an encoder's output."""

    hidden: Float[Tensor, "B S D"]
    documents: Int[Tensor, "B S"] | None = None
    """Number of each position's document, -1 for padding."""
    queries: Int[Tensor, "B T"] | None = None
    """Document of each token that reads; needed where `documents` is given."""


class Context(NamedTuple):
    """What all layers of a pass share."""

    mask: Mask = Mask()
    """Order and documents; the pattern is each layer's own."""
    rotation: Rotation | None = None
    window_rotation: Rotation | None = None
    """Of layers whose pattern is a window."""
    bias: Float[Tensor, "1 H T S"] | None = None
    """What distances add to the scores."""
    cache: Cache | None = None
    encoded: Encoded | None = None
    routing: list[Tensor] | None = None
    """Router logits (N, E) of every layer with experts are appended here."""


NO_CONTEXT = Context()


def linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """A linear map whose weights are left for `initialise` or `load` to fill."""
    place = torch.get_default_device()
    made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias, device=place)
    assert isinstance(made, nn.Linear)
    return made


class Projections(nn.Module):
    """The four maps of an attention, and the norms of queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        part, self.head_dim = config.attention, config.attention.head_dim
        inner, narrow = part.heads * self.head_dim, part.kv_heads * self.head_dim
        has_bias = part.bias != "none"
        self.q_proj = linear(config.width, inner, has_bias)
        self.k_proj = linear(config.width, narrow, has_bias)
        self.v_proj = linear(config.width, narrow, has_bias)
        self.o_proj = linear(inner, config.width, part.bias == "all")
        self.norms_all = part.qk_norm == "all"
        sizes = (inner, narrow) if self.norms_all else (self.head_dim, self.head_dim)
        has_norm = part.qk_norm != "none"
        self.q_norm = norm(config.norm, sizes[0]) if has_norm else nn.Identity()
        self.k_norm = norm(config.norm, sizes[1]) if has_norm else nn.Identity()
        self.scale = 1 / math.sqrt(self.head_dim) if part.scale is None else part.scale
        self.softcap = part.softcap

    def queries(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """Normed queries, heads apart."""
        return self.normed(self.q_proj(hidden), self.q_norm)

    def keys_values(self, hidden: Float[Tensor, "B S D"]) -> KeysValues:
        """Normed keys, and values, heads apart."""
        values = self.v_proj(hidden).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return KeysValues(self.normed(self.k_proj(hidden), self.k_norm), values)

    def normed(self, x: Float[Tensor, "B T HK"], by: nn.Module) -> Float[Tensor, "B H T K"]:
        """Cut features into heads, normed before or after the cut."""
        if self.norms_all:
            return by(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return by(x.unflatten(-1, (-1, self.head_dim))).transpose(1, 2)

    def back(self, out: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T D"]:
        """Bring the heads together."""
        return self.o_proj(out.transpose(1, 2).flatten(2))


class Attention(Projections):
    """Self-attention: each token reads what its layer's pattern and order let it see."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__(config)
        self.layer, self.pattern = layer, config.pattern(layer)
        is_xl = config.position.kind == "transformer_xl"
        self.distance = DistanceBias(config) if is_xl else None
        self.attend: Callable[..., Tensor] = attention
        """How queries meet keys; another function where a row is spread over processes."""

    def forward(
        self, hidden: Float[Tensor, "B T D"], context: Context = NO_CONTEXT
    ) -> Float[Tensor, "B T D"]:
        """Mix each token with those it sees; a cache adds what came in earlier calls."""
        q, (k, v) = self.queries(hidden), self.keys_values(hidden)  # (B, H or G, T, K)
        is_window = self.pattern.kind == "window"
        by = context.window_rotation if is_window else context.rotation
        if by is not None:
            q, k = rotate(q, by), rotate(k, by)
        if context.cache is not None:
            k, v = context.cache.update(self.layer, k, v)  # (B, G, S, K)
        bias = context.bias
        if self.distance is not None:
            q, bias = self.distance(q, k.shape[2], self.scale)
        mask = context.mask._replace(pattern=self.pattern)
        scores = Scores(self.scale, bias, self.softcap)
        return self.back(self.attend(q, k, v, mask=mask, scores=scores))


class CrossAttention(Projections):
    """Each token of a decoder reads an encoder's output, all of its own document."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__(config)
        self.layer = layer

    def forward(self, hidden: Float[Tensor, "B T D"], context: Context) -> Float[Tensor, "B T D"]:
        """Mix in what the encoder says; a cache keeps its keys and values from the first call."""
        encoded, cache = context.encoded, context.cache
        assert encoded is not None, "an encoder–decoder's blocks are given the encoder's output"
        if cache is None:
            k, v = self.keys_values(encoded.hidden)
        else:
            k, v = cache.once(self.layer, lambda: self.keys_values(encoded.hidden))
        q = self.queries(hidden)
        mask = Mask(causal=False, documents=encoded.documents, queries=encoded.queries)
        out = attention(q, k, v, mask=mask, scores=Scores(self.scale, None, self.softcap))
        return self.back(out)
