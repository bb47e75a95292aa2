"""A model with a cache of blocks, on the native stack.

`supports` names what the stack computes: dense decoders with rotary, learned, sinusoidal, ALiBi or
no positions and full or windowed attention, which are the families of LLaMA, Qwen, Gemma, GPT-2 and
their like, but not LongRoPE and dynamic scaling, whose angles depend on the length of a sequence,
nor rounded ALiBi (Falcon RW), nor clipped queries, keys and values (OLMo 7B), nor experts, latent
attention, sinks, norms after rotation and growing temperatures (`unsupported_parts`). Token ids in,
logits out; no text and no sampling.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.core import ConfigError, device
from groundup.kernels import (
    BLOCK_TOKENS,
    INPUT_GROUP,
    WEIGHT_GROUPS,
    BlockCache,
    LayerWeights,
    NativeStack,
    NormWeights,
    PackedMatrix,
    QuantizedLinear,
    StackBatch,
    StackShape,
    StackWeights,
    pack_matrix,
    quantize_groups,
    stack_library,
)

from ..attention import Attention
from ..configuration.config import ModelConfig
from ..configuration.positions import RopeScaling
from ..feedforward import FeedForward
from ..norm import LayerNorm, RMSNorm
from ..positions import _alibi_slopes, attention_factor, cached_frequencies, sinusoids
from ..transformer import Transformer, TransformerBlock, has_adapters

Bits = Literal[32, 16, 8, 4]
NATIVE_POSITIONS = ("rope", "learned", "sinusoidal", "alibi", "none")
NATIVE_PATTERNS = ("full", "window")


class PagedShape(NamedTuple):
    """What who fills a cache of blocks must know of a decoder."""

    vocab_size: int
    context_length: int
    window: int = 0
    """Tokens that every layer sees at most; 0: all."""
    chunks: bool = True
    """Whether a prompt may be computed in parts, which a prefix LM's may not."""

    @classmethod
    def of(cls, config: ModelConfig) -> "PagedShape":
        """The shape of a model of ours."""
        patterns = config.attention.patterns
        is_local = all(each.kind == "window" for each in patterns) and not config.prefix
        window = max(each.window for each in patterns) if is_local else 0
        return cls(config.vocab_size, config.context_length, window, not config.prefix)


class PagedPart(NamedTuple):
    """Tokens to append to a sequence."""

    table: Sequence[int]
    """Its blocks, of these tokens too."""
    ids: Sequence[int]
    first: int
    """Position of the first."""
    wanted: int = 1
    """Number of last tokens whose logits are wanted."""
    source: Sequence[int] | None = None


class PagedBatch(NamedTuple):
    """Tokens of some sequences, one after the other; see `StackBatch`."""

    ids: Int[Tensor, " tokens"]
    positions: Int[Tensor, " tokens"]
    starts: Int[Tensor, " sequences+1"]
    blocks: Int[Tensor, "sequences width"]
    selected: Int[Tensor, " count"]
    """Tokens whose logits are wanted, ascending."""
    sources: Sequence[Sequence[int]] = ()
    """The source of each sequence of an encoder–decoder."""

    @classmethod
    def of(cls, parts: Sequence[PagedPart]) -> "PagedBatch":
        """The batch of these parts, in their order; tables are filled up with block 0."""
        starts = [0, *accumulate(len(part.ids) for part in parts)]
        ends = zip(starts[1:], parts, strict=True)
        width = max(len(part.table) for part in parts)
        new = partial(torch.tensor, dtype=torch.int32)
        return cls(
            new([token for part in parts for token in part.ids]),
            new([part.first + at for part in parts for at in range(len(part.ids))]),
            new(starts),
            new([[*part.table, *[0] * (width - len(part.table))] for part in parts]),
            new([place for end, part in ends for place in range(end - part.wanted, end)]),
            [part.source for part in parts if part.source is not None],
        )


@runtime_checkable
class PagedDecoder(Protocol):
    """A model with a cache of blocks."""

    shape: PagedShape
    num_blocks: int

    def run(self, batch: PagedBatch) -> Float[Tensor, "count V"]:
        """Append the tokens to their sequences; logits of the selected ones."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block's keys and values in all layers."""
        ...


def unsupported_parts(config: ModelConfig) -> list[str]:
    """What the native stack does not compute of a configuration: none, or why it cannot run."""
    part, position = config.attention, config.position
    patterns = sorted({each.kind for each in part.patterns} - set(NATIVE_PATTERNS))
    parts = {
        f"kind={config.kind!r}": config.kind != "decoder",
        "a prefix": config.prefix,
        f"position.kind={position.kind!r}": position.kind not in NATIVE_POSITIONS,
        "rounded ALiBi": position.rounded,
        position.scaling.kind: position.scaling.depends_on_length,
        "clipped queries, keys and values": part.clip is not None,
        "attention sinks": part.sinks,
        "latent attention": part.latent is not None,
        "norms after rotation": part.qk_norm == "rotated",
        "growing temperatures": part.temperature_length > 0,
        f"patterns {', '.join(patterns)}": bool(patterns),
        "experts": config.feedforward.experts is not None,
        "token types": config.embedding.types > 0,
        "a transformed output": config.output.transform != "none",
    }
    return [name for name, is_there in parts.items() if is_there]


def unsupported_reason(model: Transformer) -> str:
    """Why the native stack does not compute this model here; empty where it does.

    It runs on a CPU with a compiler, in float32 or bfloat16, for the parts that the module names,
    and without adapters, which it would not see. GROUNDUP_STACK=torch turns it off.
    """
    weight, parts = model.head, unsupported_parts(model.config)
    reasons = {
        "GROUNDUP_STACK=torch": device.env_choice("GROUNDUP_STACK", "native", "torch") == "torch",
        ", ".join(parts): bool(parts), "adapters": has_adapters(model),
        f"weights on {weight.device}": weight.device.type != "cpu",
        f"weights of {weight.dtype}": weight.dtype not in (torch.float32, torch.bfloat16),
    }  # fmt: skip
    found = next((reason for reason, is_there in reasons.items() if is_there), "")
    return found or ("" if stack_library() is not None else "no compiler")


def supports(model: Transformer) -> bool:
    """Whether the native stack computes this model here; see `unsupported_reason`."""
    return not unsupported_reason(model)


class NativeDecoder:
    """A model whose blocks run in C++."""

    def __init__(
        self, model: Transformer, num_blocks: int, *, bits: Bits | None = None,
        cache_dtype: torch.dtype | None = None, weights: StackWeights | None = None,
    ) -> None:  # fmt: skip
        """Pack a model's weights and allocate its cache.

        num_blocks   of 32 tokens
        bits         of the weights; default: as they are, integers or the model's dtype
        cache_dtype  float32, bfloat16 or int8; default: the model's dtype
        weights      packed before, by `stack_weights`

        Raises ConfigError for a model that `supports` refuses.
        """
        if bits not in (None, 32, 16, 8, 4):
            raise ConfigError(f"bits={bits} are no format of weights; use 32, 16, 8 or 4.")
        if num_blocks < 1:
            raise ConfigError(f"num_blocks={num_blocks} must be at least 1.")
        if reason := unsupported_reason(model):
            raise ConfigError(f"The native stack cannot run this model: {reason}.")
        self.model, self.config, self.num_blocks = model, model.config, num_blocks
        self.shape = PagedShape.of(model.config)
        self.cache_dtype = cache_dtype or model.head.dtype
        self.bits: Bits | None = bits
        if weights is None:
            weights = stack_weights(model, self.bits)
        tokens = min(num_blocks * BLOCK_TOKENS, model.config.context_length)
        positions = -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS
        self.weights = replace(weights, rotations=_rotations(model.config, positions))
        self.cache = BlockCache(self.weights, num_blocks, self.cache_dtype)
        self.stack = NativeStack(self.weights, self.cache)

    def refresh(self) -> None:
        """Pack changed weights into the same memory; what is cached is of the old ones."""
        weights = stack_weights(self.model, self.bits, self.weights)
        self.weights = replace(weights, rotations=self.weights.rotations)
        self.stack = NativeStack(self.weights, self.cache)

    def resized(self, num_blocks: int) -> "NativeDecoder":
        """The same weights with a cache of its own, of so many blocks."""
        return NativeDecoder(
            self.model, num_blocks, bits=self.bits, cache_dtype=self.cache_dtype,
            weights=self.weights,
        )  # fmt: skip

    @property
    def cache_bytes(self) -> int:
        """Memory of keys, values and their scales."""
        return self.cache.bytes

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block's keys and values in all layers."""
        self.cache.copy_block(source, target)

    def run(self, batch: PagedBatch) -> Float[Tensor, "count V"]:
        """Append the tokens to their sequences; logits of the selected ones, float32."""
        hidden = self.embed(batch)
        stack = StackBatch(batch.starts, batch.positions, batch.blocks, batch.selected)
        return self.stack.run(hidden, stack)

    def embed(self, batch: PagedBatch) -> Float[Tensor, "tokens D"]:
        """Token embeddings with absolute positions, float32."""
        model, positions = self.model, batch.positions.long()[None]
        hidden = model.embed(batch.ids.long()[None]).float()
        if model.embed_positions is not None:
            offset = self.config.position.offset
            hidden = hidden + model.embed_positions(positions + offset).float()
        elif self.config.position.kind == "sinusoidal":
            hidden = hidden + sinusoids(positions, self.config.width)
        return model.embed_norm(hidden)[0].contiguous()


def stack_weights(
    model: Transformer, bits: Bits | None = None, into: StackWeights | None = None
) -> StackWeights:
    """A model's weights in panels; the head of 4-bit weights has 8 bits, as rounding it costs most.

    Without rotations, which depend on the cache's size.

    bits  default: as the model has them, integers or its dtype
    into  weights of this model in as many bits, whose memory is used again
    """
    config = model.config
    part, feed = config.attention, config.feedforward
    first = model.layers[0]
    assert isinstance(first, TransformerBlock)
    shape = StackShape(
        config.width, part.heads, part.kv_heads, part.head_dim, feed.width, feed.activation,
        feed.gated, config.norm.place == "post", config.parallel, part.qk_norm == "all",
        first.attention.scale, part.softcap or 0.0, config.output.scale,
        config.output.softcap or 0.0, config.residual_scale, config.rotary_dim // 2,
        config.position.interleaved,
    )  # fmt: skip
    slopes = _alibi_slopes(part.heads) if config.position.kind == "alibi" else None
    memory = iter(() if into is None else into.matrices)
    return StackWeights(
        shape,
        [_layer_weights(config, i, block, bits, memory) for i, block in enumerate(model.layers)],
        _norm_weights(model.norm),
        _pack([model.head], [model.lm_bias], bits and max(bits, 8), memory),
        slopes=slopes,
    )  # fmt: skip


def _layer_weights(
    config: ModelConfig, number: int, block: nn.Module, bits: int | None,
    memory: Iterator[PackedMatrix],
) -> LayerWeights:  # fmt: skip
    assert isinstance(block, TransformerBlock)
    attention, feed = block.attention, block.feedforward
    assert isinstance(attention, Attention) and isinstance(feed, FeedForward)
    own = [attention.q_proj, attention.k_proj, attention.v_proj]
    ups = [layer for layer in (feed.gate_proj, feed.up_proj) if layer is not None]
    pattern = config.pattern(number)
    return LayerWeights(
        _norm_weights(block.attention_norm), _norm_weights(attention.q_norm),
        _norm_weights(attention.k_norm), _norm_weights(block.attention_out_norm),
        _norm_weights(block.feedforward_norm), _norm_weights(block.feedforward_out_norm),
        qkv=_pack_layers(own, bits, memory), out=_pack_layers([attention.o_proj], bits, memory),
        up=_pack_layers(ups, bits, memory), down=_pack_layers([feed.down_proj], bits, memory),
        window=pattern.window,
        rotation=int(pattern.kind == "window") if config.rotates(number) else None,
    )  # fmt: skip


def _pack_layers(
    layers: Sequence[nn.Linear | QuantizedLinear], bits: int | None, memory: Iterator[PackedMatrix]
) -> PackedMatrix:
    biases = [each.bias for each in layers]
    own = [each for each in layers if isinstance(each, QuantizedLinear)]
    if len(own) == len(layers) and _share_integers(own, bits):
        pairs = ((layer.integers(), layer.scale) for layer in own)
        integers, scales = (torch.cat(each) for each in zip(*pairs, strict=True))
        bias, into = _stack_biases(biases, [m.out_features for m in own]), next(memory, None)
        return pack_matrix(integers, bits=own[0].bits, scales=scales, bias=bias, into=into)
    weights = [
        each.dequantize() if isinstance(each, QuantizedLinear) else each.weight for each in layers
    ]
    return _pack(weights, biases, bits, memory)


def _share_integers(layers: Sequence[QuantizedLinear], bits: int | None) -> bool:
    """Whether layers have the same bits and groups, and those that are asked for here."""
    first = layers[0]
    is_same = all((m.bits, m.group) == (first.bits, first.group) for m in layers)
    return is_same and first.group % INPUT_GROUP == 0 and bits in (None, first.bits)


def _pack(
    weights: Sequence[Tensor], biases: Sequence[Tensor | None], bits: int | None,
    memory: Iterator[PackedMatrix],
) -> PackedMatrix:  # fmt: skip
    """Pack weights one below the other, into the next matrix of `memory` if there is one."""
    weight = weights[0] if len(weights) == 1 else torch.cat([each.detach() for each in weights])
    bits = bits or (16 if weight.dtype == torch.bfloat16 else 32)
    bias = _stack_biases(biases, [len(each) for each in weights])
    groups, into = WEIGHT_GROUPS.get(bits, ()), next(memory, None)
    group = next((each for each in groups if weight.shape[1] % each == 0), None)
    if bits > 8 or group is None:  # inputs that are no multiple of 32 stay as they are
        kept = 16 if weight.dtype == torch.bfloat16 else max(bits, 16)
        return pack_matrix(weight, bits=32 if kept == 32 else 16, bias=bias, into=into)
    numbers, scales = quantize_groups(weight, bits=8 if bits == 8 else 4, group=group)
    return pack_matrix(numbers, bits=8 if bits == 8 else 4, scales=scales, bias=bias, into=into)


def _stack_biases(biases: Sequence[Tensor | None], sizes: Sequence[int]) -> Tensor | None:
    """Biases one below the other, zeros for those that are missing; None without any."""
    if all(each is None for each in biases):
        return None
    pairs = zip(biases, sizes, strict=True)
    return torch.cat([torch.zeros(n) if b is None else b.detach().float() for b, n in pairs])


def _norm_weights(norm: nn.Module) -> NormWeights:
    if isinstance(norm, RMSNorm):
        weight = norm.weight.detach().float() + norm.offset
        return NormWeights("rms", weight.contiguous(), None, norm.eps)
    if isinstance(norm, LayerNorm):
        bias = None if norm.bias is None else norm.bias.detach().float().contiguous()
        weight = torch.ones(norm.shape) if norm.weight is None else norm.weight.detach().float()
        return NormWeights("layer", (weight + norm.offset).contiguous(), bias, norm.eps)
    return NormWeights()


def _rotations(config: ModelConfig, positions: int) -> list[tuple[Tensor, Tensor]]:
    """Cosines and sines of every position: in general, and in layers with a window."""
    part = config.position
    if part.kind != "rope":
        return []
    window_base = part.window_base or part.base
    window_scaling = part.scaling if part.window_base is None else RopeScaling()
    tables = []
    for base, scaling in ((part.base, part.scaling), (window_base, window_scaling)):
        shape = config.rotary_dim, base, scaling, config.context_length
        radians = cached_frequencies(*shape, torch.float32, torch.device("cpu"))  # pyright: ignore[reportArgumentType]
        # Doubles of the float32 angles: a float32 cosine may depend on where in a table it lies.
        angles = (torch.arange(positions)[:, None] * radians).double()
        factor = attention_factor(scaling)
        tables.append(((angles.cos() * factor).float(), (angles.sin() * factor).float()))
    return tables
