"""Sampling: choose the next token from the model's logits.

    p = softmax(logits / temperature);  top-k keeps the k most likely tokens;  top-p renormalises
    and keeps the most likely ones until their sum reaches p, the token that crosses p included

In this order. Temperature 0 is greedy and draws nothing. Each sequence inverts its cumulative
distribution at one uniform number per token from its own generator, so other sequences of the
batch do not affect it. No model and no text here.
Source: top-p: Holtzman et al. 2020, arXiv:1904.09751, as in transformers' TopPLogitsWarper.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, Sampling


class Candidates(NamedTuple):
    """Tokens that may be drawn, with probabilities that sum to one."""

    probabilities: Float[Tensor, "B C"]
    ids: Int[Tensor, "B C"] | None
    """None if the candidates are the whole vocabulary in order."""


def check_sampling(sampling: Sampling) -> None:
    """Raise ConfigError naming the first invalid setting."""
    wrong = [
        ("temperature", sampling.temperature, sampling.temperature < 0, "0 or more"),
        ("top_k", sampling.top_k, sampling.top_k < 0, "0 (all) or more"),
        ("top_p", sampling.top_p, not 0 < sampling.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens < 1, "1 or more"),
    ]
    for name, value, is_wrong, expected in wrong:
        if is_wrong:
            raise ConfigError(f"Sampling.{name} must be {expected}; got {value}.")


def sampling_distribution(logits: Float[Tensor, "B V"], sampling: Sampling) -> Candidates:
    """The distribution that sampling draws from, in float64, at a temperature above 0.

    >>> sampling = Sampling(temperature=1.0, top_p=0.45)
    >>> sampling_distribution(torch.tensor([[0.1, 0.5, 0.4]]).log(), sampling).probabilities
    tensor([[1., 0., 0.]], dtype=torch.float64)
    """
    values, ids = logits, None
    if 0 < sampling.top_k < logits.shape[-1]:
        values, ids = logits.topk(sampling.top_k)  # (B, k), most likely first
    elif sampling.top_p < 1:
        values, ids = logits.sort(descending=True, stable=True)
    exact = values.double()
    exact = (exact - exact.amax(-1, keepdim=True)) / sampling.temperature
    probabilities = exact.softmax(-1)
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        before[:, 0] = 0
        kept = probabilities.masked_fill(before >= sampling.top_p, 0)
        probabilities = kept / kept.sum(-1, keepdim=True)
    return Candidates(probabilities, ids)


def sample_from_uniforms(
    logits: Float[Tensor, "B V"], sampling: Sampling, uniforms: Float[Tensor, " B"] | None
) -> Int[Tensor, " B"]:
    """Next token of each sequence, given its uniform number in [0, 1); greedy needs none."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if uniforms is None:
        raise ConfigError(f"Sampling at temperature {sampling.temperature} needs uniform numbers.")
    probabilities, ids = sampling_distribution(logits, sampling)
    sums = probabilities.cumsum(-1)
    total = sums[:, -1]
    below = torch.minimum(uniforms * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(sums, below[:, None], right=True)  # (B, 1), first sum above
    return (index if ids is None else ids.gather(-1, index))[:, 0]


def draw_uniforms(seeds: Sequence[int], num_tokens: int) -> Float[Tensor, "B count"]:
    """Uniform numbers in [0, 1), float64: one per token, from a generator per seed."""
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(num_tokens, generator=generator, dtype=torch.float64))
    return torch.stack(rows)
