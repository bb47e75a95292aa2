"""Llama 4's text model: attention within chunks, layers without positions, one expert and a shared.

Queries and keys are normed after their rotation; queries of layers without positions grow with the
position, whose padding on the left counts in Transformers but not here.
Source: transformers 5.24, models/llama4; Meta 2025, The Llama 4 herd.
"""

from groundup.core import ArtifactError
from groundup.kernels import AttentionPattern

from ...config import ExpertsConfig, ModelConfig
from ..keys import word_set
from ..llama import NAMES as LLAMA_NAMES
from ..llama import get_layers, shortest_cycle
from ..mixtral import OURS, ExpertFiles, read_counts, require_experts, with_experts
from ..names import get_bool, get_float, get_int
from .outline import ATTENTION_BIAS, SILU, Key, Outline, Values, decoder_family, rms_eps

NAME, FEED = "llama4_text", "model.layers.{}.feed_forward."
FULL, CHUNKED = "full_attention", "chunked_attention"
NAMES = (
    (FEED + "router.", OURS + "router."),
    (FEED + "shared_expert.", OURS + "shared."),
    (FEED + "experts.", OURS),
    (FEED, "layers.{}.feedforward."),
    *LLAMA_NAMES,
)


def _refuse(key: str, value: object, expected: str) -> ArtifactError:
    return ArtifactError(f"config.json has {key}={str(value)[:60]}; expected {expected}.")


def _read_step(values: Values, layers: int) -> int:
    """The last of how many layers has experts, from the step or a list of these layers."""
    step, listed = get_int(values, "interleave_moe_layer_step", NAME, 1), values.get("moe_layers")
    if listed is None:
        return step
    steps = (i for i in range(1, layers + 1) if list(range(i - 1, layers, i)) == listed)
    step = next(steps, 0)
    if not step:
        raise _refuse("moe_layers", listed, "the last of every so many layers")
    return step


def _read_patterns(values: Values, rotated: list[int]) -> tuple[AttentionPattern, ...]:
    types, layers = values.get("layer_types"), len(rotated)
    has_chunks = values["attention_chunk_size"] is not None
    if types is None:
        types = [CHUNKED if each and has_chunks else FULL for each in rotated]
    is_list = isinstance(types, list) and len(types) == layers
    if not is_list or not all(each in (FULL, CHUNKED) for each in types):
        expected = f"{layers} values, each {FULL!r} or {CHUNKED!r}"
        raise _refuse("layer_types", types, expected)
    by_type = {FULL: AttentionPattern()}
    if CHUNKED in types:
        by_type[CHUNKED] = AttentionPattern("block", get_int(values, "attention_chunk_size", NAME))
    return shortest_cycle(tuple(by_type[each] for each in types))


def _read(values: Values) -> Values:
    layers = get_layers(values, NAME)
    rotated = values.get("no_rope_layers")
    if not rotated:
        interval = get_int(values, "no_rope_layer_interval", NAME, 4)
        rotated = [int((i + 1) % interval != 0) for i in range(layers)]
    if not isinstance(rotated, list) or len(rotated) != layers or set(rotated) - {0, 1}:
        expected = f"{layers} values, 0 in layers without positions, else 1"
        raise _refuse("no_rope_layers", rotated, expected)
    width = get_int(values, "intermediate_size", NAME, 8192)
    experts = ExpertsConfig(
        **read_counts(values, NAME, 16, 1), every=_read_step(values, layers), width=width,
        shared=width, scores="sigmoid", normalised=False, weighs_input=True,
    )  # fmt: skip
    fields = {
        "feedforward.width": get_int(values, "intermediate_size_mlp", NAME, 16_384),
        "feedforward.experts": experts, "attention.patterns": _read_patterns(values, rotated),
        "position.rotated_layers": shortest_cycle(tuple(map(bool, rotated))),
    }  # fmt: skip
    if get_bool(values, "attn_temperature_tuning", True):
        fields["attention.temperature_length"] = get_int(values, "floor_scale", NAME, 8192)
        fields["attention.temperature"] = get_float(values, "attn_scale", 0.1)
    return fields


def _write(config: ModelConfig) -> Values:
    experts, part = require_experts(config, NAME), config.attention
    patterns = [config.pattern(i) for i in range(config.layers)]
    values: Values = {
        "intermediate_size": config.feedforward.expert_width,
        "intermediate_size_mlp": config.feedforward.width, "num_local_experts": experts.count,
        "num_experts_per_tok": experts.chosen, "interleave_moe_layer_step": experts.every,
        "no_rope_layers": [int(config.rotates(i)) for i in range(config.layers)],
        "layer_types": [FULL if each.kind == "full" else CHUNKED for each in patterns],
        "attention_chunk_size": max(each.window for each in patterns) or None,
        "attn_temperature_tuning": part.temperature_length > 0,
    }  # fmt: skip
    if part.temperature_length:
        values |= {"floor_scale": part.temperature_length, "attn_scale": part.temperature}
    return values


LLAMA4 = with_experts(
    decoder_family(
        Outline(
            NAME, "Llama4ForCausalLM",
            (
                SILU, rms_eps(1e-5), ATTENTION_BIAS,
                Key("use_qk_norm", "attention.qk_norm", True, {True: "rotated", False: "none"}),
            ),
            {"position.interleaved": True},
            {"num_key_value_heads": 8, "head_dim": 128, "attention_chunk_size": 8192},
            base=500_000.0, names=NAMES, read_more=_read, write_more=_write,
            more_keys=word_set("""
                attention_chunk_size attn_scale attn_temperature_tuning floor_scale
                interleave_moe_layer_step intermediate_size_mlp layer_types moe_layers
                no_rope_layer_interval no_rope_layers num_experts_per_tok num_local_experts
                """),
        )
    ),
    ExpertFiles(NAMES, is_stacked=True, transposed=True),
)  # fmt: skip
