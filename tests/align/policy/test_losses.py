"""Policy losses equal TRL's; advantages have the properties that their formulas have."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from groundup.align.policy.losses import PolicyLossConfig, Tokens, advantages, policy_loss

FIXTURE = Path(__file__).parents[2] / "fixtures/align/trl_policy.json"
LONGEST = 12


@pytest.fixture(scope="module")
def trl():
    return json.loads(FIXTURE.read_text())


BY_TOKEN = [(name, beta) for name in ("grpo", "dr_grpo", "dapo") for beta in (0.0, 0.3)]


@pytest.mark.parametrize(("name", "beta"), [*BY_TOKEN, ("rloo", 0.0)])  # rloo's is in the reward
def test_losses_equal_trl(name, beta, trl):
    lengths = torch.tensor(trl["lengths"])
    mask = torch.arange(len(trl["policy"][0]))[None] < lengths[:, None]
    policy, sampled, reference = (
        torch.tensor(trl[each], dtype=torch.float64)[mask]
        for each in ("policy", "sampled", "reference")
    )
    answer = torch.arange(len(lengths))[:, None].expand_as(mask)[mask]
    gains = torch.tensor(trl["advantages"], dtype=torch.float64)[answer]
    config = PolicyLossConfig(name=name, clip_high=0.28, beta=beta)
    total = policy_loss(Tokens(policy, sampled, reference, gains, answer), config)
    weight = {"dapo": int(lengths.sum()), "dr_grpo": len(lengths) * LONGEST}.get(name, len(lengths))
    expected = torch.tensor(trl["losses"][f"{name} {beta}"], dtype=torch.float64)
    assert_close(total / weight, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "rloo", "reinforce"])
def test_answers_that_are_as_good_as_all_others_teach_nothing(name):
    assert advantages(torch.full((3, 4), 0.7), name).abs().max() < 1e-6


def test_advantages_are_those_of_the_formulas():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    grpo, rloo = advantages(rewards, "grpo"), advantages(rewards, "rloo")
    assert_close(grpo[0], torch.tensor([1.5, -0.5, -0.5, -0.5]), rtol=1e-3, atol=1e-3)
    assert_close(rloo[0], torch.tensor([1.0, -1 / 3, -1 / 3, -1 / 3]))
    assert_close(advantages(rewards, "dr_grpo")[1], torch.tensor([0.25, 0.25, 0.25, -0.75]))
    assert_close(advantages(rewards, "reinforce"), rewards - 0.5)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "rloo", "reinforce"])
def test_where_nothing_has_changed_the_gradient_is_that_of_reinforce(name):
    policy = torch.tensor([-1.0, -2.0, -0.5, -0.7], requires_grad=True)
    answer, gains = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1.0, -0.5, -0.5])
    tokens = Tokens(policy, policy.detach(), policy.detach(), gains, answer)
    loss = policy_loss(tokens, PolicyLossConfig(name=name, beta=0.5))
    loss.backward()
    scale = 0.5 if name == "grpo" else 1.0
    assert_close(policy.grad, -scale * gains)


def test_a_ratio_beyond_the_clip_teaches_nothing_more():
    sampled, gains = torch.tensor([-2.0, -2.0]), torch.tensor([1.0, -1.0])
    policy = torch.tensor([-1.0, -3.0], requires_grad=True)  # up where good, down where bad
    tokens = Tokens(policy, sampled, sampled, gains, torch.tensor([0, 1]))
    policy_loss(tokens, PolicyLossConfig()).backward()
    assert policy.grad.tolist() == [0.0, 0.0]
