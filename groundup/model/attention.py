"""The attention of a block, and the cache of keys and values that it fills during generation.

    q, k, v = x W_q, y W_k, y W_v        y = x, or an encoder's output in cross attention
    out = attend(rotate(norm(q)), rotate(norm(k)), v) W_o

Norms of queries and keys bound the scores however weights grow. The cache is contiguous: the keys
and values of all tokens so far, one tensor per layer, and those of an encoder's output, which are
computed once. All sequences of a batch have the same length; shorter prompts are padded on the
left, with -1 in `documents`. Memory for `capacity` tokens is allocated at once.
Source: Vaswani et al. 2017, arXiv:1706.03762; the norms: Henry et al. 2020, arXiv:2010.04245.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.core import CapacityError
from groundup.kernels import (
    AttentionPattern,
    Branches,
    Mask,
    ScoreOptions,
    attention,
    branched_attention,
)

from .configuration.config import ModelConfig
from .norm import RMSNorm, build_norm
from .positions import BucketBias, DistanceBias, Rotation, disentangled_bias, rotate


class KeysValues(NamedTuple):
    """Keys and values of all tokens so far."""

    keys: Tensor
    values: Tensor


class Cache:
    """Keys and values of a batch of sequences during generation."""

    def __init__(
        self, config: ModelConfig, batch: int, capacity: int, dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        row, own = config.attention.cache_row, {"dtype": dtype, "device": device}
        shapes = [(batch, row.heads, capacity, features) for features in (row.keys, row.values)]
        self.keys = [torch.zeros(shapes[0], **own) for _ in range(config.layers)]  # type: ignore[arg-type]
        self.values = [torch.zeros(shapes[1], **own) for _ in self.keys]  # type: ignore[arg-type]
        self.length, self.capacity = 0, capacity
        self.document_indices: Tensor | None = None
        self.encoder_keys_values: dict[int, KeysValues] = {}

    @property
    def documents(self) -> Int[Tensor, "B S"] | None:
        """Document index of every position so far, -1 for padding; None: one document."""
        return None if self.document_indices is None else self.document_indices[:, : self.length]

    @property
    def bytes(self) -> int:
        """Memory of the keys and values."""
        read = [tensor for pair in self.encoder_keys_values.values() for tensor in pair]
        return sum(t.numel() * t.element_size() for t in self.keys + self.values + read)

    def begin(self, tokens: int, documents: Int[Tensor, "B T"] | None) -> Int[Tensor, "B S"] | None:
        """Reserve space for a call's tokens; return the document indices that attention needs.

        Tokens without document indices belong to document 0.

        Raises CapacityError if the tokens do not fit.
        """
        end = self.length + tokens
        if end > self.capacity:
            what = f"The cache has capacity for {self.capacity} tokens and {end} are needed"
            raise CapacityError(f"{what}; increase it or shorten the prompt.")
        if documents is not None and self.document_indices is None:
            self.document_indices = documents.new_zeros(len(self.keys[0]), self.capacity)
        if self.document_indices is None:
            return None
        self.document_indices[:, self.length : end] = 0 if documents is None else documents
        return self.document_indices[:, :end]

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T W"]
    ) -> KeysValues:
        """Write a layer's new keys and values; return all of them, as views (B, G, S, ·)."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return KeysValues(self.keys[layer][:, :, :end], self.values[layer][:, :, :end])

    def once(self, layer: int, make: Callable[[], KeysValues]) -> KeysValues:
        """A layer's keys and values of an encoder's output; `make` runs only in the first call."""
        if layer not in self.encoder_keys_values:
            self.encoder_keys_values[layer] = make()
        return self.encoder_keys_values[layer]

    def advance(self, tokens: int) -> None:
        """Commit a call's tokens once every layer has written them."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Discard everything from position `length` on."""
        self.length = min(self.length, length)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep these sequences of the batch, in this order, such as the unfinished ones."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        self.encoder_keys_values = {
            layer: KeysValues(k[rows], v[rows])
            for layer, (k, v) in self.encoder_keys_values.items()
        }
        if self.document_indices is not None:
            self.document_indices = self.document_indices[rows]


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
    distances: tuple[Float[Tensor, "1 N D"], Int[Tensor, "T S"]] | None = None
    """Vectors of distances, and the index of each pair's, in disentangled attention."""
    temperature: Float[Tensor, "b 1 T 1"] | None = None
    """Factor of the queries of layers that do not rotate."""
    cache: Cache | None = None
    encoded: EncoderOutput | None = None
    branches: Branches | None = None
    """How rows fork, if they do."""
    routing: list[Tensor] | None = None
    """Receives the router logits (N, E) of every layer with experts."""

    def rotation_of(self, pattern: AttentionPattern) -> Rotation | None:
        """The rotation of layers with a pattern."""
        return self.window_rotation if pattern.kind == "window" else self.rotation


NO_CONTEXT = Context()
LATENT_EPS = 1e-6
"""Of the norms of latent vectors, whatever that of the other norms (DeepSeek)."""


def sequence_lengths(context: Context, positions: Int[Tensor, "b T"]) -> Int[Tensor, "rows t"]:
    """Tokens that each token's sequence will have: a cache's capacity, or those of its document."""
    if context.cache is not None:
        return positions.new_full((1, 1), context.cache.capacity)
    documents = context.mask.documents
    if documents is None:
        return positions.max()[None, None] + 1
    numbers = documents + 1
    counts = numbers.new_zeros(len(numbers), int(numbers.max()) + 1)
    return counts.scatter_add_(1, numbers, torch.ones_like(numbers)).gather(1, numbers)


_Unfilled: Any = type("_Unfilled", (nn.Linear,), {"reset_parameters": lambda layer: None})


def empty_linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """A linear layer whose weights `initialise` or `load` fills."""
    layer = _Unfilled(inputs, outputs, bias)  # nn.utils.skip_init takes ten times as long
    layer.__class__ = nn.Linear
    return layer


def empty_sinks(config: ModelConfig) -> nn.Parameter | None:
    """The sinks of an attention, if it has some."""
    return nn.Parameter(torch.empty(config.attention.heads)) if config.attention.sinks else None


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
        has_norm = part.qk_norm in ("head", "all")
        self.q_norm = build_norm(config.norm, sizes[0]) if has_norm else nn.Identity()
        self.k_norm = build_norm(config.norm, sizes[1]) if has_norm else nn.Identity()
        products = 3 if config.position.kind == "disentangled" else 1  # added up in a score
        scale = 1 / math.sqrt(self.head_dim * products)
        self.scale = scale if part.scale is None else part.scale
        self.softcap, self.clip = part.softcap, part.clip

    def queries(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """Normed queries, split into heads."""
        return self.norm_and_split(self.clipped(self.q_proj(hidden)), self.q_norm)

    def keys_values(self, hidden: Float[Tensor, "B S D"]) -> KeysValues:
        """Normed keys, and values, split into heads."""
        values = self.clipped(self.v_proj(hidden)).unflatten(-1, (-1, self.head_dim))
        return KeysValues(self.keys(hidden), values.transpose(1, 2))

    def keys(self, hidden: Float[Tensor, "B S D"]) -> Float[Tensor, "B G S K"]:
        """Normed keys, split into heads."""
        return self.norm_and_split(self.clipped(self.k_proj(hidden)), self.k_norm)

    def clipped(self, x: Float[Tensor, "B T HK"]) -> Float[Tensor, "B T HK"]:
        """Features within the configured limits."""
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

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
        self.rotates = config.rotates(layer)
        is_xl = config.position.kind == "transformer_xl"
        self.distance = DistanceBias(config) if is_xl else None
        has_buckets = config.position.kind == "buckets" and not config.position.shared
        self.relative = BucketBias(config) if has_buckets else None
        is_normed, eps = config.attention.qk_norm == "rotated", config.norm.eps
        own = nn.RMSNorm(self.head_dim, eps, elementwise_affine=False)
        self.rotated_norm = own if is_normed else nn.Identity()
        self.sinks = empty_sinks(config)
        self.attend: Callable[..., Tensor] = attention
        """The attention function; replaced where a sequence is sharded over processes."""

    def forward(
        self, hidden: Float[Tensor, "B T D"], context: Context = NO_CONTEXT
    ) -> Float[Tensor, "B T D"]:
        """Attend within the sequence, and to earlier calls' tokens in the cache."""
        q, (k, v) = self.queries(hidden), self.keys_values(hidden)  # (B, H or G, T, K)
        by = context.rotation_of(self.pattern)
        if by is not None and self.rotates:
            q, k = self.rotated_norm(rotate(q, by)), self.rotated_norm(rotate(k, by))
        elif context.temperature is not None:
            q = q * context.temperature
        if context.cache is not None:
            k, v = context.cache.update(self.layer, k, v)  # (B, G, S, K)
        q, bias = self.with_bias(q, k, context)
        mask = context.mask._replace(pattern=self.pattern)
        scores, attend = ScoreOptions(self.scale, bias, self.softcap, self.sinks), self.attend
        if context.branches is not None:
            attend = partial(branched_attention, branches=context.branches)
        return self.merge_heads(attend(q, k, v, mask=mask, scores=scores))

    def with_bias(
        self, q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], context: Context
    ) -> tuple[Tensor, Float[Tensor, "b H T S"] | None]:
        """Queries, and what is added to their scores."""
        if self.distance is not None:
            return self.distance(q, k.shape[2], self.scale)
        if self.relative is not None:
            causal = context.mask.causal
            return q, self.relative(q.shape[2], k.shape[2], causal=causal).to(q.dtype)
        if context.distances is not None:
            vectors, index = context.distances  # which the layer projects as it does tokens
            both = self.queries(vectors), self.keys(vectors)
            return q, disentangled_bias(q, k, *both, index) * self.scale
        return q, context.bias


class LatentAttention(nn.Module):
    """Self-attention whose keys and values are projections of one narrow vector per token.

    Only this vector and the rotated key that all heads share are cached. Queries of a prompt meet
    keys and values that are projected from them; later ones are projected to the vector instead,
    which is then key and value of every head: (q W_k^T) c = q (W_k c).
    Source: DeepSeek-AI 2024, arXiv:2405.04434, section 2.1.
    """

    q_proj: nn.Linear
    q_b_proj: nn.Linear

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        part, latent, width = config.attention, config.attention.latent, config.width
        assert latent is not None, "the attention has a latent"
        self.layer, self.pattern, self.rotates = layer, config.pattern(layer), config.rotates(layer)
        self.heads, self.rank = part.heads, latent.rank
        self.unrotated, self.value_dim = part.head_dim - latent.rotated, latent.value_dim
        inner, from_queries = part.heads * part.head_dim, latent.query_rank
        linear = partial(empty_linear, bias=part.bias == "all")
        norm = partial(RMSNorm, eps=LATENT_EPS, zero_centred=config.norm.zero_centred)
        self.q_a_proj = linear(width, from_queries) if from_queries else None
        self.q_a_norm = norm(from_queries) if from_queries else None
        name = "q_b_proj" if from_queries else "q_proj"
        self.add_module(name, empty_linear(from_queries or width, inner))
        self.kv_a_proj = linear(width, latent.rank + latent.rotated)
        self.kv_a_norm = norm(latent.rank)
        outputs = part.heads * (self.unrotated + latent.value_dim)
        self.kv_b_proj = empty_linear(latent.rank, outputs)
        self.o_proj = linear(part.heads * latent.value_dim, width)
        self.scale = 1 / math.sqrt(part.head_dim) if part.scale is None else part.scale
        if latent.mscale and config.position.scaling.kind != "none":
            self.scale *= (1 + 0.1 * latent.mscale * math.log(config.position.scaling.factor)) ** 2
        self.softcap, self.sinks = part.softcap, empty_sinks(config)
        self.attend: Callable[..., Tensor] = attention

    def forward(
        self, hidden: Float[Tensor, "B T D"], context: Context = NO_CONTEXT
    ) -> Float[Tensor, "B T D"]:
        """Attend within the sequence, and to earlier calls' tokens in the cache."""
        q, row = self.queries(hidden), self.kv_a_proj(hidden)[:, None]
        latent, key = row[..., : self.rank], row[..., self.rank :]  # (B, 1, T, ·)
        by = context.rotation_of(self.pattern)
        if by is not None and self.rotates:
            turned = rotate(q[..., self.unrotated :], by)
            q, key = torch.cat([q[..., : self.unrotated], turned], dim=-1), rotate(key, by)
        row = torch.cat([self.kv_a_norm(latent), key], dim=-1)
        if context.cache is not None:
            row = context.cache.update(self.layer, row, row[..., :0]).keys  # (B, 1, S, ·)
        scores = ScoreOptions(self.scale, context.bias, self.softcap, self.sinks)
        run = partial(self.attend, mask=context.mask._replace(pattern=self.pattern), scores=scores)
        # An adapted or quantized projection cannot be moved to the queries.
        is_whole = row.shape[2] == hidden.shape[1] or type(self.kv_b_proj) is not nn.Linear
        out = self.attend_expanded(q, row, run) if is_whole else self.attend_latent(q, row, run)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def queries(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        """Queries, split into heads."""
        if self.q_a_proj is None or self.q_a_norm is None:
            q = self.q_proj(hidden)
        else:
            q = self.q_b_proj(self.q_a_norm(self.q_a_proj(hidden)))
        return q.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attend_expanded(
        self, q: Float[Tensor, "B H T K"], row: Float[Tensor, "B 1 S C"],
        run: Callable[..., Tensor],
    ) -> Float[Tensor, "B H T W"]:  # fmt: skip
        """Attend to the keys and values of every head."""
        latent, key = row[:, 0, :, : self.rank], row[..., self.rank :]
        both = self.kv_b_proj(latent).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = both.split([self.unrotated, self.value_dim], dim=-1)
        return run(q, torch.cat([k, key.expand(-1, self.heads, -1, -1)], dim=-1), v)

    def attend_latent(
        self, q: Float[Tensor, "B H T K"], row: Float[Tensor, "B 1 S C"],
        run: Callable[..., Tensor],
    ) -> Float[Tensor, "B H T W"]:  # fmt: skip
        """The same result, attending to what is cached."""
        both = self.kv_b_proj.weight.unflatten(0, (self.heads, -1))
        to_keys, to_values = both.split([self.unrotated, self.value_dim], dim=1)  # (H, ·, rank)
        moved = q[..., : self.unrotated] @ to_keys
        q = torch.cat([moved, q[..., self.unrotated :]], dim=-1)
        return run(q, row, row[..., : self.rank]) @ to_values.mT


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
