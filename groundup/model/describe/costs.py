"""What a model costs: parameters by part, arithmetic a token, memory to train and to serve.

Parameters are exact. Arithmetic counts the matrices and leaves out what is small (norms, softmax,
rotations): within a few percent of the truth, which is what a plan or a bound needs. Knows no
weights, only shapes.
Source: the convention of Kaplan et al. 2020, arXiv:2001.08361, with attention counted.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from groundup.core import ConfigError, check_kind
from groundup.kernels import Pattern

from ..config import ExpertsConfig, ModelConfig
from ..families.registry import read_config
from ..presets.preset import Preset
from ..presets.table import nearest, preset, presets
from ..weights.directory import CONFIG, read_json

TRAINED_BYTES = 16
"""Of a parameter in training: float32 weight and gradient, and AdamW's two float32 moments."""


class Parameters(NamedTuple):
    """Numbers of weights by part."""

    embedding: int
    """Vectors of tokens and types."""
    positions: int
    """Vectors of places, tables and maps of distances."""
    attention: int
    cross: int
    """Attention of a decoder to its encoder."""
    feedforward: int
    experts: int
    """All experts of all layers, and their routers."""
    norms: int
    head: int
    """What is not the embedding on the way out."""

    @property
    def total(self) -> int:
        """All weights."""
        return sum(self)


class Flops(NamedTuple):
    """Floating-point operations a token; a multiplication and an addition are two."""

    inference: int
    training: int
    """Three times inference: the gradients for weights and for inputs cost one each."""


def parameters(config: ModelConfig) -> Parameters:
    """Count the weights.

    >>> parameters(ModelConfig()).total
    5771264
    """
    width, table = config.width, config.vocab_size * config.width
    layers, stacks = config.layers + config.encoder_layers, 2 if config.encoder_layers else 1
    sparse = len(layers_with_experts(config))
    transform, is_layer_norm = config.output.transform == "dense", config.norm.kind == "layer"
    norm = width * (2 if is_layer_norm and config.norm.bias else 1)
    head = 0 if config.tied_embeddings else table
    head += config.vocab_size if config.output.bias else 0
    head += width * width + width * config.output.dense_bias + norm if transform else 0
    return Parameters(
        embedding=table + stacks * config.embedding.types * width,
        positions=of_positions(config),
        attention=layers * of_attention(config),
        cross=config.layers * of_attention(config) if config.encoder_layers else 0,
        feedforward=(layers - sparse) * of_feedforward(config),
        experts=sparse * of_experts(config, config.feedforward.experts),
        norms=of_norms(config, norm),
        head=head,
    )


def layers_with_experts(config: ModelConfig) -> list[int]:
    """Number in its stack of every layer with experts, the encoder's first."""
    return [i for n in (config.encoder_layers, config.layers)
            for i in range(n) if config.has_experts(i)]  # fmt: skip


def of_attention(config: ModelConfig) -> int:
    """Weights of one attention: four maps, their biases, norms of queries and keys."""
    part = config.attention
    inner, narrow = part.heads * part.head_dim, part.kv_heads * part.head_dim
    count = 2 * config.width * (inner + narrow)
    count += inner + 2 * narrow if part.bias != "none" else 0
    count += config.width if part.bias == "all" else 0
    normed = {"none": 0, "head": 2 * part.head_dim, "all": inner + narrow}[part.qk_norm]
    return count + normed * (2 if config.norm.kind == "layer" and config.norm.bias else 1)


def of_positions(config: ModelConfig) -> int:
    """Weights that tell places or distances."""
    part, stacks = config.position, 2 if config.encoder_layers else 1
    inner = config.attention.heads * config.attention.head_dim
    match part.kind:
        case "learned":
            return stacks * (config.context_length + part.offset) * config.width
        case "buckets":
            return stacks * part.buckets * config.attention.heads
        case "transformer_xl":
            return (config.layers + config.encoder_layers) * (config.width * inner + 2 * inner)
        case _:
            return 0


def of_feedforward(config: ModelConfig) -> int:
    """Weights of one dense feed-forward."""
    part = config.feedforward
    maps = 2 if part.gated else 1
    count = (maps + 1) * config.width * part.width
    return count + (maps * part.width + config.width if part.bias else 0)


def of_experts(config: ModelConfig, experts: ExpertsConfig | None) -> int:
    """Weights of one layer's experts and router."""
    if experts is None:
        return 0
    return experts.count * (of_expert(config, experts) + config.width)


def of_expert(config: ModelConfig, experts: ExpertsConfig) -> int:
    """Weights of one expert."""
    is_gated = config.feedforward.gated if experts.gated is None else experts.gated
    return (3 if is_gated else 2) * config.width * config.feedforward.width


def of_norms(config: ModelConfig, norm: int) -> int:
    """Weights of all norms of hidden states; `norm` is those of one."""
    place = config.norm.place
    each = {"pre": 1 if config.parallel else 2, "post": 2, "output": 2, "sandwich": 4}[place]
    crossing = each // 2 if config.encoder_layers else 0
    stacks = 2 if config.encoder_layers else 1
    count = each * (config.layers + config.encoder_layers) + crossing * config.layers
    count += 0 if place == "post" else stacks  # the last norms
    if config.embedding.norm:  # the first layer does not norm again what is normed
        count += 0 if place in ("pre", "sandwich") else stacks
    return count * norm


def active_parameters(config: ModelConfig) -> int:
    """Weights that compute one token: of all experts only the chosen ones.

    >>> active_parameters(ModelConfig()) == parameters(ModelConfig()).total
    True
    """
    experts, count = config.feedforward.experts, parameters(config)
    if experts is None:
        return count.total
    resting = (experts.count - experts.chosen) * of_expert(config, experts)
    return count.total - len(layers_with_experts(config)) * resting


def seen(pattern: Pattern, context: int, *, both_ways: bool = False) -> int:
    """About how many of `context` keys a token sees under a pattern.

    both_ways  in an encoder, where a window reaches to both sides; else the token is the last

    >>> seen(Pattern("window", 4), 100), seen(Pattern("window", 4), 100, both_ways=True)
    (4, 7)
    """
    near = 2 * pattern.window - 1 if both_ways else pattern.window
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


def seen_in_order(pattern: Pattern, length: int) -> float:
    """About how many keys a token of a causal row of a length sees in the mean.

    >>> seen_in_order(Pattern(), 9), seen_in_order(Pattern("window", 1), 9)
    (5.0, 1.0)
    """
    most = seen(pattern, length)
    match pattern.kind:
        case "strided" | "fixed":  # what they see grows with the place: as in the middle
            return float(seen(pattern, (length + 1) // 2))
        case "block":
            return (most + 1) / 2
        case _:
            return (most * (most + 1) / 2 + (length - most) * most) / length


def flops_per_token(config: ModelConfig, context: int) -> Flops:
    """Arithmetic of one token that sees `context` tokens, itself included.

    Of an encoder–decoder it is a token of the source and one of the target together. For what a
    token of a row costs in the mean see `row_flops`.
    """
    own = sum(seen(config.pattern(i), context, both_ways=config.kind == "encoder")
              for i in range(config.layers))  # fmt: skip
    return flops_of(config, own + keys_of_source(config, context))


def row_flops(config: ModelConfig, length: int) -> Flops:
    """Arithmetic of a token in the mean over a row of a length.

    In a causal row the first sees itself and the last all: (length + 1) / 2 in the mean. Kernels
    that compute the masked half too do more, which is not counted as useful.

    >>> whole = flops_per_token(ModelConfig(), 2048).training
    >>> flops_per_token(ModelConfig(), 0).training < row_flops(ModelConfig(), 2048).training < whole
    True
    """
    if config.kind == "encoder":
        return flops_per_token(config, length)
    own = sum(seen_in_order(config.pattern(i), length) for i in range(config.layers))
    return flops_of(config, own + keys_of_source(config, length))


def keys_of_source(config: ModelConfig, length: int) -> int:
    """Keys that a source's token sees in its encoder, and a target's of it; 0 without a source."""
    if not config.encoder_layers:
        return 0
    within = sum(seen(config.pattern(i), length, both_ways=True)
                 for i in range(config.encoder_layers))  # fmt: skip
    return within + config.layers * length


def flops_of(config: ModelConfig, keys: float) -> Flops:
    """Arithmetic of a token that sees so many keys in all layers together."""
    count, part = parameters(config), config.attention
    tables = count.embedding + count.norms
    tables += count.positions if config.position.kind != "transformer_xl" else 0
    matrices = active_parameters(config) - tables
    matrices += config.vocab_size * config.width if config.tied_embeddings else 0
    inference = 2 * matrices + round(4 * part.heads * part.head_dim * keys)
    return Flops(inference, 3 * inference)


def cache_bytes_per_token(config: ModelConfig, dtype: torch.dtype = torch.float32) -> int:
    """Memory of one token's keys and values in all layers of the decoder; 0 in an encoder.

    >>> cache_bytes_per_token(ModelConfig(), torch.bfloat16)
    3072
    """
    if config.kind == "encoder":
        return 0
    features = 2 * config.layers * config.attention.kv_heads * config.attention.head_dim
    return features * dtype.itemsize


class Description(NamedTuple):
    """A model's shape and costs, for a person."""

    config: ModelConfig
    parameters: Parameters
    active: int
    """Parameters that compute one token."""
    flops_of: str
    """What the arithmetic below is of: a token, or of an encoder–decoder one of each side."""
    flops: Flops
    """Of the last token of a row, which sees a full context."""
    row_flops: Flops
    """In the mean over the tokens of a row of a full context, as in training."""
    cache_bytes_per_token: int
    """In bfloat16."""
    training_bytes: int
    """Weights, gradients and AdamW's moments in float32; activations come on top."""
    serving_bytes: int
    """Weights and one full context's cache in bfloat16."""
    preset: Preset | None = None
    """Where the shape is from, if it is a published one."""

    def __str__(self) -> str:
        """A short table."""
        config, count = self.config, self.parameters
        share = (f"{name} {number / count.total:.0%}" for name, number in by_part(count).items())
        full = self.cache_bytes_per_token * config.context_length
        rows = {
            "shape": shape_of(config),
            "vocabulary": f"{config.vocab_size:,} ids",
            "context": f"{config.context_length:,} tokens",
            "parameters": f"{count.total:,} ({', '.join(share)})",
            "active": f"{self.active:,} of them compute a token",
            "inference": f"{flop(self.flops.inference)} for {self.flops_of} at a full context",
            "training": f"{flop(self.row_flops.training)} for {self.flops_of}, the mean over a row "
            "of a full context",
            "cache": f"{self.cache_bytes_per_token:,} bytes a token in bfloat16, "
            f"{memory(full)} when full",
            "to train": f"{memory(self.training_bytes)} of weights, gradients and AdamW's moments "
            "in float32, activations on top",
            "to serve": f"{memory(self.serving_bytes)} in bfloat16 with one full cache",
        }
        rows |= told(self.preset)
        if self.active == count.total:
            del rows["active"]
        if not self.cache_bytes_per_token:
            del rows["cache"]
        return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def flop(count: float) -> str:
    """Arithmetic in the largest unit of which there is one.

    >>> flop(512), flop(40_100_000_000)
    ('512 FLOP', '40.1 GFLOP')
    """
    return in_units(count, 1000, ("FLOP", "KFLOP", "MFLOP", "GFLOP", "TFLOP"))


def memory(count: float) -> str:
    """Bytes in the largest unit of which there is one.

    >>> memory(1000), memory(6 * 2**20)
    ('1,000 B', '6.0 MiB')
    """
    return in_units(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def in_units(count: float, step: int, units: tuple[str, ...]) -> str:
    """A number in the largest of these units of which there is one; whole in the first."""
    power = 0
    while count >= step and power + 1 < len(units):
        count, power = count / step, power + 1
    return f"{count:,.{min(power, 1)}f} {units[power]}"


def told(preset: Preset | None) -> dict[str, str]:
    """What a preset's source says."""
    if preset is None:
        return {}
    paper = f"The paper says {preset.paper}." if preset.paper else ""
    differs = " ".join(filter(None, (paper, preset.differs, preset.shared)))
    special = preset.special[:1].upper() + preset.special[1:]
    rows = {"special": special, "source": preset.source, "differs": differs}
    return {name: text for name, text in rows.items() if text}


def shape_of(config: ModelConfig) -> str:
    """Kind, layers, widths and heads in one line."""
    part, experts = config.attention, config.feedforward.experts
    layers = f"{config.layers} layers"
    if config.encoder_layers:
        layers = f"{config.encoder_layers} + {layers}"
    text = (
        f"{config.kind.replace('_', '–')}, {layers} x {config.width:,} features, "
        f"{part.heads} heads of {part.head_dim}"
    )
    text += f", {part.kv_heads} for keys and values" if part.kv_heads != part.heads else ""
    if experts is not None:
        text += f", {experts.chosen} of {experts.count} experts"
        text += f" in every {experts.every}. layer" if experts.every > 1 else ""
    return text


def by_part(count: Parameters) -> dict[str, int]:
    """The parts that have weights."""
    return {name: number for name, number in count._asdict().items() if number}


def describe(model: Path) -> Description:
    """Tell the shape and costs of a model directory, a GGUF file or a preset such as gpt-2.

    model  a directory, of which only config.json is read, a .gguf file, or a preset's name

    Raises ConfigError naming the nearest presets if there is no such thing.
    """
    place = Path(model)
    if place.is_file():
        from ..weights.gguf.format import open_gguf  # here: opening GGUF counts parameters too
        from ..weights.gguf.reading import model_config

        return describe_config(model_config(open_gguf(place)))
    if not place.is_dir():
        if str(model) not in presets():
            raise ConfigError(
                f"There is no directory, .gguf file or preset {str(model)!r}; the nearest presets "
                f"are {nearest(str(model))}."
            )
        found = preset(str(model))
        return describe_config(found.config)._replace(preset=found)
    check_kind(place, "model")
    config = read_json(place / CONFIG)
    return describe_config(read_config(config, str(place / CONFIG)))


def describe_config(config: ModelConfig) -> Description:
    """Tell the shape and costs of a configuration."""
    total, cache = parameters(config).total, cache_bytes_per_token(config, torch.bfloat16)
    return Description(
        config,
        parameters(config),
        active_parameters(config),
        "a source's token and a target's together" if config.encoder_layers else "a token",
        flops_per_token(config, config.context_length),
        row_flops(config, config.context_length),
        cache,
        training_bytes=TRAINED_BYTES * total,
        serving_bytes=2 * total + cache * config.context_length,
    )
