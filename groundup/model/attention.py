"""The attention of a block: project, norm and rotate, attend, project back.

    q, k, v = x W_q, y W_k, y W_v        y = x, or an encoder's output in cross attention
    out = attend(rotate(norm(q)), rotate(norm(k)), v) W_o

Norms of queries and keys bound the scores however weights grow. Of the cache it knows only that it
takes new keys and values and returns all of them.
Source: Vaswani et al. 2017, arXiv:1706.03762; the norms: Henry et al. 2020, arXiv:2010.04245.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.kernels import Mask, ScoreOptions, attention

from .cache import Cache, KeysValues
from .config import ModelConfig
from .norm import build_norm
from .positions import DistanceBias, Rotation, rotate


class EncoderOutput(NamedTuple):
    """An encoder's output, which cross attention reads."""

    hidden: Float[Tensor, "B S D"]
    documents: Int[Tensor, "B S"] | None = None
    """Document index of each position, -1 for padding."""
    query_documents: Int[Tensor, "B T"] | None = None
    """Document index of each decoder token; required with `documents`."""


class Context(NamedTuple):
    """Inputs that all layers of a forward pass share."""

    mask: Mask = Mask()
    """Causality and documents; each layer adds its own pattern."""
    rotation: Rotation | None = None
    window_rotation: Rotation | None = None
    """For layers whose pattern is a window."""
    bias: Float[Tensor, "1 H T S"] | None = None
    """Position bias of the scores."""
    cache: Cache | None = None
    encoded: EncoderOutput | None = None
    routing: list[Tensor] | None = None
    """Receives the router logits (N, E) of every layer with experts."""


NO_CONTEXT = Context()


def empty_linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """A linear layer whose weights `initialise` or `load` fills."""
    device = torch.get_default_device()
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias, device=device)
    assert isinstance(layer, nn.Linear)
    return layer


class Projections(nn.Module):
    """The four projections of an attention, and the norms of queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        part, self.head_dim = config.attention, config.attention.head_dim
        inner, narrow = part.heads * self.head_dim, part.kv_heads * self.head_dim
        has_bias = part.bias != "none"
        self.q_proj = empty_linear(config.width, inner, has_bias)
        self.k_proj = empty_linear(config.width, narrow, has_bias)
        self.v_proj = empty_linear(config.width, narrow, has_bias)
        self.o_proj = empty_linear(inner, config.width, part.bias == "all")
        self.norms_all_heads = part.qk_norm == "all"
        sizes = (inner, narrow) if self.norms_all_heads else (self.head_dim, self.head_dim)
        has_norm = part.qk_norm != "none"
        self.q_norm = build_norm(config.norm, sizes[0]) if has_norm else nn.Identity()
        self.k_norm = build_norm(config.norm, sizes[1]) if has_norm else nn.Identity()
        self.scale = 1 / math.sqrt(self.head_dim) if part.scale is None else part.scale
        self.softcap = part.softcap

    def queries(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """Normed queries, split into heads."""
        return self.norm_and_split(self.q_proj(hidden), self.q_norm)

    def keys_values(self, hidden: Float[Tensor, "B S D"]) -> KeysValues:
        """Normed keys, and values, split into heads."""
        values = self.v_proj(hidden).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return KeysValues(self.norm_and_split(self.k_proj(hidden), self.k_norm), values)

    def norm_and_split(self, x: Float[Tensor, "B T HK"], by: nn.Module) -> Float[Tensor, "B H T K"]:
        """Norm features and split them into heads, in the configured order."""
        if self.norms_all_heads:
            return by(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return by(x.unflatten(-1, (-1, self.head_dim))).transpose(1, 2)

    def merge_heads(self, out: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T D"]:
        """Merge the heads and apply the output projection."""
        return self.o_proj(out.transpose(1, 2).flatten(2))


class Attention(Projections):
    """Self-attention under the layer's pattern."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__(config)
        self.layer, self.pattern = layer, config.pattern(layer)
        is_xl = config.position.kind == "transformer_xl"
        self.distance = DistanceBias(config) if is_xl else None
        self.attend: Callable[..., Tensor] = attention
        """The attention function; replaced where a sequence is sharded over processes."""

    def forward(
        self, hidden: Float[Tensor, "B T D"], context: Context = NO_CONTEXT
    ) -> Float[Tensor, "B T D"]:
        """Attend within the sequence, and to earlier calls' tokens in the cache."""
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
        scores = ScoreOptions(self.scale, bias, self.softcap)
        return self.merge_heads(self.attend(q, k, v, mask=mask, scores=scores))


class CrossAttention(Projections):
    """Cross attention of decoder tokens to the encoder's output of their own document."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__(config)
        self.layer = layer

    def forward(self, hidden: Float[Tensor, "B T D"], context: Context) -> Float[Tensor, "B T D"]:
        """Attend to the encoder's output; a cache holds its keys and values from the first call."""
        encoded, cache = context.encoded, context.cache
        assert encoded is not None, "an encoder–decoder's blocks get the encoder's output"
        if cache is None:
            k, v = self.keys_values(encoded.hidden)
        else:
            k, v = cache.once(self.layer, lambda: self.keys_values(encoded.hidden))
        q = self.queries(hidden)
        mask = Mask(causal=False, documents=encoded.documents, queries=encoded.query_documents)
        out = attention(q, k, v, mask=mask, scores=ScoreOptions(self.scale, None, self.softcap))
        return self.merge_heads(out)
