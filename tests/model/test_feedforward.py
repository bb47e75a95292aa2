"""The feed-forward of a block: the formula, token by token.

Experts: balanced work costs least, padding counts for nothing, overflow passes by.
"""

import pytest
import torch
from torch.testing import assert_close

from groundup.kernels import Mask
from groundup.model import ExpertsConfig, FeedForwardConfig, balance_loss, z_loss
from groundup.model.attention import Context
from tests.model.shapes import ALL, VOCAB, shape, tiny_model


def layer(**experts):
    feed = FeedForwardConfig(width=20, experts=ExpertsConfig(count=4, **experts))
    return tiny_model(shape(feedforward=feed)).layers[0].experts


def test_balance_is_one_when_work_is_equal_and_the_number_of_experts_when_one_does_all():
    assert float(balance_loss(torch.eye(4) * 50, 1)) == pytest.approx(1, abs=1e-3)
    alone = torch.tensor([[50.0, 0, 0, 0]] * 6)
    assert float(balance_loss(alone, 1)) == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize("loss", [lambda x, m: balance_loss(x, 2, m), z_loss])
def test_losses_ignore_padding_and_a_batch_of_it_costs_nothing(loss):
    logits = torch.randn(9, 4, requires_grad=True)
    is_real = torch.arange(9) < 5
    assert_close(loss(logits, is_real), loss(logits[:5], None))
    loss(logits, is_real).backward()
    assert not logits.grad[5:].any()
    assert float(loss(logits, torch.zeros(9, dtype=torch.bool)).detach()) == 0


def test_what_overflows_an_expert_gets_nothing_in_training_and_all_are_served_otherwise():
    experts = layer(chosen=1, capacity_factor=0.5)
    experts.router.weight.data.zero_()  # all logits are equal: everybody chooses the same expert
    hidden = torch.randn(1, 8, 16, dtype=torch.float64)
    served = experts.train()(hidden)[0].abs().sum(-1) > 0
    assert served.tolist() == [True] + [False] * 7  # 0.5 * 8 / 4
    assert (experts.eval()(hidden)[0].abs().sum(-1) > 0).all()


def test_a_capacity_serves_the_first_tokens_of_each_sequence_whenever_a_model_is_used():
    experts = layer(chosen=1, capacity=3)
    experts.router.weight.data.zero_()  # everybody chooses the same expert
    hidden = torch.randn(2, 5, 16, dtype=torch.float64)
    for mode in (experts.train(), experts.eval()):
        served = mode(hidden).abs().sum(-1) > 0
        assert served.tolist() == [[True] * 3 + [False] * 2] * 2


@pytest.mark.parametrize("experts", [{"capacity": 2}, {}])
def test_padding_on_either_side_takes_no_place_of_an_expert(experts):
    experts = layer(chosen=1, **experts).eval()
    hidden = torch.randn(1, 9, 16, dtype=torch.float64)
    documents = torch.tensor([[-1] * 3 + [0] * 4 + [-1] * 2])
    out = experts(hidden, Context(Mask(documents=documents)))
    assert_close(out[:, 3:7], experts(hidden[:, 3:7]))


def test_padding_is_not_routed():
    experts = layer(chosen=2)
    hidden = torch.randn(1, 6, 16, dtype=torch.float64)
    documents = torch.tensor([[0, 0, 0, 0, -1, -1]])
    out = experts(hidden, Context(Mask(documents=documents)))
    assert not out[0, 4:].any()
    assert_close(out[:, :4], experts(hidden[:, :4]))


def test_every_layer_with_experts_hands_out_its_logits():
    model, routing = tiny_model(ALL["glam"]), []
    model(torch.randint(VOCAB, (2, 5)), routing=routing)
    assert [tuple(logits.shape) for logits in routing] == [(10, 4)] * 2  # every second of 4 layers


def test_it_is_the_formula():
    feed = tiny_model().layers[0].feedforward
    x = torch.randn(2, 3, 16, dtype=torch.float64)
    gate, up = x @ feed.gate_proj.weight.T, x @ feed.up_proj.weight.T
    assert_close(feed(x), (gate * gate.sigmoid() * up) @ feed.down_proj.weight.T)


def test_tokens_do_not_meet():
    feed = tiny_model().layers[0].feedforward
    x = torch.randn(1, 3, 16, dtype=torch.float64)
    assert_close(feed(x)[:, 1:2], feed(x[:, 1:2]))
