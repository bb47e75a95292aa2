"""Positions: absolute vectors, biases by distance, and rotation.

Absolute: a vector per position, added to the token embedding before the first layer. Learned
embeddings end with their table; sinusoids have no end, but a model does not generalise to positions
that it has not seen.

Relative: biases (b, H, T, S) of the scores by the distance between query and key, which is the
key's position minus the query's: a fixed penalty (ALiBi), a learned number per bucket of distances
(T5), the product of the query with a learned projection of the distance's sinusoid
(Transformer-XL, Gopher), and the products of query and key with projections of a learned vector of
the distance (DeBERTa).

Rotary: each pair of features is rotated by an angle proportional to the position, so that the dot
product of a query at t and a key at s depends only on t - s. Beyond the trained context length
angles appear that the model has not seen; scaling maps them back: all by one factor (linear), slow
pairs more than fast ones (NTK, by a larger base; dynamic, the more the longer a sequence is), or by
the number of turns within the original length (YaRN, Llama 3), or each pair by a searched factor
(LongRoPE).

Knows nothing of tokens, masks, caches or models; see attention.py for use.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5; Gehring et al. 2017, arXiv:1705.03122;
ALiBi: Press et al. 2021, arXiv:2108.12409; T5: arXiv:1910.10683, section 2.1; Transformer-XL: Dai
et al. 2019, arXiv:1901.02860, section 3.3; rotary: Su et al. 2021, arXiv:2104.09864, with LLaMA's
half-split layout; linear: Chen et al. 2023, arXiv:2306.15595; YaRN, NTK and dynamic: Peng et al.
2023, arXiv:2309.00071; Llama 3: arXiv:2407.21783; LongRoPE: Ding et al. 2024, arXiv:2402.13753;
DeBERTa: He et al. 2020, arXiv:2006.03654, its buckets and shared projections: arXiv:2111.09543.
"""

import functools
import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from groundup.core import ConfigError
from groundup.kernels import document_positions

from .configuration.config import AttentionConfig, ModelConfig
from .configuration.positions import RopeScaling
from .norm import build_norm


def positions_in_documents(
    documents: Int[Tensor, "B S"] | None, start: int, T: int, device: torch.device
) -> Int[Tensor, "b T"]:
    """Position of each of the last T tokens in its document."""
    if documents is None:
        return torch.arange(start, start + T, device=device)[None]
    return document_positions(documents)[:, -T:]


def sinusoids(
    positions: Int[Tensor, "*batch"], width: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch width"]:
    """Sines of each position at width / 2 wavelengths, then the cosines.

    sin(p / 10000^(2i / width)), cos(p / 10000^(2i / width))

    The two halves are concatenated, as in Tensor2Tensor, not interleaved, as in the paper.

    >>> sinusoids(torch.tensor([0]), 4)
    tensor([[0., 0., 1., 1.]])
    """
    pairs = torch.arange(0, width, 2, device=positions.device, dtype=dtype)
    angles = positions[..., None] * 10_000.0 ** (-pairs / width)  # (*batch, width / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _distances(T: int, S: int, device: torch.device) -> Int[Tensor, "T S"]:
    """Key position minus query position; queries are the last T of S positions.

    >>> _distances(2, 3, torch.device("cpu"))
    tensor([[-1,  0,  1],
            [-2, -1,  0]])
    """
    positions = torch.arange(S, device=device)
    return positions[None, :] - positions[S - T :, None]


def _alibi_slopes(heads: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, " H"]:
    """Slope of each head's penalty: a geometric sequence of powers of two.

    If the number of heads is not a power of two, the remaining heads take every second slope of
    twice as many heads.

    >>> _alibi_slopes(4)
    tensor([0.2500, 0.0625, 0.0156, 0.0039])
    """
    power = 2 ** math.floor(math.log2(heads))
    steps = torch.arange(1, power + 1, dtype=dtype)
    slopes = 2.0 ** (-8.0 / power * steps)
    between = 2.0 ** (-4.0 / power * (2 * steps - 1))
    return torch.cat([slopes, between])[:heads]


def alibi_bias(
    config: ModelConfig, positions: Int[Tensor, "b S"], T: int, dtype: torch.dtype
) -> Float[Tensor, "rows H T S"]:
    """The penalty of each head: -slope * |distance|, or as Falcon has it.

    positions  of all keys in their documents; Falcon multiplies them by the slope in bfloat16,
               the same but for rounding, and scales the product as it does the scores
    """
    part, exact = config.attention, torch.promote_types(dtype, torch.float32)
    slopes = _alibi_slopes(part.heads, exact).to(positions.device)
    if config.position.rounded:
        scale = part.head_dim**-0.5 if part.scale is None else part.scale
        places = slopes.bfloat16()[:, None] * positions[:, None]  # (b, H, S)
        return (places.to(dtype) * scale)[:, :, None].expand(-1, -1, T, -1)
    distances = _distances(T, positions.shape[1], positions.device)
    return (-slopes[:, None, None] * distances.abs())[None].to(dtype)


def _distance_bucket(
    distance: Int[Tensor, "*shape"], buckets: int, max_distance: int, *, causal: bool
) -> Int[Tensor, "*shape"]:
    """Bucket of each distance: one bucket per small distance, then exponentially wider ones.

    Half of the buckets (of each side, unless causal) hold one distance each; the others grow
    exponentially up to max_distance. Larger distances share the last bucket.

    >>> _distance_bucket(torch.tensor([0, -1, -16, -500]), 32, 128, causal=True)
    tensor([ 0,  1, 16, 31])
    """
    side = torch.zeros_like(distance)
    if causal:
        apart = (-distance).clamp(min=0)
    else:
        buckets //= 2
        side, apart = (distance > 0) * buckets, distance.abs()
    exact = buckets // 2
    # float32 as in the published models: float64 would put some distances into other buckets
    grown = torch.log(apart.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (grown * (buckets - exact)).long()).clamp(max=buckets - 1)
    return side + torch.where(apart < exact, apart, wide)


class BucketBias(nn.Module):
    """A learned bias per bucket and head, of a layer or shared by all layers of a stack (T5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shape = (config.position.buckets, config.attention.heads)
        self.weight = nn.Parameter(torch.zeros(shape))
        self.max_distance = config.position.max_distance

    def forward(self, T: int, S: int, *, causal: bool) -> Float[Tensor, "1 H T S"]:
        """The bias of the last T of S positions."""
        apart = _distances(T, S, self.weight.device)
        numbers = _distance_bucket(apart, len(self.weight), self.max_distance, causal=causal)
        return self.weight[numbers].permute(2, 0, 1)[None]


class DistanceBias(nn.Module):
    """Transformer-XL's positions in each layer: scores (q + v) R_{t-s} + (q + u) k_s."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        heads, self.head_dim = config.attention.heads, config.attention.head_dim
        self.width = config.width
        inner = heads * self.head_dim  # of a distance's sinusoid
        self.r_proj = nn.utils.skip_init(nn.Linear, config.width, inner, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, self.head_dim))  # u
        self.distance_bias = nn.Parameter(torch.zeros(heads, self.head_dim))  # v

    def forward(
        self, q: Float[Tensor, "B H T K"], S: int, scale: float
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T S"]]:
        """The queries q + u for the keys, and the scaled scores of the distances as a bias."""
        T = q.shape[2]
        offsets = torch.arange(1 - T, S, device=q.device)  # all values of query minus key
        exact = torch.promote_types(q.dtype, torch.float32)
        maps = self.r_proj(sinusoids(offsets, self.width, exact).to(q.dtype))  # (T + S - 1, H * K)
        maps = maps.unflatten(-1, (-1, self.head_dim)).transpose(0, 1)  # (H, T + S - 1, K)
        scores = (q + self.distance_bias[:, None]) @ maps.mT * scale  # (B, H, T, T + S - 1)
        index = T - 1 - _distances(T, S, q.device)  # (T, S)
        bias = scores.gather(-1, index.expand(*scores.shape[:2], T, S))
        return q + self.content_bias[:, None], bias


def _signed_bucket(
    distance: Int[Tensor, "*shape"], buckets: int, max_distance: int
) -> Int[Tensor, "*shape"]:
    """DeBERTa's bucket of each distance: itself up to half the buckets, then logarithmic.

    >>> _signed_bucket(torch.tensor([-2, 4, 5, 30, 500]), 8, 32)
    tensor([-2,  4,  5,  7, 12])
    """
    exact, apart = buckets // 2, distance.abs()
    # float32 and the ceiling as in the published models, which decide the bucket of some distances
    span = torch.log(torch.tensor((max_distance - 1) / exact, dtype=torch.float32))
    grown = torch.log(apart.clamp(min=exact).float() / exact) / span.to(distance.device)
    wide = torch.ceil(grown * (exact - 1)).long() + exact
    return torch.where(apart <= exact, distance, wide * distance.sign())


class DistanceTable(nn.Module):
    """A normed vector per bucket of distances to either side, shared by all layers (DeBERTa)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.buckets, self.max_distance = config.position.buckets, config.position.max_distance
        self.weight = nn.Parameter(torch.zeros(2 * self.buckets, config.width))
        self.norm = build_norm(config.norm, config.width)

    def forward(self, T: int) -> tuple[Float[Tensor, "1 N D"], Int[Tensor, "T T"]]:
        """The vectors, and the index of the vector of each query and key."""
        apart = -_distances(T, T, self.weight.device)
        index = _signed_bucket(apart, self.buckets, self.max_distance) + self.buckets
        return self.norm(self.weight)[None], index.clamp(0, 2 * self.buckets - 1)


def disentangled_bias(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B H S K"],
    q_of: Float[Tensor, "1 H N K"], k_of: Float[Tensor, "1 H N K"], index: Int[Tensor, "T S"],
) -> Float[Tensor, "B H T S"]:  # fmt: skip
    """Unscaled scores of content with position, and of position with content (DeBERTa).

    q_of, k_of  queries and keys of the vectors of distances
    index       of the vector of each query and key
    """
    size = (*q.shape[:2], -1, -1)
    by_query = (q @ k_of.mT).gather(-1, index.expand(size))
    by_key = (k @ q_of.mT).gather(-1, index.T.expand(size))
    return by_query + by_key.mT


class Rotation(NamedTuple):
    """Cosines and sines of every position's angles: computed once per pass, used by all layers."""

    cos: Float[Tensor, "B 1 T half"]
    sin: Float[Tensor, "B 1 T half"]
    interleaved: bool = False
    """Whether pairs are neighbours."""


def rope_frequencies(
    head_dim: int, base: float = 10_000.0, scaling: RopeScaling | None = None,
    context_length: int = 0, dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " half"]:  # fmt: skip
    """Radians per token of each feature pair: base^(-2i / head_dim), then scaled.

    head_dim        features that are rotated
    context_length  tokens; determines the scaling's original length if that is 0, and that of the
                    sequence on which LongRoPE and dynamic scaling depend

    Raises ConfigError if head_dim is odd.
    """
    if head_dim % 2:
        what = f"head_dim={head_dim} must be even for rotary positions"
        raise ConfigError(f"{what}; try {head_dim + 1}.")
    pairs = torch.arange(0, head_dim, 2, dtype=dtype) / head_dim
    if scaling is None or scaling.kind == "none":
        return base**-pairs
    if scaling.kind == "ntk":  # a base that slows the slowest pair down by the factor
        return (base * scaling.factor ** (head_dim / (head_dim - 2))) ** -pairs
    unscaled = base**-pairs
    if scaling.kind == "longrope":
        is_long = context_length > scaling.original_length
        return unscaled / torch.tensor(scaling.long if is_long else scaling.short, dtype=dtype)
    if scaling.kind == "dynamic":
        return dynamic_frequencies(unscaled, scaling, torch.tensor(context_length))
    slow = unscaled / scaling.factor
    if scaling.kind == "linear":
        return slow
    original = scaling.original_length or context_length / scaling.factor
    if scaling.kind == "llama3":
        turns = original * unscaled / (2 * math.pi)
        share = ((turns - scaling.low) / (scaling.high - scaling.low or 1e-9)).clamp(0, 1)
    else:
        share = 1 - _yarn_ramp(head_dim, base, scaling, original, dtype)
    return unscaled * share + slow * (1 - share)


@functools.lru_cache(maxsize=64)
def cached_frequencies(
    head_dim: int, base: float, scaling: RopeScaling, context_length: int,
    dtype: torch.dtype, device: torch.device,
) -> Float[Tensor, " half"]:  # fmt: skip
    """`rope_frequencies` on a device, cached for all models.

    Not a buffer of the model, as `model.to(dtype)` would round it.
    """
    with torch.inference_mode(mode=False):  # so that passes with gradients can use it
        return rope_frequencies(head_dim, base, scaling, context_length, dtype).to(device)


def dynamic_frequencies(
    unscaled: Float[Tensor, " half"], scaling: RopeScaling, lengths: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch half"]:
    """Frequencies in sequences of these lengths: the slowest pair is divided by their growth.

    growth = factor * length / original_length - (factor - 1), at least 1
    base * growth^(d / (d - 2))  is the base of d rotated features
    """
    ratio = lengths.to(unscaled.dtype) / scaling.original_length
    growth = (scaling.factor * ratio - (scaling.factor - 1)).clamp(min=1)
    pairs = torch.arange(len(unscaled), dtype=unscaled.dtype, device=unscaled.device)
    return unscaled * growth[..., None] ** (-pairs / (len(unscaled) - 1))


def _yarn_ramp(
    head_dim: int, base: float, scaling: RopeScaling, original: float, dtype: torch.dtype
) -> Float[Tensor, " half"]:
    """0 for pairs with more than `high` turns over the original length, 1 for fewer than `low`."""

    def pair(turns: float) -> float:
        """The (fractional) index of the pair with this number of turns."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair(scaling.high), pair(scaling.low)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    span = last - first or 0.001  # may be negative, as in Transformers
    return ((torch.arange(head_dim // 2, dtype=dtype) - first) / span).clamp(0, 1)


def attention_factor(scaling: RopeScaling) -> float:
    """Factor of rotated queries and keys: a correction for the softmax of longer contexts."""
    if scaling.attention is not None:
        return scaling.attention
    if scaling.kind == "longrope":
        return math.sqrt(1 + math.log(scaling.factor) / math.log(scaling.original_length))
    is_yarn = scaling.kind == "yarn" and scaling.factor > 1
    return 0.1 * math.log(scaling.factor) + 1 if is_yarn else 1.0


def compute_rotation(
    positions: Int[Tensor, "b T"], radians: Float[Tensor, "*batch half"], factor: float = 1.0
) -> Rotation:
    """The rotation of these positions; a leading size of 1 broadcasts over the batch.

    radians  per token, see `rope_frequencies`; of all positions, or of each
    factor   of the rotated features, see `attention_factor`
    """
    angles = (positions[..., None] * radians.to(positions.device))[:, None]  # (B, 1, T, half)
    return Rotation(angles.cos() * factor, angles.sin() * factor)


def get_rotation(
    config: ModelConfig, positions: Int[Tensor, "b T"], dtype: torch.dtype, *,
    is_window: bool = False, lengths: Int[Tensor, "rows t"] | None = None,
) -> Rotation:  # fmt: skip
    """The rotation of these positions under a configuration, in at least float32.

    lengths  tokens of each token's sequence, if the scaling depends on them; None: the context
    """
    part, exact = config.position, torch.promote_types(dtype, torch.float32)
    base, scaling = part.base, part.scaling
    if is_window and part.window_base is not None:
        base, scaling = part.window_base, RopeScaling()

    def rotation(length: int) -> Rotation:
        shape = config.rotary_dim, base, scaling, length
        # RopeScaling is frozen and so hashable, which pyright cannot see.
        radians = cached_frequencies(*shape, exact, positions.device)  # pyright: ignore[reportArgumentType]
        if lengths is not None and scaling.kind == "dynamic":
            radians = dynamic_frequencies(radians, scaling, lengths)
        found = compute_rotation(positions, radians, attention_factor(scaling))
        return found._replace(interleaved=part.interleaved)

    original = scaling.original_length
    if lengths is None or not scaling.depends_on_length:
        return rotation(config.context_length)
    if scaling.kind == "dynamic":
        return rotation(original)
    return choose_rotation(lengths > original, rotation(original + 1), rotation(original))


def choose_rotation(is_first: Bool[Tensor, "b t"], first: Rotation, second: Rotation) -> Rotation:
    """One of two rotations for each token; sizes of 1 broadcast."""
    where = is_first[:, None, :, None]
    cos, sin = (torch.where(where, a, b) for a, b in zip(first[:2], second[:2], strict=True))
    return first._replace(cos=cos, sin=sin)


def rotate(x: Float[Tensor, "B H T K"], by: Rotation) -> Float[Tensor, "B H T K"]:
    """Rotate x, or the first features of each head, by its positions' angles.

    >>> x = torch.tensor([[[[1.0, 0.0]]]])
    >>> quarter = torch.full((1, 1, 1, 1), torch.pi / 2)
    >>> rotate(x, Rotation(quarter.cos(), quarter.sin())).round() + 0.0
    tensor([[[[0., 1.]]]])
    """
    size = 2 * by.cos.shape[-1]
    turning, rest = x[..., :size], x[..., size:]
    a, b = turning.unflatten(-1, (-1, 2)).unbind(-1) if by.interleaved else turning.chunk(2, dim=-1)
    pair = a * by.cos - b * by.sin, a * by.sin + b * by.cos
    rotated = torch.stack(pair, dim=-1).flatten(-2) if by.interleaved else torch.cat(pair, dim=-1)
    rotated = rotated.to(x.dtype)
    return torch.cat([rotated, rest], dim=-1) if rest.shape[-1] else rotated


def query_temperature(
    positions: Int[Tensor, "b T"], part: AttentionConfig, dtype: torch.dtype
) -> Float[Tensor, "b 1 T 1"]:
    """Factor of the queries at these positions, which counters attention that fades with length.

    In Transformers padding on the left counts as positions.
    Source: Nakanishi 2025, arXiv:2501.19399, as in Llama 4.
    """
    exact = torch.promote_types(dtype, torch.float32)
    blocks = ((positions + 1) // part.temperature_length).to(exact)
    return (1 + part.temperature * blocks.log1p())[:, None, :, None].to(dtype)
