"""Each rule moves weights as its definition and its peers do, whole and sharded."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from groundup.core import ConfigError, device
from groundup.train import OptimConfig, Optimizer
from groundup.train.checkpoint.contract import determinism_contract
from groundup.train.optim import rules
from groundup.train.optim.config import RuleConfig
from groundup.train.optim.rules import AdamWStep, _adamw_reference, _orthogonalise, _update_exact
from groundup.train.parallel.mesh import SINGLE_PROCESS
from tests.oracles.bitsandbytes_gradients import COLUMNS, ROWS, STEPS
from tests.oracles.bitsandbytes_gradients import gradients as kept_gradients
from tests.train.optim.moved import furthest, gradients, ours, theirs, weights

FIXTURES = Path(__file__).parents[2] / "fixtures" / "optim"


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_is_torch_s(decay):
    mine, peers = weights(), weights()
    ours(mine, matrices="adamw", learning_rate=0.01, epsilon=1e-8, weight_decay=decay)
    split = [
        {"params": [p for p in peers.values() if (p.ndim >= 2) == decays], "weight_decay": share}
        for decays, share in ((True, decay), (False, 0.0))
    ]
    theirs(torch.optim.AdamW(split, 0.01, (0.9, 0.95), 1e-8, foreach=True), peers)
    assert furthest(mine, peers) < 1e-6


def test_the_fused_kernel_does_what_the_loop_over_lists_does():
    sides = []
    for step in (_update_exact, _adamw_reference):
        drawn = torch.Generator().manual_seed(3)
        lists = [[torch.randn(s, generator=drawn) for s in ((5, 7), (9,))] for _ in range(3)]
        square = [torch.rand(s, generator=drawn) for s in ((5, 7), (9,))]
        for number in range(1, 11):
            step(
                lists[0], lists[1], lists[2], square, AdamWStep(0.01, number, 0.1, 0.9, 0.95, 1e-8)
            )
        sides.append([*lists[0], *lists[2], *square])
    for fused, plain in zip(*sides, strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-6, rtol=1e-5)


def test_eight_bits_are_those_of_bitsandbytes():
    expected = json.loads((FIXTURES / "eight_bits.json").read_text())
    weight = nn.Parameter(torch.zeros(ROWS, COLUMNS))
    config = OptimConfig(
        matrix_optimizer="adamw", learning_rate=0.01, epsilon=1e-8, weight_decay=0.1, state="8bit"
    )
    optimizer = Optimizer([("w", weight)], config)
    for number in range(STEPS):
        weight.grad = kept_gradients(number, (ROWS, COLUMNS))
        optimizer.step(1.0)
    state = optimizer.state()
    torch.testing.assert_close(
        state["mean_scales.w"][:, 0], torch.tensor(expected["mean_scales"]), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(
        state["square_scales.w"][:, 0], torch.tensor(expected["square_scales"]), rtol=1e-3, atol=0
    )
    # A number in the middle between two values may go either way.
    same = state["mean_codes.w"][0].int() == torch.tensor(expected["mean_codes"]).int()
    assert same.float().mean() > 0.99
    off = (weight[0] - torch.tensor(expected["weight"])).detach().abs()
    assert off.median() < 1e-6 and off.mean() < 1e-4
    torch.testing.assert_close(
        weight.detach().norm(dim=1), torch.tensor(expected["norms"]), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(("state", "near"), [("bfloat16", 0.02), ("8bit", 0.05)])
def test_adamw_s_fewer_bits_stay_near_float32(state, near):
    shapes = {"a.weight": (64, 300), "a.bias": (64,)}
    exact, kept, start = weights(shapes), weights(shapes), weights(shapes)
    ours(exact, 30, matrices="adamw", learning_rate=0.01, epsilon=1e-8)
    ours(kept, 30, matrices="adamw", learning_rate=0.01, epsilon=1e-8, state=state)
    way = (exact["a.weight"] - start["a.weight"]).detach()
    off = (exact["a.weight"] - kept["a.weight"]).detach()
    assert 0 < float(off.norm() / way.norm()) < near
    assert torch.equal(exact["a.bias"], kept["a.bias"]) == (state == "8bit")


@pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
@pytest.mark.parametrize("state", ["bfloat16", "8bit"])
def test_a_pass_in_c_is_the_reading_and_writing_by_rows(state, monkeypatch):
    shapes = {"a.weight": (640, 300), "a.bias": (64,), "experts.up_proj": (4, 24, 80)}
    ends = []
    for way in ("native", "torch"):
        monkeypatch.setenv("GROUNDUP_STATES", way)
        named = weights(shapes)
        optimizer = ours(named, 6, matrices="adamw", weight_decay=0.1, state=state)
        ends.append({n: w.detach() for n, w in named.items()} | optimizer.state())
        assert determinism_contract(SINGLE_PROCESS, 1)["states"] == way
    for name, tensor in ends[0].items():
        if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
            assert torch.equal(tensor, ends[1][name]), name
        else:
            torch.testing.assert_close(tensor.float(), ends[1][name].float(), rtol=0.01, atol=1.0)


def test_a_weight_without_a_gradient_stays():
    named = weights()
    optimizer = Optimizer(named.items(), OptimConfig(matrix_optimizer="adamw", weight_decay=0.1))
    before = {name: weight.detach().clone() for name, weight in named.items()}
    named["a.bias"].grad = torch.ones(16)
    optimizer.step(1.0)
    assert torch.equal(before["a.weight"], named["a.weight"].detach())
    assert not torch.equal(before["a.bias"], named["a.bias"].detach())


def test_the_fused_kernel_can_be_turned_off(monkeypatch):
    drawn = torch.Generator().manual_seed(0)
    start = [torch.rand(50, generator=drawn) for _ in range(4)]
    move, ends = AdamWStep(1e-2, 3, 0.1, 0.9, 0.99, 1e-8), []
    monkeypatch.setenv("GROUNDUP_ADAMW", "plain")
    for step in (_update_exact, _adamw_reference):
        own = [[tensor.clone()] for tensor in start]
        step(*own, move)
        ends.append(torch.stack([tensor for (tensor,) in own]))
    assert torch.equal(*ends)
    assert determinism_contract(SINGLE_PROCESS, 1)["adamw"] == "plain"
    monkeypatch.delenv("GROUNDUP_ADAMW")
    assert determinism_contract(SINGLE_PROCESS, 1)["adamw"] == "fused"
    monkeypatch.setenv("GROUNDUP_ADAMW", "fast")
    with pytest.raises(ConfigError, match="GROUNDUP_ADAMW=fast must be fused or plain, or not"):
        _update_exact(*([tensor.clone()] for tensor in start), move)


def test_scaled_by_size_it_is_torch_s():
    mine, peers = weights(), weights()
    ours(mine, matrices="adafactor", others="adafactor", learning_rate=0.5, scale_parameter=True,
         relative_step=True)  # fmt: skip
    theirs(torch.optim.Adafactor(peers.values(), 0.5), peers)
    assert furthest(mine, peers) < 1e-5


def test_with_an_absolute_rate_it_is_transformers():
    pair = [nn.Parameter(torch.full((6, 4), 0.5)), nn.Parameter(torch.zeros(5))]
    config = OptimConfig(
        matrix_optimizer="adafactor", other_optimizer="adafactor", learning_rate=0.01
    )
    optimizer = Optimizer(zip("ab", pair, strict=True), config)
    for number in range(STEPS):
        for place, weight in enumerate(pair):
            weight.grad = kept_gradients(100 * place + number, tuple(weight.shape))
        optimizer.step(1.0)
    for weight, expected in zip(
        pair, json.loads((FIXTURES / "adafactor.json").read_text()), strict=True
    ):
        torch.testing.assert_close(weight.detach(), torch.tensor(expected), atol=1e-6, rtol=1e-5)


def test_a_matrix_costs_a_number_a_row_and_a_column():
    state = ours(weights(), 1, matrices="adafactor", others="adafactor").state()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if "a.weight" in name}
    assert shapes == {"square_rows.a.weight": (16,), "square_columns.a.weight": (40,)}


def test_a_gradient_of_zeros_moves_nothing():
    weight = nn.Parameter(torch.ones(4, 3))
    config = OptimConfig(matrix_optimizer="adafactor", other_optimizer="adafactor")
    optimizer = Optimizer([("w", weight)], config)
    weight.grad = torch.zeros(4, 3)
    optimizer.step(1.0)
    assert torch.equal(weight.detach(), torch.ones(4, 3))


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


def test_products_of_the_same_values_in_float32_give_what_bfloat16_gives(monkeypatch):
    matrices, found = torch.randn(3, 24, 16), []
    for is_slow in (False, True):
        monkeypatch.setattr(rules, "SLOW_BFLOAT16", is_slow)
        found.append(_orthogonalise(matrices, 5))
    assert found[0].dtype == found[1].dtype == torch.bfloat16
    torch.testing.assert_close(*found, atol=0.02, rtol=0)


def test_muon_is_torch_s():
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


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_is_torch_s(momentum, nesterov):
    mine, peers = weights(), weights()
    ours(mine, matrices="sgd", others="sgd", learning_rate=0.05, momentum=momentum,
         nesterov=nesterov)  # fmt: skip
    theirs(torch.optim.SGD(peers.values(), 0.05, momentum, nesterov=nesterov), peers)
    assert furthest(mine, peers) < 1e-6


def test_without_momentum_it_keeps_nothing():
    found = ours(weights(), 1, matrices="sgd", others="sgd", momentum=0.0)
    assert list(found.state()) == ["steps"]


def test_the_decay_is_a_share_of_the_step():
    mine, plain = weights(), weights()
    start = weights()["a.weight"].detach()
    for named, decay in ((mine, 0.5), (plain, 0.0)):
        ours(named, 1, matrices="sgd", others="sgd", learning_rate=0.1, weight_decay=decay)
    gone = (plain["a.weight"] - mine["a.weight"]).detach()
    torch.testing.assert_close(gone, start * 0.05, atol=1e-6, rtol=1e-4)
    assert torch.equal(mine["a.bias"], plain["a.bias"])


@pytest.mark.parametrize(("state", "near"), [("bfloat16", 0.02), ("8bit", 0.05)])
def test_sgd_s_fewer_bits_stay_near_float32(state, near):
    shapes = {"a.weight": (64, 300)}
    exact, kept, start = weights(shapes), weights(shapes), weights(shapes)
    for named, chosen in ((exact, "float32"), (kept, state)):
        ours(named, 20, matrices="sgd", learning_rate=0.01, state=chosen)
    way = (exact["a.weight"] - start["a.weight"]).detach().norm()
    off = (exact["a.weight"] - kept["a.weight"]).detach().norm()
    assert 0 < float(off / way) < near
