"""llama.cpp's architectures as a table: the family of each, and what is whose key.

An architecture is read as a config.json of its family, so that only families/ knows a model's
details; the table maps that family's keys to llama.cpp's, and says what metadata omit, because it
follows from the architecture there: Gemma's windows, MiniCPM 3's scales, the layers of SmolLM 3
without positions, T5's activations. Biases and norms are those of which there are tensors.
Source: ggml-org/llama.cpp, src/models and src/llama-model.cpp, convert_hf_to_gguf.py; gguf-py 0.19,
gguf/constants.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from groundup.core import ConfigError

from ...configuration.config import ModelConfig
from ...families.names import LAYER_TYPES
from . import scaling

Shapes = Mapping[str, tuple[int, ...]]
"""Of all tensors, by llama.cpp's names."""
Fields = Mapping[str, Any]
"""Metadata without the architecture's prefix."""
Values = dict[str, Any]
"""Of a config.json."""
FULL, WINDOW_LAYER = LAYER_TYPES
WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"
TYPES = "token_types.weight"
START = "decoder_start_token_id"
SIZES = {
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length", "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
}  # fmt: skip
KV, HEAD = {"num_key_value_heads": "attention.head_count_kv"}, {"head_dim": "attention.key_length"}
ROPED = SIZES | {"rope_theta": "rope.freq_base"}
RMS = {"rms_norm_eps": "attention.layer_norm_rms_epsilon"}
LAYER = {"layer_norm_eps": "attention.layer_norm_epsilon"}
LLAMA_KEYS = ROPED | KV | HEAD | RMS
EXPERTS = {"num_local_experts": "expert_count", "num_experts_per_tok": "expert_used_count"}
EXPERT_WIDTH = "expert_feed_forward_length"
GRANITE = LLAMA_KEYS | {
    "attention_multiplier": "attention.scale", "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale", "logits_scaling": "logit_scale",
}  # fmt: skip
EPSILON = {"layer_norm_epsilon": "attention.layer_norm_epsilon"}
GPT2_KEYS = EPSILON | {
    "n_embd": "embedding_length", "n_layer": "block_count", "n_positions": "context_length",
    "n_head": "attention.head_count", "n_inner": "feed_forward_length",
}  # fmt: skip
LATENT = {
    "q_lora_rank": "attention.q_lora_rank", "kv_lora_rank": "attention.kv_lora_rank",
    "qk_rope_head_dim": "rope.dimension_count",
}  # fmt: skip
DEEPSEEK = ROPED | RMS | LATENT | {
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": EXPERT_WIDTH, "n_shared_experts": "expert_shared_count",
    "first_k_dense_replace": "leading_dense_block_count",
    "v_head_dim": "attention.value_length_mla", "routed_scaling_factor": "expert_weights_scale",
    "n_routed_experts": "expert_count",
}  # fmt: skip
T5_KEYS = {
    "d_model": "embedding_length", "num_layers": "block_count", "n_positions": "context_length",
    "num_decoder_layers": "decoder_block_count", "num_heads": "attention.head_count",
    "d_ff": "feed_forward_length", "d_kv": "attention.key_length",
    "layer_norm_epsilon": "attention.layer_norm_rms_epsilon",
    "relative_attention_num_buckets": "attention.relative_buckets_count",
}  # fmt: skip
SCALED_COPY = "output_is_scaled_embedding"
"""Our own key: T5 1.0 scales its output, llama.cpp does not; files have a head that is scaled."""
T5_DISTANCE = 128
"""llama.cpp's maximum distance of T5's buckets."""
SOFTMAX, SIGMOID = 1, 2
"""Values of `expert_gating_func`."""
GEMMA_CYCLE, GEMMA_WINDOW_BASE = 6, 10_000.0
GEMMA2_27B_LAYERS, GEMMA3_27B_LAYERS = 46, 62
"""Of the largest models, whose scale of scores follows from their width."""
EXAONE_LAYERS, DEEPSEEK_LITE_LAYERS = 64, (26, 27)
"""Numbers of layers by which llama.cpp knows a model that has windows, or queries without rank."""
BOTH = ("llama3", "longrope")
KIN = {"mistral": "llama", "roberta": "bert", "xlm-roberta": "bert", "mt5": "t5"}
"""Families that are written as another is."""


class Architecture(NamedTuple):
    """One of llama.cpp's architectures and the family that it corresponds to."""

    name: str
    """Its general.architecture."""
    family: str
    """The corresponding model_type."""
    keys: Mapping[str, str]
    """config.json keys to metadata keys, the latter without the architecture's prefix."""
    read_more: Callable[[Fields, Shapes], Values] = lambda fields, shapes: {}
    """Further config.json values."""
    write_more: Callable[[ModelConfig], Values] = lambda config: {}
    """Further metadata."""
    matches: Callable[[Fields, Shapes], bool] = lambda fields, shapes: True
    """Whether a file of this name is of this family; the first that matches is taken."""
    also_read: tuple[str, ...] = ()
    """Metadata keys that are read but not written."""
    rotated: str = ""
    """The family's key of the share of rotated features, if it has one."""
    is_square: bool = False
    """Whether llama.cpp requires queries as wide as the model."""
    ties: bool | None = None
    """Whether llama.cpp requires tied or untied embeddings, if it does."""
    divisors: tuple[str, ...] = ()
    """Kinds of scaling for which llama.cpp opens tensors of divisors of the frequencies."""

    @property
    def is_roped(self) -> bool:
        """Whether positions are rotary."""
        return "rope.freq_base" in self.keys.values()


def layer_types(fields: Fields, cycle: int, *, full_first: bool = False) -> list[str]:
    """The type of each layer: full in the last (or first) of every `cycle`, or as metadata list."""
    pattern, layers = fields.get(PATTERN, cycle), range(fields["block_count"])
    if isinstance(pattern, list):
        return [WINDOW_LAYER if each else FULL for each in pattern]
    full = 0 if full_first else pattern - 1
    return [FULL if i % pattern == full else WINDOW_LAYER for i in layers]


def _read_windows(cycle: int, *, optional: bool = False) -> Callable[[Fields, Shapes], Values]:
    """The values of windows in all layers but the last of every `cycle`."""

    def read(fields: Fields, shapes: Shapes) -> Values:
        window = fields.get(WINDOW)
        types = layer_types(fields, cycle if window or not optional else 1)
        return {"sliding_window": window or None, "layer_types": types}

    return read


def _read_biases(fields: Fields, shapes: Shapes) -> Values:
    """Biases of everything or of nothing, as there are tensors."""
    has_bias = "blk.0.attn_output.bias" in shapes
    return {"attention_bias": has_bias, "mlp_bias": "blk.0.ffn_up.bias" in shapes}


def _read_qkv_bias(key: str) -> Callable[[Fields, Shapes], Values]:
    return lambda fields, shapes: {key: "blk.0.attn_q.bias" in shapes}


def _has_experts(fields: Fields, shapes: Shapes) -> bool:
    return bool(fields.get("expert_count"))


def _read_gemma(fields: Fields, cycle: int, largest: int) -> Values:
    """The windows of Gemma 2 and 3, and the scale of scores, of which metadata say nothing."""
    width, heads = fields["embedding_length"], fields["attention.head_count"]
    is_largest = fields["block_count"] == largest
    return _read_windows(cycle)(fields, {}) | {
        "query_pre_attn_scalar": width // heads if is_largest else fields["attention.key_length"],
    }  # fmt: skip


def _read_gemma2(fields: Fields, shapes: Shapes) -> Values:
    softcap = {"final_logit_softcapping": fields.get("final_logit_softcapping", 30.0)}
    return softcap | _read_gemma(fields, 2, GEMMA2_27B_LAYERS)


def _read_gemma3(fields: Fields, shapes: Shapes) -> Values:
    return _read_gemma(fields, GEMMA_CYCLE, GEMMA3_27B_LAYERS) | {
        "rope_local_base_freq": fields.get("rope.freq_base_swa", GEMMA_WINDOW_BASE),
        "final_logit_softcapping": fields.get("final_logit_softcapping"),
    }


def _write_window(config: ModelConfig) -> Values:
    windows = [pattern.window for pattern in config.attention.patterns]
    return {WINDOW: max(windows)} if max(windows) else {}


def _write_no_window(config: ModelConfig) -> Values:
    """No metadata; raises ConfigError for windows, which llama.cpp reads but ignores."""
    if _write_window(config):
        raise ConfigError("it has windows of attention, which llama.cpp's phi3 ignores")
    return {}


def _write_exaone4(config: ModelConfig) -> Values:
    """The window, which llama.cpp applies in the largest model alone."""
    if _write_window(config) and config.layers != EXAONE_LAYERS:
        what = f"llama.cpp's exaone4 has windows of attention in models of {EXAONE_LAYERS} layers"
        raise ConfigError(f"{what} alone, and this model has {config.layers}")
    return _write_window(config)


def _read_olmo3(fields: Fields, shapes: Shapes) -> Values:
    base = fields.get("rope.freq_base", 10_000.0)
    own = {WINDOW_LAYER: {"rope_type": "default", "rope_theta": base}}
    return _read_windows(4)(fields, shapes) | {"rope_parameters": own}


def _read_falcon(fields: Fields, shapes: Shapes) -> Values:
    has_two, heads = "blk.0.attn_norm_2.weight" in shapes, fields["attention.head_count"]
    kv_heads = fields.get("attention.head_count_kv", heads)
    is_new = has_two or kv_heads not in (1, heads)
    return {
        "new_decoder_architecture": is_new, "multi_query": kv_heads == 1,
        "num_kv_heads": kv_heads if is_new else heads, "num_ln_in_parallel_attn": 1 + has_two,
    }  # fmt: skip


def _read_latent(fields: Fields, key: str) -> Values:
    heads, rotated = fields["attention.head_count"], fields["rope.dimension_count"]
    nope = fields[key] - rotated
    return {"num_key_value_heads": heads, "qk_nope_head_dim": nope, "head_dim": rotated}


def _read_minicpm3(fields: Fields, shapes: Shapes) -> Values:
    scales = {"scale_emb": 12.0, "scale_depth": 1.4, "dim_model_base": 256}
    return scales | _read_latent(fields, "attention.key_length")


def _read_deepseek(fields: Fields, shapes: Shapes) -> Values:
    values = _read_latent(fields, "attention.key_length_mla")
    values["q_lora_rank"] = fields.get("attention.q_lora_rank")
    if fields.get("expert_gating_func", SOFTMAX) == SIGMOID:
        values["norm_topk_prob"] = fields.get("expert_weights_norm", False)
    return values | {
        "n_group": fields.get("expert_group_count", 1),
        "topk_group": fields.get("expert_group_used_count", 1),
    }  # fmt: skip


def _write_deepseek(config: ModelConfig) -> Values:
    latent, experts = config.attention.latent, config.feedforward.experts
    assert latent is not None and experts is not None, "the family has both"
    if (kind := config.position.scaling.kind) != ("yarn" if latent.mscale else "none"):
        what = "llama.cpp's deepseek2 has both YaRN and mscale, or neither"
        raise ConfigError(f"{what}; its scaling is {kind} and its mscale {latent.mscale}")
    if not latent.query_rank and config.layers not in DEEPSEEK_LITE_LAYERS:
        what = f"llama.cpp's deepseek2 without rank of queries has {DEEPSEEK_LITE_LAYERS} layers"
        raise ConfigError(f"{what}, and this model has {config.layers}")
    if experts.groups > 1 and experts.scores == "softmax":
        what = "it chooses groups of experts by their largest score"
        raise ConfigError(f"{what}, llama.cpp's deepseek2 by the sum of two")
    groups = {
        "expert_group_count": experts.groups,
        "expert_group_used_count": experts.chosen_groups,
    }
    scale = {scaling.LOG: latent.mscale / 10} if latent.mscale else {}
    return scale | (groups if experts.groups > 1 else {}) | {
        "attention.head_count_kv": 1, "attention.key_length": latent.rank + latent.rotated,
        "attention.value_length": latent.rank,
        "attention.key_length_mla": config.attention.head_dim,
        "expert_gating_func": SIGMOID if experts.scores == "sigmoid" else SOFTMAX,
        "expert_weights_norm": experts.normalised,
    }  # fmt: skip


def _read_llama4(fields: Fields, shapes: Shapes) -> Values:
    return {
        "use_qk_norm": fields.get("expert_count") != 128, "attention_chunk_size": 8192,
        "floor_scale": 8192, "attn_scale": 0.1, "no_rope_layer_interval": 4,
    }  # fmt: skip


def _read_modernbert(fields: Fields, shapes: Shapes) -> Values:
    types = layer_types(fields, 3, full_first=True)
    return {"architectures": ["ModernBertModel"], "layer_types": types}


def _read_bert(fields: Fields, shapes: Shapes) -> Values:
    return {"architectures": ["BertModel"], "type_vocab_size": shapes[TYPES][0]}


def _read_t5(fields: Fields, shapes: Shapes) -> Values:
    """The feed-forward, of which metadata say nothing, and whether the head is the embedding."""
    gated = "enc.blk.0.ffn_gate.weight" in shapes
    tied = {"tie_word_embeddings": True} if fields.get(SCALED_COPY) else {}
    return tied | {"feed_forward_proj": "gated-gelu" if gated else "relu"}


def _write_t5(config: ModelConfig) -> Values:
    """Further metadata; raises ConfigError for what llama.cpp's graph of T5 has otherwise."""
    feed = config.feedforward
    if (distance := config.position.max_distance) != T5_DISTANCE:
        what = f"its positions know distances up to {distance}"
        raise ConfigError(f"{what}, those of llama.cpp's t5 up to {T5_DISTANCE}")
    if feed.activation != (needed := "gelu_tanh" if feed.gated else "relu"):
        what = f"its feed-forwards {'with a gate' if feed.gated else 'without gate'} have"
        raise ConfigError(f"{what} {feed.activation}, those of llama.cpp's t5 {needed}")
    if config.layers > config.encoder_layers:
        what = "llama.cpp's t5 opens no decoder with more layers than the encoder"
        raise ConfigError(f"{what}: {config.layers} and {config.encoder_layers}")
    return {
        "attention.layer_norm_epsilon": config.norm.eps,
        "attention.value_length": config.attention.head_dim,
        **({SCALED_COPY: True} if config.tied_embeddings else {}),
    }


def _has_layer_biases(fields: Fields, shapes: Shapes) -> bool:
    return any(f"{stack}.blk.1.attn_rel_b.weight" in shapes for stack in ("enc", "dec"))


ARCHITECTURES = (
    Architecture("qwen3", "qwen3", LLAMA_KEYS),
    Architecture("llama", "mixtral", LLAMA_KEYS | EXPERTS, matches=_has_experts, divisors=BOTH),
    Architecture("llama", "llama", LLAMA_KEYS, _read_biases, divisors=BOTH),
    Architecture("qwen2", "qwen2", LLAMA_KEYS, is_square=True),
    Architecture(
        "gemma3", "gemma3_text", LLAMA_KEYS, _read_gemma3, lambda config: _write_window(config) | (
            {"final_logit_softcapping": config.output.softcap} if config.output.softcap else {}
        ), also_read=(PATTERN, "rope.freq_base_swa"), ties=True,
    ),
    Architecture("olmo2", "olmo3", LLAMA_KEYS, _read_olmo3, _write_window,
                 lambda fields, shapes: bool(fields.get(WINDOW)), (PATTERN,), is_square=True,
                 ties=False),
    Architecture("olmo2", "olmo2", LLAMA_KEYS, is_square=True, ties=False),
    Architecture("gpt2", "gpt2", GPT2_KEYS),
    Architecture("gemma", "gemma", LLAMA_KEYS, ties=True),
    Architecture(
        "gemma2", "gemma2", LLAMA_KEYS | {"attn_logit_softcapping": "attn_logit_softcapping"},
        _read_gemma2, lambda config: _write_window(config) | {
            "final_logit_softcapping": config.output.softcap or 0.0,
        }, also_read=(PATTERN,), ties=True,
    ),
    Architecture("phi2", "phi", ROPED | LAYER | KV, rotated="partial_rotary_factor",
                 ties=False),
    Architecture(
        "phi3", "phi3", LLAMA_KEYS, lambda fields, shapes: {
            "sliding_window": fields.get(WINDOW), "original_max_position_embeddings": fields.get(
                "rope.scaling.original_context_length", fields["context_length"])},
        _write_no_window, also_read=(WINDOW,), rotated="partial_rotary_factor", is_square=True,
        divisors=("longrope",),
    ),
    Architecture(
        "olmo", "olmo", ROPED | KV | HEAD | {"clip_qkv": "attention.clamp_kqv"},
        write_more=lambda config: {"attention.layer_norm_epsilon": 1e-5}, is_square=True,
    ),
    Architecture("granite", "granite", GRANITE, _read_biases, divisors=BOTH),
    Architecture("granitemoe", "granitemoe", GRANITE | EXPERTS, divisors=BOTH),
    Architecture("smollm3", "smollm3", LLAMA_KEYS,
                 lambda fields, shapes: {"no_rope_layer_interval": 4}),
    Architecture(
        "stablelm", "stablelm", ROPED | LAYER | KV | {
            "use_parallel_residual": "use_parallel_residual"},
        _read_qkv_bias("use_qkv_bias"), rotated="partial_rotary_factor", ties=False,
    ),
    Architecture("starcoder2", "starcoder2", ROPED | KV | HEAD | {
        "norm_epsilon": "attention.layer_norm_epsilon"},
        lambda fields, shapes: {"use_bias": "blk.0.attn_output.bias" in shapes,
                                "sliding_window": None}, is_square=True),
    Architecture("gptneox", "gpt_neox", SIZES | LAYER | {
        "rotary_emb_base": "rope.freq_base", "use_parallel_residual": "use_parallel_residual"},
        rotated="rotary_pct", ties=False),
    Architecture(
        "falcon", "falcon", EPSILON | {
            "ffn_hidden_size" if key == "intermediate_size" else key: value
            for key, value in ROPED.items()},
        _read_falcon,
    ),
    Architecture("bloom", "bloom", EPSILON | {
        "hidden_size": "embedding_length", "n_layer": "block_count", "seq_length": "context_length",
        "n_head": "attention.head_count"}),
    Architecture("command-r", "cohere", ROPED | KV | HEAD | LAYER | {"logit_scale": "logit_scale"},
                 ties=True, is_square=True),
    Architecture("glm4", "glm4", LLAMA_KEYS, _read_qkv_bias("attention_bias"),
                 rotated="partial_rotary_factor"),
    Architecture("exaone4", "exaone4", LLAMA_KEYS, _read_windows(4, optional=True), _write_exaone4,
                 also_read=(PATTERN,), is_square=True, divisors=("llama3",)),
    Architecture("nemotron", "nemotron", ROPED | KV | HEAD | {
        "norm_eps": "attention.layer_norm_epsilon"}, _read_biases, rotated="partial_rotary_factor",
        is_square=True, ties=False),
    Architecture("qwen3moe", "qwen3_moe", LLAMA_KEYS | EXPERTS | {
        "moe_intermediate_size": EXPERT_WIDTH}, lambda fields, shapes: {"norm_topk_prob": True}),
    Architecture(
        "gpt-oss", "gpt_oss", LLAMA_KEYS | EXPERTS, _read_windows(2), lambda config: {
            **_write_window(config), EXPERT_WIDTH: config.feedforward.width,
        }, also_read=(PATTERN,), ties=False,
    ),
    Architecture("deepseek2", "deepseek_v3", DEEPSEEK, _read_deepseek, _write_deepseek,
                 lambda fields, shapes: fields.get("expert_gating_func") == SIGMOID),
    Architecture("deepseek2", "deepseek_v2", DEEPSEEK, _read_deepseek, _write_deepseek),
    Architecture("minicpm3", "minicpm3", ROPED | RMS | LATENT | {
        "v_head_dim": "attention.value_length"}, _read_minicpm3, divisors=("longrope",)),
    Architecture("llama4", "llama4_text", ROPED | KV | HEAD | RMS | EXPERTS | {
        "intermediate_size_mlp": "feed_forward_length", "intermediate_size": EXPERT_WIDTH,
        "interleave_moe_layer_step": "interleave_moe_layer_step"}, _read_llama4,
        divisors=("llama3",)),
    Architecture("bert", "bert", SIZES | LAYER, _read_bert,
                 lambda config: {"attention.causal": False},
                 lambda fields, shapes: TYPES in shapes),
    Architecture("bert", "distilbert", {
        "dim": "embedding_length", "n_layers": "block_count", "hidden_dim": "feed_forward_length",
        "max_position_embeddings": "context_length", "n_heads": "attention.head_count"},
        lambda fields, shapes: {"architectures": ["DistilBertModel"]},
        lambda config: {"attention.causal": False, "attention.layer_norm_epsilon": 1e-12}),
    Architecture("modern-bert", "modernbert", SIZES | {
        "norm_eps": "attention.layer_norm_epsilon", "local_attention": WINDOW,
        "global_rope_theta": "rope.freq_base", "local_rope_theta": "rope.freq_base_swa",
        }, _read_modernbert, lambda config: {"attention.causal": False}, also_read=(PATTERN,)),
    Architecture("t5", "umt5", T5_KEYS, _read_t5, _write_t5, _has_layer_biases, (START,)),
    Architecture("t5", "t5", T5_KEYS, _read_t5, _write_t5, also_read=(START,)),
)  # fmt: skip
"""In the order in which `describe_for_gguf` tries them."""
