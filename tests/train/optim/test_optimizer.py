"""Muon's steps are orthogonal, AdamW's are torch's, and state goes in and out unchanged."""

import pytest
import torch
from torch import nn

from groundup.core import ConfigError
from groundup.model import Transformer
from groundup.train import OptimConfig, Optimizer
from groundup.train.optim.optimizer import orthogonalise
from tests.model.shapes import tiny_config
from tests.train.test_loop import tiny_model


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]):
    matrices = torch.randn(3, *shape)
    values = torch.linalg.svdvals(orthogonalise(matrices, 5).float())
    assert values.min() > 0.3 and values.max() < 1.35


def test_orthogonalising_keeps_the_direction():
    matrix = torch.randn(1, 12, 12)
    u, _, v = torch.linalg.svd(matrix)
    alike = (orthogonalise(matrix, 5).float() * (u @ v)).sum() / 12
    assert alike > 0.8


def test_adamw_is_torch_s():
    torch.manual_seed(1)
    ours, theirs = nn.Linear(5, 4), nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    config = OptimConfig(matrices="adamw", learning_rate=0.01, epsilon=1e-8, clip=0)
    mine = Optimizer(ours.named_parameters(), config)
    peer = torch.optim.AdamW(theirs.parameters(), 0.01, (0.9, 0.95), 1e-8, weight_decay=0)
    for seed in range(5):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
        for model in (ours, theirs):
            model(x).square().sum().backward()
        mine.step(1.0)
        peer.step()
        mine.zero_grad()
        peer.zero_grad()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_matrices_of_blocks_go_to_muon_and_nothing_else_does():
    optimizer = Optimizer(tiny_model().named_parameters(), OptimConfig())
    assert all("proj" in name for name in optimizer.matrices)
    assert any("embed" in name for name in optimizer.others)
    assert any("norm" in name for name in optimizer.others)


def test_clipping_bounds_the_step_and_tells_the_norm_before():
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), 100.0)
    optimizer = Optimizer([("w", weight)], OptimConfig(matrices="adamw", clip=1.0))
    assert optimizer.clip() == pytest.approx(100 * 3**0.5)
    optimizer.step(1.0)
    assert weight.grad.norm() == pytest.approx(1.0, rel=1e-4)


def test_a_state_of_another_model_is_refused():
    optimizer = Optimizer([("w", nn.Parameter(torch.zeros(3)))], OptimConfig())
    with pytest.raises(ConfigError, match="another model"):
        optimizer.load_state({"steps": torch.tensor(1)})


def test_an_embedding_moves_far_only_where_it_is_input_alone():
    steps = {}
    for tied in (True, False):
        model = Transformer(tiny_config(tied=tied), seed=0)
        optimizer = Optimizer(model.named_parameters(), OptimConfig(clip=0))
        before = model.embed_tokens.weight.detach().clone()
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step(1.0)
        steps[tied] = float((model.embed_tokens.weight - before).detach().abs().mean())
    assert steps[True] == pytest.approx(4e-3, rel=1e-3)
    assert steps[False] == pytest.approx(0.2, rel=1e-3)
