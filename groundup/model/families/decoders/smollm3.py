"""SmolLM 3: LLaMA without positions in every fourth layer.

Source: transformers 5.24, models/smollm3; Bakouch et al. 2025, SmolLM3; layers without positions:
Yang et al. 2025, arXiv:2501.18795.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..decoder_keys import (
    FULL,
    WINDOW,
    get_layers,
    parse_layer_types,
    shortest_cycle,
    to_layer_types,
)
from ..names import get_bool, get_int
from .outline import ATTENTION_BIAS, MLP_BIAS, SILU, Outline, Values, rms_eps

NAME = "smollm3"


def read_rotated_layers(values: Values, family: str) -> tuple[bool, ...]:
    """Whether each layer rotates: as listed, or all but the last of every so many."""
    layers, rotated = get_layers(values, family), values.get("no_rope_layers")
    if rotated is None:
        interval = get_int(values, "no_rope_layer_interval", family, 4)
        rotated = [int((i + 1) % interval != 0) for i in range(layers)]
    if not isinstance(rotated, list) or len(rotated) < layers or set(rotated) - {0, 1}:
        expected = f"expected {layers} values, 0 in layers without positions, else 1"
        raise ArtifactError(f"config.json has no_rope_layers={str(rotated)[:60]}; {expected}.")
    return tuple(map(bool, rotated[:layers]))


def _read(values: Values) -> Values:
    rotated = read_rotated_layers(values, NAME)
    has_window = get_bool(values, "use_sliding_window", False)
    if not has_window:
        if WINDOW in (values.get("layer_types") or ()):
            raise ArtifactError(
                f"config.json has use_sliding_window=false and layer_types with {WINDOW!r}; "
                "expected true, or full attention alone."
            )
        values = values | {"sliding_window": None}
    elif values.get("layer_types") is None and values.get("sliding_window") is not None:
        types = [FULL if each else WINDOW for each in rotated]
        values = values | {"layer_types": types}
    return {
        "position.rotated_layers": shortest_cycle(rotated),
        "attention.patterns": parse_layer_types(values, NAME),
    }


def _write(config: ModelConfig) -> Values:
    types, window = to_layer_types(config, NAME)
    return {
        "no_rope_layers": [int(config.rotates(i)) for i in range(config.layers)],
        "use_sliding_window": window is not None, "sliding_window": window, "layer_types": types,
    }  # fmt: skip


SMOLLM3 = Outline(
    NAME, "SmolLM3ForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS, MLP_BIAS),
    defaults={"num_key_value_heads": 4}, base=2_000_000.0, tied=True,
    read_more=_read, write_more=_write,
    more_keys=frozenset(("layer_types", "no_rope_layer_interval", "no_rope_layers",
                         "sliding_window", "use_sliding_window")),
    ignored=frozenset(("max_window_layers",)),
).family()  # fmt: skip
