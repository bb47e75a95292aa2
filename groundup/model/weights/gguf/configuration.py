"""What a model computes, from GGUF's metadata and back: in the words of a config.json.

A table gives llama.cpp's key for each key of a family's config.json, so that families/ alone knows
what a model of its kind is. What metadata leaves out follows from the architecture: Gemma 3's
shorter base in layers with a window, its every sixth layer without one, the scale of its largest
model's scores; tied embeddings are where `output.weight` is missing.
Source: ggml-org/llama.cpp, src/llama-model.cpp and gguf-py 0.19, gguf/constants.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from groundup.core import ArtifactError, ConfigError

from ...config import ModelConfig
from ...families.names import State, unsaid
from ...families.registry import FAMILIES, family_for, read_config
from .format import Value
from .names import theirs
from .rotary import Factors, factors_of, llama3_values, scaling_metadata, scaling_values

ARCHITECTURE = "general.architecture"
EMBEDDING, HEAD, TYPES = "token_embd.weight", "output.weight", "token_types.weight"
OUTPUT_BIAS = "blk.0.attn_output.bias"
Shapes = Mapping[str, tuple[int, ...]]
Values = dict[str, Any]

SIZES = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
}
LLAMA_KEYS = SIZES | {
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
BERT_KEYS = SIZES | {"layer_norm_eps": "attention.layer_norm_epsilon"}
GPT2_KEYS = {
    "n_embd": "embedding_length",
    "n_layer": "block_count",
    "n_positions": "context_length",
    "n_head": "attention.head_count",
    "n_inner": "feed_forward_length",
    "layer_norm_epsilon": "attention.layer_norm_epsilon",
}
SQUARE = ("qwen2", "olmo2")
"""Where llama.cpp wants queries as wide as the model."""
MAY_LACK = ("num_key_value_heads", "head_dim", "rope_theta")
WINDOW = "attention.sliding_window"
GEMMA_CYCLE, GEMMA_WINDOW_BASE, GEMMA_27B_LAYERS = 6, 10_000.0, 62


class Architecture(NamedTuple):
    """How llama.cpp names what a family of ours is."""

    name: str
    """Its general.architecture."""
    family: str
    """The model_type of the config.json that says the same."""
    keys: Mapping[str, str]
    """Keys of config.json and of metadata, the latter behind the architecture's name."""
    rest: Callable[[Mapping[str, Any], Shapes], Values]
    """What config.json says besides; from the metadata and the tensors' shapes."""


def llama_rest(told: Mapping[str, Any], shapes: Shapes) -> Values:
    """A LLaMA may have biases everywhere."""
    return {"attention_bias": OUTPUT_BIAS in shapes, "mlp_bias": "blk.0.ffn_up.bias" in shapes}


def mixtral_rest(told: Mapping[str, Any], shapes: Shapes) -> Values:
    """A LLaMA with experts."""
    return {
        "num_local_experts": told.get("expert_count"),
        "num_experts_per_tok": told.get("expert_used_count"),
    }


def gemma3_rest(told: Mapping[str, Any], shapes: Shapes) -> Values:
    """What Gemma's files leave out."""
    width, heads = told["embedding_length"], told["attention.head_count"]
    is_27b = told["block_count"] == GEMMA_27B_LAYERS
    return {
        "query_pre_attn_scalar": width // heads if is_27b else told.get("attention.key_length"),
        "sliding_window": told.get(WINDOW),
        "sliding_window_pattern": told.get("attention.sliding_window_pattern", GEMMA_CYCLE),
        "rope_local_base_freq": told.get("rope.freq_base_swa", GEMMA_WINDOW_BASE),
        "final_logit_softcapping": told.get("final_logit_softcapping"),
    }


def bert_rest(told: Mapping[str, Any], shapes: Shapes) -> Values:
    """An encoder without its masked head."""
    return {"architectures": ["BertModel"], "type_vocab_size": shapes.get(TYPES, (0,))[0]}


def nothing(told: Mapping[str, Any], shapes: Shapes) -> Values:
    """All is said."""
    return {}


ARCHITECTURES = (
    Architecture("qwen3", "qwen3", LLAMA_KEYS, nothing),
    Architecture("llama", "llama", LLAMA_KEYS, llama_rest),
    Architecture("llama", "mixtral", LLAMA_KEYS, mixtral_rest),
    Architecture("qwen2", "qwen2", LLAMA_KEYS, nothing),
    Architecture("gemma3", "gemma3_text", LLAMA_KEYS, gemma3_rest),
    Architecture("olmo2", "olmo2", LLAMA_KEYS, nothing),
    Architecture("gpt2", "gpt2", GPT2_KEYS, nothing),
    Architecture("bert", "bert", BERT_KEYS, bert_rest),
)
"""In the order in which they are tried for a model of ours."""


def config_of(
    metadata: Mapping[str, Value], shapes: Shapes, factors: Factors | None, where: str
) -> ModelConfig:
    """What a file's model computes.

    shapes   of all tensors, by llama.cpp's names
    factors  the tensor rope_freqs.weight, if there is one
    where    named in errors

    Raises ArtifactError for an architecture or a value that we do not compute.
    """
    one = architecture_of(metadata, where)
    told = {
        key.removeprefix(f"{one.name}."): one_for_all(value, key, where)
        for key, value in metadata.items()
        if key.startswith(f"{one.name}.")
    }
    try:
        check(told, one, shapes)
        values = {name: told[key] for name, key in one.keys.items() if key in told}
        values |= one.rest(told, shapes)
        values |= {"model_type": one.family, "tie_word_embeddings": HEAD not in shapes}
        values["vocab_size"] = shapes[EMBEDDING][0]
        if "rope_theta" in one.keys:
            values |= rope_values(told, values, factors)
        return read_config(values, one.family)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(f"{where}: its metadata hold no model ({error}).") from None
    except ArtifactError as error:
        raise ArtifactError(f"{where}, as the config.json of a {one.family}: {error}") from None


def architecture_of(metadata: Mapping[str, Value], where: str) -> Architecture:
    """The architecture that metadata name.

    Raises ArtifactError listing those there are.
    """
    name = metadata.get(ARCHITECTURE)
    found = [one for one in ARCHITECTURES if one.name == name]
    if not found:
        known = ", ".join(dict.fromkeys(one.name for one in ARCHITECTURES))
        raise ArtifactError(
            f"{where} has {ARCHITECTURE}={str(name)[:40]!r}; groundup opens {known}."
        )
    has_experts = bool(metadata.get(f"{name}.expert_count"))
    return found[-1] if has_experts else found[0]


def one_for_all(value: Value, key: str, where: str) -> Any:
    """A value that may be given layer by layer and has to be one for all of ours."""
    if not isinstance(value, (np.ndarray, list)):
        return value
    if len(value) == 0 or any(each != value[0] for each in value):
        raise ArtifactError(f"{where} has layers that differ in {key}; groundup's are alike.")
    return value[0].item() if isinstance(value, np.ndarray) else value[0]


def check(told: Mapping[str, Any], one: Architecture, shapes: Shapes) -> None:
    """Refuse files without what a model needs, and with what we do not compute."""
    for name, key in one.keys.items():
        if name not in MAY_LACK and key not in told:
            raise ArtifactError(f"the metadata have no {one.name}.{key}")
    if len(shapes.get(EMBEDDING, ())) != 2:
        raise ArtifactError(f"there is no table {EMBEDDING}")
    if not 1 <= told["block_count"] <= len(shapes):
        raise ArtifactError(f"{told['block_count']} layers cannot lie in {len(shapes)} tensors")
    width = told.get("attention.key_length")
    width = told["embedding_length"] // told["attention.head_count"] if width is None else width
    for key in ("attention.value_length", "rope.dimension_count"):
        if told.get(key, width) != width:
            raise ArtifactError(f"{one.name}.{key} is {told[key]}; groundup computes {width}")
    if WINDOW in told and one.name != "gemma3":
        raise ArtifactError(f"{one.name}.{WINDOW} is {told[WINDOW]}; groundup reads Gemma's alone")


def rope_values(told: Mapping[str, Any], values: Values, factors: Factors | None) -> Values:
    """Base and scaling of rotary positions."""
    base = values.get("rope_theta", 10_000.0)
    scaling = scaling_values(told, values["max_position_embeddings"])
    if factors is not None:
        width = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
        scaling = llama3_values(factors, width, base, values["max_position_embeddings"])
    return {"rope_theta": base, "rope_scaling": scaling}


class Described(NamedTuple):
    """A model of ours as a GGUF file says it."""

    architecture: str
    metadata: dict[str, Value]
    factors: Factors | None
    """What rope_freqs.weight holds, where there is one."""


def describe_model(config: ModelConfig, sketch: State) -> Described:
    """The architecture and metadata of a model.

    sketch  its tensors, which may be without numbers (on torch's meta device)

    Raises ConfigError if llama.cpp has no such architecture, with the reason of the family that the
    model is written as, or of a LLaMA for what no family can say.
    """
    reasons = {}
    for one in ARCHITECTURES:
        try:
            found = described(config, one)
            named = theirs(sketch, config, one.name)
            shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
            unsaid(config, config_of(found.metadata, shapes, found.factors, "GGUF"), one.name)
            return found
        except (ConfigError, ArtifactError) as error:
            reasons[one.family] = str(error)
    raise ConfigError(
        f"No architecture of llama.cpp computes this model: {reason(config, reasons)}"
    )


def reason(config: ModelConfig, reasons: Mapping[str, str]) -> str:
    """Why a model is none of the architectures: what the nearest of them lacks."""
    family = family_for(config)
    name = next(name for name, one in FAMILIES.items() if one is family)
    if name in reasons or name == "groundup":
        is_encoder = config.kind == "encoder"
        return reasons.get(name, reasons["bert" if is_encoder else "llama"])
    known = ", ".join(dict.fromkeys(one.name for one in ARCHITECTURES))
    return f"it is a {name}; groundup writes {known}."


def described(config: ModelConfig, one: Architecture) -> Described:
    """The metadata of a configuration in an architecture."""
    heads = config.attention.heads * config.attention.head_dim
    if one.name in SQUARE and heads != config.width:
        raise ConfigError(
            f"llama.cpp opens no {one.name} whose heads are together {heads} wide in a width of "
            f"{config.width}; it has qwen3 and llama for such."
        )
    values = FAMILIES[one.family].write(config)
    told: dict[str, Any] = {key: values[name] for name, key in one.keys.items()}
    scaling, width, factors = config.position.scaling, config.attention.head_dim, None
    if "rope_theta" in one.keys:
        told |= {"attention.value_length": width, "rope.dimension_count": width}
        told |= scaling_metadata(scaling)
        if scaling.kind == "llama3":
            factors = factors_of(scaling, width, config.position.base)
    if one.family == "mixtral":
        told["expert_count"] = values["num_local_experts"]
        told["expert_used_count"] = values["num_experts_per_tok"]
    if one.family == "gemma3_text":
        told[WINDOW] = values["sliding_window"]
        if config.output.softcap is not None:
            told["final_logit_softcapping"] = config.output.softcap
    if one.family == "bert":
        told["attention.causal"] = False
    told["vocab_size"] = config.vocab_size
    metadata = {f"{one.name}.{key}": value for key, value in told.items()}
    return Described(one.name, {ARCHITECTURE: one.name} | metadata, factors)
