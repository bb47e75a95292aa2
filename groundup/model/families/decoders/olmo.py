"""OLMo and OLMo 3: layer norms without weights, then OLMo 2's norms with windows.

OLMo may limit queries, keys and values. OLMo 3 has a window in all layers but every fourth, and
scales the rotary positions of the others only. OLMo 2 is in llama.py.
Source: transformers 5.24, models/olmo and olmo3; Groeneveld et al. 2024, arXiv:2402.00838;
Team Olmo 2025, arXiv:2512.13961.
"""

from ...config import ModelConfig
from ..llama import FULL, OLMO2_NAMES
from ..names import get_float, parse_layer_rope, parse_window_base
from .outline import (
    ATTENTION_BIAS,
    SILU,
    WINDOW_KEYS,
    Key,
    Outline,
    Values,
    decoder_family,
    read_layer_windows,
    rms_eps,
    write_layer_ropes,
    write_layer_windows,
)

OLMO = decoder_family(
    Outline(
        "olmo", "OlmoForCausalLM",
        (SILU, ATTENTION_BIAS, Key("clip_qkv", "attention.clip", None, optional=True)),
        {"norm.kind": "layer", "norm.eps": 1e-5, "norm.bias": False, "norm.weights": False},
    )
)  # fmt: skip

BASE = 500_000.0


def _read_olmo3(values: Values) -> Values:
    base, scaling = parse_layer_rope(values, FULL, get_float(values, "rope_theta", BASE))
    window_base = parse_window_base(values, BASE, scaled=False)
    is_same = window_base == base and scaling.kind == "none"
    return {
        "attention.patterns": read_layer_windows({"sliding_window": 4096, **values}, 4),
        "position.base": base, "position.scaling": scaling,
        "position.window_base": None if is_same else window_base,
    }  # fmt: skip


def _write_olmo3(config: ModelConfig) -> Values:
    return write_layer_windows(config) | write_layer_ropes(config)


OLMO3 = decoder_family(
    Outline(
        "olmo3", "Olmo3ForCausalLM", (SILU, rms_eps(1e-5), ATTENTION_BIAS),
        {"norm.place": "output", "attention.qk_norm": "all"}, names=OLMO2_NAMES,
        read_more=_read_olmo3, write_more=_write_olmo3, more_keys=WINDOW_KEYS,
        has_layer_ropes=True,
    )
)  # fmt: skip
