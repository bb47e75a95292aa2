"""DeepSeek V2 and V3: latent attention, shared experts, and experts chosen by groups.

V3 weighs experts by sigmoids and chooses them with a correction, which balances their load. Its
files also hold a layer that predicts the token after the next, which is dropped.
Source: transformers 5.24, models/deepseek_v2 and deepseek_v3; DeepSeek-AI 2024, arXiv:2405.04434
and arXiv:2412.19437.
"""

from typing import Any

from groundup.core import ArtifactError, ConfigError

from ...config import ExpertsConfig, LatentConfig, ModelConfig
from ..keys import Family, word_set
from ..llama import NAMES as LLAMA_NAMES
from ..llama import decoder_to_hf_config
from ..mixtral import MLP_NAMES, OURS, ExpertFiles, read_counts, require_experts, with_experts
from ..names import StateDict, drop_tensors, get_bool, get_float, get_int, require_supported
from .outline import ATTENTION_BIAS, SILU, Key, Outline, Values, decoder_family, rms_eps

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
LATENT_KEYS = word_set("""
    kv_lora_rank q_lora_rank qk_head_dim qk_nope_head_dim qk_rope_head_dim v_head_dim
    """)
EXPERT_KEYS = word_set("""
    first_k_dense_replace moe_intermediate_size n_group n_routed_experts n_shared_experts
    num_experts_per_tok routed_scaling_factor topk_group topk_method
    """)
UNUSED = word_set("aux_loss_alpha ep_size seq_aux num_nextn_predict_layers")
"""Of training, and of the layer that is dropped."""
LATENT_DEFAULTS: dict[str, Any] = {
    "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}  # fmt: skip


def read_latent(values: Values, family: str) -> Values:
    """The fields of a latent attention."""
    sizes = [get_int(values, f"{name}_head_dim", family) for name in ("qk_nope", "qk_rope", "v")]
    has_queries = values.get("q_lora_rank") is not None
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    latent = LatentConfig(
        rank=get_int(values, "kv_lora_rank", family), rotated=sizes[1], value_dim=sizes[2],
        query_rank=get_int(values, "q_lora_rank", family) if has_queries else 0,
        mscale=get_float(rope, "mscale_all_dim", 0.0) if rope.get("mscale_all_dim") else 0.0,
    )  # fmt: skip
    if values.get("num_key_value_heads") not in (None, values.get("num_attention_heads")):
        what = f"num_key_value_heads={values['num_key_value_heads']}"
        raise ArtifactError(f"config.json has {what}; {family} has as many as num_attention_heads.")
    return {"attention.latent": latent, "attention.head_dim": sizes[0] + sizes[1]}


def write_latent(config: ModelConfig, family: str) -> Values:
    """Their keys; ConfigError without a latent."""
    part, latent = config.attention, config.attention.latent
    if latent is None:
        raise ConfigError(f"AttentionConfig.latent=None cannot be written as {family}.")
    values = {
        "kv_lora_rank": latent.rank, "q_lora_rank": latent.query_rank or None,
        "qk_rope_head_dim": latent.rotated, "qk_nope_head_dim": part.head_dim - latent.rotated,
        "v_head_dim": latent.value_dim, "head_dim": latent.rotated, "qk_head_dim": part.head_dim,
    }  # fmt: skip
    if not latent.mscale:
        return values
    rope = decoder_to_hf_config(config, family, "")["rope_parameters"]
    rope |= {"mscale_all_dim": latent.mscale}
    return values | {"rope_parameters": rope, "rope_scaling": rope}


def latent_family(family: Family, defaults: Values) -> Family:
    """A family whose config.json has the head's sizes as its parts; head_dim is the rotated one."""

    def read(values: Values) -> ModelConfig:
        values = defaults | values
        rotated = get_int(values, "qk_rope_head_dim", family.name)
        whole = get_int(values, "qk_nope_head_dim", family.name) + rotated
        require_supported(values, {"head_dim": (rotated, None), "qk_head_dim": (whole, None)})
        return family.from_hf_config(values | {"head_dim": rotated})

    return family._replace(from_hf_config=read)


def _read_experts(values: Values, family: str, **more: Any) -> ExpertsConfig:
    width = get_int(values, "moe_intermediate_size", family)
    return ExpertsConfig(
        **read_counts(values | {"num_local_experts": values["n_routed_experts"]}, family, 1, 1),
        width=width, shared=width * get_int(values, "n_shared_experts", family),
        dense_layers=get_int(values, "first_k_dense_replace", family, minimum=0),
        scale=get_float(values, "routed_scaling_factor", 1.0), **more,
    )  # fmt: skip


def _write_experts(config: ModelConfig, family: str) -> Values:
    experts = require_experts(config, family)
    width = config.feedforward.expert_width
    return write_latent(config, family) | {
        "n_routed_experts": experts.count, "num_experts_per_tok": experts.chosen,
        "moe_intermediate_size": width, "n_shared_experts": experts.shared // width,
        "first_k_dense_replace": experts.dense_layers, "routed_scaling_factor": experts.scale,
        "n_group": experts.groups, "topk_group": experts.chosen_groups,
    }  # fmt: skip


def _read_groups(values: Values, family: str) -> dict[str, int]:
    names = {"groups": "n_group", "chosen_groups": "topk_group"}
    return {field: get_int(values, key, family) for field, key in names.items()}


def _read_v2(values: Values) -> Values:
    name = "deepseek_v2"
    require_supported(values, {"topk_method": ("greedy", "group_limited_greedy")})
    is_grouped = values.get("topk_method") == "group_limited_greedy"
    groups = _read_groups(values, name) if is_grouped else {}
    experts = _read_experts(values, name, normalised=False, **groups)
    return read_latent(values, name) | {"feedforward.experts": experts}


def _write_v2(config: ModelConfig) -> Values:
    values = _write_experts(config, "deepseek_v2")
    method = "greedy" if values["n_group"] == 1 else "group_limited_greedy"
    return values | {"topk_method": method, "norm_topk_prob": False}


def _read_v3(values: Values) -> Values:
    name = "deepseek_v3"
    experts = _read_experts(
        values, name, **_read_groups(values, name), scores="sigmoid", correction=True,
        normalised=get_bool(values, "norm_topk_prob", True),
    )  # fmt: skip
    return read_latent(values, name) | {"feedforward.experts": experts}


def _write_v3(config: ModelConfig) -> Values:
    normalised = require_experts(config, "deepseek_v3").normalised
    return _write_experts(config, "deepseek_v3") | {"norm_topk_prob": normalised}


DEEPSEEK_V2 = latent_family(
    with_experts(
        decoder_family(
            Outline(
                "deepseek_v2", "DeepseekV2ForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS),
                {"position.interleaved": True}, read_more=_read_v2, write_more=_write_v2,
                more_keys=LATENT_KEYS | EXPERT_KEYS, ignored=UNUSED,
                fixed={"moe_layer_freq": (1,), "norm_topk_prob": (False, None),
                       "scoring_func": ("softmax",)},
                aliases={"num_experts": "n_routed_experts"},
            )
        ),
        ExpertFiles(EXPERT_NAMES),
    ),
    LATENT_DEFAULTS | {
        "first_k_dense_replace": 0, "n_routed_experts": 64, "n_shared_experts": 2,
        "moe_intermediate_size": 1407,
    },
)  # fmt: skip
_V3 = latent_family(
    with_experts(
        decoder_family(
            Outline(
                "deepseek_v3", "DeepseekV3ForCausalLM",
                (
                    SILU, rms_eps(), ATTENTION_BIAS,
                    Key("rope_interleave", "position.interleaved", True),
                ),
                read_more=_read_v3, write_more=_write_v3,
                more_keys=LATENT_KEYS | EXPERT_KEYS | {"norm_topk_prob"}, ignored=UNUSED,
                fixed={"moe_layer_freq": (1,), "scoring_func": ("sigmoid",),
                       "topk_method": ("noaux_tc", None)},
                aliases={"num_local_experts": "n_routed_experts",
                         "num_mtp_layers": "num_nextn_predict_layers"},
            )
        ),
        ExpertFiles(EXPERT_NAMES),
    ),
    LATENT_DEFAULTS | {
        "num_key_value_heads": 128, "first_k_dense_replace": 3, "n_routed_experts": 256,
        "n_shared_experts": 1, "moe_intermediate_size": 2048, "n_group": 8, "topk_group": 4,
        "num_experts_per_tok": 8, "routed_scaling_factor": 2.5,
    },
)  # fmt: skip


def _from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    further = rf"model\.layers\.{config.layers}\."  # the layer that predicts one more token
    return _V3.from_hf_state_dict(drop_tensors(state, further), config)


DEEPSEEK_V3 = _V3._replace(from_hf_state_dict=_from_hf_state_dict)
