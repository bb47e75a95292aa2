"""Convert tensors' names and layout between llama.cpp's and groundup's.

Some architectures of llama.cpp rotate neighbouring features, for which the rows of each head's
queries and keys are reordered in files of models that rotate halves. Zero-centred norms (Gemma,
Nemotron) are stored plus one. Several architectures fuse queries, keys and values, or the gate with
the up projection; latent attention's keys and values are two tensors there, and one here. A T5 that
scales its output, as llama.cpp does not, has its scaled embedding there as head.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py and src/llama-model.cpp; gguf-py 0.19,
gguf/tensor_mapping.py.
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

from ...configuration.config import ModelConfig
from ...families.names import (
    QKV,
    NamePairs,
    StateDict,
    fuse_parts,
    map_tensors,
    rename_tensors,
    split_fused,
)

PARTS = ("gate", "up", "down")
BLOCK, LAYER = "blk.{}.", "layers.{}."
ATTENTION, FEED, EXPERTS = LAYER + "attention.", LAYER + "feedforward.", LAYER + "experts."
NAMES: NamePairs = (
    ("token_embd.", "embed_tokens."),
    ("position_embd.", "embed_positions."),
    ("token_types.", "embed_types."),
    ("token_embd_norm.", "embed_norm."),
    ("output_norm.", "norm."),
    ("output.bias", "lm_bias"),
    ("output.", "lm_head."),
    (BLOCK + "attn_norm.", LAYER + "attention_norm."),
    (BLOCK + "attn_qkv.", ATTENTION + "qkv_proj."),
    (BLOCK + "attn_output.", ATTENTION + "o_proj."),
    (BLOCK + "attn_sinks.weight", ATTENTION + "sinks"),
    (BLOCK + "attn_kv_a_mqa.", ATTENTION + "kv_a_proj."),
    *((f"{BLOCK}attn_{x}.", f"{ATTENTION}{x}_proj.") for x in ("q", "k", "v", "q_a", "q_b",
                                                                "kv_b", "k_b", "v_b")),
    *((f"{BLOCK}attn_{x}_norm.", f"{ATTENTION}{x}_norm.") for x in ("q", "k", "q_a", "kv_a")),
    (BLOCK + "ffn_norm.", LAYER + "feedforward_norm."),
    *((f"{BLOCK}ffn_{x}.", f"{FEED}{x}_proj.") for x in PARTS),
    (BLOCK + "ffn_gate_inp.", EXPERTS + "router."),
    (BLOCK + "exp_probs_b.bias", EXPERTS + "correction"),
    *((f"{BLOCK}ffn_{x}_exps.weight", f"{EXPERTS}{x}_proj") for x in PARTS),
    *((f"{BLOCK}ffn_{x}_exps.bias", f"{EXPERTS}{x}_bias") for x in PARTS),
    *((f"{BLOCK}ffn_{x}_shexp.", f"{EXPERTS}shared.{x}_proj.") for x in PARTS),
    (BLOCK + "post_attention_norm.", LAYER + "attention_out_norm."),
    (BLOCK + "post_ffw_norm.", LAYER + "feedforward_out_norm."),
)  # fmt: skip


class TensorLayout(NamedTuple):
    """What is peculiar to an architecture's tensors."""

    names: NamePairs = ()
    """Names that differ from NAMES."""
    neighbours: bool = False
    """Whether it rotates neighbouring features of each head."""
    fused: bool = False
    """Whether files have queries, keys and values in one."""
    gated: bool = False
    """Whether the gate and up projections are one tensor, called `ffn_up`."""


NEIGHBOURS = TensorLayout(neighbours=True)
BERT_NORMS: NamePairs = (
    (BLOCK + "attn_output_norm.", LAYER + "attention_out_norm."),
    (BLOCK + "layer_output_norm.", LAYER + "feedforward_out_norm."),
)
FALCON_NORMS: NamePairs = (
    (BLOCK + "attn_norm_2.", LAYER + "attention_norm."),
    (BLOCK + "attn_norm.", LAYER + "feedforward_norm."),
)
GATED: NamePairs = ((BLOCK + "ffn_up.", FEED + "gate_up_proj."),)
STACKS = (("enc.", "encoder."), ("dec.", ""))
"""llama.cpp's prefix of an encoder–decoder's stacks, and groundup's."""
T5_NAMES: NamePairs = tuple(
    pair
    for file, own in STACKS
    for pair in (
        (file + "output_norm.", own + "norm."),
        *((f"{file}{BLOCK}attn_{a}.", f"{own}{ATTENTION}{b}") for a, b in (
            ("q", "q_proj."), ("k", "k_proj."), ("v", "v_proj."), ("o", "o_proj."),
            ("rel_b", "relative."))),
        *((f"{file}{BLOCK}cross_attn_{x}.", f"{own}{LAYER}cross.{x}_proj.") for x in "qkvo"),
        *((f"{file}{BLOCK}ffn_{x}.", f"{own}{FEED}{x}_proj.") for x in PARTS),
        (file + BLOCK + "attn_norm.", own + LAYER + "attention_norm."),
        (file + BLOCK + "cross_attn_norm.", own + LAYER + "cross_norm."),
        (file + BLOCK + "ffn_norm.", own + LAYER + "feedforward_norm."),
    )
)  # fmt: skip
T5_SHARED: NamePairs = tuple((f"{a}blk.0.attn_rel_b.", b + "relative.") for a, b in STACKS)
T5_UNUSED = "dec.blk.0.cross_attn_rel_b.weight"
"""A tensor of the oldest T5 that llama.cpp's converter copies and nothing reads."""
LAYOUTS = dict.fromkeys(
    ("llama", "command-r", "granite", "granitemoe", "smollm3", "olmo", "llama4", "deepseek2"),
    NEIGHBOURS,
) | {
    "gpt2": TensorLayout(fused=True),
    "gptneox": TensorLayout(fused=True),
    "falcon": TensorLayout(fused=True),
    "falcon with two norms": TensorLayout(FALCON_NORMS, fused=True),
    "bloom": TensorLayout(fused=True),
    "phi3": TensorLayout(GATED, fused=True, gated=True),
    "glm4": TensorLayout(GATED, neighbours=True, gated=True),
    "gpt-oss": TensorLayout(((BLOCK + "post_attention_norm.", LAYER + "feedforward_norm."),)),
    "bert": TensorLayout(BERT_NORMS),
    "modern-bert": TensorLayout(GATED, fused=True, gated=True),
    "t5": TensorLayout(T5_SHARED + T5_NAMES),
    "t5 with a bias per layer": TensorLayout(T5_NAMES),
}
"""Of the architectures that have peculiarities."""
QKV_PROJ, GATE_UP = ".attention.qkv_proj.", ".feedforward.gate_up_proj."
GATE_UP_PARTS = (".feedforward.gate_proj.", ".feedforward.up_proj.")
ROTATED = r"\.attention\.[qk]_proj\.(weight|bias)"
K_B, V_B, KV_B = "attention.k_b_proj.", "attention.v_b_proj.", "attention.kv_b_proj."
TOGETHER = {"attn_k_b": "attn_v_b"}
"""Tensors that `from_gguf_state_dict` needs together with another."""


def get_layout(architecture: str, config: ModelConfig) -> TensorLayout:
    """The layout of a configuration's tensors in an architecture."""
    has_two = architecture == "falcon" and config.parallel_norms == 2
    is_own = architecture == "t5" and not config.position.shared
    kind = architecture + " with two norms" * has_two + " with a bias per layer" * is_own
    return LAYOUTS.get(kind, TensorLayout())


def from_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert llama.cpp's tensors (float32; some or all of a model) to groundup's."""
    layout, part = get_layout(architecture, config), config.attention
    state = rename_tensors(state, layout.names + NAMES)
    state.pop(T5_UNUSED, None)
    if architecture == "t5" and config.tied_embeddings:
        state.pop("lm_head.weight", None)  # the scaled copy
    sizes = [part.head_dim * heads for heads in (part.heads, part.kv_heads, part.kv_heads)]
    state = split_fused(split_fused(state, QKV_PROJ, QKV, sizes), GATE_UP, GATE_UP_PARTS)
    if layout.neighbours and not config.position.interleaved:
        state = map_tensors(state, ROTATED, partial(deinterleave, head_dim=part.head_dim))
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight - 1)
    for name in [each for each in state if K_B in each]:
        keys, values = state.pop(name), state.pop(name.replace(K_B, V_B))
        state[name.replace(K_B, KV_B)] = torch.cat([keys.mT, values], dim=1).flatten(0, 1)
    return state


def to_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert groundup's tensors to llama.cpp's; the inverse of `from_gguf_state_dict`."""
    layout, part = get_layout(architecture, config), config.attention
    state = dict(state)
    for name in [each for each in state if architecture == "deepseek2" and KV_B in each]:
        rows = state.pop(name).unflatten(0, (part.heads, -1))  # (H, K + W, rank)
        size = part.head_dim - config.rotary_dim
        state[name.replace(KV_B, K_B)] = rows[:, :size].mT.contiguous()
        state[name.replace(KV_B, V_B)] = rows[:, size:].contiguous()
    if layout.neighbours and not config.position.interleaved:
        state = map_tensors(state, ROTATED, partial(interleave, head_dim=part.head_dim))
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight.float() + 1)
    state = fuse_parts(state, QKV_PROJ, QKV) if layout.fused else state
    state = fuse_parts(state, GATE_UP, GATE_UP_PARTS) if layout.gated else state
    if architecture == "t5" and config.tied_embeddings:  # which llama.cpp does not scale
        state["lm_head.weight"] = state["embed_tokens.weight"] * config.output.scale
    table, offset = "embed_positions.weight", config.position.offset
    state = map_tensors(state, table, lambda rows: rows[offset:]) if offset else state
    return rename_tensors(state, layout.names + NAMES, to_hf=True)


def deinterleave(rows: Shaped[Tensor, " HK *D"], head_dim: int) -> Shaped[Tensor, " HK *D"]:
    """Reorder each head's rows from interleaved pairs to two halves.

    >>> deinterleave(torch.tensor([0, 2, 1, 3]), 4).tolist()
    [0, 1, 2, 3]
    """
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def interleave(rows: Shaped[Tensor, " HK *D"], head_dim: int) -> Shaped[Tensor, " HK *D"]:
    """Reorder each head's rows from two halves to interleaved pairs."""
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
