"""Convert tensors' names and layout, and metadata, between llama.cpp's and groundup's.

Tensors: `llama` interleaves the rotary pairs of each head's queries and keys, where other
architectures and groundup pair the first half with the second; zero-centred norms (Gemma) are
stored plus one; `gpt2` fuses queries, keys and values.

Metadata: a table maps each family's config.json keys to llama.cpp's, so that only families/ knows a
model's details. Metadata omits what follows from the architecture: Gemma 3's smaller rotary base in
window layers, its cycle of six layers, the score scale of its largest model. Embeddings are tied if
`output.weight` is missing. Linear and YaRN scaling are metadata; for Llama 3's the file has a
tensor of divisors of the frequencies, from which the scaling's parameters are recovered.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, src/llama-model.cpp and src/llama-context.cpp;
gguf-py 0.19, gguf/constants.py and gguf/tensor_mapping.py.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ...configuration.config import ModelConfig
from ...configuration.positions import RopeScaling
from ...families.names import (
    QKV,
    NamePairs,
    StateDict,
    fuse_parts,
    map_tensors,
    rename_tensors,
    require_defaults,
    split_fused,
)
from ...families.registry import FAMILIES, choose_family, read_config
from ...positions import rope_frequencies
from .format import Value

FFN_PROJECTIONS = ("gate", "up", "down")
NAMES: NamePairs = (
    ("token_embd.", "embed_tokens."),
    ("position_embd.", "embed_positions."),
    ("token_types.", "embed_types."),
    ("token_embd_norm.", "embed_norm."),
    ("output_norm.", "norm."),
    ("output.", "lm_head."),
    ("blk.{}.attn_norm.", "layers.{}.attention_norm."),
    ("blk.{}.attn_qkv.", "layers.{}.attention.qkv_proj."),
    ("blk.{}.attn_output.", "layers.{}.attention.o_proj."),
    *((f"blk.{{}}.attn_{x}.", f"layers.{{}}.attention.{x}_proj.") for x in "qkv"),
    *((f"blk.{{}}.attn_{x}_norm.", f"layers.{{}}.attention.{x}_norm.") for x in "qk"),
    ("blk.{}.ffn_norm.", "layers.{}.feedforward_norm."),
    *((f"blk.{{}}.ffn_{x}.", f"layers.{{}}.feedforward.{x}_proj.") for x in FFN_PROJECTIONS),
    ("blk.{}.ffn_gate_inp.", "layers.{}.experts.router."),
    *((f"blk.{{}}.ffn_{x}_exps.weight", f"layers.{{}}.experts.{x}_proj") for x in FFN_PROJECTIONS),
)
POST_NORMS: NamePairs = (
    ("blk.{}.post_attention_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.post_ffw_norm.", "layers.{}.feedforward_out_norm."),
)
BERT_POST_NORMS: NamePairs = (
    ("blk.{}.attn_output_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.layer_output_norm.", "layers.{}.feedforward_out_norm."),
)
FUSED = ".attention.qkv_proj."
INTERLEAVED = r"\.attention\.[qk]_proj\.(weight|bias)"
ROPE_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies; in groundup they are part of the configuration."""


def _name_pairs(architecture: str) -> NamePairs:
    return NAMES + (BERT_POST_NORMS if architecture == "bert" else POST_NORMS)


def from_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert llama.cpp's tensors (float32; some or all of a model) to groundup's."""
    state = split_fused(rename_tensors(state, _name_pairs(architecture)), FUSED, QKV)
    if architecture == "llama":
        undo = partial(_deinterleave, head_dim=config.attention.head_dim)
        state = map_tensors(state, INTERLEAVED, undo)
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight - 1)
    return state


def to_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert groundup's tensors to llama.cpp's; the inverse of `from_gguf_state_dict`."""
    if architecture == "llama":
        interleave = partial(_interleave, head_dim=config.attention.head_dim)
        state = map_tensors(state, INTERLEAVED, interleave)
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight.float() + 1)
    if architecture == "gpt2":
        state = fuse_parts(state, FUSED, QKV)
    return rename_tensors(state, _name_pairs(architecture), to_hf=True)


def _deinterleave(rows: Shaped[Tensor, " HK *D"], head_dim: int) -> Shaped[Tensor, " HK *D"]:
    """Reorder each head's rows from interleaved pairs to two halves.

    >>> import torch
    >>> _deinterleave(torch.tensor([0, 2, 1, 3]), 4).tolist()
    [0, 1, 2, 3]
    """
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def _interleave(rows: Shaped[Tensor, " HK *D"], head_dim: int) -> Shaped[Tensor, " HK *D"]:
    """Reorder each head's rows from two halves to interleaved pairs."""
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)


LOW, HIGH = 1.0, 4.0
"""Bounds of Llama 3's ramp, in turns over the original length, in all its models."""
LLAMA3_LENGTH = 8192
YARN_LOW, YARN_HIGH = 1.0, 32.0

Divisors = Float[np.ndarray, " half"]


def _rope_scaling_from_metadata(
    fields: Mapping[str, Any], context_length: Any
) -> dict[str, Any] | None:
    """The rope_scaling of config.json from the architecture's metadata; None: there is none."""
    kind = fields.get("rope.scaling.type", "linear" if "rope.scale_linear" in fields else "none")
    if kind == "none":
        return None
    factor = fields.get("rope.scaling.factor", fields.get("rope.scale_linear"))
    values = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        length = fields.get("rope.scaling.original_context_length", context_length)
        values["original_max_position_embeddings"] = length
        values["beta_slow"] = fields.get("rope.scaling.yarn_beta_slow", YARN_LOW)
        values["beta_fast"] = fields.get("rope.scaling.yarn_beta_fast", YARN_HIGH)
        if (size := fields.get("rope.scaling.attn_factor", 1.0)) != 1.0:
            values["attention_factor"] = size * (0.1 * math.log(factor) + 1)
    return values


def _rope_scaling_to_metadata(scaling: RopeScaling) -> dict[str, Any]:
    """The metadata of a scaling, without the architecture's prefix."""
    if scaling.kind in ("none", "llama3"):
        return {}
    fields = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind == "yarn":
        if scaling.attention is not None or not scaling.truncate:
            what = "RopeScaling.attention and truncate=false cannot be written as GGUF; llama.cpp"
            raise ConfigError(f"{what} computes YaRN with attention=None and truncate=true.")
        fields["rope.scaling.original_context_length"] = scaling.original_length
        fields["rope.scaling.yarn_beta_slow"] = float(scaling.low)
        fields["rope.scaling.yarn_beta_fast"] = float(scaling.high)
    return fields


def _llama3_divisors(scaling: RopeScaling, head_dim: int, base: float) -> Divisors:
    return (rope_frequencies(head_dim, base) / rope_frequencies(head_dim, base, scaling)).numpy()


def _rope_scaling_from_divisors(
    factors: Divisors, head_dim: int, base: float, context_length: int
) -> dict[str, Any] | None:
    """The rope_scaling of config.json that gives these divisors; None: they are all one."""
    if (factors == 1).all():
        return None
    factor = float(factors.max())
    shares = (factor, 1, 2, 4, 8, 16, 32) if 1 <= factor < math.inf else ()
    lengths = [max(1, round(context_length / share)) for share in shares]
    for length in [LLAMA3_LENGTH, *lengths] if shares else []:
        scaling = RopeScaling(
            kind="llama3", factor=factor, original_length=length, low=LOW, high=HIGH
        )
        expected = _llama3_divisors(scaling, head_dim, base)
        if expected.shape == factors.shape and np.allclose(expected, factors, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW,
                "high_freq_factor": HIGH, "original_max_position_embeddings": length,
            }  # fmt: skip
    what = f"rope_freqs.weight divides frequencies by 1 to {factor:g}, which is no Llama 3 scaling"
    raise ArtifactError(f"{what}; groundup supports Llama 3's scaling, linear and YaRN.")


ARCHITECTURE = "general.architecture"
EMBEDDING, HEAD, TYPES = "token_embd.weight", "output.weight", "token_types.weight"
OUTPUT_BIAS = "blk.0.attn_output.bias"
Shapes = Mapping[str, tuple[int, ...]]
Values = dict[str, Any]

SIZES = {
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length", "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
}  # fmt: skip
LLAMA_KEYS = SIZES | {
    "num_key_value_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
}  # fmt: skip
BERT_KEYS = SIZES | {"layer_norm_eps": "attention.layer_norm_epsilon"}
GPT2_KEYS = {
    "n_embd": "embedding_length", "n_layer": "block_count", "n_positions": "context_length",
    "n_head": "attention.head_count", "n_inner": "feed_forward_length",
    "layer_norm_epsilon": "attention.layer_norm_epsilon",
}  # fmt: skip
SQUARE_ARCHITECTURES = ("qwen2", "olmo2")
"""Architectures for which llama.cpp requires queries as wide as the model."""
OPTIONAL_KEYS = ("num_key_value_heads", "head_dim", "rope_theta")
WINDOW = "attention.sliding_window"
GEMMA_CYCLE, GEMMA_WINDOW_BASE, GEMMA_27B_LAYERS = 6, 10_000.0, 62


class Architecture(NamedTuple):
    """One of llama.cpp's architectures and the family that it corresponds to."""

    name: str
    """Its general.architecture."""
    family: str
    """The corresponding model_type."""
    keys: Mapping[str, str]
    """config.json keys to metadata keys, the latter without the architecture's prefix."""
    extra_values: Callable[[Mapping[str, Any], Shapes], Values] = lambda fields, shapes: {}
    """Further config.json values, from the metadata and the tensors' shapes."""


def _llama_extra_values(fields: Mapping[str, Any], shapes: Shapes) -> Values:
    """LLaMA, which may have biases."""
    return {"attention_bias": OUTPUT_BIAS in shapes, "mlp_bias": "blk.0.ffn_up.bias" in shapes}


def _mixtral_extra_values(fields: Mapping[str, Any], shapes: Shapes) -> Values:
    return {
        "num_local_experts": fields.get("expert_count"),
        "num_experts_per_tok": fields.get("expert_used_count"),
    }


def _gemma3_extra_values(fields: Mapping[str, Any], shapes: Shapes) -> Values:
    """What Gemma's files omit."""
    width, heads = fields["embedding_length"], fields["attention.head_count"]
    is_27b = fields["block_count"] == GEMMA_27B_LAYERS
    return {
        "query_pre_attn_scalar": width // heads if is_27b else fields.get("attention.key_length"),
        "sliding_window": fields.get(WINDOW),
        "sliding_window_pattern": fields.get("attention.sliding_window_pattern", GEMMA_CYCLE),
        "rope_local_base_freq": fields.get("rope.freq_base_swa", GEMMA_WINDOW_BASE),
        "final_logit_softcapping": fields.get("final_logit_softcapping"),
    }


def _bert_extra_values(fields: Mapping[str, Any], shapes: Shapes) -> Values:
    return {"architectures": ["BertModel"], "type_vocab_size": shapes.get(TYPES, (0,))[0]}


ARCHITECTURES = (
    Architecture("qwen3", "qwen3", LLAMA_KEYS),
    Architecture("llama", "llama", LLAMA_KEYS, _llama_extra_values),
    Architecture("llama", "mixtral", LLAMA_KEYS, _mixtral_extra_values),
    Architecture("qwen2", "qwen2", LLAMA_KEYS),
    Architecture("gemma3", "gemma3_text", LLAMA_KEYS, _gemma3_extra_values),
    Architecture("olmo2", "olmo2", LLAMA_KEYS),
    Architecture("gpt2", "gpt2", GPT2_KEYS),
    Architecture("bert", "bert", BERT_KEYS, _bert_extra_values),
)
"""In the order in which `describe_for_gguf` tries them."""
KNOWN = ", ".join(dict.fromkeys(arch.name for arch in ARCHITECTURES))


def config_from_metadata(
    metadata: Mapping[str, Value], shapes: Shapes, factors: Divisors | None, where: str
) -> ModelConfig:
    """The configuration of a file's model.

    shapes   of all tensors, by llama.cpp's names
    factors  the tensor rope_freqs.weight, if there is one
    where    named in errors

    Raises ArtifactError for an unsupported architecture or value.
    """
    arch = _find_architecture(metadata, where)
    fields = {
        key.removeprefix(f"{arch.name}."): _uniform_value(value, key, where)
        for key, value in metadata.items()
        if key.startswith(f"{arch.name}.")
    }
    try:
        _check_metadata(fields, arch, shapes)
        values = {name: fields[key] for name, key in arch.keys.items() if key in fields}
        values |= arch.extra_values(fields, shapes)
        values |= {"model_type": arch.family, "tie_word_embeddings": HEAD not in shapes}
        values["vocab_size"] = shapes[EMBEDDING][0]
        if "rope_theta" in arch.keys:
            values |= _rope_config_values(fields, values, factors)
        return read_config(values, arch.family)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(f"{where}: its metadata describe no model ({error}).") from None
    except ArtifactError as error:
        raise ArtifactError(f"{where}, as the config.json of a {arch.family}: {error}") from None


def _find_architecture(metadata: Mapping[str, Value], where: str) -> Architecture:
    name = metadata.get(ARCHITECTURE)
    matching = [arch for arch in ARCHITECTURES if arch.name == name]
    if not matching:
        raise ArtifactError(
            f"{where} has {ARCHITECTURE}={str(name)[:40]!r}; groundup supports {KNOWN}."
        )
    has_experts = bool(metadata.get(f"{name}.expert_count"))
    return matching[-1] if has_experts else matching[0]


def _uniform_value(value: Value, key: str, where: str) -> Any:
    """A value that files may give per layer, and that must be the same for all layers."""
    if not isinstance(value, (np.ndarray, list)):
        return value
    if len(value) == 0 or any(each != value[0] for each in value):
        raise ArtifactError(f"{where} has layers that differ in {key}, which is unsupported.")
    return value[0].item() if isinstance(value, np.ndarray) else value[0]


def _check_metadata(fields: Mapping[str, Any], arch: Architecture, shapes: Shapes) -> None:
    for name, key in arch.keys.items():
        if name not in OPTIONAL_KEYS and key not in fields:
            raise ArtifactError(f"the metadata have no {arch.name}.{key}")
    if len(shapes.get(EMBEDDING, ())) != 2:
        raise ArtifactError(f"there is no matrix {EMBEDDING}")
    if not 1 <= fields["block_count"] <= len(shapes):
        raise ArtifactError(f"{fields['block_count']} layers do not fit {len(shapes)} tensors")
    width = fields.get("attention.key_length")
    width = fields["embedding_length"] // fields["attention.head_count"] if width is None else width
    for key in ("attention.value_length", "rope.dimension_count"):
        if fields.get(key, width) != width:
            raise ArtifactError(f"{arch.name}.{key} is {fields[key]}; groundup supports {width}")
    if WINDOW in fields and arch.name != "gemma3":
        what = f"{arch.name}.{WINDOW} is {fields[WINDOW]}"
        raise ArtifactError(f"{what}; windows are supported in gemma3 only")


def _rope_config_values(
    fields: Mapping[str, Any], values: Values, factors: Divisors | None
) -> Values:
    base = values.get("rope_theta", 10_000.0)
    scaling = _rope_scaling_from_metadata(fields, values["max_position_embeddings"])
    if factors is not None:
        width = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
        length = values["max_position_embeddings"]
        scaling = _rope_scaling_from_divisors(factors, width, base, length)
    return {"rope_theta": base, "rope_scaling": scaling}


class GgufDescription(NamedTuple):
    """The architecture and metadata of a model."""

    architecture: str
    metadata: dict[str, Value]
    factors: Divisors | None
    """The tensor rope_freqs.weight, if there is one."""


def describe_for_gguf(config: ModelConfig, sketch: StateDict) -> GgufDescription:
    """The architecture and metadata of a model.

    sketch  its tensors, which may be on torch's meta device

    Raises ConfigError if llama.cpp has no such architecture, with the reason of the family that the
    model is written as, or of LLaMA if no family can express it.
    """
    reasons = {}
    for arch in ARCHITECTURES:
        try:
            description = _describe_as(config, arch)
            named = to_gguf_state_dict(sketch, config, arch.name)
            shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
            read = config_from_metadata(description.metadata, shapes, description.factors, "GGUF")
            require_defaults(config, read, arch.name)
            return description
        except (ConfigError, ArtifactError) as error:
            reasons[arch.family] = str(error)
    family = choose_family(config)
    name = next(name for name, each in FAMILIES.items() if each is family)
    reasons.setdefault("groundup", reasons["bert" if config.kind == "encoder" else "llama"])
    reason = reasons.get(name, f"it is a {name}; groundup writes {KNOWN}.")
    raise ConfigError(f"No architecture of llama.cpp supports this model: {reason}")


def _describe_as(config: ModelConfig, arch: Architecture) -> GgufDescription:
    heads = config.attention.heads * config.attention.head_dim
    if arch.name in SQUARE_ARCHITECTURES and heads != config.width:
        what = f"llama.cpp's {arch.name} needs heads * head_dim = width"
        raise ConfigError(f"{what}; got {heads} and width={config.width}: use qwen3 or llama.")
    values = FAMILIES[arch.family].to_hf_config(config)
    fields: dict[str, Any] = {key: values[name] for name, key in arch.keys.items()}
    scaling, width, factors = config.position.scaling, config.attention.head_dim, None
    if "rope_theta" in arch.keys:
        fields |= {"attention.value_length": width, "rope.dimension_count": width}
        fields |= _rope_scaling_to_metadata(scaling)
        if scaling.kind == "llama3":
            factors = _llama3_divisors(scaling, width, config.position.base)
    if arch.family == "mixtral":
        fields["expert_count"] = values["num_local_experts"]
        fields["expert_used_count"] = values["num_experts_per_tok"]
    if arch.family == "gemma3_text":
        fields[WINDOW] = values["sliding_window"]
        if config.output.softcap is not None:
            fields["final_logit_softcapping"] = config.output.softcap
    if arch.family == "bert":
        fields["attention.causal"] = False
    fields["vocab_size"] = config.vocab_size
    metadata = {f"{arch.name}.{key}": value for key, value in fields.items()}
    return GgufDescription(arch.name, {ARCHITECTURE: arch.name} | metadata, factors)
