"""Mixtures of experts: each token is computed by the few networks that its router chose.

`reference_experts` is the definition, token by token. `experts` sorts the chosen (token, expert)
pairs by expert, so that each expert is three matrix products over one slice, and adds the results
back to their tokens: the arithmetic of a dense layer of as many features a token, and no product
for filling. An expert with a capacity serves its first tokens; those beyond get nothing from it
and live on by the residual. Knows no router losses and no models.
Source: Shazeer et al. 2017, arXiv:1701.06538; Fedus et al. 2021, arXiv:2101.03961; without
dropping: Gale et al. 2022, arXiv:2211.15841.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]


class ExpertWeights(NamedTuple):
    """The networks of all experts, or of one; without gate, out = act(x up) down."""

    up: Float[Tensor, "*E F D"]
    down: Float[Tensor, "*E D F"]
    gate: Float[Tensor, "*E F D"] | None = None


class Choice(NamedTuple):
    """Who computes which token."""

    experts: Int[Tensor, "N c"]
    """The experts of each token, likeliest first."""
    weights: Float[Tensor, "N c"]
    """What each one's result is multiplied with; 0 where it is not computed."""


def choose(
    logits: Float[Tensor, "N E"],
    chosen: int,
    *,
    normalised: bool,
    capacity: int | None = None,
    is_real: Bool[Tensor, " N"] | None = None,
) -> Choice:
    """The likeliest experts of each token and their weights, in float32 or better.

    normalised  weights are a softmax over the chosen; else their shares of a softmax over all
    capacity    tokens that an expert serves: first all first choices in order, then all second
                ones; None serves every token
    is_real     padding is served by nobody and takes no room

    >>> choose(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), 1, normalised=True, capacity=1)
    Choice(experts=tensor([[1],
            [1]]), weights=tensor([[1.],
            [0.]]))
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    shares = logits.softmax(-1, dtype=exact)
    weights, experts = shares.topk(chosen, dim=-1)  # (N, c)
    if normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    if is_real is not None:
        weights = weights.masked_fill(~is_real[:, None], 0.0)
    if capacity is not None:
        weights = weights.masked_fill(places(experts, logits.shape[1], is_real) >= capacity, 0.0)
    return Choice(experts, weights)


def places(
    experts: Int[Tensor, "N c"], count: int, is_real: Bool[Tensor, " N"] | None
) -> Int[Tensor, "N c"]:
    """Each choice's place in its expert's queue, counted from 0; padding does not stand in it."""
    order = experts.T.flatten()  # (c * N): first choices before second ones
    waits = F.one_hot(order, count)
    if is_real is not None:
        waits = waits * is_real.repeat(experts.shape[1])[:, None]
    before = waits.cumsum(0) - waits
    return before.gather(1, order[:, None]).view(experts.shape[1], -1).T


def reference_experts(
    hidden: Float[Tensor, "N D"], weights: ExpertWeights, choice: Choice, activation: Activation
) -> Float[Tensor, "N D"]:
    """Sum over a token's experts of weight * network(token), one token at a time."""
    out = torch.zeros_like(hidden)
    for n, token in enumerate(hidden):
        for expert, weight in zip(choice.experts[n].tolist(), choice.weights[n], strict=True):
            inner = weights.up[expert] @ token
            if weights.gate is None:
                inner = activation(inner)
            else:
                inner = activation(weights.gate[expert] @ token) * inner
            out[n] = out[n] + (weight * (weights.down[expert] @ inner)).to(out.dtype)
    return out


def experts(
    hidden: Float[Tensor, "N D"], weights: ExpertWeights, choice: Choice, activation: Activation
) -> Float[Tensor, "N D"]:
    """The same, expert by expert over sorted tokens; pairs of weight 0 are left out."""
    served = choice.weights.flatten() != 0  # (N * c); nan is computed, so that it is seen
    pairs = served.nonzero().squeeze(-1)
    order = choice.experts.flatten()[pairs].sort(stable=True)
    pairs = pairs[order.indices]
    counts = order.values.bincount(minlength=len(weights.up)).tolist()
    return served_experts(hidden, weights, choice, activation, pairs=pairs, counts=counts)


def served_experts(
    hidden: Float[Tensor, "N D"],
    weights: ExpertWeights,
    choice: Choice,
    activation: Activation,
    *,
    pairs: Int[Tensor, " n"],
    counts: Sequence[int],
) -> Float[Tensor, "N D"]:
    """The same for (token, expert) pairs that are sorted by expert, so many of each expert."""
    tokens = pairs // choice.experts.shape[1]
    rows, parts = hidden[tokens].split(counts), apart(weights, hidden.device.type)
    found = [
        network(row, part, activation) for row, part in zip(rows, parts, strict=True) if len(row)
    ]
    if not found:
        return torch.zeros_like(hidden)
    results = torch.cat(found) * choice.weights.flatten()[pairs][:, None].to(found[0].dtype)
    return torch.zeros_like(hidden).index_add(0, tokens, results.to(hidden.dtype))


def apart(weights: ExpertWeights, device: str) -> list[ExpertWeights]:
    """Each expert's weights, rounded to autocast's dtype at once.

    Unbound and not indexed, so that backward stacks their gradients instead of adding up tensors
    of the size of all experts, one for each.
    """
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        weights = ExpertWeights(*(None if w is None else w.to(dtype) for w in weights))  # type: ignore[arg-type]
    gates = [None] * len(weights.up) if weights.gate is None else weights.gate.unbind(0)
    return [
        ExpertWeights(up, down, gate)
        for up, down, gate in zip(weights.up.unbind(0), weights.down.unbind(0), gates, strict=True)
    ]


def network(
    rows: Float[Tensor, "n D"], part: ExpertWeights, activation: Activation
) -> Float[Tensor, "n D"]:
    """One expert on its tokens."""
    inner = F.linear(rows, part.up)
    if part.gate is None:
        inner = activation(inner)
    else:
        inner = activation(F.linear(rows, part.gate)) * inner
    return F.linear(inner, part.down)
