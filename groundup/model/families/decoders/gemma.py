"""Gemma, Gemma 2 and Gemma 3: scaled embeddings and zero-centred norms; then softcaps and windows.

Gemma's `gelu` is the tanh approximation. Gemma 2 and 3 have norms before and after each sublayer,
and windows in every second layer, or in five of six, where Gemma 3 has a smaller rotary base. Of a
multimodal `gemma3` the text model is opened: its output for text is the same.
Source: transformers 5.24, models/gemma, gemma2, gemma3; Gemma Team: arXiv:2403.08295,
arXiv:2408.00118, arXiv:2503.19786.
"""

import re
from typing import Any

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..decoder_keys import NAMES
from ..keys import CAUSAL, ConfigKeys, validate_keys, word_set
from ..names import StateDict, get_bool, get_float, get_int, require_supported
from .outline import (
    ATTENTION_BIAS,
    WINDOW_KEYS,
    Key,
    Outline,
    Values,
    read_layer_ropes,
    read_layer_windows,
    rms_eps,
    write_layer_ropes,
    write_layer_windows,
)

TANH = "gelu_pytorch_tanh"
ACTS = {TANH: "gelu_tanh", "gelu": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu"}
SANDWICH_NAMES = (
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.pre_feedforward_layernorm.", "layers.{}.feedforward_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    *NAMES,
)


def _read_scale(values: Values) -> Values:
    return {"embedding.scale": get_int(values, "hidden_size", "gemma") ** 0.5}


GEMMA = Outline(
    "gemma", "GemmaForCausalLM",
    (rms_eps(), ATTENTION_BIAS, Key("hidden_act", "feedforward.activation", TANH, ACTS)),
    {"norm.zero_centred": True}, {"num_key_value_heads": 16, "head_dim": 256}, tied=True,
    read_more=_read_scale,
    fixed={"use_bidirectional_attention": (False, None), "hidden_activation": (TANH, None)},
).family()  # fmt: skip


def _read_windows(values: Values, cycle: int) -> Values:
    """Fields of Gemma 2 and 3: the scales of embeddings and scores, and windows."""
    family = str(values["model_type"])
    scalar = get_int(values, "query_pre_attn_scalar", family, 256)
    is_usual = scalar == get_int(values, "head_dim", family)
    return _read_scale(values) | {
        "attention.scale": None if is_usual else scalar**-0.5,
        "attention.patterns": read_layer_windows(values, cycle),
    }


def _write_gemma2(config: ModelConfig) -> Values:
    scale = config.attention.scale
    scalar = round(scale**-2) if scale else config.attention.head_dim
    return write_layer_windows(config, 4096) | {"query_pre_attn_scalar": scalar}


WINDOWED = {"norm.zero_centred": True, "norm.place": "sandwich"}
GEMMA2 = Outline(
    "gemma2", "Gemma2ForCausalLM",
    (
        rms_eps(), ATTENTION_BIAS, Key("hidden_activation", "feedforward.activation", TANH),
        Key("attn_logit_softcapping", "attention.softcap", 50.0, optional=True),
        Key("final_logit_softcapping", "output.softcap", 30.0, optional=True),
    ),
    WINDOWED, tied=True, names=SANDWICH_NAMES, is_divided=True,
    defaults={"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096},
    read_more=lambda values: _read_windows(values, 2), write_more=_write_gemma2,
    more_keys=WINDOW_KEYS | {"query_pre_attn_scalar"},
    fixed={"use_bidirectional_attention": (False, None), "hidden_act": (TANH, None)},
).family()  # fmt: skip

GEMMA3_DEFAULTS: dict[str, Any] = {
    "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "max_position_embeddings": 131_072, "sliding_window": 4096,
}  # fmt: skip
"""Defaults that published multimodal files omit."""
MULTIMODAL_KEYS = ConfigKeys(
    word_set("text_config tie_word_embeddings"), CAUSAL, word_set("""
    boi_token_id boi_token_index eoi_token_id eoi_token_index image_token_id image_token_index
    mm_tokens_per_image vision_config
    """),
)  # fmt: skip
"""Keys of the multimodal config.json, which holds the text model's."""
VISION_TENSORS = r"(model\.)?(vision_tower|multi_modal_projector)\.|.*\.rotary_emb\.inv_freq$"
TEXT_PREFIX = re.compile(r"(?:model\.language_model\.|language_model\.model\.)")


def _read_gemma3(values: Values) -> Values:
    cycle = get_int(values, "sliding_window_pattern", "gemma3_text", 6)
    local_base = get_float(values, "rope_local_base_freq", 10_000.0)
    return _read_windows(values, cycle) | read_layer_ropes(values, 1_000_000.0, local_base)


def _write_gemma3(config: ModelConfig) -> Values:
    values = _write_gemma2(config) | write_layer_ropes(config)
    return values | {"rope_local_base_freq": config.position.window_base}


# Transformers reads attn_logit_softcapping of Gemma 3 but never applies it, so it must be null.
PLAIN = Outline(
    "gemma3_text", "Gemma3ForCausalLM",
    (
        rms_eps(), ATTENTION_BIAS,
        Key("hidden_activation", "feedforward.activation", TANH, {TANH: "gelu_tanh"}),
        Key("final_logit_softcapping", "output.softcap", None, optional=True),
    ),
    {**WINDOWED, "attention.qk_norm": "head"}, GEMMA3_DEFAULTS, tied=True,
    has_layer_ropes=True, absent=frozenset(("original_max_position_embeddings",)),
    names=SANDWICH_NAMES, is_divided=True, read_more=_read_gemma3, write_more=_write_gemma3,
    more_keys=WINDOW_KEYS | word_set(
        "query_pre_attn_scalar rope_local_base_freq sliding_window_pattern"),
    fixed={"attn_logit_softcapping": (None,), "use_bidirectional_attention": (False, None)},
    ignored=word_set("_sliding_window_pattern"),
    dropped=VISION_TENSORS,
).family()  # fmt: skip


def _read_text_config(values: Values) -> ModelConfig:
    """The configuration of a text model, alone or within a multimodal one.

    Raises ArtifactError if there is none, or if its logits are capped.
    """
    if values.get("model_type") != "gemma3":
        return PLAIN.from_hf_config(values)
    text = values.get("text_config")
    if not isinstance(text, dict):
        raise ArtifactError(f"config.json has text_config={text!r}; gemma3 needs an object.")
    # Transformers would not apply it here.
    require_supported(text, {"final_logit_softcapping": (None,)})
    text = validate_keys({"model_type": PLAIN.name} | text, PLAIN.keys, PLAIN.name)
    tied = get_bool(values, "tie_word_embeddings", True)
    return PLAIN.from_hf_config(text | {"tie_word_embeddings": tied})


def _read_text_tensors(state: StateDict, config: ModelConfig) -> StateDict:
    text = {TEXT_PREFIX.sub("model.", name): tensor for name, tensor in state.items()}
    text = {name.removeprefix("language_model."): tensor for name, tensor in text.items()}
    return PLAIN.from_hf_state_dict(text, config)


GEMMA3_TEXT = PLAIN._replace(
    from_hf_config=_read_text_config, from_hf_state_dict=_read_text_tensors
)
GEMMA3 = GEMMA3_TEXT._replace(name="gemma3", keys=MULTIMODAL_KEYS)
