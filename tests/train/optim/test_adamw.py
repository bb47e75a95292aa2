"""AdamW is torch's, fused or not; in fewer bits it stays near, and in eight it is bitsandbytes'."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from groundup.core import ConfigError, device
from groundup.train import OptimConfig, Optimizer
from groundup.train.checkpoint.contract import determinism_contract
from groundup.train.optim.adamw import AdamWStep, _adamw_reference, _update_exact
from groundup.train.parallel.mesh import SINGLE_PROCESS
from tests.oracles.bitsandbytes_gradients import COLUMNS, ROWS, STEPS, gradients
from tests.train.optim.moved import furthest, ours, theirs, weights

FIXTURE = Path(__file__).parents[2] / "fixtures" / "optim" / "eight_bits.json"


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_torch_s(decay):
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
    expected = json.loads(FIXTURE.read_text())
    weight = nn.Parameter(torch.zeros(ROWS, COLUMNS))
    config = OptimConfig(
        matrix_optimizer="adamw", learning_rate=0.01, epsilon=1e-8, weight_decay=0.1, state="8bit"
    )
    optimizer = Optimizer([("w", weight)], config)
    for number in range(STEPS):
        weight.grad = gradients(number, (ROWS, COLUMNS))
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
def test_fewer_bits_stay_near_float32(state, near):
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
