"""Losses of reward models, from the scores of answers or of their steps.

    pairs   -log s(r_chosen - r_rejected - m) + c (r_chosen + r_rejected)²      TRL 1.16 Reward
    steps   -log p(label)                                                       TRL 1.9 PRM

s is the logistic function, m a pair's margin (how much better its answer was said to be), and c
keeps scores around 0, where those of several models can be compared.
Source: Bradley and Terry 1952; Ouyang et al. 2022, arXiv:2203.02155; the margin: Touvron et al.
2023, arXiv:2307.09288; the centre: Eisenstein et al. 2023, arXiv:2312.09244; steps: Lightman et al.
2023, arXiv:2305.20050.
"""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid


def pair_losses(
    chosen: Float[Tensor, " P"], rejected: Float[Tensor, " P"], margin: Float[Tensor, " P"],
    centring: float,
) -> Float[Tensor, " P"]:  # fmt: skip
    """Nats of each pair."""
    centre = (chosen + rejected).square()
    return -logsigmoid(chosen - rejected - margin) + centring * centre


def step_losses(scores: Float[Tensor, "S 2"], labels: Int[Tensor, " S"]) -> Float[Tensor, " S"]:
    """Nats of each step: 1 is right, 0 wrong."""
    return cross_entropy(scores.float(), labels, reduction="none")
