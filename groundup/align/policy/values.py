"""PPO's parts: a value of each token, advantages by it, and a divergence that is held at a target.

    r_t = -b (log p_sampled - log p_ref)_t, plus the answer's reward at its last token
    A_t = sum over k of (g l)^k (r + g V' - V)_{t+k}       V' of the next token, 0 after the last
    R_t = A_t + V_t, what the value is to become; then A is whitened over all tokens of a sample

    loss of a value   max((v - R)², (clip(v, V - e, V + e) - R)²) / 2                 TRL 1.9 PPO
    b                 times 1 + clip(KL / target - 1, -0.2, 0.2) answers / horizon  OpenRLHF 0.11

TRL puts the reward into the slot after the end token and has a value there; here it is of the last
token, so that an answer has as many values as tokens. For answers of full length both are equal.
Source: PPO Schulman et al. 2017, arXiv:1707.06347; GAE Schulman et al. 2015, arXiv:1506.02438; the
target: Ziegler et al. 2019, arXiv:1909.08593.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .losses import PolicyLossConfig

LARGEST_CHANGE = 0.2
"""By which the weight of the divergence changes in a horizon, at most."""


def token_advantages(
    rewards: Float[np.ndarray, " T"], values: Float[np.ndarray, " T"], config: PolicyLossConfig
) -> Float[np.ndarray, " T"]:
    """How much better than its value each token of one answer turned out.

    >>> one, ends = PolicyLossConfig(name="ppo", decay=1.0), np.array([0.0, 0.0, 1.0])
    >>> token_advantages(ends, np.array([0.5, 0.5, 0.75]), one).tolist()
    [0.5, 0.5, 0.25]
    """
    found, following, value = np.zeros(len(rewards)), 0.0, 0.0
    for t in range(len(rewards) - 1, -1, -1):
        change = rewards[t] + config.discount * value - values[t]
        following = change + config.discount * config.decay * following
        found[t], value = following, values[t]
    return found


def whiten(values: Sequence[Float[np.ndarray, " _"]]) -> list[Float[np.ndarray, " _"]]:
    """The values of all answers with mean 0 and variance 1, as TRL's masked_whiten."""
    together = np.concatenate(values)
    scale = 1 / np.sqrt(together.var(ddof=1) + 1e-8) if len(together) > 1 else 1.0
    return [(each - together.mean()) * scale for each in values]


def value_losses(
    values: Float[Tensor, " N"], sampled: Float[Tensor, " N"], returns: Float[Tensor, " N"],
    clip: float,
) -> Float[Tensor, " N"]:  # fmt: skip
    """Half the squared error of each value, or of its change from `sampled` cut to `clip`."""
    clipped = sampled + (values - sampled).clamp(-clip, clip)
    return torch.maximum((values - returns).square(), (clipped - returns).square()) / 2


def adapted_beta(beta: float, divergence: float, answers: int, config: PolicyLossConfig) -> float:
    """The weight of the divergence after a sample of so many answers.

    >>> held = PolicyLossConfig(name="ppo", beta=0.1, target=6.0)
    >>> adapted_beta(0.1, 12.0, 1000, held)
    0.10200000000000001
    """
    if not config.target:
        return beta
    change = max(-LARGEST_CHANGE, min(LARGEST_CHANGE, divergence / config.target - 1))
    return beta * (1 + change * answers / config.horizon)
