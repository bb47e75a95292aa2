"""EXAONE 4: norms after each sublayer, windows in three of four layers, positions only in these.

Without windows every layer has positions.
Source: transformers 5.24, models/exaone4; LG AI Research 2025, arXiv:2507.11407.
"""

from ...configuration.config import ModelConfig
from ..decoder_keys import get_layers, shortest_cycle
from ..names import get_int
from .olmo import OLMO2_NAMES
from .outline import (
    SILU,
    WINDOW_KEYS,
    Outline,
    Values,
    read_layer_windows,
    rms_eps,
    write_layer_windows,
)

NAME, UNUSED_WINDOW = "exaone4", 4096


def _read(values: Values) -> Values:
    has_types = values.get("layer_types") is not None
    cycle = 1 if has_types else get_int(values, "sliding_window_pattern", NAME, 4)
    layers, is_hybrid = get_layers(values, NAME), values["sliding_window"] is not None
    patterns = read_layer_windows(values, cycle if is_hybrid else 1)
    types = tuple(patterns[i % len(patterns)].kind == "window" for i in range(layers))
    rotated = shortest_cycle(types) if is_hybrid else (True,)
    return {"attention.patterns": patterns, "position.rotated_layers": rotated}


def _write(config: ModelConfig) -> Values:
    values = write_layer_windows(config)
    if values["sliding_window"] is None and not config.rotates(0):
        values["sliding_window"] = UNUSED_WINDOW  # Transformers rotates all layers where it is null
    return values


EXAONE4 = Outline(
    NAME, "Exaone4ForCausalLM", (SILU, rms_eps(1e-5)),
    {"norm.place": "output", "attention.qk_norm": "head"},
    defaults={"num_key_value_heads": 32, "sliding_window": 4096}, names=OLMO2_NAMES,
    read_more=_read, write_more=_write, more_keys=WINDOW_KEYS | {"sliding_window_pattern"},
).family()  # fmt: skip
