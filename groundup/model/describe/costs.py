"""What a model costs: parameters by component, FLOPs per token, memory to train and to serve.

Parameters are exact. FLOPs count matrix products and omit what is small (norms, softmax, rotary
positions): within a few percent, which suffices to plan. Knows no weights, only shapes.
Source: the convention of Kaplan et al. 2020, arXiv:2001.08361, with attention counted.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from groundup.core import ConfigError, check_kind
from groundup.kernels import AttentionPattern

from ..configuration.config import ExpertsConfig, FeedForwardConfig, LatentConfig, ModelConfig
from ..families.registry import read_config
from ..presets import Preset, nearest_presets, preset, presets
from ..weights.directory import CONFIG, read_json_object

TRAINING_BYTES_PER_PARAMETER = 16
"""Bytes per parameter in training: float32 weight and gradient, and AdamW's two float32 moments."""


class ParameterCounts(NamedTuple):
    """Numbers of parameters by component."""

    embedding: int
    """Token and type embeddings."""
    positions: int
    """Position embeddings, tables and projections of distances."""
    attention: int
    cross: int
    """Cross attention of a decoder to its encoder."""
    feedforward: int
    experts: int
    """All experts of all layers, and their routers."""
    norms: int
    head: int
    """The output layer, without a tied embedding."""

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self)


class Flops(NamedTuple):
    """Floating-point operations per token; a multiply-add counts as two."""

    inference: int
    training: int
    """Three times inference: the gradients of weights and of inputs cost as much as the forward."""


def count_parameters(config: ModelConfig) -> ParameterCounts:
    """Count the parameters.

    >>> count_parameters(ModelConfig()).total
    5771264
    """
    width, narrow = config.width, config.embedding_width
    table = config.vocab_size * narrow
    layers, stacks = config.layers + config.encoder_layers, 2 if config.encoder_layers else 1
    sparse = len(_expert_layers(config))
    transform, is_layer_norm = config.output.transform == "dense", config.norm.kind == "layer"
    norm_weights = config.norm.weights + (is_layer_norm and config.norm.bias)
    norm, embedding_norm = width * norm_weights, narrow * norm_weights
    head = 0 if config.tied_embeddings else table
    head += config.vocab_size if config.output.bias else 0
    dense = width * narrow + narrow * config.output.dense_bias
    head += dense + embedding_norm if transform else 0
    projection = (narrow + 1) * width if config.embedding.width else 0
    return ParameterCounts(
        embedding=table + stacks * config.embedding.types * narrow + projection,
        positions=_position_parameters(config, norm),
        attention=layers * _attention_parameters(config),
        cross=config.layers * _attention_parameters(config) if config.encoder_layers else 0,
        feedforward=(layers - sparse) * _feedforward_parameters(config, config.feedforward),
        experts=sparse * _experts_parameters(config, config.feedforward.experts),
        norms=_norm_parameters(config, norm, embedding_norm),
        head=head,
    )


def _expert_layers(config: ModelConfig) -> list[int]:
    """Index of every layer with experts, the encoder's layers first."""
    return [i for n in (config.encoder_layers, config.layers)
            for i in range(n) if config.has_experts(i)]  # fmt: skip


def _attention_parameters(config: ModelConfig) -> int:
    """Parameters of one attention: four projections, their biases, norms of queries and keys."""
    part = config.attention
    if part.latent is not None:
        return _latent_parameters(config, part.latent)
    inner, narrow = part.heads * part.head_dim, part.kv_heads * part.head_dim
    count = 2 * config.width * (inner + narrow) + part.heads * part.sinks
    count += inner + 2 * narrow if part.bias != "none" else 0
    count += config.width if part.bias == "all" else 0
    normed = {"head": 2 * part.head_dim, "all": inner + narrow}.get(part.qk_norm, 0)
    has_bias = config.norm.kind == "layer" and config.norm.bias
    return count + normed * (config.norm.weights + has_bias)


def _latent_parameters(config: ModelConfig, latent: LatentConfig) -> int:
    """Parameters of a latent attention: projections to and from its vectors, and their norms."""
    part, width, has_bias = config.attention, config.width, config.attention.bias == "all"
    inner, narrow = part.heads * part.head_dim, latent.rank + latent.rotated
    values = part.heads * latent.value_dim
    count = latent.rank * (part.heads * (part.head_dim - latent.rotated) + values + 1)
    count += width * (narrow + values) + has_bias * (narrow + width) + part.heads * part.sinks
    if not latent.query_rank:
        return count + width * inner
    return count + latent.query_rank * (width + inner + 1 + has_bias)


def _position_parameters(config: ModelConfig, norm: int) -> int:
    """Parameters of positions; `norm` is those of a norm."""
    part, stacks = config.position, 2 if config.encoder_layers else 1
    inner = config.attention.heads * config.attention.head_dim
    rows = (config.context_length + part.offset) * part.has_table
    learned = stacks * rows * config.embedding_width
    match part.kind:
        case "learned":
            return learned
        case "buckets":
            tables = stacks if part.shared else config.layers + config.encoder_layers
            return learned + tables * part.buckets * config.attention.heads
        case "disentangled":
            return learned + 2 * part.buckets * config.width + norm
        case "transformer_xl":
            return (config.layers + config.encoder_layers) * (config.width * inner + 2 * inner)
        case _:
            return 0


def _feedforward_parameters(config: ModelConfig, part: FeedForwardConfig) -> int:
    maps = 2 if part.gated else 1
    count = (maps + 1) * config.width * part.width
    return count + (maps * part.width + config.width if part.bias else 0)


def _experts_parameters(config: ModelConfig, experts: ExpertsConfig | None) -> int:
    if experts is None:
        return 0
    each = _expert_parameters(config, experts) + config.width + experts.bias
    shared = config.feedforward.model_copy(update={"width": experts.shared})
    own = _feedforward_parameters(config, shared) if experts.shared else 0
    return experts.count * each + own


def _expert_parameters(config: ModelConfig, experts: ExpertsConfig) -> int:
    is_gated, inner = config.feedforward.gated, config.feedforward.expert_width
    maps = 2 if (is_gated if experts.gated is None else experts.gated) else 1
    return (maps + 1) * config.width * inner + (maps * inner + config.width) * experts.bias


def _norm_parameters(config: ModelConfig, norm: int, embedding_norm: int) -> int:
    """Parameters of all norms of hidden states, from those of one and of one of embeddings."""
    place = config.norm.place
    before = config.parallel_norms if config.parallel else 2
    each = {"pre": before, "post": 2, "output": 2, "sandwich": 4}[place]
    crossing = each // 2 if config.encoder_layers else 0
    stacks = 2 if config.encoder_layers else 1
    count = each * (config.layers + config.encoder_layers) + crossing * config.layers
    count += 0 if place == "post" else stacks  # the final norms
    own = stacks * config.embedding.norm
    replaces = place in ("pre", "sandwich") and not config.embedding.keeps_first_norm
    count -= own * replaces  # the first layer's pre-norm
    return count * norm + own * embedding_norm


def active_parameters(config: ModelConfig) -> int:
    """Parameters that are used for one token: of the experts only the chosen ones.

    >>> active_parameters(ModelConfig()) == count_parameters(ModelConfig()).total
    True
    """
    experts, count = config.feedforward.experts, count_parameters(config)
    if experts is None:
        return count.total
    inactive = (experts.count - experts.chosen) * _expert_parameters(config, experts)
    return count.total - len(_expert_layers(config)) * inactive


def _visible_keys(pattern: AttentionPattern, context: int, *, bidirectional: bool = False) -> int:
    """Approximate number of keys, out of `context`, that a token attends to under a pattern.

    bidirectional  in an encoder, where a window extends to both sides; else the token is the last

    >>> near = AttentionPattern("window", 4)
    >>> _visible_keys(near, 100), _visible_keys(near, 100, bidirectional=True)
    (4, 7)
    """
    near = 2 * pattern.window - 1 if bidirectional else pattern.window
    match pattern.kind:
        case "full":
            return context
        case "block":
            return min(context, pattern.window)
        case "strided":
            return min(context, near + context // pattern.stride)
        case "fixed":
            far = context // pattern.stride * pattern.tokens
            return min(context, pattern.stride + far)
        case _:
            return min(context, near + pattern.tokens)


def _mean_visible_keys(pattern: AttentionPattern, length: int) -> float:
    """Approximate mean number of keys that a token of a causal sequence attends to.

    >>> far, near = AttentionPattern(), AttentionPattern("window", 1)
    >>> _mean_visible_keys(far, 9), _mean_visible_keys(near, 9)
    (5.0, 1.0)
    """
    most = _visible_keys(pattern, length)
    match pattern.kind:
        case "strided" | "fixed":  # grows with the position: take the middle
            return float(_visible_keys(pattern, (length + 1) // 2))
        case "block":
            return (most + 1) / 2
        case _:
            return (most * (most + 1) / 2 + (length - most) * most) / length


def flops_per_token(config: ModelConfig, context: int) -> Flops:
    """FLOPs of one token that attends to `context` tokens, itself included.

    For an encoder–decoder: of one source token and one target token together. See
    `mean_flops_per_token` for the mean over a sequence.
    """
    own = sum(_visible_keys(config.pattern(i), context, bidirectional=config.kind == "encoder")
              for i in range(config.layers))  # fmt: skip
    return _flops_for_keys(config, own + _source_keys(config, context))


def mean_flops_per_token(config: ModelConfig, length: int) -> Flops:
    """Mean FLOPs per token over a sequence of a length.

    A causal token attends to (length + 1) / 2 tokens in the mean. Kernels that also compute the
    masked half do more work, which is not counted.

    >>> config = ModelConfig()
    >>> none, full = (flops_per_token(config, length).training for length in (0, 2048))
    >>> none < mean_flops_per_token(config, 2048).training < full
    True
    """
    if config.kind == "encoder":
        return flops_per_token(config, length)
    own = sum(_mean_visible_keys(config.pattern(i), length) for i in range(config.layers))
    return _flops_for_keys(config, own + _source_keys(config, length))


def _source_keys(config: ModelConfig, length: int) -> int:
    if not config.encoder_layers:
        return 0
    within = sum(_visible_keys(config.pattern(i), length, bidirectional=True)
                 for i in range(config.encoder_layers))  # fmt: skip
    return within + config.layers * length


def _flops_for_keys(config: ModelConfig, keys: float) -> Flops:
    """FLOPs of a token that attends to `keys` keys over all layers.

    Latent attention is counted as in training and prompts, from every head's keys and values; a
    step that attends to the cached vectors instead computes more products of fewer bytes.
    """
    count, part = count_parameters(config), config.attention
    if config.position.kind == "disentangled":  # two products with all buckets are as many keys
        keys += 2 * config.position.buckets * config.layers
    tables = count.embedding + count.norms
    tables += count.positions if config.position.kind != "transformer_xl" else 0
    matrices = active_parameters(config) - tables
    matrices += config.vocab_size * config.embedding_width if config.tied_embeddings else 0
    matrices += (config.repeats - 1) * (count.attention + count.feedforward)
    values = part.head_dim if part.latent is None else part.latent.value_dim
    scores = 2 * part.heads * (part.head_dim + values) * keys * config.repeats
    inference = 2 * matrices + round(scores)
    return Flops(inference, 3 * inference)


def cache_bytes_per_token(config: ModelConfig, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of what the cache holds of a token in all decoder layers; 0 in an encoder.

    These are keys and values, or of latent attention its vector and the rotated key.

    >>> cache_bytes_per_token(ModelConfig(), torch.bfloat16)
    3072
    """
    if config.kind == "encoder":
        return 0
    row = config.attention.cache_row
    return config.layers * row.heads * (row.keys + row.values) * dtype.itemsize


class Description(NamedTuple):
    """A model's shape and costs."""

    config: ModelConfig
    parameters: ParameterCounts
    active: int
    """Parameters used for one token."""
    flops_of: str
    """Unit of the FLOPs below: a token, or one source and one target token together."""
    flops: Flops
    """Of the last token of a full context."""
    row_flops: Flops
    """Mean over the tokens of a full context, as in training."""
    cache_bytes_per_token: int
    """In bfloat16."""
    training_bytes: int
    """Weights, gradients and AdamW's moments in float32, without activations."""
    serving_bytes: int
    """Weights and one full context's cache in bfloat16."""
    preset: Preset | None = None
    """The published shape, if it is one."""

    def __str__(self) -> str:
        """A short table."""
        config, count = self.config, self.parameters
        parts = ((name, number) for name, number in count._asdict().items() if number)
        share = (f"{name} {number / count.total:.0%}" for name, number in parts)
        full = self.cache_bytes_per_token * config.context_length
        rows = {
            "shape": _format_shape(config),
            "vocabulary": f"{config.vocab_size:,} ids",
            "context": f"{config.context_length:,} tokens",
            "parameters": f"{count.total:,} ({', '.join(share)})",
            "active": f"{self.active:,} per token",
            "inference": f"{_format_flops(self.flops.inference)} for {self.flops_of} "
            "at full context",
            "training": f"{_format_flops(self.row_flops.training)} for {self.flops_of}, "
            "mean over a full context",
            "cache": f"{self.cache_bytes_per_token:,} bytes per token in bfloat16, "
            f"{_format_memory(full)} at full context",
            "to train": f"{_format_memory(self.training_bytes)} for weights, gradients and "
            "AdamW's moments in float32, plus activations",
            "to serve": f"{_format_memory(self.serving_bytes)} in bfloat16 with one full cache",
        }
        rows |= _preset_rows(self.preset)
        if self.active == count.total:
            del rows["active"]
        if not self.cache_bytes_per_token:
            del rows["cache"]
        return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def _format_flops(count: float) -> str:
    """Format FLOPs with the largest fitting unit.

    >>> _format_flops(512), _format_flops(40_100_000_000)
    ('512 FLOP', '40.1 GFLOP')
    """
    return _format_units(count, 1000, ("FLOP", "KFLOP", "MFLOP", "GFLOP", "TFLOP"))


def _format_memory(count: float) -> str:
    """Format bytes with the largest fitting unit.

    >>> _format_memory(1000), _format_memory(6 * 2**20)
    ('1,000 B', '6.0 MiB')
    """
    return _format_units(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _format_units(count: float, step: int, units: tuple[str, ...]) -> str:
    """Format a number with the largest fitting unit; without decimals in the first."""
    power = 0
    while count >= step and power + 1 < len(units):
        count, power = count / step, power + 1
    return f"{count:,.{min(power, 1)}f} {units[power]}"


def _preset_rows(preset: Preset | None) -> dict[str, str]:
    if preset is None:
        return {}
    paper = f"The paper says {preset.paper}." if preset.paper else ""
    differs = " ".join(filter(None, (paper, preset.differs, preset.shared)))
    special = preset.special[:1].upper() + preset.special[1:]
    rows = {"special": special, "source": preset.source, "differs": differs}
    return {name: text for name, text in rows.items() if text}


def _format_shape(config: ModelConfig) -> str:
    part, experts = config.attention, config.feedforward.experts
    layers = f"{config.layers * config.repeats} layers"
    layers += f" of {config.layers} block{'s'[: config.layers - 1]}" if config.repeats > 1 else ""
    if config.encoder_layers:
        layers = f"{config.encoder_layers} + {layers}"
    text = (
        f"{config.kind.replace('_', '–')}, {layers} x {config.width:,} features, "
        f"{part.heads} heads of {part.head_dim}"
    )
    text += f", {part.kv_heads} for keys and values" if part.kv_heads != part.heads else ""
    if part.latent is not None:
        text += f", keys and values from {part.latent.rank} cached features"
    if experts is not None:
        text += f", {experts.chosen} of {experts.count} experts"
        text += " and a shared one" if experts.shared else ""
        text += f" in every {experts.every}. layer" if experts.every > 1 else ""
        text += f" from layer {experts.dense_layers} on" if experts.dense_layers else ""
    return text


def describe(model: Path) -> Description:
    """Show the shape and costs of a model directory, a GGUF file or a preset such as gpt-2.

    model  a directory, of which only config.json is read, a .gguf file, or a preset's name

    Raises ConfigError naming the nearest presets if there is no such thing.
    """
    path = Path(model)
    if path.is_file():
        from ..weights.gguf.format import open_gguf  # lazy: reading GGUF imports this file
        from ..weights.gguf.reading import read_gguf_config

        return describe_config(read_gguf_config(open_gguf(path)))
    if not path.is_dir():
        if str(model) not in presets():
            what = f"There is no directory, .gguf file or preset {str(model)!r}"
            raise ConfigError(f"{what}; the nearest presets are {nearest_presets(str(model))}.")
        published = preset(str(model))
        return describe_config(published.config)._replace(preset=published)
    check_kind(path, "model")
    config = read_json_object(path / CONFIG)
    return describe_config(read_config(config, str(path / CONFIG)))


def describe_config(config: ModelConfig) -> Description:
    """The shape and costs of a configuration."""
    total, cache = count_parameters(config).total, cache_bytes_per_token(config, torch.bfloat16)
    return Description(
        config,
        count_parameters(config),
        active_parameters(config),
        "a source and a target token together" if config.encoder_layers else "a token",
        flops_per_token(config, config.context_length),
        mean_flops_per_token(config, config.context_length),
        cache,
        training_bytes=TRAINING_BYTES_PER_PARAMETER * total,
        serving_bytes=2 * total + cache * config.context_length,
    )
