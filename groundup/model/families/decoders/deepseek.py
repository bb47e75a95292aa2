"""DeepSeek V2 and V3: latent attention, shared experts, and experts chosen by groups.

V3 weighs experts by sigmoids and chooses them with a correction, which balances their load. Its
files also hold a layer that predicts the token after the next, which is dropped.
Source: transformers 5.24, models/deepseek_v2 and deepseek_v3; DeepSeek-AI 2024, arXiv:2405.04434
and arXiv:2412.19437.
"""

from groundup.core import ConfigError

from ...configuration.config import ModelConfig
from ..decoder_keys import NAMES as LLAMA_NAMES
from ..experts import MLP_NAMES, OURS, ExpertFiles
from ..keys import AllowedValues, Family, word_set
from ..names import drop_tensors, get_float, get_int, require_supported, to_rope_parameters
from .outline import ATTENTION_BIAS, SILU, Key, Outline, Values, expert_counts, rms_eps

ATTENTION = "model.layers.{}.self_attn."
NAMES = (
    (ATTENTION + "q_a_layernorm.", "layers.{}.attention.q_a_norm."),
    (ATTENTION + "kv_a_layernorm.", "layers.{}.attention.kv_a_norm."),
    (ATTENTION + "kv_a_proj_with_mqa.", "layers.{}.attention.kv_a_proj."),
    *LLAMA_NAMES,
)
EXPERT_NAMES = (
    ("model.layers.{}.mlp.gate.e_score_correction_bias", OURS + "correction"),
    ("model.layers.{}.mlp.shared_experts.", OURS + "shared."),
    *MLP_NAMES,
    *NAMES,
)
LATENT, EXPERTS = "attention.latent.", "feedforward.experts."
HEAD_KEYS = word_set("qk_head_dim qk_nope_head_dim")
UNUSED = word_set("aux_loss_alpha ep_size seq_aux num_nextn_predict_layers")  # or dropped


def latent_keys(rank: int, query_rank: int, rotated: int) -> tuple[Key, ...]:
    """Keys of a latent attention, with their defaults."""
    return (
        Key("kv_lora_rank", LATENT + "rank", rank),
        Key("q_lora_rank", LATENT + "query_rank", query_rank, optional=True, minimum=0),
        Key("qk_rope_head_dim", LATENT + "rotated", rotated),
        Key("v_head_dim", LATENT + "value_dim", 128),
    )


def prepare_heads(values: Values) -> Values:
    """Values whose head_dim is the rotated one, as in Transformers."""
    rotated = get_int(values, "qk_rope_head_dim", "latent attention")
    whole = rotated + get_int(values, "qk_nope_head_dim", "latent attention")
    own = {"head_dim": rotated, "qk_head_dim": whole}
    require_supported(values, {key: (value, None) for key, value in own.items()})
    return values | own


def read_latent(values: Values) -> Values:
    """The fields of a latent attention that follow from several keys."""
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    mscale = get_float(rope, "mscale_all_dim", 0.0) if rope.get("mscale_all_dim") else 0.0
    return {LATENT + "mscale": mscale, "attention.head_dim": values["qk_head_dim"]}


def write_latent(config: ModelConfig) -> Values:
    """Their keys."""
    part, latent = config.attention, config.attention.latent
    assert latent is not None, "the outline has keys of it"
    sizes = {"qk_nope_head_dim": part.head_dim - latent.rotated, "qk_head_dim": part.head_dim,
             "head_dim": latent.rotated}  # fmt: skip
    rope = to_rope_parameters(config.position.base, config.position.scaling, "it")
    rope["mscale_all_dim"] = latent.mscale
    return sizes | ({"rope_parameters": rope, "rope_scaling": rope} if latent.mscale else {})


def _read(values: Values) -> Values:
    width = get_int(values, "moe_intermediate_size", "deepseek")
    shared = width * get_int(values, "n_shared_experts", "deepseek")
    is_v3, greedy = values["model_type"] == "deepseek_v3", ("greedy", "group_limited_greedy")
    require_supported(values, {"topk_method": ("noaux_tc", None) if is_v3 else greedy})
    has_groups = is_v3 or values.get("topk_method") == "group_limited_greedy"
    groups = {} if has_groups else {EXPERTS + "groups": 1, EXPERTS + "chosen_groups": 1}
    return read_latent(values) | {EXPERTS + "shared": shared} | groups


def _write(config: ModelConfig) -> Values:
    experts, width = config.feedforward.experts, config.feedforward.expert_width
    assert experts is not None, "the outline has keys of them"
    if not experts.shared or experts.shared % width:
        what = f"ExpertsConfig.shared={experts.shared} must be a multiple of width={width}"
        raise ConfigError(f"{what} in a DeepSeek.")
    method = "group_limited_greedy" if experts.groups > 1 else "greedy"
    method = "noaux_tc" if experts.correction else method
    own = {"n_shared_experts": experts.shared // width, "topk_method": method}
    return write_latent(config) | own


def _family(
    name: str, keys: tuple[Key, ...], always: Values, defaults: Values, one: AllowedValues
) -> Family:  # fmt: skip
    """A family of these keys besides those of both; `one` are keys of one supported value."""
    return Outline(
        name, f"DeepseekV{name[-1]}ForCausalLM",
        (
            SILU, rms_eps(), ATTENTION_BIAS, *latent_keys(512, 1536, 64), *keys,
            *expert_counts(int, int, "n_routed_experts"),
            Key("moe_intermediate_size", EXPERTS + "width", int),
            Key("first_k_dense_replace", EXPERTS + "dense_layers", 0, minimum=0),
            Key("routed_scaling_factor", EXPERTS + "scale", 1.0),
            Key("n_group", EXPERTS + "groups", 1),
            Key("topk_group", EXPERTS + "chosen_groups", 1),
        ),
        always, {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, **defaults},
        prepare=prepare_heads, names=EXPERT_NAMES, read_more=_read, write_more=_write,
        more_keys=HEAD_KEYS | {"n_shared_experts", "topk_method"}, ignored=UNUSED,
        is_divided=name == "deepseek_v2", fixed={"moe_layer_freq": (1,), **one},
        aliases={"num_local_experts": "n_routed_experts", "num_experts": "n_routed_experts",
                 "num_mtp_layers": "num_nextn_predict_layers"},
        experts=ExpertFiles(),
    ).family()  # fmt: skip


DEEPSEEK_V2 = _family(
    "deepseek_v2", (), {"position.interleaved": True, EXPERTS + "normalised": False},
    {"n_routed_experts": 64, "n_shared_experts": 2, "moe_intermediate_size": 1407},
    {"norm_topk_prob": (False, None), "scoring_func": ("softmax",)},
)  # fmt: skip
_V3 = _family(
    "deepseek_v3",
    (
        Key("norm_topk_prob", EXPERTS + "normalised", True, optional=True),
        Key("rope_interleave", "position.interleaved", True, optional=True),
    ),
    {EXPERTS + "scores": "sigmoid", EXPERTS + "correction": True},
    {
        "num_key_value_heads": 128, "n_shared_experts": 1, "moe_intermediate_size": 2048,
        "n_group": 8, "topk_group": 4, "n_routed_experts": 256, "num_experts_per_tok": 8,
        "first_k_dense_replace": 3, "routed_scaling_factor": 2.5,
    },
    {"scoring_func": ("sigmoid",)},
)  # fmt: skip
DEEPSEEK_V3 = _V3._replace(
    from_hf_state_dict=lambda state, config: _V3.from_hf_state_dict(
        drop_tensors(state, rf"model\.layers\.{config.layers}\."), config
    )
)
