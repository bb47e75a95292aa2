"""Prefix tuning: learned keys and values that stand before those of every layer.

    out = softmax(q [P_k; k]ᵀ) [P_v; v]        for each layer its own P_k, P_v, of n positions

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
    Attention,
    KeysValues,
    ModelConfig,
    Transformer,
    TransformerBlock,
    attention_factor,
    get_rotation,
    rotate,
)

from .config import PrefixConfig
from .selection import AdaptedModule, AdapterSelection

PREFIX_POSITIONS = ("rope", "none")


class PrefixProjection(nn.Module):
    """The part of a projected prefix that all layers share: tanh(W_0 e)."""

    def __init__(self, length: int, width: int, inner: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(length, width))
        self.inner = nn.utils.skip_init(nn.Linear, width, inner)

    def forward(self) -> Float[Tensor, "n inner"]:
        return torch.tanh(self.inner(self.embedding))


class LayerPrefix(nn.Module):
    """One layer's keys and values, in PEFT's order: (n, 2, G, K)."""

    def __init__(self, config: ModelConfig, length: int, shared: PrefixProjection | None) -> None:
        super().__init__()
        part = config.attention
        size = 2 * part.kv_heads * part.head_dim
        self.length, self.shape, self.shared = length, (2, part.kv_heads, part.head_dim), shared
        self.table = nn.Parameter(torch.zeros(length, size)) if shared is None else None
        inner = None if shared is None else shared.inner.out_features
        self.outer = None if inner is None else nn.utils.skip_init(nn.Linear, inner, size)

    def flat(self) -> Float[Tensor, "n size"]:
        """Keys and values of all positions, as a file holds them."""
        if self.table is not None:
            return self.table
        assert self.outer is not None and self.shared is not None, "else it has a table"
        return self.outer(self.shared())

    def keys_values(self) -> KeysValues:
        """Keys before rotation and values, (1, G, n, K)."""
        k, v = self.flat().unflatten(1, self.shape).permute(1, 2, 0, 3)[:, None]
        return KeysValues(k, v)


class PrefixAttention(AdaptedModule):
    """An attention function before whose keys a prefix may stand; see `Attention.attend`."""

    def __init__(self, attention: Attention, config: ModelConfig, selection: AdapterSelection):
        super().__init__(attention.attend, selection)
        self.config, self.pattern = config, attention.pattern

    def forward(
        self, q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"],
        v: Float[Tensor, "B G S K"], *, mask: Mask, scores: ScoreOptions,
    ) -> Float[Tensor, "B H T K"]:  # fmt: skip
        if mask.prefix is not None:
            raise ConfigError("A prefix adapter does not combine with a prefix LM's mask.")
        acting = list(self.acting(len(q)))
        if len(acting) == 1 and acting[0][1] is None:
            return self.attend_with(acting[0][0], q, k, v, mask, scores)
        out = self.base(q, k, v, mask=mask, scores=scores)
        for prefix, rows in acting:
            assert rows is not None, "all sequences were handled before"
            own, rows = _select_mask(mask, rows, len(q)), rows.to(out.device)
            part = self.attend_with(prefix, q[rows], k[rows], v[rows], own, scores)
            out = out.index_copy(0, rows, part.to(out.dtype))
        return out

    def attend_with(
        self, prefix: LayerPrefix, q: Tensor, k: Tensor, v: Tensor, mask: Mask,
        scores: ScoreOptions,
    ) -> Float[Tensor, "B H T K"]:  # fmt: skip # long: one attention
        """Attend to the prefix and the keys in one softmax."""
        n, (B, T) = prefix.length, (len(q), q.shape[2])
        first, values = prefix.keys_values()
        if self.config.position.kind == "rope":
            places = torch.full((1, n), -n, device=q.device)
            by = get_rotation(
                self.config, places, first.dtype, is_window=self.pattern.kind == "window"
            )
            first = rotate(first, by) / attention_factor(self.config.position.scaling)
        keys = torch.cat([first.to(k.dtype).expand(B, -1, -1, -1), k], dim=2)
        values = torch.cat([values.to(v.dtype).expand(B, -1, -1, -1), v], dim=2)
        seen = self.visible_keys(mask, n, T, k.shape[2], q.device)  # (b, T, n + S)
        out = F.scaled_dot_product_attention(
            q, keys, values, attn_mask=seen[:, None], scale=scores.scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        if mask.documents is None:
            return out
        is_real = mask.documents[:, -T:] >= 0
        return out.masked_fill(~is_real[:, None, :, None], 0.0)

    def visible_keys(
        self, mask: Mask, n: int, T: int, S: int, device: torch.device
    ) -> Bool[Tensor, "b T keys"]:
        """Which of the prefix's and the other keys each query sees; within a window too."""
        seen = visible_mask(mask, T, S, device)
        if mask.pattern.kind == "full":
            return torch.cat([seen.new_ones(len(seen), T, n), seen], dim=2)
        places = torch.arange(S, device=device)[None]
        if mask.documents is not None:
            places = document_positions(mask.documents)
        distance = places[:, -T:, None] + n - torch.arange(n, device=device)  # (b, T, n)
        near = (distance < mask.pattern.window).expand(len(seen), T, n)
        return torch.cat([near, seen], dim=2)


def _select_mask(mask: Mask, rows: Tensor, batch: int) -> Mask:
    """The mask of some sequences."""
    documents = mask.documents
    if documents is None or len(documents) != batch:
        return mask
    return mask._replace(documents=documents[rows.to(documents.device)])


def attach_prefix(
    model: Transformer, name: str, config: PrefixConfig, selection: AdapterSelection, seed: int
) -> None:
    """Put a new prefix before the keys of every layer."""
    check_prefix_support(model.config)
    generator, part = torch.Generator().manual_seed(seed), model.config.attention
    width, shared = part.kv_heads * part.head_dim, None
    if config.projection:
        shared = PrefixProjection(config.length, width, config.projection_width or width)
    layers = add_prefix(model, name, config.length, shared, selection)
    weights = {id(p): p for layer in layers for p in layer.parameters()}
    tables = {id(layer.table) for layer in layers} | {id(shared and shared.embedding)}
    with torch.no_grad():
        for key, weight in weights.items():
            drawn = torch.empty(weight.shape)
            bound = 1 / (weight.shape[-1] if weight.ndim > 1 else width) ** 0.5
            drawn.normal_(generator=generator) if key in tables else drawn.uniform_(
                -bound, bound, generator=generator
            )
            weight.copy_(drawn)


def add_prefix(
    model: Transformer, name: str, length: int, shared: PrefixProjection | None,
    selection: AdapterSelection,
) -> list[LayerPrefix]:  # fmt: skip
    """Put an unfilled prefix into each layer, next to those of other adapters."""
    layers: list[LayerPrefix] = []
    for block in model.layers:
        assert isinstance(block, TransformerBlock)
        attention = block.attention
        if not isinstance(attention.attend, PrefixAttention):
            wrapped = PrefixAttention(attention, model.config, selection)
            del attention.attend  # a function cannot be replaced by a module otherwise
            attention.attend = wrapped
        layer = LayerPrefix(model.config, length, shared).to(model.head.device)
        attention.attend.adapters[name] = layer
        layers.append(layer)
    return layers


def check_prefix_support(config: ModelConfig) -> None:
    """Raise ConfigError for a model before whose keys no prefix can stand."""
    kinds = {pattern.kind for pattern in config.attention.patterns}
    unsupported = {
        f"position.kind={config.position.kind!r}": config.position.kind not in PREFIX_POSITIONS,
        f"kind={config.kind!r}": config.kind == "encoder_decoder",
        "prefix=true": config.prefix,
        "attention.softcap": config.attention.softcap is not None,
        f"attention patterns {', '.join(sorted(kinds))}": not kinds <= {"full", "window"},
    }
    if wrong := [what for what, is_wrong in unsupported.items() if is_wrong]:
        raise ConfigError(
            f"A prefix needs rotary or no positions and full or windowed attention; this model "
            f"has {' and '.join(wrong)}. Use LoRA."
        )


def prefix_layers(model: Transformer, name: str) -> list[LayerPrefix]:
    """The layers of a prefix, in order."""
    modules = model.named_modules()
    return [
        module
        for path, module in modules
        if isinstance(module, LayerPrefix) and path.endswith(f".adapters.{name}")
    ]
