"""Experts: sorting tokens by expert computes what asking them one by one does."""

import pytest
import torch
from torch.nn.functional import gelu, silu
from torch.testing import assert_close

from groundup.kernels import (
    ClampedGate,
    ExpertScoring,
    ExpertWeights,
    mixture_of_experts,
    reference_experts,
    route_tokens,
)


def example(tokens=13, width=6, inner=9, count=4, gated=True):
    up, gate = torch.randn(2, count, inner, width, dtype=torch.float64)
    down = torch.randn(count, width, inner, dtype=torch.float64)
    weights = ExpertWeights(up, down, gate if gated else None)
    hidden = torch.randn(tokens, width, dtype=torch.float64)
    return hidden, weights, torch.randn(tokens, count, dtype=torch.float64)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("chosen, capacity", [(1, None), (1, 2), (2, None), (3, 5)])
def test_value_and_gradients_equal_the_loop(gated, chosen, capacity):
    hidden, weights, logits = example(gated=gated)
    leaves = [x for x in (hidden, *weights, logits) if x is not None]
    activation = silu if gated else gelu
    found = []
    for way in (mixture_of_experts, reference_experts):
        for leaf in leaves:
            leaf.requires_grad_().grad = None
        choice = route_tokens(logits, chosen, normalised=False, capacity=capacity)
        out = way(hidden, weights, choice, activation)
        out.square().sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, atol=1e-11, rtol=1e-11)


def test_first_choices_come_first_and_the_rest_is_dropped():
    logits = torch.tensor([[3.0, 2.0, 0.0], [0.0, 3.0, 2.0], [3.0, 0.0, 2.0]])
    choice = route_tokens(logits, 2, normalised=True, capacity=1)
    assert choice.experts.tolist() == [[0, 1], [1, 2], [0, 2]]
    # 0 is full after token 0; 1 after token 1's first choice; 2 takes token 1's second choice.
    assert (choice.weights > 0).tolist() == [[True, False], [True, True], [False, False]]


def test_padding_is_served_by_nobody_and_takes_no_room():
    _, _, logits = example()
    is_real = torch.arange(13) >= 5
    choice = route_tokens(logits, 2, normalised=True, capacity=4, is_real=is_real)
    alone = route_tokens(logits[5:], 2, normalised=True, capacity=4)
    assert not choice.weights[:5].any()
    assert_close(choice.weights[5:], alone.weights)


def test_weights_of_the_chosen_sum_to_one_or_to_their_share():
    _, _, logits = example()
    assert_close(route_tokens(logits, 2, normalised=True).weights.sum(-1), torch.ones(13).double())
    shares = route_tokens(logits, 2, normalised=False).weights
    assert_close(shares, logits.softmax(-1).topk(2).values)


def test_no_token_at_all_gives_nothing():
    hidden, weights, logits = example(tokens=3)
    choice = route_tokens(logits, 1, normalised=True, is_real=torch.zeros(3, dtype=torch.bool))
    assert not mixture_of_experts(hidden, weights, choice, silu).any()


@pytest.mark.parametrize("normalised", [True, False])
def test_a_router_that_is_not_finite_is_seen_in_what_comes_out(normalised):
    hidden, weights, logits = example()
    logits[3] = torch.nan
    choice = route_tokens(logits, 2, normalised=normalised)
    out = mixture_of_experts(hidden, weights, choice, silu)
    assert out[3].isnan().all()
    assert_close(out, reference_experts(hidden, weights, choice, silu), equal_nan=True)
    assert out[:3].isfinite().all() and out[4:].isfinite().all()


def test_clamped_gates_with_biases_equal_the_loop_and_the_formula():
    hidden, weights, logits = example()
    biases = [torch.randn(4, size, dtype=torch.float64) for size in (9, 6, 9)]
    weights = ExpertWeights(*weights[:3], *biases)
    choice, activation = route_tokens(logits, 2, normalised=True), ClampedGate(0.7, 1.5)
    out = mixture_of_experts(hidden, weights, choice, activation)
    assert_close(out, reference_experts(hidden, weights, choice, activation))
    one = route_tokens(logits[:1], 1, normalised=True)
    e, x = int(one.experts), hidden[0]
    gate = (weights.gate[e] @ x + weights.gate_bias[e]).clamp(max=0.7)
    up = (weights.up[e] @ x + weights.up_bias[e]).clamp(-0.7, 0.7)
    expected = (
        weights.down[e] @ ((up + 1) * gate * torch.sigmoid(1.5 * gate)) + weights.down_bias[e]
    )
    assert_close(mixture_of_experts(hidden[:1], weights, one, activation)[0], expected)


def test_groups_with_the_best_expert_or_the_best_two_are_open():
    logits = torch.tensor([[3.0, -9.0, 2.0, 1.9, 1.0, 1.0]])
    best = ExpertScoring(groups=3, chosen_groups=1, scale=2.0)
    choice = route_tokens(logits, 2, normalised=False, scoring=best)
    assert choice.experts.tolist() == [[0, 1]]
    assert_close(choice.weights, 2 * logits.softmax(-1)[:, :2])
    two = best._replace(kind="sigmoid")
    choice = route_tokens(logits, 2, normalised=True, scoring=two)
    assert choice.experts.tolist() == [[2, 3]]
    assert_close(choice.weights.sum(-1), torch.tensor([2.0]))


def test_a_correction_chooses_but_does_not_weigh():
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    scoring = ExpertScoring("sigmoid", correction=torch.tensor([0.0, 0.0, 0.5]))
    choice = route_tokens(logits, 1, normalised=False, scoring=scoring)
    assert choice.experts.tolist() == [[2]] and choice.weights.tolist() == [[0.5]]
