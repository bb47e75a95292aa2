"""Gemma and Gemma 2: scaled embeddings and zero-centred norms; then softcaps and windows.

Gemma's `gelu` is the tanh approximation. Gemma 3 is in gemma3.py.
Source: transformers 5.24, models/gemma and gemma2; Gemma Team 2024, arXiv:2403.08295 and
arXiv:2408.00118.
"""

from ...config import ModelConfig
from ..gemma3 import NAMES as GEMMA3_NAMES
from ..names import get_activation, get_int, hf_activation
from .outline import (
    ATTENTION_BIAS,
    WINDOW_KEYS,
    Key,
    Outline,
    Values,
    decoder_family,
    read_layer_windows,
    rms_eps,
    write_layer_windows,
)

TANH = "gelu_pytorch_tanh"


def _read_gemma(values: Values) -> Values:
    activation = get_activation(values, "hidden_act", TANH)
    return {
        "embedding.scale": get_int(values, "hidden_size", "gemma") ** 0.5,
        "feedforward.activation": "gelu_tanh" if activation == "gelu" else activation,
    }


GEMMA = decoder_family(
    Outline(
        "gemma", "GemmaForCausalLM", (rms_eps(), ATTENTION_BIAS), {"norm.zero_centred": True},
        defaults={"num_key_value_heads": 16, "head_dim": 256}, tied=True, read_more=_read_gemma,
        write_more=lambda config: {"hidden_act": hf_activation(config.feedforward.activation)},
        more_keys=frozenset(("hidden_act",)),
        fixed={"use_bidirectional_attention": (False, None), "hidden_activation": (TANH, None)},
    )
)  # fmt: skip


def _read_gemma2(values: Values) -> Values:
    scalar = get_int(values, "query_pre_attn_scalar", "gemma2", 256)
    is_usual = scalar == get_int(values, "head_dim", "gemma2")
    return {
        "embedding.scale": get_int(values, "hidden_size", "gemma2") ** 0.5,
        "attention.scale": None if is_usual else scalar**-0.5,
        "attention.patterns": read_layer_windows(values, 2),
    }


def _write_gemma2(config: ModelConfig) -> Values:
    scale = config.attention.scale
    scalar = round(scale**-2) if scale else config.attention.head_dim
    return write_layer_windows(config) | {"query_pre_attn_scalar": scalar}


GEMMA2 = decoder_family(
    Outline(
        "gemma2", "Gemma2ForCausalLM",
        (
            rms_eps(), ATTENTION_BIAS, Key("hidden_activation", "feedforward.activation", TANH),
            Key("attn_logit_softcapping", "attention.softcap", 50.0, optional=True),
            Key("final_logit_softcapping", "output.softcap", 30.0, optional=True),
        ),
        {"norm.zero_centred": True, "norm.place": "sandwich"},
        defaults={"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}, tied=True,
        names=GEMMA3_NAMES, read_more=_read_gemma2, write_more=_write_gemma2,
        more_keys=WINDOW_KEYS | {"query_pre_attn_scalar"},
        fixed={"use_bidirectional_attention": (False, None), "hidden_act": (TANH, None)},
    )
)  # fmt: skip
