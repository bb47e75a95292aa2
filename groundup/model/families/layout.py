"""Tensors that Hugging Face files store in another layout: fused, or transposed.

GPT-2 stores transposed matrices (Conv1D) and fuses queries, keys and values. ModernBERT fuses them
too, and also the gate and up projections.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .names import State

QKV = (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")
"""In the order in which Hugging Face files fuse them."""


def cut(state: State, whole: str, parts: Sequence[str]) -> State:
    """Split every tensor whose name contains `whole` into equal parts along its first dimension.

    >>> split = cut({"a.qkv.weight": torch.arange(3)}, ".qkv.", (".q.", ".k.", ".v."))
    >>> {name: tensor.tolist() for name, tensor in split.items()}
    {'a.q.weight': [0], 'a.k.weight': [1], 'a.v.weight': [2]}
    """
    result: State = {}
    for name, tensor in state.items():
        if whole in name and tensor.ndim:
            chunks = tensor.tensor_split(len(parts))
            result |= {name.replace(whole, p): t for p, t in zip(parts, chunks, strict=True)}
        else:
            result[name] = tensor
    return result


def joined(state: State, whole: str, parts: Sequence[str]) -> State:
    """Concatenate the parts of every fused tensor; the inverse of `cut`.

    >>> state = {"a.k.weight": torch.ones(1), "a.q.weight": torch.zeros(2)}
    >>> joined(state, ".qk.", (".q.", ".k."))
    {'a.qk.weight': tensor([0., 0., 1.])}
    """
    result: State = {}
    for name, tensor in state.items():
        part = next((each for each in parts if each in name), None)
        if part is None:
            result[name] = tensor
        elif part == parts[0]:
            chunks = [state[name.replace(part, each)] for each in parts]
            result[name.replace(part, whole)] = torch.cat(chunks)
    return result


def turned(tensor: Tensor) -> Tensor:
    """Transpose a matrix; return any other tensor unchanged."""
    return tensor.T.contiguous() if tensor.ndim == 2 else tensor
