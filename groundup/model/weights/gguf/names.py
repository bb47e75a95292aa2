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
from ...families.layout import QKV, cut, joined
from ...families.names import Pairs, State, edited, renamed

PARTS = ("gate", "up", "down")
NAMES: Pairs = (
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
    *((f"blk.{{}}.ffn_{x}.", f"layers.{{}}.feedforward.{x}_proj.") for x in PARTS),
    ("blk.{}.ffn_gate_inp.", "layers.{}.experts.router."),
    *((f"blk.{{}}.ffn_{x}_exps.weight", f"layers.{{}}.experts.{x}_proj") for x in PARTS),
)
AFTER: Pairs = (
    ("blk.{}.post_attention_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.post_ffw_norm.", "layers.{}.feedforward_out_norm."),
)
AFTER_BERT: Pairs = (
    ("blk.{}.attn_output_norm.", "layers.{}.attention_out_norm."),
    ("blk.{}.layer_output_norm.", "layers.{}.feedforward_out_norm."),
)
FUSED = ".attention.qkv_proj."
TURNED = r"\.attention\.[qk]_proj\.(weight|bias)"
ROPE_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies; in groundup they are part of the configuration."""


def pairs_of(architecture: str) -> Pairs:
    """The name pairs (llama.cpp, groundup) of an architecture."""
    return NAMES + (AFTER_BERT if architecture == "bert" else AFTER)


def ours(state: State, config: ModelConfig, architecture: str) -> State:
    """Convert llama.cpp's tensors (float32; some or all of a model) to groundup's."""
    state = cut(renamed(state, pairs_of(architecture)), FUSED, QKV)
    if architecture == "llama":
        state = edited(state, TURNED, partial(halves, head_dim=config.attention.head_dim))
    if config.norm.zero_centred:
        state = edited(state, r"norm\.weight", lambda weight: weight - 1)
    return state


def theirs(state: State, config: ModelConfig, architecture: str) -> State:
    """Convert groundup's tensors to llama.cpp's; the inverse of `ours`."""
    if architecture == "llama":
        state = edited(state, TURNED, partial(pairs, head_dim=config.attention.head_dim))
    if config.norm.zero_centred:
        state = edited(state, r"norm\.weight", lambda weight: weight.float() + 1)
    if architecture == "gpt2":
        state = joined(state, FUSED, QKV)
    return renamed(state, pairs_of(architecture), to_theirs=True)


def halves(rows: Shaped[Tensor, "HK *D"], head_dim: int) -> Shaped[Tensor, "HK *D"]:
    """Reorder each head's rows from interleaved pairs to two halves.

    >>> import torch
    >>> halves(torch.tensor([0, 2, 1, 3]), 4).tolist()
    [0, 1, 2, 3]
    """
    return rows.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)


def pairs(rows: Shaped[Tensor, "HK *D"], head_dim: int) -> Shaped[Tensor, "HK *D"]:
    """Reorder each head's rows from two halves to interleaved pairs; the inverse of `halves`.

    >>> import torch
    >>> pairs(torch.tensor([0, 1, 2, 3]), 4).tolist()
    [0, 2, 1, 3]
    """
    return rows.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
