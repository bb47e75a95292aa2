"""Losses of preferences, each from the log-probabilities of whole answers.

    d = (log p(chosen) - log p_ref(chosen)) - (log p(rejected) - log p_ref(rejected))

    dpo     -log s(b d)                                     TRL 1.16 `sigmoid`
    cdpo    -(1 - e) log s(b d) - e log s(-b d)             OpenRLHF 0.11 (label smoothing)
    robust  [-(1 - e) log s(b d) + e log s(-b d)] / (1 - 2 e)                  TRL 1.16 `robust`
    hinge   max(0, 1 - b d)                                 TRL 1.16 `hinge`
    ipo     (d' - 1 / (2 b))²                               TRL 1.16 `ipo`
    dpo_mean -log s(b d')                                   TRL 1.16 `sigmoid_norm`
    simpo   -log s(b (m_chosen - m_rejected) - g)           TRL 1.16 CPO `simpo`, its gamma
    orpo    -m_chosen - b log s(log odds chosen - log odds rejected)           TRL 1.16 ORPO
    kto     1 - s(b (r - z)) of a good answer, 1 - s(b (z - r)) of a bad one   TRL 1.16 KTO

s is the logistic function and m the mean log-probability of an answer's tokens; d' is d with each
answer's term divided by its tokens. In kto r is log p - log p_ref of the answer, and z their mean
over answers to other prompts, at least 0, without a gradient. TRL's ORPO takes the mean of -m over
all tokens of a batch; here it is of the answer, as in the paper, so that micro-batches add up.
Source: DPO Rafailov et al. 2023, arXiv:2305.18290; cDPO Mitchell 2023; robust Chowdhury et al.
2024, arXiv:2403.00409; hinge Zhao et al. 2023, arXiv:2305.10425; IPO Azar et al. 2023,
arXiv:2310.12036; SimPO Meng et al. 2024, arXiv:2405.14734; ORPO Hong et al. 2024, arXiv:2403.07691;
KTO Ethayarajh et al. 2024, arXiv:2402.01306.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from groundup.core import Config

PairLossName = Literal["dpo", "cdpo", "robust", "hinge", "ipo", "dpo_mean", "simpo", "orpo"]
LossName = Literal[PairLossName, "kto"]


class PreferenceLossConfig(Config):
    """Which loss, and its constants."""

    name: LossName = "dpo"
    """dpo, cdpo, robust, hinge, ipo, dpo_mean, simpo or orpo of pairs; kto of single answers."""
    beta: float = Field(default=0.1, gt=0)
    """Scale b of the difference; larger: nearer to the reference. Usual: simpo 2, dpo_mean 5."""
    gamma: float = Field(default=0.5, ge=0)
    """Margin g of simpo."""
    smoothing: float = Field(default=0.1, ge=0, lt=0.5)
    """Share e of preferences that may be wrong, of cdpo and robust."""
    desirable: float = Field(default=1.0, gt=0)
    """Weight of good answers in kto."""
    undesirable: float = Field(default=1.0, gt=0)
    """Weight of bad answers in kto; with few of them, raise it until both sides weigh the same."""

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares with the model before training."""
        return self.name not in ("simpo", "orpo")


class Answers(NamedTuple):
    """Log-probabilities of some answers, nats, each the sum over its tokens."""

    policy: Float[Tensor, " A"]
    reference: Float[Tensor, " A"]
    """Of the model before training; zeros where the loss has none."""
    tokens: Float[Tensor, " A"]

    @property
    def change(self) -> Float[Tensor, " A"]:
        """log p - log p_ref."""
        return self.policy - self.reference

    @property
    def mean(self) -> Float[Tensor, " A"]:
        """Mean log-probability of a token."""
        return self.policy / self.tokens


def preference_losses(
    chosen: Answers, rejected: Answers, config: PreferenceLossConfig
) -> Float[Tensor, " P"]:
    """Nats of each pair; ipo is per token, as of TRL and the authors (OpenRLHF takes sums)."""
    scale, flip = config.beta, config.smoothing
    logits = scale * (chosen.change - rejected.change)
    by_token = chosen.change / chosen.tokens - rejected.change / rejected.tokens
    match config.name:
        case "dpo":
            return -logsigmoid(logits)
        case "cdpo":
            return -(1 - flip) * logsigmoid(logits) - flip * logsigmoid(-logits)
        case "robust":
            return (flip * logsigmoid(-logits) - (1 - flip) * logsigmoid(logits)) / (1 - 2 * flip)
        case "hinge":
            return relu(1 - logits)
        case "ipo":
            return (by_token - 1 / (2 * scale)).square()
        case "dpo_mean":
            return -logsigmoid(scale * by_token)
        case "simpo":
            return -logsigmoid(scale * (chosen.mean - rejected.mean) - config.gamma)
        case "orpo":
            odds = [each.mean - torch.log1p(-each.mean.exp()) for each in (chosen, rejected)]
            return -chosen.mean - scale * logsigmoid(odds[0] - odds[1])
    raise AssertionError(f"{config.name} is not of pairs")


def kto(
    answers: Answers, is_good: Bool[Tensor, " A"], other: Float[Tensor, ""],
    config: PreferenceLossConfig,
) -> Float[Tensor, " A"]:  # fmt: skip
    """Kahneman–Tversky optimisation: what is won or lost against the usual change of an answer.

    other  mean of log p - log p_ref over answers to other prompts: an estimate of the divergence
    """
    usual = other.detach().clamp(min=0)
    gain = config.beta * torch.where(is_good, answers.change - usual, usual - answers.change)
    weight = torch.where(is_good, config.desirable, config.undesirable)
    return weight * (1 - gain.sigmoid())
