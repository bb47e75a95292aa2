"""The feed-forward of a block: the formula, token by token."""

import torch
from torch.testing import assert_close

from tests.model.shapes import tiny_model


def test_it_is_the_formula():
    feed = tiny_model().layers[0].feedforward
    x = torch.randn(2, 3, 16, dtype=torch.float64)
    gate, up = x @ feed.gate_proj.weight.T, x @ feed.up_proj.weight.T
    assert_close(feed(x), (gate * gate.sigmoid() * up) @ feed.down_proj.weight.T)


def test_tokens_do_not_meet():
    feed = tiny_model().layers[0].feedforward
    x = torch.randn(1, 3, 16, dtype=torch.float64)
    assert_close(feed(x)[:, 1:2], feed(x[:, 1:2]))
