"""Llama 4's text model: attention within chunks, layers without positions, one expert and a shared.

Queries and keys are normed after their rotation; queries of layers without positions grow with the
position, whose padding on the left counts in Transformers but not here.
Source: transformers 5.24, models/llama4; Meta 2025, The Llama 4 herd.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..decoder_keys import FULL, get_layers, parse_layer_types, shortest_cycle
from ..decoder_keys import NAMES as LLAMA_NAMES
from ..experts import OURS, ExpertFiles
from ..keys import word_set
from ..names import get_bool, get_int
from .outline import ATTENTION_BIAS, SILU, Key, Outline, Values, expert_counts, rms_eps
from .smollm3 import read_rotated_layers

NAME, FEED, EXPERTS = "llama4_text", "model.layers.{}.feed_forward.", "feedforward.experts."
CHUNKED = "chunked_attention"
NAMES = (
    (FEED + "router.", OURS + "router."),
    (FEED + "shared_expert.", OURS + "shared."),
    (FEED + "experts.", OURS),
    (FEED, "layers.{}.feedforward."),
    *LLAMA_NAMES,
)
NO_TEMPERATURE = {"attention.temperature_length": 0, "attention.temperature": 0.1}


def _read(values: Values) -> Values:
    layers, rotated = get_layers(values, NAME), read_rotated_layers(values, NAME)
    if values.get("layer_types") is None:
        has_chunks = values["attention_chunk_size"] is not None
        types = [CHUNKED if each and has_chunks else FULL for each in rotated]
        values = values | {"layer_types": types}
    step, sparse = get_int(values, "interleave_moe_layer_step", NAME, 1), values.get("moe_layers")
    steps = range(1, layers + 1) if sparse is not None else (step,)
    every = next((i for i in steps if sparse in (None, list(range(i - 1, layers, i)))), None)
    if every is None:
        what = f"moe_layers={str(sparse)[:60]}"
        raise ArtifactError(f"config.json has {what}; expected the last of every so many layers.")
    is_tuned = get_bool(values, "attn_temperature_tuning", True)
    patterns = parse_layer_types(values, NAME, CHUNKED, "block", "attention_chunk_size")
    return {
        "attention.patterns": patterns, "position.rotated_layers": shortest_cycle(rotated),
        EXPERTS + "shared": get_int(values, "intermediate_size", NAME), EXPERTS + "every": every,
    } | ({} if is_tuned else NO_TEMPERATURE)  # fmt: skip


def _write(config: ModelConfig) -> Values:
    patterns = [config.pattern(i) for i in range(config.layers)]
    experts, part = config.feedforward.experts, config.attention
    untuned = {"attn_temperature_tuning": False, "floor_scale": 8192}
    return {
        "interleave_moe_layer_step": experts and experts.every,
        "no_rope_layers": [int(config.rotates(i)) for i in range(config.layers)],
        "layer_types": [FULL if each.kind == "full" else CHUNKED for each in patterns],
        "attention_chunk_size": max(each.window for each in patterns) or None,
    } | ({} if part.temperature_length else untuned)  # fmt: skip


LLAMA4 = Outline(
    NAME, "Llama4ForCausalLM",
    (
        SILU, rms_eps(1e-5), ATTENTION_BIAS, *expert_counts(16, 1),
        Key("intermediate_size_mlp", "feedforward.width", 16_384),
        Key("intermediate_size", EXPERTS + "width", 8192),
        Key("use_qk_norm", "attention.qk_norm", True, {True: "rotated", False: "none"}),
        Key("floor_scale", "attention.temperature_length", 8192),
        Key("attn_scale", "attention.temperature", 0.1),
    ),
    {
        "position.interleaved": True, EXPERTS + "scores": "sigmoid",
        EXPERTS + "normalised": False, EXPERTS + "weighs_input": True,
    },
    {"num_key_value_heads": 8, "head_dim": 128, "attention_chunk_size": 8192},
    base=500_000.0, names=NAMES, read_more=_read, write_more=_write,
    more_keys=word_set("""
        attention_chunk_size attn_temperature_tuning interleave_moe_layer_step layer_types
        moe_layers no_rope_layer_interval no_rope_layers
        """),
    experts=ExpertFiles(is_stacked=True, transposed=True),
).family()  # fmt: skip
