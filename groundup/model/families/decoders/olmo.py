"""OLMo, OLMo 2 and OLMo 3: layer norms without weights; norms after each sublayer; windows.

OLMo may limit queries, keys and values. OLMo 2 norms all queries and keys together. OLMo 3 has a
window in all layers but every fourth, and scales the rotary positions of the others only.
Source: transformers 5.24, models/olmo, olmo2, olmo3; Groeneveld et al. 2024, arXiv:2402.00838;
OLMo Team 2024, arXiv:2501.00656; Team Olmo 2025, arXiv:2512.13961.
"""

from ...configuration.config import ModelConfig
from ..decoder_keys import NAMES
from .outline import (
    ATTENTION_BIAS,
    SILU,
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

OLMO = Outline(
    "olmo", "OlmoForCausalLM",
    (SILU, ATTENTION_BIAS, Key("clip_qkv", "attention.clip", None, optional=True)),
    {"norm.kind": "layer", "norm.eps": 1e-5, "norm.bias": False, "norm.weights": False},
).family()  # fmt: skip
OLMO2_NAMES = (
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    *NAMES,
)
OLMO2_FIELDS = {"norm.place": "output", "attention.qk_norm": "all"}
OLMO2 = Outline(
    "olmo2", "Olmo2ForCausalLM", (SILU, rms_eps(1e-5), ATTENTION_BIAS), OLMO2_FIELDS,
    names=OLMO2_NAMES,
).family()  # fmt: skip

BASE, OWN_BASE = 500_000.0, "position.window_base"


def _read_olmo3(values: Values) -> Values:
    fields = read_layer_ropes(values, BASE, BASE)
    if fields["position.scaling"].kind == "none" and fields[OWN_BASE] == fields["position.base"]:
        fields[OWN_BASE] = None
    windows = read_layer_windows({"sliding_window": 4096, **values}, 4)
    return fields | {"attention.patterns": windows}


def _write_olmo3(config: ModelConfig) -> Values:
    return write_layer_windows(config, 4096) | write_layer_ropes(config)


OLMO3 = Outline(
    "olmo3", "Olmo3ForCausalLM", (SILU, rms_eps(1e-5), ATTENTION_BIAS), OLMO2_FIELDS,
    names=OLMO2_NAMES, read_more=_read_olmo3, write_more=_write_olmo3,
    more_keys=WINDOW_KEYS, has_layer_ropes=True,
).family()  # fmt: skip
