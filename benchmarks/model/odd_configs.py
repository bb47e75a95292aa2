"""Odd configurations of every family that opens, beside transformers.

    python -m benchmarks.model.odd_configs [--cases 3000] [--family F ...] [--seed S] [--out FILE]
    python -m benchmarks.model.odd_configs --family llama --seed S --only 17    # one case again

Builds tiny random models of odd shapes, saves them with transformers, changes, adds and deletes
keys of config.json, and opens the same directory with transformers (float32, eager) and with
groundup. Each case ends as one of

    equal      the logits differ by at most 1e-3 of their scale
    refused    a GroundupError of one line
    unclear    a GroundupError of several lines, or of none
    crashed    any other exception of groundup
    different  other logits, and nobody said so

What transformers refuses, or gives no finite logits for, is not counted. Prints a table by family,
writes the bad cases with what was changed, and exits 1 if any is different or crashed. It needs
the extra `transformers` and nothing of the network.
"""

import argparse
import copy
import functools
import importlib
import inspect
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

from groundup.core import GroundupError
from groundup.model import load, load_with_head

Json = dict[str, object]
Draw = random.Random
TOLERANCE = 1e-3
LARGEST = 4_000_000  # weights; a deleted size falls back to a published one
SECONDS = 60  # for groundup's part of one case

ACTS = (
    "gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh",
    "gelu_python_tanh", "gelu_accurate", "hardswish", "laplace", "leaky_relu", "linear", "mish",
    "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu", "swish", "tanh", "prelu",
)  # fmt: skip
USUAL_ACTS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "gelu_fast")
EPS = (1e-12, 1e-6, 1e-5, 1e-3, 0.1, 1.0)
THETAS = (10000.0, 10000, 500.0, 1e6, 100.0, 7.5)


# ---------------------------------------------------------------- odd shapes of each family


def heads_of(draw: Draw) -> tuple[int, int, int]:
    """Heads, heads of keys, features of a head."""
    heads = draw.choice((1, 2, 3, 4, 5, 6))
    kv = draw.choice([n for n in range(1, heads + 1) if heads % n == 0])
    return heads, kv, draw.choice((2, 4, 6, 8, 10, 12, 14))


def mostly(draw: Draw, value: object, others: tuple[object, ...]) -> object:
    """This value, and now and then another."""
    return value if draw.random() < 0.93 else draw.choice(others)


def window_rope(draw: Draw, context: int) -> Json:
    """The rotary parameters of layers with a window: mostly plain ones."""
    rope = rope_of(draw, context)
    plain = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
    return rope if draw.random() < 0.1 else plain


def rope_of(draw: Draw, context: int) -> Json:
    """A flat `rope_parameters`."""
    kind = draw.choice(("default",) * 4 + ("linear", "yarn", "yarn", "yarn", "llama3", "llama3"))
    rope: Json = {"rope_type": kind, "rope_theta": draw.choice(THETAS)}
    if kind != "default":
        rope["factor"] = draw.choice((1.0, 1.5, 2.0, 4.0, 8, 32.0))
    if kind in ("yarn", "llama3"):
        rope["original_max_position_embeddings"] = draw.choice((4, 8, 16, 32, context))
    if kind == "llama3":
        rope["low_freq_factor"] = draw.choice((0.5, 1.0, 1, 2.0))
        rope["high_freq_factor"] = draw.choice((2.5, 4.0, 8.0))
    if kind == "yarn":
        for key, values in YARN.items():
            if draw.random() < 0.3:
                rope[key] = draw.choice(values)
        if draw.random() < 0.2:
            rope |= {"mscale": draw.choice((0.7, 1.0)), "mscale_all_dim": draw.choice((0.5, 1.0))}
    return rope


YARN: dict[str, tuple[object, ...]] = {
    "attention_factor": (0.5, 1.0, 1.7),
    "beta_fast": (32, 8.0, 4.0, 64),
    "beta_slow": (1, 0.5, 2.0),
    "truncate": (True, False),
    "mscale": (0.7, 1.0, 0),
    "mscale_all_dim": (0.5, 1.0, 0),
}


def kinds_of(draw: Draw, layers: int) -> list[str]:
    """A pattern of layers with and without windows."""
    return [draw.choice(("full_attention", "sliding_attention")) for _ in range(layers)]


def decoder_of(draw: Draw, named_head: bool) -> Json:
    """What the descendants of LLaMA share."""
    heads, kv, size = heads_of(draw)
    width = heads * size
    if named_head and draw.random() < 0.5:
        width = heads * draw.choice((4, 6, 7, 9))
    context = draw.choice((48, 64, 100, 128))
    base: Json = {
        "vocab_size": draw.randint(33, 97), "hidden_size": width,
        "intermediate_size": draw.choice((5, 11, 24, 33)),
        "num_hidden_layers": draw.choice((1, 2, 3, 4)), "num_attention_heads": heads,
        "num_key_value_heads": kv, "hidden_act": mostly(draw, "silu", USUAL_ACTS),
        "max_position_embeddings": context, "rms_norm_eps": draw.choice(EPS),
        "tie_word_embeddings": draw.random() < 0.4, "rope_parameters": rope_of(draw, context),
        "pad_token_id": draw.choice((0, 1, None)), "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    return base | ({"head_dim": size} if named_head else {})


def llama(draw: Draw) -> Json:
    """LLaMA, with biases or without."""
    biases = {"attention_bias": draw.random() < 0.4, "mlp_bias": draw.random() < 0.4}
    return decoder_of(draw, named_head=True) | biases


def mistral(draw: Draw) -> Json:
    """Mistral, with a window or without."""
    window = {"sliding_window": draw.choice((None, 1, 2, 5, 9, 16, 200))}
    return decoder_of(draw, named_head=True) | window


def mixtral(draw: Draw) -> Json:
    """Mixtral with a few experts."""
    experts = draw.choice((2, 3, 5))
    return mistral(draw) | {
        "num_local_experts": experts, "num_experts_per_tok": draw.randint(1, experts),
        "router_jitter_noise": draw.choice((0.0, 0.1)),
        "output_router_logits": draw.random() < 0.1,
    }  # fmt: skip


def qwen2(draw: Draw) -> Json:
    """Qwen 2 with windows by layer."""
    return windowed(draw, decoder_of(draw, named_head=False))


def qwen3(draw: Draw) -> Json:
    """Qwen 3 with windows by layer."""
    base = decoder_of(draw, named_head=True) | {"attention_bias": draw.random() < 0.4}
    return windowed(draw, base)


def windowed(draw: Draw, base: Json) -> Json:
    """Add Qwen's ways to say which layers have a window."""
    layers = int(str(base["num_hidden_layers"]))
    base |= {
        "use_sliding_window": draw.random() < 0.6,
        "sliding_window": draw.choice((None, 1, 3, 7, 16)),
        "max_window_layers": draw.randint(0, layers + 1),
    }
    if draw.random() < 0.4:
        base["layer_types"] = kinds_of(draw, layers)
    return base


def gemma3_text(draw: Draw) -> Json:
    """Gemma 3's text model."""
    base = decoder_of(draw, named_head=True)
    context = int(str(base["max_position_embeddings"]))
    base.pop("hidden_act")
    act: Json = {"hidden_activation": mostly(draw, "gelu_pytorch_tanh", USUAL_ACTS)}
    if draw.random() < 0.6:
        act["layer_types"] = kinds_of(draw, int(str(base["num_hidden_layers"])))
    if draw.random() < 0.3:
        act["sliding_window_pattern"] = draw.choice((1, 2, 3))
    return base | act | {
        "rope_parameters": {"full_attention": rope_of(draw, context),
                            "sliding_attention": window_rope(draw, context)},
        "query_pre_attn_scalar": draw.choice((1, 8, 17, 64)),
        "sliding_window": draw.choice((1, 2, 6, 15)),
        "attention_bias": draw.random() < 0.3,
        "final_logit_softcapping": mostly(draw, None, (3.0, 30.0)),
    }  # fmt: skip


def gemma3(draw: Draw) -> Json:
    """Gemma 3 with an eye."""
    text = gemma3_text(draw) | {"vocab_size": draw.randint(50, 97), "model_type": "gemma3_text"}
    eye = {"model_type": "siglip_vision_model", "hidden_size": 8, "intermediate_size": 8,
           "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
           "patch_size": 4}  # fmt: skip
    return {"text_config": text, "vision_config": eye, "mm_tokens_per_image": 4,
            "image_token_index": 40, "boi_token_index": 41, "eoi_token_index": 42,
            "tie_word_embeddings": text["tie_word_embeddings"]}  # fmt: skip


def olmo2(draw: Draw) -> Json:
    """OLMo 2."""
    base = decoder_of(draw, named_head=False) | {"attention_bias": draw.random() < 0.4}
    if draw.random() < 0.2:
        base["head_dim"] = draw.choice((4, 8, 10))
    return base


def gpt2(draw: Draw) -> Json:
    """GPT-2."""
    heads, _, size = heads_of(draw)
    return {
        "vocab_size": draw.randint(33, 97), "n_positions": draw.choice((40, 48, 64)),
        "n_embd": heads * size, "n_layer": draw.choice((1, 2, 3)), "n_head": heads,
        "n_inner": draw.choice((None, 7, 32)), "activation_function": draw.choice(USUAL_ACTS),
        "layer_norm_epsilon": draw.choice(EPS), "tie_word_embeddings": draw.random() < 0.6,
        "scale_attn_weights": draw.random() < 0.9,
        "scale_attn_by_inverse_layer_idx": draw.random() < 0.06,
        "reorder_and_upcast_attn": draw.random() < 0.2,
        "pad_token_id": draw.choice((0, 3)), "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip


def openai_gpt(draw: Draw) -> Json:
    """GPT-1."""
    base = gpt2(draw)
    act = draw.choice(("gelu", "relu", "silu", "swish"))
    gone = ("n_inner", "activation_function", "scale_attn_weights", "reorder_and_upcast_attn",
            "scale_attn_by_inverse_layer_idx")  # fmt: skip
    return {key: value for key, value in base.items() if key not in gone} | {"afn": act}


def bert(draw: Draw) -> Json:
    """BERT."""
    heads, _, size = heads_of(draw)
    return {
        "vocab_size": draw.randint(33, 97), "hidden_size": heads * size,
        "num_hidden_layers": draw.choice((1, 2, 3)), "num_attention_heads": heads,
        "intermediate_size": draw.choice((5, 11, 32)), "hidden_act": draw.choice(USUAL_ACTS),
        "max_position_embeddings": draw.choice((48, 64)),
        "type_vocab_size": draw.choice((1, 2, 3)), "layer_norm_eps": draw.choice(EPS),
        "pad_token_id": draw.choice((0, 1, 5)), "tie_word_embeddings": draw.random() < 0.7,
        "classifier_dropout": draw.choice((None, 0.1)),
    }  # fmt: skip


def distilbert(draw: Draw) -> Json:
    """DistilBERT."""
    names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads":
             "n_heads", "intermediate_size": "hidden_dim", "hidden_act": "activation"}  # fmt: skip
    gone = ("type_vocab_size", "layer_norm_eps", "classifier_dropout")
    base = {names.get(key, key): value for key, value in bert(draw).items() if key not in gone}
    return base | {"sinusoidal_pos_embds": draw.random() < 0.2}


def electra(draw: Draw) -> Json:
    """ELECTRA, with embeddings of another width or not."""
    base = bert(draw)
    return base | {"embedding_size": draw.choice((5, 8, 12, base["hidden_size"]))}


def albert(draw: Draw) -> Json:
    """ALBERT with groups."""
    layers, groups = draw.choice(((1, 1), (2, 1), (2, 2), (4, 2), (3, 1), (3, 2)))
    return electra(draw) | {
        "num_hidden_layers": layers, "num_hidden_groups": groups,
        "inner_group_num": mostly(draw, 1, (2,)),
    }  # fmt: skip


def mpnet(draw: Draw) -> Json:
    """MPNet."""
    gone = ("type_vocab_size", "classifier_dropout")
    base = {key: value for key, value in bert(draw).items() if key not in gone}
    return base | {"pad_token_id": 1, "relative_attention_num_buckets": mostly(draw, 32, (40,))}


def deberta_v2(draw: Draw) -> Json:
    """DeBERTa v2, relative or not."""
    base = bert(draw) | {
        "type_vocab_size": draw.choice((0, 0, 2)), "position_biased_input": draw.random() < 0.3,
        "legacy": draw.random() < 0.95, "conv_kernel_size": mostly(draw, 0, (3,)),
        "pooler_hidden_act": mostly(draw, "gelu", ("tanh",)), "conv_act": "tanh",
    }  # fmt: skip
    base.pop("classifier_dropout")
    if draw.random() < 0.2:
        return base
    return base | {
        "relative_attention": True, "share_att_key": mostly(draw, True, (False,)),
        "norm_rel_ebd": mostly(draw, "layer_norm", ("none",)),
        "pos_att_type": mostly(draw, draw.choice(("p2c|c2p", ["c2p", "p2c"])), ("c2p", None)),
        "position_buckets": mostly(draw, draw.choice((4, 5, 6, 8, 256)), (-1, 3)),
        "max_relative_positions": draw.choice((-1, 6, 12, 40, 512)),
    }  # fmt: skip


def modernbert(draw: Draw) -> Json:
    """ModernBERT."""
    heads, _, size = heads_of(draw)
    layers, context = draw.choice((1, 2, 3, 4)), 64
    base: Json = {
        "vocab_size": draw.randint(33, 97), "hidden_size": heads * size,
        "intermediate_size": draw.choice((6, 11, 32)), "num_hidden_layers": layers,
        "num_attention_heads": heads, "hidden_activation": draw.choice(USUAL_ACTS),
        "max_position_embeddings": context, "norm_eps": draw.choice(EPS),
        "norm_bias": draw.random() < 0.4, "attention_bias": draw.random() < 0.4,
        "mlp_bias": draw.random() < 0.4, "decoder_bias": draw.random() < 0.6,
        "classifier_bias": draw.random() < 0.4, "local_attention": draw.choice((2, 3, 6, 9, 16)),
        "classifier_pooling": draw.choice(("cls", "mean")),
        "classifier_activation": draw.choice(USUAL_ACTS),
        "tie_word_embeddings": draw.random() < 0.6, "sparse_prediction": draw.random() < 0.1,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1,
        "sep_token_id": 2,
        "rope_parameters": {"full_attention": rope_of(draw, context),
                            "sliding_attention": window_rope(draw, context)},
    }  # fmt: skip
    if draw.random() < 0.5:
        base["layer_types"] = kinds_of(draw, layers)
    elif draw.random() < 0.5:
        base["global_attn_every_n_layers"] = draw.choice((1, 2, 4))
    return base


def t5(draw: Draw) -> Json:
    """T5, old and new."""
    heads, _, size = heads_of(draw)
    gates = draw.choice(("", "gated-"))
    return {
        "vocab_size": draw.randint(33, 97), "d_model": draw.choice((6, 12, 21)), "d_kv": size,
        "d_ff": draw.choice((5, 11, 32)), "num_layers": draw.choice((1, 2, 3)),
        "num_decoder_layers": draw.choice((1, 2, 3)), "num_heads": heads,
        "relative_attention_num_buckets": mostly(draw, draw.choice((4, 6, 8, 13)), (32, 2)),
        "relative_attention_max_distance": draw.choice((9, 16, 31, 128)),
        "layer_norm_epsilon": draw.choice(EPS), "feed_forward_proj":
        gates + draw.choice(("relu", *USUAL_ACTS)), "tie_word_embeddings": draw.random() < 0.5,
        "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    }  # fmt: skip


def switch_transformers(draw: Draw) -> Json:
    """Switch with a few experts that are soon full."""
    base = t5(draw)
    base.pop("feed_forward_proj")
    layers, others = draw.choice(((1, 1), (1, 3), (2, 2), (3, 1), (3, 2), (4, 2), (3, 3), (4, 4)))
    step = draw.choice((1, 1, 2))
    base |= {"num_layers": layers, "num_decoder_layers": others}
    if draw.random() < 0.9:
        base["tie_word_embeddings"] = True
    return base | {
        "dense_act_fn": draw.choice(("relu", *USUAL_ACTS)),
        "num_experts": mostly(draw, draw.choice((2, 3, 5)), (1,)),
        "expert_capacity": draw.choice((1, 4, 9, 64)), "router_bias": draw.random() < 0.06,
        "num_sparse_encoder_layers": mostly(draw, -(-layers // step), (0, 1, 2)),
        "num_sparse_decoder_layers": mostly(draw, -(-others // step), (0, 1, 2)),
        "router_dtype": mostly(draw, "float32", ("bfloat16", "float16")),
        "router_ignore_padding_tokens": draw.random() < 0.06, "add_router_probs": False,
    }  # fmt: skip


def bart(draw: Draw) -> Json:
    """BART, with unlike sides."""
    heads, _, size = heads_of(draw)
    inner = draw.choice((5, 32))
    other = draw.choice([n for n in range(1, heads * size + 1) if heads * size % n == 0][:4])
    return {
        "vocab_size": draw.randint(33, 97), "max_position_embeddings": draw.choice((48, 64)),
        "d_model": heads * size, "encoder_layers": draw.choice((1, 2, 3)),
        "decoder_layers": draw.choice((1, 2, 3)), "encoder_attention_heads": heads,
        "decoder_attention_heads": mostly(draw, heads, (other,)),
        "encoder_ffn_dim": inner, "decoder_ffn_dim": mostly(draw, inner, (5, 32)),
        "activation_function": draw.choice(USUAL_ACTS), "scale_embedding": draw.random() < 0.4,
        "tie_word_embeddings": draw.random() < 0.93, "pad_token_id": 1, "bos_token_id": 0,
        "eos_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
    }  # fmt: skip


def partial(draw: Draw, named_head: bool) -> Json:
    """A decoder that may rotate a share of its features."""
    base = decoder_of(draw, named_head)
    rope = dict(base["rope_parameters"])  # type: ignore[call-overload]
    if draw.random() < 0.8:
        rope["partial_rotary_factor"] = draw.choice((0.25, 0.4, 0.5, 0.75, 1.0))
    return base | {"rope_parameters": rope}


def layered(draw: Draw, named_head: bool) -> Json:
    """A decoder whose layers may have windows."""
    base = decoder_of(draw, named_head) | {"sliding_window": draw.choice((1, 2, 5, 9, 200))}
    if draw.random() < 0.6:
        base["layer_types"] = kinds_of(draw, int(str(base["num_hidden_layers"])))
    return base


def layer_normed(draw: Draw, base: Json, key: str = "layer_norm_eps") -> Json:
    """With a layer norm's epsilon and biases or none."""
    base.pop("rms_norm_eps")
    return base | {key: draw.choice(EPS), "attention_bias": draw.random() < 0.4}


def olmo(draw: Draw) -> Json:
    """OLMo."""
    base = layer_normed(draw, decoder_of(draw, named_head=False))
    base.pop("layer_norm_eps")
    return base | {"clip_qkv": draw.choice((None, 0.5, 8.0))}


def olmo3(draw: Draw) -> Json:
    """OLMo 3."""
    base = layered(draw, named_head=False)
    full, plain = base["rope_parameters"], {"rope_type": "default", "rope_theta": 77.0}
    return base | {"rope_parameters": {"full_attention": full, "sliding_attention": plain}}


def smollm3(draw: Draw) -> Json:
    """SmolLM 3."""
    base = decoder_of(draw, named_head=False)
    layers = int(str(base["num_hidden_layers"]))
    base |= {"no_rope_layer_interval": draw.choice((1, 2, 3, 4)), "mlp_bias": draw.random() < 0.3,
             "use_sliding_window": draw.random() < 0.4, "attention_bias": draw.random() < 0.3,
             "sliding_window": draw.choice((None, 2, 5))}  # fmt: skip
    if draw.random() < 0.5:
        base["no_rope_layers"] = [draw.choice((0, 1)) for _ in range(layers)]
    return base


def phi3(draw: Draw) -> Json:
    """Phi 3."""
    base = partial(draw, named_head=False) | {"sliding_window": draw.choice((None, 3, 9, 200))}
    share = draw.choice((0.5, 1.0))
    width, heads = int(str(base["hidden_size"])), int(str(base["num_attention_heads"]))
    pairs = int(width // heads * share) // 2
    rope: Json = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": share}
    if draw.random() < 0.6:
        rope |= {"rope_type": "longrope", "short_factor": [1.0 + i / 4 for i in range(pairs)],
                 "long_factor": [1.5 + i for i in range(pairs)]}  # fmt: skip
        # Never between two rows' lengths: in Transformers a short row has the long row's factors.
        base["original_max_position_embeddings"] = draw.choice((4, 60))
    return base | {"rope_parameters": rope}


def phi(draw: Draw) -> Json:
    """Phi."""
    base = layer_normed(draw, partial(draw, named_head=False))
    base.pop("attention_bias")
    return base | {"qk_layernorm": draw.random() < 0.3, "hidden_act": draw.choice(USUAL_ACTS)}


def gemma(draw: Draw) -> Json:
    """Gemma."""
    act = draw.choice(("gelu", "gelu_pytorch_tanh", "silu"))
    return decoder_of(draw, named_head=True) | {"hidden_act": act}


def gemma2(draw: Draw) -> Json:
    """Gemma 2."""
    base = layered(draw, named_head=True)
    base.pop("hidden_act")
    return base | {
        "hidden_activation": mostly(draw, "gelu_pytorch_tanh", USUAL_ACTS),
        "query_pre_attn_scalar": draw.choice((1, 8, 17)), "attention_bias": draw.random() < 0.3,
        "final_logit_softcapping": draw.choice((None, 3.0, 30.0)),
        "attn_logit_softcapping": draw.choice((None, 2.0, 50.0)),
    }  # fmt: skip


def granite(draw: Draw) -> Json:
    """Granite."""
    names = ("embedding_multiplier", "attention_multiplier", "residual_multiplier",
             "logits_scaling")  # fmt: skip
    return llama(draw) | {name: draw.choice((0.2, 1.0, 3, 7.0)) for name in names}


def starcoder2(draw: Draw) -> Json:
    """StarCoder 2."""
    base = layer_normed(draw, decoder_of(draw, named_head=False), "norm_epsilon")
    base.pop("attention_bias")
    return base | {"use_bias": draw.random() < 0.6, "hidden_act": draw.choice(USUAL_ACTS),
                   "sliding_window": draw.choice((None, 2, 7))}  # fmt: skip


def stablelm(draw: Draw) -> Json:
    """StableLM."""
    base = layer_normed(draw, partial(draw, named_head=False))
    base.pop("attention_bias")
    return base | {"use_qkv_bias": draw.random() < 0.5, "qk_layernorm": draw.random() < 0.1,
                   "use_parallel_residual": draw.random() < 0.5}  # fmt: skip


def gpt_neox(draw: Draw) -> Json:
    """GPT-NeoX."""
    base = layer_normed(draw, partial(draw, named_head=False))
    base.pop("num_key_value_heads")
    return base | {"use_parallel_residual": draw.random() < 0.6,
                   "hidden_act": draw.choice(USUAL_ACTS)}  # fmt: skip


def cohere(draw: Draw) -> Json:
    """Command R."""
    base = layer_normed(draw, decoder_of(draw, named_head=False))
    return base | {"logit_scale": draw.choice((0.0625, 0.5, 1.0, 2)),
                   "use_qk_norm": draw.random() < 0.1}  # fmt: skip


def nemotron(draw: Draw) -> Json:
    """Nemotron."""
    base = layer_normed(draw, partial(draw, named_head=True), "norm_eps")
    return base | {"hidden_act": mostly(draw, "relu2", USUAL_ACTS), "mlp_bias": draw.random() < 0.4}


def glm4(draw: Draw) -> Json:
    """GLM 4."""
    return partial(draw, named_head=True) | {"attention_bias": draw.random() < 0.5}


def exaone4(draw: Draw) -> Json:
    """EXAONE 4."""
    base = layered(draw, named_head=True) | {"sliding_window_pattern": draw.choice((1, 2, 4))}
    if draw.random() < 0.2:
        base |= {"sliding_window": None, "layer_types": ["full_attention"]
                 * int(str(base["num_hidden_layers"]))}  # fmt: skip
    return base


def gptj(draw: Draw) -> Json:
    """GPT-J."""
    base = gpt2(draw)
    gone = ("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn")
    size = int(str(base["n_embd"])) // int(str(base["n_head"]))
    turned = mostly(draw, draw.choice(range(2, size + 1, 2)), (0, 1, None, 3))
    return {key: value for key, value in base.items() if key not in gone} | {"rotary_dim": turned}


def falcon(draw: Draw) -> Json:
    """Falcon of any age."""
    base = layer_normed(draw, decoder_of(draw, named_head=False), "layer_norm_epsilon")
    for key in ("attention_bias", "hidden_act", "intermediate_size"):
        base.pop(key, None)
    kv = base.pop("num_key_value_heads")
    return base | {
        "num_kv_heads": mostly(draw, kv, (None, 1, 2)), "bias": draw.random() < 0.4,
        "new_decoder_architecture": draw.random() < 0.4, "multi_query": draw.random() < 0.5,
        "parallel_attn": draw.random() < 0.8, "activation": draw.choice(USUAL_ACTS),
        "num_ln_in_parallel_attn": draw.choice((None, None, 1, 2)),
        "ffn_hidden_size": draw.choice((None, 9, 24)), "alibi": draw.random() < 0.3,
    }  # fmt: skip


def bloom(draw: Draw) -> Json:
    """BLOOM."""
    heads, _, size = heads_of(draw)
    return {
        "vocab_size": draw.randint(33, 97), "hidden_size": heads * size, "n_head": heads,
        "n_layer": draw.choice((1, 2, 3)), "layer_norm_epsilon": draw.choice(EPS),
        "apply_residual_connection_post_layernorm": draw.random() < 0.06,
        "tie_word_embeddings": draw.random() < 0.6, "slow_but_exact": draw.random() < 0.1,
        "pretraining_tp": draw.choice((1, 2)), "pad_token_id": 3, "bos_token_id": 1,
    }  # fmt: skip


def opt(draw: Draw) -> Json:
    """OPT, with norms before or after."""
    heads, _, size = heads_of(draw)
    return {
        "vocab_size": draw.randint(33, 97), "hidden_size": heads * size,
        "num_hidden_layers": draw.choice((1, 2, 3)), "num_attention_heads": heads,
        "ffn_dim": draw.choice((5, 24)), "max_position_embeddings": draw.choice((48, 64)),
        "do_layer_norm_before": draw.random() < 0.6, "enable_bias": draw.random() < 0.7,
        "layer_norm_elementwise_affine": draw.random() < 0.7, "pad_token_id": draw.choice((0, 1)),
        "word_embed_proj_dim": mostly(draw, None, (4, 8)), "tie_word_embeddings":
        draw.random() < 0.6, "activation_function": draw.choice(("relu", *USUAL_ACTS)),
        "_remove_final_layer_norm": draw.random() < 0.06,
    }  # fmt: skip


def qwen3_moe(draw: Draw) -> Json:
    """Qwen 3 with experts."""
    experts, inner = draw.choice((2, 3, 5)), draw.choice((5, 8))
    base = decoder_of(draw, named_head=True)
    return base | {
        "num_experts": experts, "num_experts_per_tok": draw.randint(1, experts),
        "moe_intermediate_size": inner, "norm_topk_prob": draw.random() < 0.5,
        "intermediate_size": mostly(draw, inner, (6,)), "attention_bias": draw.random() < 0.3,
        "decoder_sparse_step": mostly(draw, 1, (2,)), "sliding_window": draw.choice((None, 3, 9)),
        "use_sliding_window": draw.random() < 0.4,
    }  # fmt: skip


# family: how its configurations are drawn, what transformers' classes are named after, their kinds
FAMILIES: dict[str, tuple[Callable[[Draw], Json], str, tuple[str, ...]]] = {
    "llama": (llama, "Llama", ("CausalLM", "SequenceClassification", "TokenClassification")),
    "mistral": (mistral, "Mistral", ("CausalLM", "SequenceClassification", "TokenClassification")),
    "mixtral": (mixtral, "Mixtral", ("CausalLM", "SequenceClassification", "TokenClassification")),
    "qwen2": (qwen2, "Qwen2", ("CausalLM", "SequenceClassification", "TokenClassification")),
    "qwen3": (qwen3, "Qwen3", ("CausalLM", "SequenceClassification", "TokenClassification")),
    "gemma3_text": (gemma3_text, "Gemma3", ("CausalLM",)),
    "gemma3": (gemma3, "Gemma3", ("ConditionalGeneration",)),
    "olmo2": (olmo2, "Olmo2", ("CausalLM", "SequenceClassification")),
    "gpt2": (gpt2, "GPT2", ("LMHeadModel", "SequenceClassification", "TokenClassification")),
    "openai-gpt": (openai_gpt, "OpenAIGPT", ("LMHeadModel", "SequenceClassification")),
    "bert": (bert, "Bert", ("MaskedLM", "SequenceClassification", "TokenClassification", "Model")),
    "roberta": (
        bert, "Roberta", ("MaskedLM", "SequenceClassification", "TokenClassification", "Model"),
    ),
    **{family: (
        maker, name, ("MaskedLM", "SequenceClassification", "TokenClassification", "Model")
    ) for family, maker, name in (
        ("xlm-roberta", bert, "XLMRoberta"), ("distilbert", distilbert, "DistilBert"),
        ("electra", electra, "Electra"), ("albert", albert, "Albert"), ("mpnet", mpnet, "MPNet"),
        ("deberta-v2", deberta_v2, "DebertaV2"),
    )},
    "modernbert": (
        modernbert, "ModernBert",
        ("MaskedLM", "SequenceClassification", "TokenClassification", "Model"),
    ),
    "t5": (t5, "T5", ("ConditionalGeneration",)),
    "switch_transformers": (
        switch_transformers, "SwitchTransformers", ("ConditionalGeneration",),
    ),
    "bart": (bart, "Bart", ("ConditionalGeneration",)),
    "olmo": (olmo, "Olmo", ("CausalLM",)), "olmo3": (olmo3, "Olmo3", ("CausalLM",)),
    "smollm3": (smollm3, "SmolLM3", ("CausalLM",)), "phi3": (phi3, "Phi3", ("CausalLM",)),
    "phi": (phi, "Phi", ("CausalLM",)), "gemma": (gemma, "Gemma", ("CausalLM",)),
    "gemma2": (gemma2, "Gemma2", ("CausalLM",)), "granite": (granite, "Granite", ("CausalLM",)),
    "starcoder2": (starcoder2, "Starcoder2", ("CausalLM",)),
    "stablelm": (stablelm, "StableLm", ("CausalLM",)),
    "gpt_neox": (gpt_neox, "GPTNeoX", ("CausalLM",)), "cohere": (cohere, "Cohere", ("CausalLM",)),
    "nemotron": (nemotron, "Nemotron", ("CausalLM",)), "glm4": (glm4, "Glm4", ("CausalLM",)),
    "exaone4": (exaone4, "Exaone4", ("CausalLM",)),
    "qwen3_moe": (qwen3_moe, "Qwen3Moe", ("CausalLM",)),
    "gptj": (gptj, "GPTJ", ("CausalLM",)), "falcon": (falcon, "Falcon", ("CausalLM",)),
    "bloom": (bloom, "Bloom", ("CausalLM",)), "opt": (opt, "OPT", ("CausalLM",)),
    "mt5": (t5, "MT5", ("ConditionalGeneration",)),
    "umt5": (t5, "UMT5", ("ConditionalGeneration",)),
    "mbart": (bart, "MBart", ("ConditionalGeneration",)),
}  # fmt: skip
BOTH = ("t5", "switch_transformers", "bart", "mt5", "umt5", "mbart")


# ---------------------------------------------------------------- what is done to a config.json

# Keys that some class, some older file or some model's code knows, whichever family it is put into
LOOSE: dict[str, tuple[object, ...]] = {
    "is_causal": (False, True, None), "is_decoder": (True, False), "is_encoder_decoder": (True,),
    "add_cross_attention": (True, False), "tie_encoder_decoder": (True, False),
    "tie_word_embeddings": (True, False, None), "pruned_heads": ({}, {"0": [0]}),
    "cross_attention_hidden_size": (None, 8), "sliding_window": (None, 0, 1, 3, 8, 64, True, 4.0),
    "use_sliding_window": (True, False, None, 1), "max_window_layers": (0, 1, 2, 28, None),
    "layer_types": (None, ["full_attention"], ["sliding_attention"] * 2, [],
                    ["full_attention", "sliding_attention"], ["chunked_attention"]),
    "sliding_window_pattern": (1, 2, 3, 6, None), "_sliding_window_pattern": (1, 2, 6),
    "global_attn_every_n_layers": (1, 2, 3, 5), "local_attention": (2, 5, 8, 128, -1),
    "rope_theta": (10000.0, 10000, 50.0, 1e6, None, "10000"), "rope_local_base_freq": (10000.0, 30),
    "global_rope_theta": (160000.0, 40.0), "local_rope_theta": (10000.0, 40.0, None),
    "partial_rotary_factor": (0.5, 1.0, 1, None), "rotary_pct": (0.5, 1.0),
    "rope_scaling": (None, {}, {"type": "linear", "factor": 2.0}, {"rope_type": "default"},
                     {"type": "dynamic", "factor": 2.0}, {"factor": 4.0},
                     {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16},
                     {"rope_type": "yarn", "factor": 4.0}, {"rope_type": "linear", "factor": 3},
                     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                      "high_freq_factor": 4.0, "original_max_position_embeddings": 16}),
    "rope_parameters": (None, {}, {"rope_theta": 77.0}, {"rope_type": "default"},
                        {"rope_type": "linear", "factor": 2.0}),
    "original_max_position_embeddings": (8, 16, None), "rope_type": ("linear", "default"),
    "rope_interleaved": (True, False), "interleaved": (True,), "no_rope_layers": ([0, 1], []),
    "head_dim": (None, 4, 6, 8, 8.0), "num_key_value_heads": (None, 1, 2),
    "attention_bias": (True, False), "mlp_bias": (True, False), "qkv_bias": (True, False),
    "use_bias": (True, False), "bias": (True, False), "attention_out_bias": (True, False),
    "use_qk_norm": (True, False), "qk_norm": (True, False), "clip_qkv": (None, 0.1, 5.0),
    "hidden_act": ("relu", "gelu", "silu", "mish"), "hidden_activation": ("relu", "gelu", "tanh"),
    "activation_function": ("relu", "gelu_new", "tanh"), "afn": ("relu", "gelu"),
    "final_logit_softcapping": (None, 2.0, 30.0, 0.0, 0), "query_pre_attn_scalar": (1, 9, 256),
    "attn_logit_softcapping": (None, 2.0, 50.0), "logit_softcapping": (2.0,),
    "logit_scale": (0.5, 1.0), "logits_scaling": (0.5, 1.0), "embedding_multiplier": (2.0, 1.0),
    "residual_multiplier": (0.5, 1.0), "attention_multiplier": (0.5, 1.0),
    "position_embedding_type": ("absolute", "relative_key", "relative_key_query", None),
    "rotary_value": (True, False), "n_ctx": (16, 64, 1024),
    "scale_attn_weights": (True, False, None), "scale_embedding": (True, False, 1),
    "scale_attn_by_inverse_layer_idx": (True, False), "reorder_and_upcast_attn": (True, False),
    "normalize_before": (True, False), "normalize_embedding": (True, False),
    "add_final_layer_norm": (True, False), "add_bias_logits": (True, False),
    "static_position_embeddings": (True, False), "extra_pos_embeddings": (0, 2),
    "force_bos_token_to_be_generated": (True, False), "classif_dropout": (0.0, 0.1),
    "use_bidirectional_attention": (True, False, None), "quantization_config": ({}, None),
    "torch_dtype": ("float32", "bfloat16", "float16", None, "float64", "auto", 32),
    "dtype": ("float32", "bfloat16", None, "int8"), "output_hidden_states": (True, False),
    "output_attentions": (True, False), "return_dict": (False, True), "use_cache": (False, True),
    "chunk_size_feed_forward": (0, 1, 5), "num_labels": (1, 2, 3), "id2label": (None, {"0": "A"}),
    "label2id": (None, {"A": 0}), "problem_type": (None, "regression"),
    "architectures": (None, [], ["Nothing"], ["LlamaForCausalLM"], ["BertModel"], "BertModel"),
    "transformers_version": ("4.30.0", "5.0.0", None, 4), "_name_or_path": ("a/b", None),
    "auto_map": ({}, {"AutoModel": "m.M"}), "_attn_implementation": ("sdpa", "eager"),
    "attn_implementation": ("eager", "sdpa"), "_attn_implementation_internal": ("sdpa",),
    "experts_implementation": ("eager",), "_experts_implementation": ("eager", "grouped_mm"),
    "per_layer_config": (None, {}, {"0": {"intermediate_size": 7}}, {"0": {"sliding_window": 2}}),
    "use_return_dict": (True, False), "task_specific_params": (None, {"a": {"max_length": 3}}),
    "temperature": (0.5, 1.0), "num_beams": (1, 4), "forced_bos_token_id": (0, None),
    "min_length": (0, 5), "max_length": (20,), "no_repeat_ngram_size": (3,), "prefix": ("x: ",),
    "bad_words_ids": ([[1]],), "torchscript": (True, False), "pretraining_tp": (1, 2, 3),
    "feed_forward_proj": ("relu", "gated-gelu", "gated-silu", "gelu"), "dense_act_fn": ("gelu",),
    "is_gated_act": (True, False), "scale_decoder_outputs": (True, False, None),
    "encoder_sparse_step": (1, 2, 4), "decoder_sparse_step": (1, 2),
    "router_type": ("tokens_masked",),
    "num_experts": (1, 2, 4), "num_local_experts": (2, 3), "num_experts_per_tok": (1, 2, 3),
    "norm_topk_prob": (True, False), "moe_intermediate_size": (5, 9), "n_shared_experts": (1,),
    "expert_capacity": (1, 3, 64), "router_bias": (True, False), "router_jitter_noise": (0.0, 0.5),
    "router_dtype": ("float32", "bfloat16", "float16"), "batch_prioritized_routing": (True, False),
    "router_ignore_padding_tokens": (True, False), "add_router_probs": (True, False),
    "num_sparse_encoder_layers": (0, 1, 2, 3), "num_sparse_decoder_layers": (0, 1, 2, 3),
    "decoder_bias": (True, False), "norm_bias": (True, False), "sparse_prediction": (True, False),
    "classifier_pooling": ("cls", "mean"), "reference_compile": (False, None),
    "embedding_norm": (True,),
    "layer_norm_eps": (1e-5, 0.5), "rms_norm_eps": (1e-5, 0.5, 0, 0.0), "norm_eps": (1e-5, 0.5),
    "layer_norm_epsilon": (1e-5, 0.5), "max_position_embeddings": (32, 64, 512, 16),
    "summary_type": ("mean", "last"), "summary_use_proj": (False,), "type_vocab_size": (0, 1, 2, 4),
    "hidden_size": (16, 24), "num_hidden_layers": (1, 2), "num_attention_heads": (1, 2, 3),
    "intermediate_size": (4, 9), "n_embd": (16, 24), "n_layer": (1, 2), "n_head": (1, 2),
    "d_model": (16, 24), "num_layers": (1, 2), "num_heads": (1, 2), "d_kv": (4, 6), "d_ff": (7,),
    "num_decoder_layers": (None, 1, 2), "encoder_layerdrop": (0.0, 0.9),
    "decoder_layerdrop": (0.9,),
    "encoder_layers": (1, 2), "decoder_layers": (1, 2), "hidden_dropout": (0.3,),
    "initializer_range": (0.02, 3.0), "initializer_factor": (1.0, 5.0), "init_std": (0.5,),
    "pad_token_id": (None, 0, 1, -1, 7, 3), "bos_token_id": (None, 0, 1),
    "eos_token_id": (None, 2, [1, 2]),
    "decoder_start_token_id": (0, 1, None), "image_token_index": (3,), "mm_tokens_per_image": (4,),
    "attention_dropout": (0.0, 0.5), "hidden_dropout_prob": (0.0, 0.5), "attn_pdrop": (0.5,),
    "cls_token_id": (1, None), "tokenizer_class": ("LlamaTokenizer", None),
    "model_max_length": (9,), "layer_type": ("full_attention",), "window": (3,),
    "use_mrope": (True, False), "attn_scale": (0.5,), "cache_implementation": ("hybrid",),
    "relative_attention": (True, False), "embedding_size": (5, 8, 16),
    "share_att_key": (True, False), "position_buckets": (-1, 0, 4, 7),
    "max_relative_positions": (-1, 0, 5, 9, 64), "norm_rel_ebd": ("none", "layer_norm"),
    "pos_att_type": (None, [], "c2p", "p2c", "P2C | c2p", ["p2c", "c2p", "p2p"]),
    "position_biased_input": (True, False), "attention_head_size": (4, 8), "z_steps": (0, 2),
    "conv_kernel_size": (0, 3), "legacy": (False,), "pooler_hidden_size": (4, 8),
    "pooler_hidden_act": ("tanh", "gelu"), "num_hidden_groups": (1, 2), "inner_group_num": (1, 2),
    "relative_attention_num_buckets": (32, 16, 64), "sinusoidal_pos_embds": (True, False),
    "dim": (16, 24), "n_layers": (1, 2), "n_heads": (1, 2),
    "use_cross_attention": (True,), "n_inner": (None, 9),
    "text_config": ({}, None), "vision_config": ({}, None), "lm_head_bias": (True, False),
    "finetuning_task": ("mnli", None), "gradient_checkpointing": (True, False),
    "use_gated_act": (True,), "groundup": ({}, 1), "zzz_nonsense": (1, None, "x", {"a": [1]}),
    "": (1,), "num_nextn_predict_layers": (1,), "softmax_scale": (0.5,), "alibi": (True, False),
    "causal": (False, True), "parallel_attn": (True, False), "n_positions": (32, 40, 64),
}  # fmt: skip

ROPE_KEYS: dict[str, tuple[object, ...]] = YARN | {
    "rope_type": ("default", "linear", "yarn", "llama3", "dynamic", "longrope", "proportional"),
    "type": ("default", "linear", "yarn", "llama3", "dynamic", "su"),
    "rope_theta": THETAS + (None,), "factor": (1.0, 2.0, 4, 0.5, None),
    "original_max_position_embeddings": (8, 16, 64, None),
    "partial_rotary_factor": (0.5, 1.0, 0.25, None), "low_freq_factor": (1.0, 2.0, 4.0),
    "high_freq_factor": (4.0, 2.0, 1.0), "beta_fast": (32, 4.0, None, 0), "short_factor": ([1.0],),
    "attention_factor": (0.5, 1.0, None, 2), "mrope_section": ([1, 1, 1],), "extra": (1,),
    "full_attention": ({"rope_type": "default", "rope_theta": 55.0}, None),
    "sliding_attention": ({"rope_type": "linear", "factor": 2.0}, None),
}  # fmt: skip

# Of those, the ones that transformers takes from any config.json, or that stand in old files
EVERYWHERE = {
    "is_causal", "is_decoder", "is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder",
    "tie_word_embeddings", "pruned_heads", "layer_types", "rope_theta", "rope_scaling",
    "sliding_window", "partial_rotary_factor", "head_dim", "num_key_value_heads", "attention_bias",
    "sliding_window_pattern", "torch_dtype", "dtype", "output_hidden_states", "output_attentions",
    "return_dict", "use_cache", "chunk_size_feed_forward", "num_labels", "id2label", "label2id",
    "problem_type", "architectures", "transformers_version", "_name_or_path", "auto_map",
    "_attn_implementation", "attn_implementation", "_attn_implementation_internal",
    "per_layer_config", "use_return_dict", "task_specific_params", "temperature", "num_beams",
    "min_length", "max_length", "torchscript", "pad_token_id", "bos_token_id", "eos_token_id",
    "decoder_start_token_id", "tokenizer_class", "finetuning_task", "gradient_checkpointing",
    "experts_implementation", "cross_attention_hidden_size", "n_ctx",
    "pretraining_tp", "mlp_bias", "prefix", "forced_bos_token_id", "quantization_config",
    "position_embedding_type", "use_sliding_window", "max_window_layers", "intermediate_size",
}  # fmt: skip

OLD_NAMES = {
    "rope_parameters": "rope_scaling", "dtype": "torch_dtype", "num_local_experts": "num_experts",
    "n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings", "d_model": "hidden_size", "d_kv": "head_dim",
    "num_heads": "num_attention_heads", "num_layers": "num_hidden_layers", "n_inner":
    "intermediate_size", "encoder_layers": "num_hidden_layers", "hidden_activation": "hidden_act",
    "hidden_act": "hidden_activation", "encoder_attention_heads": "num_attention_heads",
    "_sliding_window_pattern": "sliding_window_pattern", "local_attention": "sliding_window",
    "layer_norm_epsilon": "layer_norm_eps", "dense_act_fn": "feed_forward_proj",
    "afn": "activation_function", "activation_function": "afn",
}  # fmt: skip


@functools.cache
def read_keys(family: str) -> list[str]:
    """Every attribute of a configuration that transformers' code for a family reads by name."""
    modules = [sys.modules[class_of(family, FAMILIES[family][2][0]).__module__]]
    modules += [
        importlib.import_module(f"transformers.{name}")
        for name in ("modeling_utils", "masking_utils", "modeling_rope_utils", "modeling_layers",
                     "configuration_utils", "cache_utils", "pytorch_utils")
    ]  # fmt: skip
    text = "\n".join(inspect.getsource(module) for module in modules)
    found = re.findall(r"config\.([a-zA-Z_]\w*)\b(?!\()", text)
    found += re.findall(r"(?:getattr|hasattr)\((?:self\.)?\w*config, \"(\w+)\"", text)
    found += re.findall(r"kwargs\.(?:get|pop)\(\"(\w+)\"", text)
    return sorted(key for key in set(found) if key != "model_type" and "__" not in key)


def class_of(family: str, kind: str) -> type[transformers.PreTrainedModel]:
    """Transformers' class of this kind."""
    name = FAMILIES[family][1]
    return getattr(transformers, name + ("" if kind in ("LMHeadModel", "Model") else "For") + kind)


PLAIN = (True, False, None, 0, 1, 2, 3, 0.5, 2.0, "eager", {}, [1])


def near(draw: Draw, key: str, value: object) -> object:
    """Another value of the same kind, or of a neighbouring one."""
    if isinstance(value, bool):
        return draw.choice((not value, not value, None, int(value)))
    if isinstance(value, int):
        return draw.choice((value + 1, value - 1, 0, 1, 2, 3, 5, 7, float(value), None, 2 * value))
    if isinstance(value, float):
        return draw.choice((0.0, value * 2, 1e-3, 0.5, 1.0, 1, None, str(value)))
    if isinstance(value, str):
        acts = any(part in key for part in ("act", "afn", "proj"))
        usual = USUAL_ACTS if draw.random() < 0.6 else ACTS
        return draw.choice(usual if acts else ("", "foo", value.upper(), None))
    if isinstance(value, list):
        return draw.choice((value[:-1], [*value, *value[-1:]], value[::-1], [], None))
    if isinstance(value, dict):
        return draw.choice(({}, None, {**value, "extra": 1}))
    return draw.choice((1, 2, 4, 7, 0.5, True, False, "mean", 0))


def change(draw: Draw, family: str, config: Json) -> Json:
    """The configuration with one thing done to it."""
    config = copy.deepcopy(config)
    target = config
    if family == "gemma3" and draw.random() < 0.7 and isinstance(config.get("text_config"), dict):
        target = config["text_config"]  # type: ignore[assignment]
    ways = ("near",) * 6 + ("loose",) * 7 + ("delete",) * 3 + ("foreign", "old", "read", "read")
    if "rope_parameters" in target or "rope_scaling" in target:
        ways += ("rope",) * 5
    way = draw.choice(ways)
    keys = sorted(key for key in target if key != "model_type")
    if way == "near" and keys:
        key = draw.choice(keys)
        target[key] = near(draw, key, target[key])
    elif way == "loose":
        near_by = sorted(key for key in LOOSE if key in target or key in EVERYWHERE)
        key = draw.choice(near_by if draw.random() < 0.85 else sorted(LOOSE))
        target[key] = draw.choice(LOOSE[key])
    elif way == "delete" and keys:
        del target[draw.choice(keys)]
    elif way == "foreign":
        other = FAMILIES[draw.choice(sorted(FAMILIES))][0](draw)
        common = sorted(key for key in other if key in target)
        key = draw.choice(common if common and draw.random() < 0.5 else sorted(other))
        target[key] = other[key]
    elif way == "read":
        target[draw.choice(read_keys(family))] = draw.choice(PLAIN)
    elif way == "old":
        rename(draw, target)
    elif way == "rope":
        bend(draw, target)
    return config


def rename(draw: Draw, config: Json) -> None:
    """One key under another spelling, its own kept or not."""
    keys = sorted(key for key in config if key in OLD_NAMES)
    if not keys:
        return
    key = draw.choice(keys)
    config[OLD_NAMES[key]] = copy.deepcopy(config[key])
    if draw.random() < 0.7:
        del config[key]
    if draw.random() < 0.3:
        config[OLD_NAMES[key]] = near(draw, key, config[OLD_NAMES[key]])


def bend(draw: Draw, config: Json) -> None:
    """One key of the rotary parameters, nested or not, or where they stand."""
    name = "rope_parameters" if "rope_parameters" in config else "rope_scaling"
    rope = config[name]
    if draw.random() < 0.3 or not isinstance(rope, dict):
        moved(draw, config, name)
        return
    nested = [part for part in rope.values() if isinstance(part, dict)]
    target = draw.choice(nested) if nested and draw.random() < 0.8 else rope
    key = draw.choice(sorted(ROPE_KEYS))
    if key in target and draw.random() < 0.4:
        del target[key]
    elif key in ("full_attention", "sliding_attention") or draw.random() < 0.7:
        target[key] = copy.deepcopy(draw.choice(ROPE_KEYS[key]))
    elif "rope_type" in target:
        target["type"] = target.pop("rope_type")


def moved(draw: Draw, config: Json, name: str) -> None:
    """The rotary parameters as files of Transformers 4 have them, or in both places."""
    rope = config.get(name)
    if not isinstance(rope, dict):
        config[name] = copy.deepcopy(draw.choice(LOOSE["rope_scaling"]))
        return
    old = copy.deepcopy(rope)
    nested = [part for part in old.values() if isinstance(part, dict)]
    flat = nested[0] if nested else old
    theta = flat.pop("rope_theta", 10000.0)
    config["rope_theta"] = theta
    if "sliding_attention" in old and draw.random() < 0.7:
        config["rope_local_base_freq"] = draw.choice(THETAS)
    flat["type" if draw.random() < 0.5 else "rope_type"] = flat.pop("rope_type", "default")
    if draw.random() < 0.8:
        del config[name]
    config["rope_scaling"] = flat if draw.random() < 0.8 else None


# ---------------------------------------------------------------- weights and inputs


def scatter(model: torch.nn.Module, seed: int) -> None:
    """Give every weight, norms and biases too, a value that shows."""
    generator = torch.Generator().manual_seed(seed)
    tensors = list(model.named_parameters())
    tensors += [(n, b) for n, b in model.named_buffers() if n.endswith("final_logits_bias")]
    with torch.no_grad():
        for name, tensor in tensors:
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.dim() < 2 or "bias" in name and "relative" not in name:
                ones = "bias" not in name
                tensor.copy_(ones + 0.3 * noise)
            elif any(part in name for part in ("emb", "wte", "wpe", "shared", "relative")):
                tensor.copy_(0.8 * noise)
            else:
                tensor.copy_(noise * 1.3 / max(tensor.shape[-1], 1) ** 0.5)


def large(config: Json) -> bool:
    """Whether a size is that of a published model, so that its weights have to be counted."""
    gone = ("token", "position", "rope", "type", "index", "window", "max_distance")
    values = list(config.values())
    values += [v for part in values if isinstance(part, dict) for v in part.values()]
    names = [*config, *(k for part in config.values() if isinstance(part, dict) for k in part)]
    found = zip(names, values, strict=True)
    return any(
        isinstance(value, int) and value > 300 and not any(part in str(name) for part in gone)
        for name, value in found
    )


class Case:
    """One configuration, what was done to it, and the ids that it is tried on."""

    def __init__(self, family: str, seed: str, number: int) -> None:
        """Draw everything but the weights."""
        draw = Draw(f"{seed}/{family}/{number}")
        maker, _, kinds = FAMILIES[family]
        self.family, self.number = family, number
        self.kind = kinds[0] if draw.random() < 0.8 else draw.choice(kinds)
        self.cls = class_of(family, self.kind)
        self.base = {"model_type": family, "architectures": [self.cls.__name__]} | maker(draw)
        if self.classifies:
            self.base |= {"pad_token_id": 0, "num_labels": draw.choice((1, 2, 3, 5))}
        if draw.random() < 0.5:
            self.base = self.filled(draw)
        self.steps = [draw.randrange(2**60) for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 2, 3)))]
        self.rebuilt = draw.random() < 0.85
        self.seed = draw.randrange(2**60)

    @property
    def classifies(self) -> bool:
        """Whether it has a head of classes."""
        return self.kind.endswith("Classification")

    def filled(self, draw: Draw) -> Json:
        """The base as transformers writes it, with every key that the class knows."""
        try:
            known = self.cls.config_class(**copy.deepcopy(self.base)).to_dict()
        except Exception:
            return self.base
        known = json.loads(json.dumps(known, default=str))
        return known | {"architectures": [self.cls.__name__]}

    def changed(self, steps: list[int]) -> Json:
        """The configuration after these steps."""
        config = self.base
        for step in steps:
            config = change(Draw(step), self.family, config)
        return config

    def write(self, folder: Path, config: Json) -> None:
        """Save a model of this configuration, or of the base, with this configuration."""
        built = config if self.rebuilt else self.base
        (folder / "config.json").write_text(json.dumps(built))
        opened = self.cls.config_class.from_pretrained(folder)
        if large(opened.to_dict()):
            with torch.device("meta"):
                model = self.cls(copy.deepcopy(opened))
            if sum(tensor.numel() for tensor in model.parameters()) > LARGEST:
                raise ValueError("too large to try")
        model = self.cls(opened)
        scatter(model, self.seed)
        model.save_pretrained(folder)
        (folder / "config.json").write_text(self.twice(json.dumps(config), config))

    def twice(self, text: str, config: Json) -> str:
        """Now and then a key stands twice in the file; the later one counts."""
        draw = Draw(self.seed + 1)
        if draw.random() > 0.03 or not config:
            return text
        key = draw.choice(sorted(config))
        return f"{{{json.dumps(key)}: {json.dumps(near(draw, key, config[key]))}, {text[1:]}"

    def inputs(self, config: object, vocab: int) -> tuple[dict[str, torch.Tensor], bool]:
        """Ids and masks of both sides, and whether any are padded."""
        draw = Draw(self.seed)
        pad = getattr(config, "pad_token_id", None)
        known = isinstance(pad, int) and 0 <= pad < vocab
        pad = pad if known else 0
        length = draw.choice((20, 27, 32, 40))
        side = draw.choice(("none", "left", "right"))
        if self.classifies and not known:
            side = "none"  # transformers finds the end of a text by its padding's id
        if self.family in ("bart", "mbart") and side == "left":
            side = "right"  # transformers counts its places from the padding on, groundup does not
        if self.family == "switch_transformers" and getattr(config, "expert_capacity", 0) < 40:
            side = "none" if side == "none" else "right"  # padding before a text fills experts
        if self.classifies and side == "left":
            side = "right"  # transformers reads the first place, or looks for the first padding
        ids, mask = rows(draw, length, vocab, pad, side)
        given = {"input_ids": ids, "attention_mask": mask}
        if self.family in BOTH:
            target = "right" if side != "none" else "none"
            ids, mask = rows(draw, draw.choice((12, 25)), vocab, pad, target)
            given |= {"decoder_input_ids": ids, "decoder_attention_mask": mask}
        return given, side != "none"


def rows(draw: Draw, length: int, vocab: int, pad: int, side: str) -> tuple[torch.Tensor, ...]:
    """Two rows of ids, the second padded at a side, and their mask."""
    allowed = [token for token in range(vocab) if token != pad and not 40 <= token <= 42] or [0]
    ids = torch.tensor([[draw.choice(allowed) for _ in range(length)] for _ in range(2)])
    mask = torch.ones_like(ids)
    gap = draw.randint(1, length // 2)
    if side != "none":
        where = slice(0, gap) if side == "left" else slice(length - gap, length)
        ids[1, where], mask[1, where] = pad, 0
    return ids, mask


# ---------------------------------------------------------------- both sides of the comparison


def theirs(case: Case, folder: Path) -> tuple[torch.Tensor, dict[str, torch.Tensor], bool]:
    """Transformers' logits, what it was given, and whether that is padded."""
    # Written out, Falcon's attention adds ALiBi twice.
    ways = {"attn_implementation": "sdpa" if case.family == "falcon" else "eager"}
    if case.family in ("mixtral", "switch_transformers"):
        ways["experts_implementation"] = "eager"  # the other takes widths of four alone
    model, found = case.cls.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, **ways
    )
    if found["missing_keys"] or found["mismatched_keys"]:
        raise ValueError("transformers draws weights that are missing")
    model.eval()
    given, padded = case.inputs(model.config, model.get_input_embeddings().weight.shape[0])
    extra = {}
    if case.family == "mpnet":  # whose positions count from a token's id, whatever the padding's
        places = given["attention_mask"].cumsum(1) * given["attention_mask"] + 1
        extra = {"position_ids": places} | ({} if padded else {"attention_mask": None})
    elif not padded:
        extra = {key: None for key in given if key.endswith("attention_mask")}
    elif case.family not in (*BOTH, "roberta", "xlm-roberta", "modernbert", "gemma3"):
        extra = {"position_ids": (given["attention_mask"].cumsum(1) - 1).clamp(min=0)}
    with torch.no_grad():
        out = model(**(given | extra))
    if isinstance(out, tuple):
        logits = out[0]
    else:
        logits = out.last_hidden_state if case.kind == "Model" else out.logits
    if not torch.isfinite(logits).all():
        raise ValueError("transformers gives no finite logits")
    return logits.float(), given, padded


def ours(case: Case, folder: Path, given: dict[str, torch.Tensor], padded: bool) -> torch.Tensor:
    """What groundup gives for the same."""
    documents = given["attention_mask"] - 1 if padded else None
    with torch.no_grad():
        if case.classifies:
            head = load_with_head(folder, dtype=torch.float32).eval()
            out = head(given["input_ids"], documents=documents)
            return out[:, None] if out.dim() == 1 else out
        model = load(folder, dtype=torch.float32).eval()
        if case.family in BOTH:
            encoded = model.encode(given["input_ids"], documents=documents)
            target = given["decoder_attention_mask"] - 1 if padded else None
            return model.logits(given["decoder_input_ids"], documents=target, encoded=encoded)
        if case.kind == "Model":
            return model(given["input_ids"], documents=documents)
        return model.logits(given["input_ids"], documents=documents)


def compare(
    case: Case,
    left: torch.Tensor,
    right: torch.Tensor,
    given: dict[str, torch.Tensor],
    padded: bool,
) -> float:
    """The largest difference at tokens that are no padding, by the scale of the logits."""
    if case.kind == "TokenClassification" and right.shape != left.shape:
        right = right.reshape(left.shape)  # one class is a number
    if left.shape != right.shape:
        return float("inf")
    if padded and case.kind != "SequenceClassification":
        mask = given["decoder_attention_mask" if case.family in BOTH else "attention_mask"]
        keep = mask.bool()
        left, right = left[keep], right[keep]
    scale = max(float(left.abs().max()), 1e-6)
    worst = float((left - right.float()).abs().max()) / scale
    return worst if worst == worst else float("inf")


def late(*_: object) -> None:
    """End a case that takes too long."""
    raise TimeoutError(f"no answer in {SECONDS} s")


def attempt(case: Case, steps: list[int]) -> tuple[str, str, float]:
    """How one case ends, what was said, and the difference."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            case.write(folder, case.changed(steps))
            if case.rebuilt and (text := refusal(case, folder)):
                return "refused", text, 0.0  # transformers has just made a model of it
            left, given, padded = theirs(case, folder)
        except Exception as error:
            return "uncounted", f"{type(error).__name__}: {error}"[:300], 0.0
        signal.alarm(SECONDS)
        try:
            right = ours(case, folder, given, padded)
            worst = compare(case, left, right, given, padded)
        except GroundupError as error:
            text = str(error).replace(name, "DIR")
            clear = text.strip() and "\n" not in text.strip()
            return ("refused" if clear else "unclear"), text, 0.0
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error}"[:300]
            return "crashed", f"{text} ({Path(where.filename).name}:{where.lineno})", 0.0
        finally:
            signal.alarm(0)
    return ("equal" if worst <= TOLERANCE else "different"), f"{worst:.1e}", worst


def refusal(case: Case, folder: Path) -> str:
    """The one line by which groundup refuses to open it; empty otherwise."""
    try:
        (load_with_head if case.classifies else load)(folder, dtype=torch.float32)
    except GroundupError as error:
        text = str(error).replace(str(folder), "DIR").strip()
        return text if "\n" not in text else ""
    except Exception:
        return ""
    return ""


def shrunk(case: Case, outcome: str) -> list[int]:
    """The fewest steps, dropped one by one, that still end so."""
    steps = case.steps
    for step in case.steps:
        fewer = [other for other in steps if other != step]
        if attempt(case, fewer)[0] == outcome:
            steps = fewer
    return steps


def differences(before: Json, after: Json, at: str = "") -> list[str]:
    """What changed, a line a key."""
    lines = []
    for key in sorted({*before, *after}):
        old, new, name = before.get(key), after.get(key), f"{at}{key}"
        if key in before and key in after and isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{name}.")
        elif key not in after:
            lines.append(f"- {name} (was {json.dumps(old)})")
        elif key not in before:
            lines.append(f"+ {name}: {json.dumps(new)}")
        elif old != new or type(old) is not type(new):
            lines.append(f"~ {name}: {json.dumps(old)} -> {json.dumps(new)}")
    return lines


def told(case: Case, outcome: str, text: str, worst: float) -> Json:
    """A bad case for the report."""
    steps = shrunk(case, outcome)
    config = case.changed(steps)
    return {
        "family": case.family, "case": case.number, "class": case.cls.__name__,
        "outcome": outcome, "said": text, "difference": worst,
        "changed": differences(case.base, config), "rebuilt": case.rebuilt, "config": config,
        "twice": case.twice("{", config)[1:],
    }  # fmt: skip


# ---------------------------------------------------------------- many cases


def run_family(task: tuple[str, str, int, int | None]) -> Json:
    """All cases of one family, until enough of them count."""
    family, seed, wanted, only = task
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, late)
    counts: Counter[str] = Counter()
    bad, refusals, gone, plain, largest = [], Counter(), Counter(), [], 0.0
    number, farthest, start = only or 0, -1, time.monotonic()
    while sum(counts.values()) - counts["uncounted"] < wanted and number < 4 * wanted + 50:
        case = Case(family, seed, number)
        outcome, text, worst = attempt(case, case.steps)
        counts[outcome] += 1
        if outcome in ("different", "crashed", "unclear"):
            bad.append(told(case, outcome, text, worst))
        elif outcome == "equal":
            largest, farthest = max((largest, farthest), (worst, number))
        elif outcome == "refused":
            refusals[text] += 1
            plain += [text] if not case.steps else []
        else:
            gone[text] += 1
        if only is not None:
            show(case, outcome, text)
            break
        number += 1
    return {"family": family, "counts": dict(counts), "bad": bad, "largest": largest,
            "farthest": farthest, "seconds": time.monotonic() - start,
            "refusals": dict(refusals.most_common()), "uncounted": dict(gone.most_common()),
            "refused_unchanged": sorted(set(plain))}  # fmt: skip


def show(case: Case, outcome: str, text: str) -> None:
    """One case in full."""
    print(f"{case.cls.__name__}: {outcome}: {text}")
    print(json.dumps(case.changed(case.steps), indent=1))
    print("\n".join(differences(case.base, case.changed(case.steps))))


def table(results: list[Json]) -> str:
    """A line a family, and their sum."""
    names = ("equal", "refused", "unclear", "crashed", "different")
    lines = [f"{'family':<20}{'cases':>7}" + "".join(f"{name:>11}" for name in names)
             + f"{'uncounted':>11}{'largest':>10}{'seconds':>9}"]  # fmt: skip
    total: Counter[str] = Counter()
    for result in results:
        counts = Counter(result["counts"])  # type: ignore[arg-type]
        total += counts
        tail = f"{result['largest']:>10.0e}{result['seconds']:>9.0f}"
        lines.append(line(str(result["family"]), counts, names) + tail)
    return "\n".join([*lines, line("all", total, names)])


def line(name: str, counts: Counter[str], names: tuple[str, ...]) -> str:
    """One line of the table."""
    cells = "".join(f"{counts[key]:>11}" for key in (*names, "uncounted"))
    return f"{name:<20}{sum(counts[key] for key in names):>7}" + cells


def warm(families: list[str]) -> None:
    """Import what every family needs once, before the processes part."""
    torch.set_num_threads(1)
    for family in families:
        attempt(Case(family, "warm", 0), [])


def main() -> int:
    """Run all of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=3000, help="that count, over all families")
    parser.add_argument("--family", nargs="+", choices=sorted(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--seed", default=time.strftime("%Y%m%d%H%M%S"))
    parser.add_argument("--only", type=int, help="the number of one case")
    parser.add_argument("--jobs", type=int, default=1, help="families at a time")
    parser.add_argument("--out", type=Path, help="write the bad cases as JSON")
    options = parser.parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    each = -(-options.cases // len(options.family))
    warm(options.family)
    tasks = [(family, options.seed, each, options.only) for family in options.family]
    results: list[Json] = []
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        for result in pool.imap(run_family, tasks, chunksize=1):
            results.append(result)
            print(table(results).split("\n")[len(results)], flush=True)
            if options.out:
                content = {"seed": options.seed, "results": results}
                options.out.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nseed {options.seed}\n{table(results)}")
    bad = [case["outcome"] for result in results for case in result["bad"]]  # type: ignore
    return int("different" in bad or "crashed" in bad)


if __name__ == "__main__":
    sys.exit(main())
