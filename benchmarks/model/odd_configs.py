"""What odd_models.py draws: configurations of every family, and mutations of a config.json.

Written from Transformers' configuration classes alone. A class says which keys it has; OPTIONS are
plausible values by key, and FAMILIES what one family needs beside them.
"""

import copy
import importlib
import inspect
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import transformers

Draw = random.Random
Config = dict[str, Any]

ACTIVATIONS = ["silu", "gelu", "relu", "gelu_pytorch_tanh", "gelu_new"]
ACTS = ["hidden_act", "hidden_activation", "activation_function", "activation"]
EPSILONS = [1e-6, 1e-5, 1e-3, 0.05]
YES = [True, False]
SWITCHES = """
attention_bias mlp_bias use_bias bias use_qkv_bias qk_layernorm use_qk_norm use_parallel_residual
parallel_attn alibi norm_topk_prob new_decoder_architecture multi_query norm_bias
use_sliding_window scale_embedding tie_word_embeddings attn_temperature_tuning decoder_bias
do_layer_norm_before apply_residual_connection_post_layernorm enable_bias
layer_norm_elementwise_affine rope_interleave
scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn sinusoidal_pos_embds
classifier_bias use_bidirectional_attention
"""
NORMS = "rms_norm_eps layer_norm_eps layer_norm_epsilon norm_epsilon norm_eps"
OPTIONS: dict[str, list[Any]] = {
    **dict.fromkeys(ACTS, ACTIVATIONS),
    **dict.fromkeys(NORMS.split(), EPSILONS),
    **dict.fromkeys(SWITCHES.split(), YES),
    "sliding_window": [None, 5, 8, 13],
    "max_window_layers": [0, 1, 2],
    "local_attention": [6, 9, 16],
    "attention_chunk_size": [None, 7, 12],
    "sliding_window_pattern": [2, 3, 4],
    "query_pre_attn_scalar": [7, 16, 50],
    "final_logit_softcapping": [None, 3.0, 30.0],
    "attn_logit_softcapping": [None, 2.0, 50.0],
    "logit_scale": [0.0625, 0.7, None],
    "clip_qkv": [None, 0.5, 1.2],
    "embedding_multiplier": [1.0, 3.5, 12],
    "logits_scaling": [1.0, 4, 0.5],
    "residual_multiplier": [1.0, 0.22],
    "attention_multiplier": [1.0, 0.1, 0.4],
    "no_rope_layer_interval": [2, 3, 4],
    "num_experts_per_tok": [1, 2, 3],
    "decoder_sparse_step": [1, 2],
    "mlp_only_layers": [None, [0], [1]],
    "moe_intermediate_size": [9, 14],
    "swiglu_alpha": [1.702, 1.3],
    "swiglu_limit": [7.0, 1.5],
    "first_k_dense_replace": [0, 1],
    "kv_lora_rank": [7, 10],
    "q_lora_rank": [None, 9],
    "n_shared_experts": [1, 2],
    "routed_scaling_factor": [1.0, 2.5],
    "qk_nope_head_dim": [6, 9],
    "qk_rope_head_dim": [4, 6],
    "v_head_dim": [5, 8],
    "scale_emb": [12, 1.5],
    "scale_depth": [1.4, None],
    "dim_model_base": [None, 5],
    "interleave_moe_layer_step": [1, 2],
    "intermediate_size_mlp": [19, 26],
    "floor_scale": [4, 9],
    "attn_scale": [0.1, 0.4],
    "rotary_dim": [2, 4, None],
    "n_inner": [None, 29],
    "ffn_hidden_size": [None, 31],
    "num_ln_in_parallel_attn": [None, 1, 2],
    "word_embed_proj_dim": [None, 12],
    "type_vocab_size": [1, 2, 3],
    "embedding_size": [None, 10],
    "num_hidden_groups": [1, 2],
    "inner_group_num": [1, 2],
    "relative_attention_num_buckets": [8, 13, 32],
    "relative_attention_max_distance": [16, 40, 128],
    "feed_forward_proj": ["relu", "gated-gelu", "gated-silu", "gelu", "gated-relu"],
    "classifier_pooling": ["cls", "mean"],
    "classifier_activation": ["gelu", "relu"],
}
MUST = """
num_experts_per_tok moe_intermediate_size kv_lora_rank q_lora_rank embedding_size qk_nope_head_dim
qk_rope_head_dim v_head_dim intermediate_size_mlp rotary_dim
""".split()
"""Keys whose defaults are too large, so that they are always drawn."""

SELDOM = """
use_bidirectional_attention scale_attn_by_inverse_layer_idx norm_topk_prob qk_layernorm
apply_residual_connection_post_layernorm mlp_only_layers
"""
RARE = dict.fromkeys(ACTS, 0.25) | dict.fromkeys(SELDOM.split(), 0.2)
"""How probable a key is to be drawn, where that is not 0.6."""


class Family(NamedTuple):
    """How the configurations of one family are drawn."""

    config: str
    """Transformers' class."""
    kinds: tuple[str, ...] = ("decoder",)
    more: dict[str, list[Any]] = {}  # noqa: RUF012 - never changed
    """Values for keys of its own, or that replace OPTIONS."""
    ropes: tuple[str, ...] = ("default", "linear", "yarn", "llama3", "longrope", "dynamic")
    shares: tuple[float, ...] = ()
    """Values of partial_rotary_factor."""
    is_nested: bool = False
    """Rotary parameters by type of layer."""


ENCODER = ("masked", "masked", "base", "sequence", "token")
SEQ2SEQ = ("seq2seq",)
SHARES = (0.25, 0.4, 0.5, 0.75, 1.0)
GROUPS = {"n_group": [None, 1, 2], "topk_group": [None, 1, 2], "n_routed_experts": [4, 6]}
EVEN = {"kv_lora_rank": [6, 10], "qk_nope_head_dim": [6, 10]}
"""Its complex rotation fails on odd strides."""
LAYERS = {"layer_types": [None, "sliding_attention"]}
"""None is the class's own pattern, a name a random one of this and full attention."""
DEBERTA: dict[str, list[Any]] = {
    "relative_attention": [True], "position_buckets": [-1, 4], "max_relative_positions": [-1, 16],
    "norm_rel_ebd": ["none", *["layer_norm"] * 4], "share_att_key": [True, True, True, False],
    "pos_att_type": [*[["p2c", "c2p"]] * 3, "p2c|c2p", ["c2p"]], "position_biased_input": YES,
    "type_vocab_size": [0, 2], "embedding_size": [None, None, None, 10],
}  # fmt: skip
SWITCH = {
    "expert_capacity": [9, 64], "num_sparse_encoder_layers": [1, 2],
    "num_sparse_decoder_layers": [1, 2], "dense_act_fn": ACTIVATIONS,
}  # fmt: skip
FAMILIES = {
    "llama": Family("LlamaConfig"),
    "mistral": Family("MistralConfig"),
    "qwen2": Family("Qwen2Config", more=LAYERS),
    "qwen3": Family("Qwen3Config", more=LAYERS),
    "mixtral": Family("MixtralConfig"),
    "gemma": Family("GemmaConfig"),
    "gemma2": Family("Gemma2Config", more=LAYERS),
    "gemma3_text": Family(
        "Gemma3TextConfig", more={**LAYERS, "attn_logit_softcapping": [None]}, is_nested=True
    ),
    "phi": Family("PhiConfig", shares=SHARES),
    "phi3": Family("Phi3Config", ropes=("default", "longrope"), shares=(1.0, 1.0, 0.5, 0.75)),
    "smollm3": Family("SmolLM3Config", more={**LAYERS, "no_rope_layers": [None, "bits"]}),
    "olmo": Family("OlmoConfig"),
    "olmo2": Family("Olmo2Config"),
    "olmo3": Family("Olmo3Config", more={**LAYERS, "sliding_window": [5, 8]}, is_nested=True),
    "granite": Family("GraniteConfig"),
    "granitemoe": Family("GraniteMoeConfig"),
    "qwen3_moe": Family("Qwen3MoeConfig"),
    "gpt_oss": Family(
        "GptOssConfig", more={**LAYERS, "sliding_window": [5, 8], "hidden_act": ["silu"]}
    ),
    "deepseek_v2": Family(
        "DeepseekV2Config",
        more={**GROUPS, **EVEN, "topk_method": ["greedy", "group_limited_greedy"]},
    ),
    "deepseek_v3": Family(
        "DeepseekV3Config", more={**GROUPS, "n_group": [1, 2], "topk_group": [1, 2]}
    ),
    "glm4": Family("Glm4Config", shares=SHARES),
    "exaone4": Family("Exaone4Config", more=LAYERS),
    "cohere": Family("CohereConfig"),
    "stablelm": Family("StableLmConfig", shares=SHARES),
    "gpt_neox": Family("GPTNeoXConfig", shares=SHARES),
    "gptj": Family("GPTJConfig"),
    "falcon": Family("FalconConfig"),
    "bloom": Family("BloomConfig"),
    "opt": Family("OPTConfig"),
    "starcoder2": Family("Starcoder2Config"),
    "llama4_text": Family("Llama4TextConfig", more={"no_rope_layers": [None, "bits"]}),
    "nemotron": Family("NemotronConfig", more={"hidden_act": ["relu2", "silu"]}, shares=SHARES),
    "minicpm3": Family("MiniCPM3Config"),
    "gpt2": Family("GPT2Config"),
    "bert": Family("BertConfig", ENCODER),
    "roberta": Family("RobertaConfig", ENCODER),
    "xlm-roberta": Family("XLMRobertaConfig", ENCODER),
    "distilbert": Family("DistilBertConfig", ENCODER),
    "albert": Family("AlbertConfig", ENCODER),
    "electra": Family("ElectraConfig", ENCODER),
    "deberta-v2": Family("DebertaV2Config", ENCODER, DEBERTA),
    "mpnet": Family("MPNetConfig", ENCODER, {"pad_token_id": [1]}),
    "modernbert": Family(
        "ModernBertConfig",
        ENCODER,
        LAYERS,
        ("default", "linear", "yarn", "dynamic"),
        is_nested=True,
    ),
    "t5": Family("T5Config", SEQ2SEQ),
    "mt5": Family("MT5Config", SEQ2SEQ),
    "umt5": Family("UMT5Config", SEQ2SEQ),
    "bart": Family("BartConfig", SEQ2SEQ),
    "mbart": Family("MBartConfig", SEQ2SEQ),
    "openai-gpt": Family("OpenAIGPTConfig"),
    "switch_transformers": Family("SwitchTransformersConfig", SEQ2SEQ, SWITCH),
}


WIDTHS = ("intermediate_size", "d_ff", "ffn_dim", "hidden_dim")


def draw_sizes(draw: Draw, declared: set[str]) -> Config:
    """Odd sizes under all the names that families have for them."""
    kv_heads = draw.choice([1, 1, 2, 3])
    heads = kv_heads * draw.choice([1, 2, 3])
    if "kv_lora_rank" in declared:
        kv_heads = heads
    head_dim = draw.choice([4, 6, 8, 10])
    width = heads * (draw.choice([3, 5, 7, 9, 11]) if "head_dim" in declared else head_dim)
    layers, experts = draw.randint(2, 4), draw.choice([3, 4, 5, 7])
    other = [h for h in (1, 2, 3, heads) if width % h == 0]
    sizes = {
        **dict.fromkeys(WIDTHS, draw.randint(17, 45)),
        **dict.fromkeys(["num_key_value_heads", "num_kv_heads"], kv_heads),
        **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts"], experts),
        "hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers,
        "vocab_size": draw.randint(61, 97), "max_position_embeddings": draw.choice([40, 64, 128]),
        "encoder_ffn_dim": draw.randint(17, 45), "decoder_ffn_dim": draw.randint(17, 45),
        "decoder_layers": draw.randint(1, 4), "num_decoder_layers": draw.randint(1, 4),
        "decoder_attention_heads": draw.choice(other),
    }  # fmt: skip
    if draw.random() < 0.8:
        sizes["decoder_ffn_dim"], sizes["decoder_attention_heads"] = sizes["encoder_ffn_dim"], heads
    if "head_dim" in declared:
        sizes["head_dim"] = head_dim
    return {key: value for key, value in sizes.items() if key in declared}


def draw_rope(draw: Draw, family: Family, head_dim: int) -> Config:
    """Rotary parameters; the original length is shorter than the text."""
    kind = draw.choice(family.ropes)
    rope: Config = {"rope_type": kind, "rope_theta": draw.choice([100.0, 1e4, 5e5])}
    share = draw.choice(family.shares) if family.shares else 1.0
    if family.shares:
        rope["partial_rotary_factor"] = share
    if kind in ("linear", "yarn", "llama3", "dynamic"):
        rope["factor"] = draw.choice([2.0, 3.5, 8.0])
    if kind in ("yarn", "llama3", "longrope"):
        # LongRoPE takes the batch's longest text in Transformers and each text's own length here,
        # so all texts are longer, the padded one of 14 tokens too, or all are shorter.
        longest = 12 if kind == "longrope" else 20
        rope["original_max_position_embeddings"] = draw.choice([8, 12, longest])
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": draw.choice([2.0, 4.0])}
    if kind == "longrope":
        pairs = range(int(head_dim * share) // 2)
        rope["short_factor"] = [round(draw.uniform(1, 2), 2) for _ in pairs]
        rope["long_factor"] = [round(draw.uniform(1, 9), 2) for _ in pairs]
    options: dict[str, list[Any]] = {}
    if kind == "yarn":
        options = {
            "beta_fast": [32, 4],
            "beta_slow": [1, 0.5],
            "truncate": YES,
            "mscale": [1.0, 0.7],
        }
        options["mscale_all_dim"] = [1.0, 0.6]
    if kind in ("yarn", "longrope"):
        options["attention_factor"] = [1.0, 1.3]
    return rope | {key: draw.choice(v) for key, v in options.items() if draw.random() < 0.4}


def draw_config(name: str, kind: str, draw: Draw) -> Any:
    """One configuration of Transformers' class; ValueError and others if it refuses."""
    family = FAMILIES[name]
    cls = getattr(transformers, family.config)
    fields = set(inspect.signature(cls).parameters)
    declared = fields | {k for k, v in cls.attribute_map.items() if v in fields}
    given = draw_sizes(draw, declared)
    for key, values in {**OPTIONS, **family.more}.items():
        wanted = key in MUST or key in family.more or draw.random() < RARE.get(key, 0.6)
        if wanted and (key in declared or key in DEBERTA and name == "deberta-v2"):
            given[key] = draw.choice(values)
    layers = given["num_hidden_layers"]
    if given.get("layer_types"):
        given["layer_types"] = [
            draw.choice([given["layer_types"], "full_attention"]) for _ in range(layers)
        ]
    if given.get("no_rope_layers") == "bits":
        given["no_rope_layers"] = [draw.randint(0, 1) for _ in range(layers)]
    if given.get("embedding_size") is None and "embedding_size" in given:
        given["embedding_size"] = given["hidden_size"]
    if kind in ("sequence", "token"):
        given["num_labels"] = draw.choice([1, 2, 3]) if kind == "sequence" else 3
    for key, special in (("pad_token_id", 0), ("bos_token_id", 1), ("eos_token_id", 2)):
        given.setdefault(key, draw.choice([special, special + 3]))
    if "rope_parameters" in declared and draw.random() < 0.8:
        dim = given.get("qk_rope_head_dim") or given.get("head_dim")
        dim = dim or given["hidden_size"] // given["num_attention_heads"]
        names = ("full_attention", "sliding_attention") if family.is_nested else ("",)
        ropes = {n: draw_rope(draw, family, dim) for n in names}
        if family.is_nested and draw.random() < 0.8:  # most publishers scale the full layers alone
            ropes["sliding_attention"] = {"rope_type": "default", "rope_theta": 1e4}
        given["rope_parameters"] = ropes if family.is_nested else ropes[""]
        if name == "phi3" and "original_max_position_embeddings" in ropes[""]:
            original = ropes[""]["original_max_position_embeddings"]
            given["original_max_position_embeddings"] = original
        if any(rope["rope_type"] == "dynamic" for rope in ropes.values()):
            given["max_position_embeddings"] = draw.choice([20, 25, 37])  # texts have 21 to 37
    names = {k: v for k, v in cls.attribute_map.items() if v in fields}
    return cls(**{names.get(key, key): value for key, value in given.items()})


STRINGS = [*ACTIVATIONS, "swish", "tanh", "quick_gelu", "gelu_fast", "gelu_10", "relu2", "x"]
ADDED: Config = {
    "colour": "red", "is_causal": False, "is_decoder": True, "add_cross_attention": True,
    "sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1, "local_attention": 4,
    "layer_types": ["sliding_attention", "full_attention"], "attention_chunk_size": 7,
    "attention_bias": True, "mlp_bias": True, "bias": True, "use_bias": False, "use_qk_norm": True,
    "qk_layernorm": True, "head_dim": 6, "num_key_value_heads": 1, "num_kv_heads": 1,
    "rope_scaling": {"rope_type": "linear", "factor": 3.0}, "rope_theta": 77.0,
    "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 77.0},
    "partial_rotary_factor": 0.5, "rotary_pct": 0.5, "rotary_dim": 2, "rotary_emb_base": 77,
    "rope_local_base_freq": 77.0, "original_max_position_embeddings": 9, "no_rope_layers": [0, 1],
    "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0, "logit_scale": 0.5,
    "query_pre_attn_scalar": 9, "embedding_multiplier": 3.0, "attention_multiplier": 0.3,
    "residual_multiplier": 0.5, "logits_scaling": 3.0, "clip_qkv": 0.4, "scale_embedding": True,
    "use_bidirectional_attention": True, "use_parallel_residual": True, "parallel_attn": True,
    "tie_word_embeddings": False, "tie_encoder_decoder": True, "hidden_act": "tanh",
    "activation_function": "tanh", "hidden_activation": "tanh", "rms_norm_eps": 0.3,
    "layer_norm_eps": 0.3, "layer_norm_epsilon": 0.3, "norm_eps": 0.3, "num_experts": 2,
    "num_local_experts": 2, "num_experts_per_tok": 1, "position_embedding_type": "relative_key",
    "hidden_size": 12, "n_embd": 12, "num_hidden_layers": 1, "n_layer": 1, "num_layers": 1,
    "num_attention_heads": 1, "n_head": 1, "intermediate_size": 8, "max_position_embeddings": 40,
    "torch_dtype": "float16", "quantization_config": {"quant_method": "fp8"},
    "pruned_heads": {"0": [0]},
    "pretraining_tp": 2, "num_labels": 5, "pad_token_id": 7, "chunk_size_feed_forward": 1,
    "output_hidden_states": True, "swiglu_limit": 1.0, "attn_temperature_tuning": True,
    "expert_capacity": 2, "dense_act_fn": "silu", "is_gated_act": True, "per_layer_config": {},
}  # fmt: skip


def other_values(value: Any, draw: Draw) -> list[Any]:
    """Plausible other values, then some of other types."""
    if isinstance(value, bool):
        return [not value, None, "no"]
    if isinstance(value, int):
        return [value + 1, max(1, value // 2), draw.choice([0, -1, value * 2]), None, "many"]
    if isinstance(value, float):
        return [value * 1.5, draw.choice([0.0, 1, -value]), None, "much"]
    if isinstance(value, str):
        return [*draw.sample(STRINGS, 3), draw.choice([None, 3])]
    if isinstance(value, list):
        shorter = [value[:-1]] if value else []
        turned = (
            [[*value[1:], value[0]], [value[0]] * len(value), [3] * len(value)] if value else []
        )
        return [*shorter, *turned, None, 3]
    return [None, 3] if isinstance(value, dict) else [1, 5, 0.5, True, "silu", [0, 1]]


def change_key(config: Config, key: str, draw: Draw) -> Iterator[tuple[str, Config]]:
    """Every other value of one key, and without it; keys within a dictionary likewise."""
    yield f"-{key}", {k: v for k, v in config.items() if k != key}
    for value in other_values(config[key], draw):
        yield f"{key}={value!r}", {**config, key: value}
    if isinstance(config[key], dict):
        inner = config[key]
        for name in inner:
            for change, changed in change_key(inner, name, draw):
                yield f"{key}.{change}", {**config, key: changed}
        for name, value in {"colour": "red", "factor": 2.0, "partial_rotary_factor": 0.5}.items():
            if name not in inner:
                yield f"{key}.+{name}={value!r}", {**config, key: {**inner, name: value}}


def keys_read(cls: type) -> set[str]:
    """Keys that Transformers' code of a class reads by name, declared or not."""
    modules = [cls.__module__, cls.__module__.replace("configuration_", "modeling_")]
    modules += [f"transformers.{name}" for name in ("masking_utils", "modeling_rope_utils")]
    text = "\n".join(inspect.getsource(importlib.import_module(name)) for name in modules)
    found = re.findall(r"config\.([a-z]\w*)\b(?!\()", text)
    found += re.findall(r"getattr\((?:self\.)?\w*config, \"(\w+)\"", text)
    return {*found, *re.findall(r"kwargs\.(?:get|pop)\(\"(\w+)\"", text)}


def mutations(config: Config, draw: Draw) -> Iterator[tuple[str, Config]]:
    """Every mutation of a config.json: what changed, and the changed one."""
    cls = transformers.CONFIG_MAPPING[config["model_type"]]
    for alias, key in cls.attribute_map.items():
        if key in config:
            yield f"{key} as {alias}", {alias if k == key else k: v for k, v in config.items()}
            other = draw.choice(other_values(config[key], draw))
            yield f"+{alias}={other!r}", {**config, alias: other}
    for key in sorted(keys_read(cls) - set(config) - set(ADDED)):
        value = draw.choice([True, False, 2, 0.5, [1, 0]])
        yield f"+{key}={value!r}", {**config, key: value}
    for key in config:
        if key == "model_type":
            width = next(k for k in ("hidden_size", "n_embd", "d_model", "dim") if k in config)
            alike = [
                n
                for n, f in FAMILIES.items()
                if width in inspect.signature(getattr(transformers, f.config)).parameters
            ]
            for name in draw.sample(alike, min(len(alike), 6)):
                yield f"model_type={name!r}", {**config, key: name}
        yield from change_key(copy.deepcopy(config), key, draw)
    for key, value in ADDED.items():
        if key not in config:
            yield f"+{key}={value!r}", {**config, key: value}
    other = getattr(transformers, FAMILIES[draw.choice(list(FAMILIES))].config)().to_dict()
    for key in sorted(set(other) - set(config) - set(ADDED)):
        yield f"+{key}={other[key]!r}", {**config, key: other[key]}
    if isinstance(config.get("rope_parameters"), dict):
        older = {k: v for k, v in config.items() if k != "rope_parameters"}
        rope = dict(config["rope_parameters"])
        if "rope_theta" in rope:
            older |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
            yield "rope_scaling of Transformers 4", older
            typed = {**rope, "type": rope.get("rope_type")}
            typed.pop("rope_type", None)
            yield "rope_scaling with type", {**older, "rope_scaling": typed}
