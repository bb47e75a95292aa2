"""The next token is chosen as transformers would, and by its own sequence's numbers alone."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.testing import assert_close

from groundup.core import ConfigError, Reason, Sampling
from groundup.generate.sampling import (
    TokenSampler,
    choose_tokens,
    sample_from_uniforms,
    sampling_distribution,
    top_logprobs,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "sampling" / "transformers.json"
END = 3


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
    uniforms = TokenSampler(sampling, limit=count).uniforms
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


def test_greedy_takes_the_likeliest_and_draws_nothing():
    for sampling in (Sampling(), Sampling(temperature=2.0, top_k=1)):
        assert TokenSampler(sampling).uniforms is None
        assert choose_tokens(LOGITS, [TokenSampler(sampling)]) == [0]


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


@pytest.mark.parametrize("vocab", [5, 64, 65, 1_000])
def test_a_draw_is_where_the_running_sum_of_all_exceeds_the_uniform_number(vocab):
    generator = torch.Generator().manual_seed(vocab)
    logits = 3 * torch.randn(500, vocab, generator=generator)
    logits[:, ::7] = -math.inf
    uniforms = torch.rand(500, generator=generator, dtype=torch.float64)
    sums = logits.softmax(-1, dtype=torch.float64).cumsum(-1)
    expected = torch.searchsorted(sums, uniforms[:, None], right=True)[:, 0]
    drawn = sample_from_uniforms(logits, Sampling(temperature=1.0), uniforms)
    assert drawn.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1), ("temperature", math.nan), ("top_k", -1), ("top_p", 0.0),
        ("top_p", 1.5), ("min_p", -0.1), ("min_p", 1.1), ("repetition_penalty", 0.0),
        ("presence_penalty", math.inf), ("logit_bias", {1: math.nan}), ("max_tokens", 0),
        ("max_tokens", -1), ("min_tokens", 257), ("stop", ("a", "")), ("logprobs", -1),
        ("logit_bias", {5: 1e39}), ("frequency_penalty", -1e39), ("seed", 10**30),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(setting, value):
    with pytest.raises(ConfigError, match=f"Sampling.{setting}"):
        Sampling(**{setting: value})


def test_what_top_p_reaches_exactly_is_the_last_that_is_kept():
    kept = dense(torch.zeros(1, 4), Sampling(temperature=1.0, top_p=0.5))
    assert (kept > 0).sum() == 2


def test_all_but_one_are_one_less():
    assert (dense(LOGITS, Sampling(temperature=1.0, top_k=5)) > 0).sum() == 5


def after(sampling, prompt=(), answer=()) -> TokenSampler:
    """A sampler of a sequence that has an answer already."""
    sampler = TokenSampler(sampling, prompt, (END,))
    for token in answer:
        sampler.add(token)
    return sampler


def adjusted(sampler, logits) -> torch.Tensor:
    return [logits.double(), *(values for _, values in sampler.adjustments(logits))][-1]


CASES = json.loads(FIXTURE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case["settings"]))
def test_every_setting_keeps_the_tokens_and_probabilities_that_transformers_keeps(case):
    sampling, logits = Sampling(**case["settings"]), torch.tensor(case["logits"]).double()
    sampler = after(sampling, case["prompt"], case["answer"])
    found = dense(adjusted(sampler, logits)[None], sampling)[0].log()
    expected = torch.tensor([-math.inf if p is None else p for p in case["logprobs"]]).double()
    assert_close(found, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=60)
@given(
    answer=st.lists(st.integers(0, 7), max_size=12),
    presence=st.sampled_from([0.0, 0.5, -1.0]),
    frequency=st.sampled_from([0.0, 0.25, -0.5]),
)
def test_presence_and_frequency_count_the_answer_alone(answer, presence, frequency):
    sampling = Sampling(presence_penalty=presence, frequency_penalty=frequency)
    sampler, logits = after(sampling, prompt=range(8), answer=answer), torch.zeros(8)
    expected = [
        -(presence * (token in answer) + frequency * answer.count(token)) for token in range(8)
    ]
    assert_close(adjusted(sampler, logits).double(), torch.tensor(expected).double())


def test_an_end_waits_for_min_tokens():
    sampler, logits = (
        after(Sampling(min_tokens=2)),
        torch.zeros(5).index_fill(0, torch.tensor(END), 9),
    )
    for expected in (False, False, True):
        [token] = choose_tokens(logits[None], [sampler])
        assert (token == END) is expected
        sampler.add(token)


def test_a_row_in_company_chooses_as_it_does_alone():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(6, 50, generator=generator)
    kinds = [
        Sampling(), Sampling(temperature=1.0, seed=4), Sampling(temperature=1.0, top_p=0.5, seed=4),
        Sampling(temperature=0.7, top_k=9, min_p=0.1, repetition_penalty=1.4, seed=9),
        Sampling(temperature=1.0, top_p=0.5, banned_tokens=(1, 2), seed=8),
        Sampling(allowed_tokens=(7, 8)),
    ]  # fmt: skip
    samplers = lambda: [after(kind, (1, 2, 3), (4, 4)) for kind in kinds]  # noqa: E731
    together = choose_tokens(logits, samplers())
    alone = [choose_tokens(logits[i : i + 1], [s])[0] for i, s in enumerate(samplers())]
    assert together == alone and together[5] in (7, 8)


def test_the_logits_of_a_batch_are_not_changed():
    logits = torch.randn(2, 9)
    before = logits.clone()
    choose_tokens(logits, [after(Sampling(logit_bias={3: 5.0})), after(Sampling())])
    assert torch.equal(logits, before)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sequence_without_a_token_to_choose_ends_alone(temperature):
    nothing = Sampling(allowed_tokens=(1,), banned_tokens=(1,), temperature=temperature)
    ended, chosen = choose_tokens(torch.zeros(2, 4), [after(nothing), after(Sampling())])
    assert isinstance(ended, Reason) and ended.code == "no_token" and chosen == 0


def test_alternatives_are_those_of_the_unmodified_distribution():
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    first, second = top_logprobs(logits, 2)
    assert (first.id, second.id) == (0, 1)
    assert math.isclose(first.logprob, math.log(0.5), rel_tol=1e-5)
    assert len(top_logprobs(logits, 9)) == 3
