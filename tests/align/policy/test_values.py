"""PPO's advantages, values and losses equal TRL 1.9's; the divergence is held at its target."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.align.policy.losses import (
    PolicyLossConfig,
    Tokens,
    adapted_beta,
    policy_loss,
    token_advantages,
    value_losses,
    whiten,
)
from groundup.core import ConfigError

FIXTURE = Path(__file__).parents[2] / "fixtures/align/trl9_ppo.json"
CONFIG = PolicyLossConfig(name="ppo", beta=0.3, discount=0.9, decay=0.8)


@pytest.fixture(scope="module")
def trl():
    found = json.loads(FIXTURE.read_text())
    found.pop("versions")
    return {name: np.array(values) for name, values in found.items()}


def test_advantages_and_returns_equal_trl(trl):
    rewards = -CONFIG.beta * (trl["sampled"] - trl["reference"])
    rewards[:, -1] += trl["rewards"]
    gains = [token_advantages(r, v, CONFIG) for r, v in zip(rewards, trl["values"], strict=True)]
    assert np.allclose(np.stack(gains) + trl["values"], trl["returns"], rtol=0, atol=1e-12)
    assert np.allclose(np.stack(whiten(gains)), trl["advantages"], rtol=0, atol=1e-7)


def test_losses_equal_trl(trl):
    given = {name: torch.from_numpy(values).flatten() for name, values in trl.items()}
    count, length = trl["policy"].shape
    answer = torch.arange(count).repeat_interleave(length)
    tokens = Tokens(
        given["policy"], given["sampled"], given["reference"], given["advantages"], answer
    )
    policy = policy_loss(tokens, CONFIG) / (count * length)
    errors = value_losses(given["new_values"], given["values"], given["returns"], CONFIG.value_clip)
    assert_close(policy, given["policy_loss"][0])
    assert_close(errors.mean(), given["value_loss"][0])
    assert_close(policy + CONFIG.value_weight * errors.mean(), given["loss"][0])


def test_without_decay_an_advantage_is_the_next_value_and_with_it_the_whole_rest():
    rewards, values = np.array([0.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.9])
    near, far = (PolicyLossConfig(name="ppo", decay=decay) for decay in (0.0, 1.0))
    assert np.allclose(token_advantages(rewards, values, near), [0.3, 0.4, 0.1])
    assert np.allclose(token_advantages(rewards, values, far), 1 - values)


def test_a_divergence_above_its_target_costs_more_and_one_below_it_less():
    held = PolicyLossConfig(name="ppo", beta=0.1, target=2.0, horizon=100)
    assert adapted_beta(0.1, 2.0, 10, held) == 0.1
    assert adapted_beta(0.1, 2.2, 10, held) == pytest.approx(0.1 * (1 + 0.1 * 0.1))
    assert adapted_beta(0.1, 9.0, 10, held) == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    assert adapted_beta(0.1, 0.0, 10, held) == pytest.approx(0.1 * (1 - 0.2 * 0.1))
    assert adapted_beta(0.1, 9.0, 10, CONFIG) == 0.1, "without a target it stays"


@pytest.mark.parametrize("given", [{"name": "grpo", "beta": 0.1}, {"name": "ppo"}])
def test_a_target_needs_a_divergence_in_the_reward(given):
    with pytest.raises(ConfigError, match="target holds a divergence"):
        PolicyLossConfig(target=1.0, **given)
