"""SGD is torch's."""

import pytest
import torch

from tests.train.optim.moved import furthest, ours, theirs, weights


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_it_is_torch_s(momentum, nesterov):
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
def test_fewer_bits_stay_near_float32(state, near):
    shapes = {"a.weight": (64, 300)}
    exact, kept, start = weights(shapes), weights(shapes), weights(shapes)
    for named, chosen in ((exact, "float32"), (kept, state)):
        ours(named, 20, matrices="sgd", learning_rate=0.01, state=chosen)
    way = (exact["a.weight"] - start["a.weight"]).detach().norm()
    off = (exact["a.weight"] - kept["a.weight"]).detach().norm()
    assert 0 < float(off / way) < near
