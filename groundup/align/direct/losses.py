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

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from groundup.core import Config

PairLossName = Literal["dpo", "cdpo", "robust", "hinge", "ipo", "dpo_mean", "simpo", "orpo"]
LossName = Literal[PairLossName, "kto"]
WITHOUT_REFERENCE = ("simpo", "orpo")


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
        return self.name not in WITHOUT_REFERENCE


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


PairLoss = Callable[[Answers, Answers, PreferenceLossConfig], Float[Tensor, " P"]]
"""(chosen, rejected, constants) -> nats of each pair."""


def dpo(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """Direct preference optimisation."""
    return -logsigmoid(config.beta * (chosen.change - rejected.change))


def cdpo(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """DPO of labels of which a share is wrong."""
    logits, wrong = config.beta * (chosen.change - rejected.change), config.smoothing
    return -(1 - wrong) * logsigmoid(logits) - wrong * logsigmoid(-logits)


def robust(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """DPO's loss of right labels, estimated without bias from labels of which a share is wrong."""
    logits, wrong = config.beta * (chosen.change - rejected.change), config.smoothing
    return (wrong * logsigmoid(-logits) - (1 - wrong) * logsigmoid(logits)) / (1 - 2 * wrong)


def hinge(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """Sequence likelihood calibration: no loss beyond the margin."""
    return relu(1 - config.beta * (chosen.change - rejected.change))


def ipo(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """Identity preference optimisation: the difference is to be 1 / (2 b), not as large as may be.

    Per token, as TRL and the authors; OpenRLHF takes sums.
    """
    difference = chosen.change / chosen.tokens - rejected.change / rejected.tokens
    return (difference - 1 / (2 * config.beta)).square()


def dpo_mean(
    chosen: Answers, rejected: Answers, config: PreferenceLossConfig
) -> Float[Tensor, " P"]:
    """DPO per token, which does not favour long answers."""
    difference = chosen.change / chosen.tokens - rejected.change / rejected.tokens
    return -logsigmoid(config.beta * difference)


def simpo(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """Simple preference optimisation, without a reference."""
    return -logsigmoid(config.beta * (chosen.mean - rejected.mean) - config.gamma)


def orpo(chosen: Answers, rejected: Answers, config: PreferenceLossConfig) -> Float[Tensor, " P"]:
    """Odds ratio preference optimisation: tuning on chosen answers, and a penalty of the others."""
    means = [each.mean.clamp(max=-1e-6) for each in (chosen, rejected)]  # odds of 1 are infinite
    odds = [mean - torch.log1p(-mean.exp()) for mean in means]
    return -chosen.mean - config.beta * logsigmoid(odds[0] - odds[1])


PAIR_LOSSES: dict[PairLossName, PairLoss] = {
    "dpo": dpo, "cdpo": cdpo, "robust": robust, "hinge": hinge, "ipo": ipo,
    "dpo_mean": dpo_mean, "simpo": simpo, "orpo": orpo,
}  # fmt: skip
assert PAIR_LOSSES.keys() == set(get_args(PairLossName))


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
