"""Sampling: choose the next token from the model's logits.

    p = softmax(logits / temperature);  top-k keeps the k likeliest;  top-p, on what is left made to
    sum to one, keeps the likeliest until their sum reaches p, the token that crosses it included

In this order. Temperature 0 is greedy and needs no chance. Each row draws from a generator of its
own by inverting its cumulative distribution, so one uniform number a token decides, and what
neighbours draw moves nothing. Knows no model and no text.
Source: top-p: Holtzman et al. 2020, arXiv:1904.09751, as in transformers' TopPLogitsWarper.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, Sampling


class Candidates(NamedTuple):
    """Tokens that may be chosen: probabilities that sum to one, and whose they are."""

    probabilities: Float[Tensor, "B C"]
    ids: Int[Tensor, "B C"] | None
    """None if the candidates are the whole vocabulary in order."""


def check_sampling(sampling: Sampling) -> None:
    """Raise ConfigError naming the first setting that no distribution can have."""
    wrong = [
        ("temperature", sampling.temperature, sampling.temperature < 0, "0 or more"),
        ("top_k", sampling.top_k, sampling.top_k < 0, "0 (all) or more"),
        ("top_p", sampling.top_p, not 0 < sampling.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens < 1, "1 or more"),
    ]
    for name, value, is_wrong, expected in wrong:
        if is_wrong:
            raise ConfigError(f"Sampling.{name} must be {expected}; got {value}.")


def candidates(logits: Float[Tensor, "B V"], sampling: Sampling) -> Candidates:
    """The distribution that sampling draws from, in float64; temperature must be above 0.

    >>> sampling = Sampling(temperature=1.0, top_p=0.45)
    >>> candidates(torch.tensor([[0.1, 0.5, 0.4]]).log(), sampling).probabilities
    tensor([[1., 0., 0.]], dtype=torch.float64)
    """
    values, ids = logits, None
    if 0 < sampling.top_k < logits.shape[-1]:
        values, ids = logits.topk(sampling.top_k)  # (B, k), likeliest first
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


def pick(
    logits: Float[Tensor, "B V"], sampling: Sampling, uniforms: Float[Tensor, " B"] | None
) -> Int[Tensor, " B"]:
    """Next token of each row, decided by its uniform number in [0, 1); greedy needs none."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if uniforms is None:
        raise ConfigError(f"Sampling at temperature {sampling.temperature} needs uniform numbers.")
    probabilities, ids = candidates(logits, sampling)
    sums = probabilities.cumsum(-1)
    total = sums[:, -1]
    below = torch.minimum(uniforms * total, torch.nextafter(total, torch.zeros_like(total)))
    place = torch.searchsorted(sums, below[:, None], right=True)  # (B, 1), first sum above
    return (place if ids is None else ids.gather(-1, place))[:, 0]


def choose(
    logits: Float[Tensor, "B V"], sampling: Sampling, generators: Sequence[torch.Generator]
) -> Int[Tensor, " B"]:
    """Next token of each row, drawn from the row's own generator.

    Raises ConfigError if sampling is impossible or generators and rows differ in number.
    """
    check_sampling(sampling)
    if len(generators) != logits.shape[0]:
        raise ConfigError(
            f"choose needs one generator a row: {logits.shape[0]} rows, {len(generators)} given."
        )
    return pick(logits, sampling, draw(generators, 1)[:, 0].to(logits.device))


def generators_of(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator a seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw(generators: Sequence[torch.Generator], count: int) -> Float[Tensor, "B count"]:
    """Uniform numbers in [0, 1) for `count` tokens of each row, float64."""
    rows = [torch.rand(count, generator=each, dtype=torch.float64) for each in generators]
    return torch.stack(rows) if rows else torch.empty(0, count, dtype=torch.float64)
