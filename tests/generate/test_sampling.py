import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from scipy import stats
from torch.testing import assert_close

from groundup.core import ConfigError, Sampling
from groundup.generate.sampling import (
    check_sampling,
    draw_uniforms,
    sample_from_uniforms,
    sampling_distribution,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.0, 1.5, -3.0]])


def reference(logits: list[float], sampling: Sampling) -> list[float]:
    """Probability of every token by the definition, one token at a time."""
    weights = [math.exp(logit / sampling.temperature) for logit in logits]
    order = sorted(range(len(logits)), key=lambda i: -weights[i])
    kept = order[: sampling.top_k or len(order)]
    total, chosen, reached = sum(weights[i] for i in kept), [], 0.0
    for i in kept:
        if reached >= sampling.top_p:
            break
        chosen.append(i)
        reached += weights[i] / total
    whole = sum(weights[i] for i in chosen)
    return [weights[i] / whole if i in chosen else 0.0 for i in range(len(logits))]


def dense(logits, sampling) -> torch.Tensor:
    """Probability of every token by `sampling_distribution`."""
    probabilities, ids = sampling_distribution(logits, sampling)
    if ids is None:
        return probabilities
    return torch.zeros(logits.shape, dtype=torch.float64).scatter(1, ids, probabilities)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.7, top_k=3),
        Sampling(temperature=1.5, top_p=0.8),
        Sampling(temperature=1.0, top_k=4, top_p=0.6),
    ],
    ids=str,
)
def test_draws_follow_the_distribution_that_the_definition_gives(sampling):
    expected, count = reference(LOGITS[0].tolist(), sampling), 20_000
    uniforms = draw_uniforms([0], count)[0]
    drawn = sample_from_uniforms(LOGITS.expand(count, -1), sampling, uniforms)
    seen = torch.bincount(drawn, minlength=6).tolist()
    possible = [i for i, p in enumerate(expected) if p > 0]
    assert sum(seen[i] for i in possible) == count
    wanted = [expected[i] * count for i in possible]
    if len(possible) > 1:
        assert stats.chisquare([seen[i] for i in possible], wanted).pvalue > 1e-4


@settings(max_examples=60)
@given(
    logits=st.lists(st.integers(-40, 40), min_size=2, max_size=12, unique=True),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.integers(0, 14),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
)
def test_the_distribution_is_the_definitions(logits, temperature, top_k, top_p):
    values = [logit / 10 for logit in logits]
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    expected = torch.tensor([reference(values, sampling)], dtype=torch.float64)
    assert_close(dense(torch.tensor([values], dtype=torch.float64), sampling), expected)


def test_the_token_that_crosses_top_p_is_kept():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    kept = dense(logits, Sampling(temperature=1.0, top_p=0.6))
    assert (kept > 0).tolist() == [[True, True, False]]


def test_greedy_takes_the_likeliest_and_asks_no_generator():
    assert sample_from_uniforms(LOGITS, Sampling(), None).tolist() == [0]


def test_a_temperature_near_zero_is_greedy_and_not_nan():
    assert sample_from_uniforms(
        LOGITS, Sampling(temperature=1e-300), torch.tensor([0.999])
    ).tolist() == [0]


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_no_uniform_number_reaches_an_impossible_token(uniform):
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]])
    for sampling in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_k=2)):
        chosen = sample_from_uniforms(
            logits, sampling, torch.tensor([uniform], dtype=torch.float64)
        )
        assert chosen.item() in (1, 2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("temperature", -0.1), ("top_k", -1), ("top_p", 0.0), ("top_p", 1.5), ("max_tokens", 0)],
)
def test_impossible_settings_are_named(setting, value):
    with pytest.raises(ConfigError, match=f"Sampling.{setting} must be .*got {value}"):
        check_sampling(Sampling(**{setting: value}))


def test_sampling_needs_uniform_numbers():
    with pytest.raises(ConfigError, match="needs uniform numbers"):
        sample_from_uniforms(LOGITS, Sampling(temperature=1.0), None)


def test_what_top_p_reaches_exactly_is_the_last_that_is_kept():
    kept = dense(torch.zeros(1, 4), Sampling(temperature=1.0, top_p=0.5))
    assert (kept > 0).sum() == 2


def test_all_but_one_are_one_less():
    assert (dense(LOGITS, Sampling(temperature=1.0, top_k=5)) > 0).sum() == 5
