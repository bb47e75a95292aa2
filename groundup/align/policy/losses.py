"""Advantages of answers, and policy gradient losses with clipped ratios.

    A = (r - mean) / (std + 1e-4)        grpo, dapo: of the answers to one prompt
    A = r - mean                         dr_grpo: of the answers to one prompt
    A = r - mean of the others           rloo: to one prompt
    A = r - mean of all                  reinforce: of the step
    A by values of tokens, below         ppo

    l = -min(w A, clip(w, 1 - low, 1 + high) A) + b k        w = p / p_sampled
    k = w (p_ref / p - log(p_ref / p) - 1)                   an estimate of KL(p | p_ref)

                ratio w    sum of l divided by
    grpo        token      its answer's tokens, then answers            TRL 1.16 `grpo`
    dr_grpo     token      answers times the largest length             TRL 1.16 `dr_grpo`
    dapo        token      tokens                                       TRL 1.16 `dapo`
    rloo        answer     answers                                      TRL 1.16 RLOO
    reinforce   answer     answers
    ppo         token      tokens                                       TRL 1.9 PPO

The k term is of each token with its token's ratio, as in TRL 1.16 (`use_bias_correction_kl`); rloo
and reinforce, whose ratio is of the answer, take b times log p - log p_ref from its reward instead,
and ppo from each token's. PPO's advantages by a value V of each token:

    r_t = -b (log p_sampled - log p_ref)_t, plus the answer's reward at its last token
    A_t = sum over k of (g l)^k (r + g V' - V)_{t+k}       V' of the next token, 0 after the last
    R_t = A_t + V_t, what the value is to become; then A is whitened over all tokens of a sample

    loss of a value   max((v - R)², (clip(v, V - e, V + e) - R)²) / 2                 TRL 1.9 PPO
    b                 times 1 + clip(KL / target - 1, -0.2, 0.2) answers / horizon  OpenRLHF 0.11

TRL puts the reward into the slot after the end token and has a value there; here it is of the last
token, so that an answer has as many values as tokens. For answers of full length both are equal.
Source: GRPO Shao et al. 2024, arXiv:2402.03300; Dr. GRPO Liu et al. 2025, arXiv:2503.20783; DAPO
Yu et al. 2025, arXiv:2503.14476; RLOO Ahmadian et al. 2024, arXiv:2402.14740; PPO Schulman et al.
2017, arXiv:1707.06347; GAE Schulman et al. 2015, arXiv:1506.02438; the target: Ziegler et al. 2019,
arXiv:1909.08593; the estimate of KL: Schulman 2020.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from groundup.core import Config, ConfigError

AlgorithmName = Literal["grpo", "dr_grpo", "dapo", "rloo", "reinforce", "ppo"]
EPSILON = 1e-4
"""Added to a group's standard deviation, as in TRL."""
LARGEST_CHANGE = 0.2
"""By which the weight of the divergence changes in a horizon, at most."""


class PolicyLossConfig(Config):
    """Which algorithm, and its constants."""

    name: AlgorithmName = "grpo"
    """grpo, dr_grpo, dapo, rloo, reinforce or ppo."""
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """How far below 1 a ratio counts."""
    clip_high: float = Field(default=0.2, ge=0)
    """How far above 1 a ratio counts; DAPO: 0.28."""
    beta: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the model before training; 0: none, and no reference."""
    target: float = Field(default=0.0, ge=0)
    """Divergence of an answer, nats, at which beta is held by changing it; 0: it stays. Of ppo,
    rloo and reinforce, which have it in the reward."""
    horizon: int = Field(default=10_000, ge=1)
    """Answers in which beta changes by a fifth at most."""
    discount: float = Field(default=1.0, gt=0, le=1)
    """Of later tokens' rewards, in ppo."""
    decay: float = Field(default=0.95, ge=0, le=1)
    """How far advantages of ppo look past a token's value: 0 to the next, 1 to the end."""
    value_weight: float = Field(default=0.1, ge=0)
    """Weight of the values' loss in ppo."""
    value_clip: float = Field(default=0.2, gt=0)
    """How far an update may move a value in ppo."""

    @property
    def is_by_answer(self) -> bool:
        """Whether the ratio is of an answer rather than of each of its tokens."""
        return self.name in ("rloo", "reinforce")

    @property
    def is_by_group(self) -> bool:
        """Whether the answers to one prompt are compared with each other."""
        return self.name not in ("reinforce", "ppo")

    @property
    def is_penalised(self) -> bool:
        """Whether the divergence is taken from the reward."""
        return self.is_by_answer or self.name == "ppo"

    @model_validator(mode="after")
    def check(self) -> "PolicyLossConfig":
        """Check that a target has a beta to change."""
        if self.target and not (self.beta and self.is_penalised):
            raise ConfigError(
                "target holds a divergence that is taken from the reward: give beta and ppo, rloo "
                f"or reinforce; got beta={self.beta:g} and {self.name}."
            )
        return self


class Tokens(NamedTuple):
    """The tokens of some answers, one after the other."""

    policy: Float[Tensor, " N"]
    """Log-probabilities, nats."""
    sampled: Float[Tensor, " N"]
    """Those that they were sampled with."""
    reference: Float[Tensor, " N"]
    """Those of the model before training."""
    advantages: Float[Tensor, " N"]
    """Of each token, or of its answer."""
    answer: Int[Tensor, " N"]
    """Which answer each token is of, from 0."""


def advantages(rewards: Float[Tensor, "P G"], name: AlgorithmName) -> Float[Tensor, "P G"]:
    """How much better each of G answers to P prompts is than was to be expected.

    >>> advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), "rloo")
    tensor([[ 0.6667, -0.6667, -0.6667,  0.6667]])
    """
    if name == "reinforce":
        return rewards - rewards.mean()
    count, mean = rewards.shape[1], rewards.mean(1, keepdim=True)
    if name == "rloo":
        return (rewards - mean) * (count / (count - 1))
    if name == "dr_grpo":
        return rewards - mean
    return (rewards - mean) / (rewards.std(1, keepdim=True) + EPSILON)


def policy_loss(tokens: Tokens, config: PolicyLossConfig) -> Float[Tensor, ""]:
    """The sum over answers or tokens that the step's weight divides (rollouts.py)."""
    count = int(tokens.answer.max()) + 1 if len(tokens.answer) else 0
    change, gains = tokens.policy - tokens.sampled, tokens.advantages
    if config.is_by_answer:
        change = change.new_zeros(count).index_add(0, tokens.answer, change)
        gains = change.new_zeros(count).index_copy(0, tokens.answer, gains)
    ratio = change.exp()
    clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    losses = -torch.minimum(ratio * gains, clipped * gains)
    if config.is_by_answer:
        return losses.sum()
    if config.beta and not config.is_penalised:
        gap = tokens.reference - tokens.policy
        losses = losses + config.beta * ratio * (gap.exp() - gap - 1)
    if config.name == "grpo":
        losses = losses / tokens.answer.bincount(minlength=count)[tokens.answer]
    return losses.sum()


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
