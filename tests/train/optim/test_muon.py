"""Muon's steps are orthogonal and as long as their shape says."""

import pytest
import torch
from torch import nn

from groundup.core import ConfigError
from groundup.train import OptimConfig, Optimizer
from groundup.train.optim.config import RuleConfig
from groundup.train.optim.muon import _orthogonalise
from tests.train.optim.moved import gradients, ours, weights


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]):
    matrices = torch.randn(3, *shape)
    values = torch.linalg.svdvals(_orthogonalise(matrices, 5).float())
    assert values.min() > 0.3 and values.max() < 1.35


def test_orthogonalising_keeps_the_direction():
    matrix = torch.randn(1, 12, 12)
    u, _, v = torch.linalg.svd(matrix)
    alike = (_orthogonalise(matrix, 5).float() * (u @ v)).sum() / 12
    assert alike > 0.8


def test_it_is_torch_s():
    """Torch's Muon: the same momentum, look-ahead, iterations and scale."""
    mine, peer = weights({"w": (24, 8)}), weights({"w": (24, 8)})
    ours(mine, matrices="muon", muon_learning_rate=0.02, momentum=0.95, iterations=5,
         weight_decay=0.1)  # fmt: skip
    optimizer = torch.optim.Muon(peer.values(), 0.02, 0.1, 0.95, nesterov=True)
    for number in range(12):
        peer["w"].grad = gradients(peer, number)["w"]
        optimizer.step()
    moved = (weights({"w": (24, 8)})["w"] - peer["w"]).detach().norm()
    assert float((mine["w"] - peer["w"]).detach().norm() / moved) < 0.02  # bfloat16 inside


def test_stacked_experts_move_as_each_alone_would():
    rule = (RuleConfig(kinds=("expert",), optimizer="muon"),)
    stacked = weights({"experts.up_proj": (3, 8, 24)})
    ours(stacked, rules=rule)
    alone = {f"w{i}": nn.Parameter(weights({"experts.up_proj": (3, 8, 24)})["experts.up_proj"][i])
             for i in range(3)}  # fmt: skip
    optimizer = Optimizer(alone.items(), OptimConfig())
    for number in range(12):
        drawn = gradients(weights({"experts.up_proj": (3, 8, 24)}), number)["experts.up_proj"]
        for i in range(3):
            alone[f"w{i}"].grad = drawn[i]
        optimizer.step(1.0)
    for i in range(3):
        torch.testing.assert_close(stacked["experts.up_proj"][i], alone[f"w{i}"])


def test_a_vector_is_refused():
    with pytest.raises(ConfigError, match="a.bias has 1 dimensions"):
        ours(weights(), 1, rules=(RuleConfig(names="bias", optimizer="muon"),))


def test_momentum_in_fewer_bits_points_the_same_way():
    shapes = {"w": (64, 128)}
    exact, kept, start = weights(shapes), weights(shapes), weights(shapes)["w"].detach()
    ours(exact)
    ours(kept, state="8bit")
    one, other = (exact["w"].detach() - start).flatten(), (kept["w"].detach() - start).flatten()
    assert float(torch.cosine_similarity(one, other, 0)) > 0.97
