"""Fused and turned weights: there and back, whatever their number of axes."""

import torch

from groundup.model.families.layout import QKV, fuse_parts, split_fused, transpose_matrix

FUSED = ".attention.qkv_proj."


def test_cutting_undoes_joining():
    state = {f"layers.{i}{part}{kind}": torch.randn(*size) for i in range(2) for part in QKV
             for kind, size in (("weight", (4, 6)), ("bias", (4,)))}  # fmt: skip
    state["norm.weight"] = torch.randn(6)
    fused = fuse_parts(state, FUSED, QKV)
    assert fused.keys() == {"norm.weight"} | {
        f"layers.{i}{FUSED}{kind}" for i in range(2) for kind in ("weight", "bias")
    }
    assert fused["layers.1.attention.qkv_proj.weight"].shape == (12, 6)
    again = split_fused(fused, FUSED, QKV)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_a_number_cannot_be_cut_and_keeps_its_name():
    state = {f"a{FUSED}weight": torch.tensor(1.0)}
    assert split_fused(state, FUSED, QKV) == state


def test_only_matrices_turn():
    matrix, row = torch.randn(2, 3), torch.randn(3)
    assert torch.equal(transpose_matrix(matrix), matrix.T)
    assert transpose_matrix(matrix).is_contiguous()
    assert transpose_matrix(row) is row
