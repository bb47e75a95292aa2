"""Chance rounds to a neighbour, right on average, and the same way each time."""

import torch

from groundup.train.optim.rounding import _random_bits, round_stochastic, rounding_key

PLACES = torch.arange(1 << 16, dtype=torch.int32)


def test_the_mean_is_right_and_only_neighbours_come():
    value = torch.full((1 << 16,), 0.1)
    found = round_stochastic(value, PLACES, rounding_key(0, 1)).float()
    assert len(found.unique()) == 2
    assert found.unique()[0] < 0.1 < found.unique()[1]
    spread = float(found.unique().diff())
    assert abs(float(found.mean()) - 0.1) < 4 * spread / 2 / 256  # four standard errors


def test_what_bfloat16_holds_stays_and_signs_are_kept():
    exact = torch.randn(1000).bfloat16().float()
    assert torch.equal(round_stochastic(exact, PLACES[:1000], 5).float(), exact)
    values = torch.randn(1 << 16) * 1e-3
    assert torch.equal(round_stochastic(values, PLACES, 5).sign().float(), values.sign())


def test_it_is_a_function_of_key_and_place():
    values = torch.randn(1 << 16)
    one = round_stochastic(values, PLACES, 5)
    assert torch.equal(one, round_stochastic(values, PLACES, 5))
    assert not torch.equal(one, round_stochastic(values, PLACES, 6))
    assert torch.equal(one[1000:2000], round_stochastic(values[1000:2000], PLACES[1000:2000], 5))


def test_chance_is_even_and_neighbours_and_steps_are_independent():
    drawn = _random_bits(PLACES, rounding_key(0, 1)).double() / 65536
    later = _random_bits(PLACES, rounding_key(0, 2)).double() / 65536
    assert abs(float(drawn.mean()) - 0.5) < 0.005 and abs(float(drawn.var()) - 1 / 12) < 0.002
    pairs = [(drawn[:-1], drawn[1:]), (drawn[:-256], drawn[256:]), (drawn, later)]
    for pair in pairs:
        assert abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < 0.016  # four standard errors
