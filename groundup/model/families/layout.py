"""Tensors that Hugging Face files store in another layout: fused, or transposed.

GPT-2 stores transposed matrices (Conv1D) and fuses queries, keys and values. ModernBERT fuses them
too, and also the gate and up projections.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .names import StateDict

QKV = (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")
"""In the order in which Hugging Face files fuse them."""


def split_fused(state: StateDict, fused: str, parts: Sequence[str]) -> StateDict:
    """Split every tensor whose name contains `fused` into equal parts along its first dimension.

    >>> split = split_fused({"a.qkv.weight": torch.arange(3)}, ".qkv.", (".q.", ".k.", ".v."))
    >>> {name: tensor.tolist() for name, tensor in split.items()}
    {'a.q.weight': [0], 'a.k.weight': [1], 'a.v.weight': [2]}
    """
    result: StateDict = {}
    for name, tensor in state.items():
        if fused in name and tensor.ndim:
            chunks = tensor.tensor_split(len(parts))
            result |= {name.replace(fused, p): t for p, t in zip(parts, chunks, strict=True)}
        else:
            result[name] = tensor
    return result


def fuse_parts(state: StateDict, fused: str, parts: Sequence[str]) -> StateDict:
    """Concatenate the parts of every fused tensor; the inverse of `split_fused`.

    >>> state = {"a.k.weight": torch.ones(1), "a.q.weight": torch.zeros(2)}
    >>> fuse_parts(state, ".qk.", (".q.", ".k."))
    {'a.qk.weight': tensor([0., 0., 1.])}
    """
    result: StateDict = {}
    for name, tensor in state.items():
        part = next((each for each in parts if each in name), None)
        if part is None:
            result[name] = tensor
        elif part == parts[0]:
            chunks = [state[name.replace(part, each)] for each in parts]
            result[name.replace(part, fused)] = torch.cat(chunks)
    return result


def transpose_matrix(tensor: Tensor) -> Tensor:
    """Transpose a matrix; return any other tensor unchanged."""
    return tensor.T.contiguous() if tensor.ndim == 2 else tensor
