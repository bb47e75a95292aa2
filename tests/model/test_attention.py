"""The attention of a block: order, norms and heads do what they should."""

import torch
from torch.testing import assert_close

from groundup.model.attention import Attention, Context
from groundup.model.positions import compute_rotation, rope_frequencies
from tests.model.shapes import tiny_config, tiny_model


def layer(**config) -> Attention:
    return tiny_model(tiny_config(**config)).layers[0].attention


def run(attention, hidden, first=0):
    positions = torch.arange(first, first + hidden.shape[1])[None]
    by = compute_rotation(positions, rope_frequencies(6, dtype=torch.float64))
    return attention(hidden, Context(rotation=by))


def test_shifting_all_positions_changes_nothing():
    attention, hidden = layer(), torch.randn(2, 5, 16, dtype=torch.float64)
    assert_close(run(attention, hidden), run(attention, hidden, 30), atol=1e-12, rtol=0)


def test_with_normed_queries_and_keys_their_size_does_not_matter():
    attention, hidden = layer(), torch.randn(2, 5, 16, dtype=torch.float64)
    before = run(attention, hidden)
    attention.q_proj.weight.data *= 1000
    assert_close(run(attention, hidden), before, atol=1e-5, rtol=0)
    plain = layer(qk_norm="none")
    before = run(plain, hidden)
    plain.q_proj.weight.data *= 1000
    assert not torch.allclose(run(plain, hidden), before)


def test_queries_and_keys_are_normed_over_a_head_or_over_all_heads():
    hidden = torch.randn(2, 5, 16, dtype=torch.float64)
    for kind, over in (("head", (-1,)), ("all", (-2, -1))):
        attention = layer(qk_norm=kind)
        attention.q_norm.weight.data.fill_(1.0)
        attention.k_norm.weight.data.fill_(1.0)
        for found in (attention.queries(hidden), attention.keys_values(hidden).keys):
            squares = found.transpose(1, 2).square().mean(over)  # heads last but one
            assert_close(squares, torch.ones_like(squares), atol=1e-3, rtol=0)
        assert attention.queries(hidden).shape == (2, 4, 5, 6)
