"""Convert metadata between llama.cpp's and a ModelConfig, by the table of architectures.

What a file says must be what its model would be written with: a key that would not be written, or
not with this value, may change what llama.cpp computes, and is refused by name. Embeddings are
tied if `output.weight` is missing.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from groundup.core import ArtifactError, ConfigError

from ...configuration.config import ModelConfig
from ...families.decoder_keys import with_fields
from ...families.names import StateDict
from ...families.registry import FAMILIES, choose_family, read_config
from . import scaling
from .architectures import ARCHITECTURES, BOTH, KIN, PATTERN, Architecture, Shapes, Values
from .format import Value
from .layouts import to_gguf_state_dict
from .scaling import Divisors, Factors

ARCHITECTURE = "general.architecture"
EMBEDDING, HEAD, BASE = "token_embd.weight", "output.weight", "rope.freq_base"
KNOWN = ", ".join(dict.fromkeys(arch.name for arch in ARCHITECTURES))
OPTIONAL = frozenset("""
    attention.head_count_kv attention.key_length attention.clamp_kqv attention.q_lora_rank
    attn_logit_softcapping rope.freq_base rope.freq_base_swa use_parallel_residual residual_scale
    embedding_scale attention.scale expert_weights_scale leading_dense_block_count
    expert_shared_count decoder_block_count
    """.split())  # fmt: skip
"""Keys that files may omit."""
HARMLESS = frozenset(("vocab_size", "tensor_data_layout", "pooling_type"))
"""Keys that change nothing, or only what other keys say too."""
NEUTRAL = {
    "expert_count": 0, "expert_used_count": 0, "attention.clamp_kqv": 0.0,
    "attention.max_alibi_bias": 0.0, "expert_group_count": 1, "expert_group_used_count": 1,
    "rope.scaling.finetuned": True, "rope.scaling.yarn_ext_factor": 1.0,
}  # fmt: skip
"""Values of keys that change nothing."""


def config_from_metadata(
    metadata: Mapping[str, Value], shapes: Shapes, factors: Factors, where: str
) -> ModelConfig:
    """The configuration of a file's model.

    shapes   of all tensors, by llama.cpp's names
    factors  the tensors of divisors of rotary frequencies, if there are some
    where    named in errors

    Raises ArtifactError for an unsupported architecture or value.
    """
    name = metadata.get(ARCHITECTURE)
    if name not in KNOWN.split(", "):
        found = f"{where} has {ARCHITECTURE}={str(name)[:40]!r}"
        raise ArtifactError(f"{found}; groundup supports {KNOWN}.")
    fields = {
        key.removeprefix(f"{name}."): _uniform_value(value, key, where)
        for key, value in metadata.items()
        if key.startswith(f"{name}.")
    }
    matching = (each for each in ARCHITECTURES if each.name == name)
    arch = next(each for each in matching if each.matches(fields, shapes))
    try:
        config = read_config(_read_values(fields, arch, shapes, factors), arch.family)
        _check_metadata(fields, arch, config)
        return config
    except (TypeError, ValueError, ArithmeticError, KeyError) as error:
        raise ArtifactError(f"{where}: its metadata describe no model ({error}).") from None
    except (ArtifactError, ConfigError) as error:
        raise ArtifactError(f"{where}, as the config.json of a {arch.family}: {error}") from None


def _uniform_value(value: Value, key: str, where: str) -> Any:
    """A value that files may give per layer, and that must be the same for all layers."""
    if not isinstance(value, (np.ndarray, list)):
        return value
    if key.endswith(PATTERN):
        return list(value)
    if len(value) == 0 or any(each != value[0] for each in value):
        raise ArtifactError(f"{where} has layers that differ in {key}, which is unsupported.")
    return value[0].item() if isinstance(value, np.ndarray) else value[0]


def _read_values(
    fields: Mapping[str, Any], arch: Architecture, shapes: Shapes, factors: Factors
) -> Values:
    """The config.json of a file's model."""
    for key in arch.keys.values():
        if key not in OPTIONAL and key not in fields:
            raise ArtifactError(f"the metadata have no {arch.name}.{key}")
    if len(shapes.get(EMBEDDING, ())) != 2:
        raise ArtifactError(f"there is no matrix {EMBEDDING}")
    if not 1 <= fields["block_count"] <= len(shapes):
        raise ArtifactError(f"{fields['block_count']} layers do not fit {len(shapes)} tensors")
    width = fields["embedding_length"] // fields["attention.head_count"]
    width = fields.get("attention.key_length", width)
    rotated = fields.get("rope.dimension_count", width)
    fields = {"attention.key_length": width} | dict(fields)
    values = {name: fields[key] for name, key in arch.keys.items() if key in fields}
    values |= {"model_type": arch.family, "tie_word_embeddings": HEAD not in shapes}
    values |= arch.read_more(fields, shapes)
    values["vocab_size"] = shapes[EMBEDDING][0]
    if arch.rotated:
        values[arch.rotated] = rotated / width
    if arch.is_roped:
        truncate = arch.name != "gpt-oss"
        values["rope_scaling"] = scaling.read_scaling(fields, factors, rotated, truncate=truncate)
        values.setdefault(next(a for a, b in arch.keys.items() if b == BASE), 10_000.0)
    return values


def _check_metadata(fields: Mapping[str, Any], arch: Architecture, config: ModelConfig) -> None:
    """Raise ArtifactError naming a key that the model would not be written with."""
    expected = _write_fields(config, arch)
    known = HARMLESS | scaling.KEYS | set(arch.also_read)
    for key, value in fields.items():
        right = expected.get(key, NEUTRAL.get(key))
        if isinstance(value, (int, float)) and isinstance(right, (int, float)):
            is_right = math.isclose(value, right, rel_tol=1e-6)
        else:
            is_right = value == right
        if key not in known and not is_right:
            what = f"{arch.name}.{key} is {str(value)[:40]}"
            raise ArtifactError(f"{what}; groundup supports {right}")


WORDS = {
    "output.logits": "a head of masked words", "attention.patterns": "windows of attention",
    "tied_embeddings": "a head that is the embedding", "feedforward.gated": "gated feed-forwards",
    "parallel": "attention beside the feed-forward", "feedforward.experts": "a mixture of experts",
    "attention.qk_norm": "norm of queries and keys", "position.rotated": "share rotated",
    "position.rotated_layers": "layers with positions", "output.softcap": "a cap of logits",
    "attention.softcap": "a cap of scores", "attention.scale": "a scale of scores",
    "attention.clip": "a bound of queries, keys and values", "attention.latent": "latent attention",
    "position.shared": "a bias of distances that all layers share", "norm.eps": "epsilon of norms",
    "position.scaling.truncate": "a rounded ramp of YaRN by its files",
    "prefix": "prefixes seen both ways",
    "feedforward.experts.normalised": "shares of experts that add up to one",
}  # fmt: skip
"""What parts of a configuration are called, if not by the names of their fields."""


def require_same(config: Any, read: Any, arch: str, path: str = "") -> None:
    """Raise ConfigError that says in words what a file of llama.cpp's would not preserve."""
    for name in type(config).model_fields:
        value, held, where = getattr(config, name), getattr(read, name), path + name
        if value == held:
            continue
        if hasattr(type(value), "model_fields") and type(value) is type(held):
            require_same(value, held, arch, where + ".")
        part = WORDS.get(where, " ".join(where.split(".")[-2:]).replace("_", " "))
        is_full = name == "patterns" and not any(each.window for each in held)
        if held is None or held is False or is_full:
            raise ConfigError(f"it has {part}, which llama.cpp's {arch} has not")
        if value is None or value is False:
            raise ConfigError(f"llama.cpp's {arch} has {part}, which this model has not")
        if isinstance(value, (str, int, float)):
            raise ConfigError(f"its {part} is {value}, that of llama.cpp's {arch} {held}")
        raise ConfigError(f"its {part} are not those of llama.cpp's {arch}")


class GgufDescription(NamedTuple):
    """The architecture and metadata of a model."""

    architecture: str
    metadata: dict[str, Value]
    factors: dict[str, Divisors]
    """Tensors of divisors of the rotary frequencies."""


def describe_for_gguf(config: ModelConfig, sketch: StateDict, first: str = "") -> GgufDescription:
    """The architecture and metadata of a model.

    sketch  its tensors, which may be on torch's meta device
    first   the family of its files, if known, of which errors speak

    Raises ConfigError if llama.cpp has no such architecture, with the reason of the model's family,
    or of BERT, T5 or LLaMA if no family can express it.
    """
    reasons = {}
    # Unused rows are not written, and factors have the digits of float32.
    read_back = scaling.in_float32(config.position.scaling)
    usual = with_fields(config, {"position.offset": 0, "position.scaling": read_back})
    for arch in ARCHITECTURES:
        try:
            description = _describe_as(usual, arch)
            named = to_gguf_state_dict(sketch, config, arch.name)
            shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
            read = config_from_metadata(description.metadata, shapes, description.factors, "GGUF")
            require_same(usual, read, arch.name)
            return description
        except (ConfigError, ArtifactError) as error:
            reasons[arch.family] = str(error)
    family = choose_family(usual, first=first)
    name = next(name for name, each in FAMILIES.items() if each is family)
    nearest = {"encoder": "bert", "encoder_decoder": "t5"}.get(config.kind, "llama")
    known = KIN | {"groundup": nearest}
    reason = reasons.get(known.get(name, name), f"groundup writes {KNOWN}")
    what = f"No architecture of llama.cpp can hold this {name} model: {reason.rstrip('.')}"
    raise ConfigError(f"{what}. Use the model's folder instead, which holds all of it.")


def _describe_as(config: ModelConfig, arch: Architecture) -> GgufDescription:
    family, heads = FAMILIES[arch.family], config.attention.heads * config.attention.head_dim
    require_same(config, family.from_hf_config(family.write_config(config)), arch.name)
    if arch.is_square and heads != config.width:
        what = f"llama.cpp's {arch.name} needs heads as wide together as the model"
        raise ConfigError(f"{what}, which has {config.width} features and they {heads}")
    if arch.ties not in (None, config.tied_embeddings):
        own = ("a head of its own", "no head but the embedding")[:: -1 if arch.ties else 1]
        raise ConfigError(f"llama.cpp's {arch.name} needs {own[0]}, and this model has {own[1]}")
    kind = config.position.scaling.kind
    if kind in BOTH and kind not in arch.divisors:
        what = f"its positions are scaled by {kind}"
        raise ConfigError(f"{what}, for which llama.cpp's {arch.name} opens no tensor of divisors")
    factors = scaling.write_scaling(config)[1] if arch.is_roped else {}
    metadata = {f"{arch.name}.{key}": value for key, value in _write_fields(config, arch).items()}
    return GgufDescription(arch.name, {ARCHITECTURE: arch.name} | metadata, factors)


def _write_fields(config: ModelConfig, arch: Architecture) -> dict[str, Any]:
    """The metadata of a model, without the architecture's prefix."""
    values, part = FAMILIES[arch.family].to_hf_config(config), config.attention
    fields = {
        "feed_forward_length": config.feedforward.width,
        "attention.head_count_kv": part.kv_heads,
    }
    if arch.is_roped:
        value_dim = part.head_dim if part.latent is None else part.latent.value_dim
        fields |= {"attention.key_length": part.head_dim, "attention.value_length": value_dim}
        fields |= {"rope.dimension_count": config.rotary_dim} | scaling.write_scaling(config)[0]
    for name, key in arch.keys.items():
        if values.get(name) is not None:
            fields[key] = values[name]
    return fields | arch.write_more(config) | {"vocab_size": config.vocab_size}
