"""Convert tensors between llama.cpp's names and layout and groundup's.

Besides the names: `llama` interleaves the rotary pairs of each head's queries and keys, where other
architectures and groundup pair the first half with the second; zero-centred norms (Gemma) are
stored plus one; `gpt2` fuses queries, keys and values.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py; gguf-py 0.19, gguf/tensor_mapping.py.
"""

from functools import partial

from jaxtyping import Shaped
from torch import Tensor

from ...config import ModelConfig
from ...families.layout import QKV, fuse_parts, split_fused
from ...families.names import NamePairs, StateDict, map_tensors, rename_tensors

FFN_PROJECTIONS = ("gate", "up", "down")
NAMES: NamePairs = (
    ("token_embd.", "embed_tokens."),
    ("position_embd.", "embed_positions."),
    ("token_types.", "embed_types."),
    ("token_embd_norm.", "embed_norm."),
    ("output_norm.", "norm."),
    ("output.", "lm_head."),
    ("blk.{}.attn_norm.", "layers.{}.attention_norm."),
    ("blk.{}.attn_qkv.", "layers.{}.attention.qkv_proj."),
    ("blk.{}.attn_output.", "layers.{}.attention.o_proj."),
    *((f"blk.{{}}.attn_{x}.", f"layers.{{}}.attention.{x}_proj.") for x in "qkv"),
    *((f"blk.{{}}.attn_{x}_norm.", f"layers.{{}}.attention.{x}_norm.") for x in "qk"),
    ("blk.{}.ffn_norm.", "layers.{}.feedforward_norm."),
    *((f"blk.{{}}.ffn_{x}.", f"layers.{{}}.feedforward.{x}_proj.") for x in FFN_PROJECTIONS),
    ("blk.{}.ffn_gate_inp.", "layers.{}.experts.router."),
    *((f"blk.{{}}.ffn_{x}_exps.weight", f"layers.{{}}.experts.{x}_proj") for x in FFN_PROJECTIONS),
)
POST_NORMS: NamePairs = (
    ("blk.{}.post_attention_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.post_ffw_norm.", "layers.{}.feedforward_out_norm."),
)
BERT_POST_NORMS: NamePairs = (
    ("blk.{}.attn_output_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.layer_output_norm.", "layers.{}.feedforward_out_norm."),
)
FUSED = ".attention.qkv_proj."
INTERLEAVED = r"\.attention\.[qk]_proj\.(weight|bias)"
ROPE_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies; in groundup they are part of the configuration."""


def _name_pairs(architecture: str) -> NamePairs:
    """The name pairs (llama.cpp, groundup) of an architecture."""
    return NAMES + (BERT_POST_NORMS if architecture == "bert" else POST_NORMS)


def from_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert llama.cpp's tensors (float32; some or all of a model) to groundup's."""
    state = split_fused(rename_tensors(state, _name_pairs(architecture)), FUSED, QKV)
    if architecture == "llama":
        state = map_tensors(
            state, INTERLEAVED, partial(_deinterleave, head_dim=config.attention.head_dim)
        )
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight - 1)
    return state


def to_gguf_state_dict(state: StateDict, config: ModelConfig, architecture: str) -> StateDict:
    """Convert groundup's tensors to llama.cpp's; the inverse of `from_gguf_state_dict`."""
    if architecture == "llama":
        state = map_tensors(
            state, INTERLEAVED, partial(_interleave, head_dim=config.attention.head_dim)
        )
    if config.norm.zero_centred:
        state = map_tensors(state, r"norm\.weight", lambda weight: weight.float() + 1)
    if architecture == "gpt2":
        state = fuse_parts(state, FUSED, QKV)
    return rename_tensors(state, _name_pairs(architecture), to_hf=True)


def _deinterleave(rows: Shaped[Tensor, "HK *D"], head_dim: int) -> Shaped[Tensor, "HK *D"]:
    """Reorder each head's rows from interleaved pairs to two halves.

    >>> import torch
    >>> _deinterleave(torch.tensor([0, 2, 1, 3]), 4).tolist()
    [0, 1, 2, 3]
    """
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def _interleave(rows: Shaped[Tensor, "HK *D"], head_dim: int) -> Shaped[Tensor, "HK *D"]:
    """Reorder each head's rows from two halves to interleaved pairs; the inverse of
    `_deinterleave`.

    >>> import torch
    >>> _interleave(torch.tensor([0, 1, 2, 3]), 4).tolist()
    [0, 2, 1, 3]
    """
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
