"""LLaMA, Mistral, Qwen 2 and Qwen 3: rotary positions, RMS norms, SwiGLU, few or no biases.

Mistral has a sliding window in every layer or in none; Qwen 2 biases of queries, keys and values,
and windows in upper layers; Qwen 3 norms of each head's queries and keys (groundup's default model
is written as this family).
Source: transformers 5.24, models/llama, mistral, qwen2, qwen3; LLaMA: arXiv:2302.13971; Mistral:
arXiv:2310.06825; Qwen2: arXiv:2407.10671; Qwen3: arXiv:2505.09388.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..decoder_keys import FULL, WINDOW, get_layers, parse_layer_types, to_layer_types
from ..keys import word_set
from ..names import get_bool, get_list
from .outline import (
    ATTENTION_BIAS,
    MLP_BIAS,
    SILU,
    WINDOW_KEYS,
    Outline,
    Values,
    read_window,
    rms_eps,
    write_window,
)

LLAMA = Outline(
    "llama", "LlamaForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS, MLP_BIAS),
    is_divided=True, fixed={"activation": ("swiglu",), "rope_interleaved": (False,)},
    ignored=word_set("is_llama_config max_sequence_length"),
).family()  # fmt: skip
MISTRAL = Outline(
    "mistral", "MistralForCausalLM", (SILU, rms_eps()),
    defaults={"num_key_value_heads": 8, "sliding_window": 4096},
    read_more=read_window, write_more=write_window, more_keys=WINDOW_KEYS,
    ignored=word_set("max_sequence_length"),
).family()  # fmt: skip


def _read_upper_windows(values: Values) -> Values:
    """Attention patterns from `layer_types`, or windows from layer `max_window_layers` on.

    Raises ArtifactError for windows without a size.
    """
    family, is_listed = str(values["model_type"]), values.get("layer_types") is not None
    if not get_bool(values, "use_sliding_window", False):
        if is_listed and WINDOW in get_list(values, "layer_types"):
            what = f"config.json has {WINDOW!r} in layer_types without use_sliding_window"
            raise ArtifactError(f"{what}; set it to true, or all layer_types to {FULL!r}.")
        values = values | {"sliding_window": None}
    elif not is_listed and values["sliding_window"] is not None:
        first, layers = values["max_window_layers"], get_layers(values, family)
        if isinstance(first, bool) or not isinstance(first, int) or first < 0:
            raise ArtifactError(f"config.json has max_window_layers={first!r}; expected 0 or more.")
        types = [WINDOW if layer >= first else FULL for layer in range(layers)]
        values = values | {"layer_types": types}
    return {"attention.patterns": parse_layer_types(values, family)}


def _write_upper_windows(config: ModelConfig) -> Values:
    """The keys of windows, for old and new versions of Transformers."""
    types, window = to_layer_types(config, "this family")
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": (types + [WINDOW]).index(WINDOW),
        "layer_types": types,
    }


UPPER_KEYS = WINDOW_KEYS | word_set("max_window_layers use_sliding_window")
DEFAULTS = {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}
QWEN2 = Outline(
    "qwen2", "Qwen2ForCausalLM", (SILU, rms_eps()), {"attention.bias": "qkv"}, DEFAULTS,
    read_more=_read_upper_windows, write_more=_write_upper_windows,
    more_keys=UPPER_KEYS, fixed={"attention_bias": (True,), "use_mrope": (False,)},
).family()  # fmt: skip
QWEN3 = Outline(
    "qwen3", "Qwen3ForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS),
    {"attention.qk_norm": "head"}, DEFAULTS | {"head_dim": 128},
    read_more=_read_upper_windows, write_more=_write_upper_windows, more_keys=UPPER_KEYS,
).family()  # fmt: skip
