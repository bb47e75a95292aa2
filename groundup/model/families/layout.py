"""Weights that peers keep in another layout: fused into one tensor, or transposed.

GPT-2 multiplies from the left, so its matrices lie transposed, and queries, keys and values are one
matrix; so they are in ModernBERT, as are its gates and what they multiply.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .names import State

QKV = (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")
"""Queries, keys and values, in the order in which peers fuse them."""


def cut(state: State, whole: str, parts: Sequence[str]) -> State:
    """The state with every tensor whose name has `whole` in it cut in equal parts, rows first.

    >>> found = cut({"a.qkv.weight": torch.arange(3)}, ".qkv.", (".q.", ".k.", ".v."))
    >>> {name: tensor.tolist() for name, tensor in found.items()}
    {'a.q.weight': [0], 'a.k.weight': [1], 'a.v.weight': [2]}
    """
    found: State = {}
    for name, tensor in state.items():
        if whole in name and tensor.ndim:
            pieces = tensor.tensor_split(len(parts))
            found |= {name.replace(whole, p): t for p, t in zip(parts, pieces, strict=True)}
        else:
            found[name] = tensor
    return found


def joined(state: State, whole: str, parts: Sequence[str]) -> State:
    """The state with the parts of every tensor put together again; undoes `cut`.

    >>> state = {"a.k.weight": torch.ones(1), "a.q.weight": torch.zeros(2)}
    >>> joined(state, ".qk.", (".q.", ".k."))
    {'a.qk.weight': tensor([0., 0., 1.])}
    """
    found: State = {}
    for name, tensor in state.items():
        part = next((each for each in parts if each in name), None)
        if part is None:
            found[name] = tensor
        elif part == parts[0]:
            pieces = [state[name.replace(part, each)] for each in parts]
            found[name.replace(part, whole)] = torch.cat(pieces)
    return found


def turned(tensor: Tensor) -> Tensor:
    """A matrix with rows and columns exchanged; anything else as it is."""
    return tensor.T.contiguous() if tensor.ndim == 2 else tensor
