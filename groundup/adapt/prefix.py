"""Prefix tuning: learned keys and values that stand before those of every layer.

    out = softmax(q [P_k; k]ᵀ) [P_v; v]        each layer has its own P_k, P_v, of n positions

The prefix stands before every document: its keys are not rotated, and a document's tokens begin at
position n. Here they begin at 0 and the prefix's keys are all rotated to -n, which gives the same
distances; so a cache holds no prefix, and an adapter can be switched between calls. Packed
documents all see the prefix. With a projection, keys and values are computed from one embedding:
P = W_i tanh(W_0 e) for layer i, with e and W_0 shared by all layers.
Source: Li and Liang 2021, arXiv:2101.00190; initialised as in PEFT.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.kernels import Mask, ScoreOptions, document_positions, visible_mask
from groundup.model import (
    KeysValues,
    ModelConfig,
    Transformer,
    TransformerBlock,
    get_rotation,
    rotate,
)

from .config import PrefixConfig
from .selection import AdaptedModule, AdapterSelection


class PrefixProjection(nn.Module):
    """The part of a projected prefix that all layers share: tanh(W_0 e)."""

    def __init__(self, length: int, width: int, inner: int) -> None:
        super().__init__()
        self.embedding, self.inner = nn.Embedding(length, width), nn.Linear(width, inner)

    def forward(self) -> Float[Tensor, "n inner"]:
        """The hidden features of all positions."""
        return torch.tanh(self.inner(self.embedding.weight))


class LayerPrefix(nn.Module):
    """One layer's keys and values, in PEFT's order: (n, 2, G, K)."""

    def __init__(
        self, config: ModelConfig, layer: int, length: int, shared: PrefixProjection | None
    ) -> None:
        super().__init__()
        part, size = config.attention, 2 * key_width(config)
        self.length, self.shape, self.shared = length, (2, part.kv_heads, part.head_dim), shared
        inner = None if shared is None else shared.inner.out_features
        self.table = nn.Embedding(length, size) if inner is None else nn.Linear(inner, size)
        self.rotation = None
        if config.rotates(layer):
            places, kind = torch.full((1, length), -length), config.pattern(layer).kind
            by = get_rotation(config, places, torch.float32, is_window=kind == "window")
            scale = torch.hypot(by.cos, by.sin)  # scaled rotations lengthen, but never a prefix
            self.rotation = by._replace(cos=by.cos / scale, sin=by.sin / scale)

    def flat(self) -> Float[Tensor, "n size"]:
        """Keys and values of all positions, as a file holds them."""
        return self.table.weight if self.shared is None else self.table(self.shared())

    def keys_values(self) -> KeysValues:
        """Rotated keys, and values, (1, G, n, K)."""
        k, v = self.flat().unflatten(1, self.shape).permute(1, 2, 0, 3)[:, None]
        if self.rotation is not None:
            cos, sin = (x.to(k.device) for x in self.rotation[:2])
            k = rotate(k, self.rotation._replace(cos=cos, sin=sin))
        return KeysValues(k, v)


class PrefixAttention(AdaptedModule):
    """An attention function before whose keys a prefix may stand; see `Attention.attend`."""

    def forward(
        self, q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"],
        v: Float[Tensor, "B G S K"], *, mask: Mask, scores: ScoreOptions,
    ) -> Float[Tensor, "B H T K"]:  # fmt: skip
        """Attend, each sequence to the prefixes that act on it."""
        acting = list(self.acting(len(q)))
        if len(acting) == 1 and acting[0][1] is None:
            return self.attend_with(acting[0][0], q, k, v, mask, scores)
        out = self.base(q, k, v, mask=mask, scores=scores)
        for prefix, rows in acting:
            assert rows is not None, "all sequences were handled before"
            rows, own = rows.to(out.device), mask
            if mask.documents is not None and len(mask.documents) == len(q):
                own = mask._replace(documents=mask.documents[rows])
            part = self.attend_with(prefix, q[rows], k[rows], v[rows], own, scores)
            out = out.index_copy(0, rows, part.to(out.dtype))
        return out

    def attend_with(
        self, prefix: LayerPrefix, q: Tensor, k: Tensor, v: Tensor, mask: Mask,
        scores: ScoreOptions,
    ) -> Float[Tensor, "B H T K"]:  # fmt: skip
        """Attend to the prefix and the keys in one softmax."""
        first, values = (x.to(k.dtype).expand(len(k), -1, -1, -1) for x in prefix.keys_values())
        seen = prefix_mask(mask, prefix.length, q.shape[2], k.shape[2], q.device)
        k, v = torch.cat([first, k], dim=2), torch.cat([values, v], dim=2)  # (B, G, n + S, K)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen[:, None], scale=scores.scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        if mask.documents is None:
            return out
        is_padding = mask.documents[:, -q.shape[2] :] < 0
        return out.masked_fill(is_padding[:, None, :, None], 0.0)


def prefix_mask(
    mask: Mask, n: int, T: int, S: int, device: torch.device
) -> Bool[Tensor, "b T keys"]:
    """Which of n keys of a prefix and of S others each query sees; of a window's the near ones."""
    seen = visible_mask(mask, T, S, device)
    own = seen.new_ones(len(seen), T, n)
    if mask.pattern.kind == "window":
        places = torch.arange(S, device=device)[None]
        places = places if mask.documents is None else document_positions(mask.documents)
        distances = places[:, -T:, None] + n - torch.arange(n, device=device)  # (b, T, n)
        own = own & (distances < mask.pattern.window)
    return torch.cat([own, seen], dim=2)


def attach_prefix(
    model: Transformer, name: str, config: PrefixConfig, selection: AdapterSelection
) -> None:
    """Put a new prefix before the keys of every layer; ConfigError where none can stand."""
    _check_prefix_support(model.config)
    width, shared = key_width(model.config), None
    if config.projection:
        shared = PrefixProjection(config.length, width, config.projection_width or width)
    for number, block in enumerate(model.layers):
        assert isinstance(block, TransformerBlock)
        attention = block.attention
        if not isinstance(attention.attend, PrefixAttention):
            wrapped = PrefixAttention(attention.attend, selection)
            del attention.attend  # a function cannot be replaced by a module otherwise
            attention.attend = wrapped
        layer = LayerPrefix(model.config, number, config.length, shared).to(model.head.device)
        attention.attend.adapters[name] = layer


def _check_prefix_support(config: ModelConfig) -> None:
    position, part = config.position.kind, config.attention
    others = {p.kind for p in part.patterns} - {"full", "window"}
    is_wrong = position not in ("rope", "none") or config.kind == "encoder_decoder" or others
    if part.sinks or part.latent is not None or part.qk_norm == "rotated":
        raise ConfigError("A prefix cannot stand before keys of latent attention, of sinks or with "
                          "norms after their rotation. Use LoRA.")  # fmt: skip
    if is_wrong or config.prefix or part.softcap is not None:
        has = f"kind={config.kind!r}, prefix={config.prefix}, position.kind={position!r}, "
        has += f"softcap={part.softcap}, patterns {', '.join(p.kind for p in part.patterns)}"
        what = "A prefix needs rotary or no positions, full or windowed attention without softcap"
        raise ConfigError(f"{what} and no encoder–decoder or prefix LM; this has {has}. Use LoRA.")


def key_width(config: ModelConfig) -> int:
    """Features of one layer's keys."""
    return config.attention.kv_heads * config.attention.head_dim
