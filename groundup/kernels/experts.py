"""Mixture of experts: each token is processed by the top-k experts of its router.

`reference_experts` is the definition, token by token. `mixture_of_experts` sorts the (token,
expert) pairs by expert, so that each expert is three matrix products over one slice, and adds the
results to their tokens: the cost of a dense layer with as many features per token, without padding.
An expert with a capacity serves its first tokens; the others get no output from it, only the
residual. Knows no router losses and no models. Source: Shazeer et al. 2017, arXiv:1701.06538; Fedus
et al. 2021, arXiv:2101.03961; without dropping: Gale et al. 2022, arXiv:2211.15841.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]


class ExpertWeights(NamedTuple):
    """Weights of all experts, or of one; without gate, out = act(x up) down."""

    up: Float[Tensor, "*E F D"]
    down: Float[Tensor, "*E D F"]
    gate: Float[Tensor, "*E F D"] | None = None


class ExpertRouting(NamedTuple):
    """Routing: the experts of each token."""

    experts: Int[Tensor, "N c"]
    """Experts of each token, the most probable first."""
    weights: Float[Tensor, "N c"]
    """Weight of each expert's output; 0 if it is not computed."""


def route_tokens(
    logits: Float[Tensor, "N E"], top_k: int, *, normalised: bool, capacity: int | None = None,
    is_real: Bool[Tensor, " N"] | None = None,
) -> ExpertRouting:  # fmt: skip
    """Top-k routing: the most probable experts of each token and their weights, at least float32.

    normalised  weights are a softmax over the chosen experts; else their part of a softmax over all
    capacity    maximum tokens per expert: all first choices in order, then all second ones; None:
    no
                limit
    is_real     False for padding, which is not routed and uses no capacity

    >>> route_tokens(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), 1, normalised=True, capacity=1)
    ExpertRouting(experts=tensor([[1],
            [1]]), weights=tensor([[1.],
            [0.]]))
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    shares = logits.softmax(-1, dtype=exact)
    weights, experts = shares.topk(top_k, dim=-1)  # (N, c)
    if normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    if is_real is not None:
        weights = weights.masked_fill(~is_real[:, None], 0.0)
    if capacity is not None:
        weights = weights.masked_fill(
            _queue_positions(experts, logits.shape[1], is_real) >= capacity, 0.0
        )
    return ExpertRouting(experts, weights)


def _queue_positions(
    experts: Int[Tensor, "N c"], count: int, is_real: Bool[Tensor, " N"] | None
) -> Int[Tensor, "N c"]:
    """Position of each choice in its expert's queue, from 0; padding is not queued."""
    order = experts.T.flatten()  # (c * N): first choices before second ones
    waits = F.one_hot(order, count)
    if is_real is not None:
        waits = waits * is_real.repeat(experts.shape[1])[:, None]
    before = waits.cumsum(0) - waits
    return before.gather(1, order[:, None]).view(experts.shape[1], -1).T


def reference_experts(
    hidden: Float[Tensor, "N D"],
    weights: ExpertWeights,
    routing: ExpertRouting,
    activation: Activation,
) -> Float[Tensor, "N D"]:
    """Sum over a token's experts of weight * network(token), one token at a time."""
    out = torch.zeros_like(hidden)
    for n, token in enumerate(hidden):
        for expert, weight in zip(routing.experts[n].tolist(), routing.weights[n], strict=True):
            inner = weights.up[expert] @ token
            if weights.gate is None:
                inner = activation(inner)
            else:
                inner = activation(weights.gate[expert] @ token) * inner
            out[n] = out[n] + (weight * (weights.down[expert] @ inner)).to(out.dtype)
    return out


class TokenExpertPairs(NamedTuple):
    """The routed (token, expert) pairs sorted by expert, without pairs of weight 0."""

    tokens: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]
    counts: list[int]
    """Number of pairs of each expert."""


def mixture_of_experts(
    hidden: Float[Tensor, "N D"],
    weights: ExpertWeights,
    routing: ExpertRouting,
    activation: Activation,
) -> Float[Tensor, "N D"]:
    """Equal to `reference_experts`, expert by expert over sorted tokens."""
    pairs = sort_pairs_by_expert(routing, len(weights.up))
    results = run_experts(hidden[pairs.tokens], pairs.counts, weights, activation)
    return combine_expert_outputs(results, pairs, hidden)


def sort_pairs_by_expert(routing: ExpertRouting, experts: int) -> TokenExpertPairs:
    """Pairs of a routing, sorted by expert, then by token."""
    served = (
        routing.weights.flatten() != 0
    )  # (N * c); NaN weights are computed, so that they propagate
    pairs = served.nonzero().squeeze(-1)
    order = routing.experts.flatten()[pairs].sort(stable=True)
    pairs = pairs[order.indices]
    counts = order.values.bincount(minlength=experts).tolist()
    return TokenExpertPairs(
        pairs // routing.experts.shape[1], routing.weights.flatten()[pairs], counts
    )


def run_experts(
    rows: Float[Tensor, "n D"], counts: list[int], weights: ExpertWeights, activation: Activation
) -> Float[Tensor, "n D"]:
    """Apply each expert to its rows, which are sorted by expert."""
    parts = _unbind_experts(weights, rows.device.type)
    outputs = [
        _run_expert(part, own, activation)
        for part, own in zip(rows.split(counts), parts, strict=True)
        if len(part)
    ]
    return torch.cat(outputs) if outputs else rows  # no rows


def combine_expert_outputs(
    results: Float[Tensor, "n D"], pairs: TokenExpertPairs, hidden: Float[Tensor, "N D"]
) -> Float[Tensor, "N D"]:
    """Sum the weighted results by token, in the tokens' dtype."""
    results = results * pairs.weights[:, None].to(results.dtype)
    return torch.zeros_like(hidden).index_add(0, pairs.tokens, results.to(hidden.dtype))


def _unbind_experts(weights: ExpertWeights, device: str) -> list[ExpertWeights]:
    """Weights of each expert, cast to autocast's dtype once.

    Unbound, not indexed, so that backward stacks the experts' gradients instead of summing one
    full-size tensor per expert.
    """
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        weights = ExpertWeights(*(None if w is None else w.to(dtype) for w in weights))  # type: ignore[arg-type]
    gates = [None] * len(weights.up) if weights.gate is None else weights.gate.unbind(0)
    return [
        ExpertWeights(up, down, gate)
        for up, down, gate in zip(weights.up.unbind(0), weights.down.unbind(0), gates, strict=True)
    ]


def _run_expert(
    rows: Float[Tensor, "n D"], part: ExpertWeights, activation: Activation
) -> Float[Tensor, "n D"]:
    inner = F.linear(rows, part.up)
    if part.gate is None:
        inner = activation(inner)
    else:
        inner = activation(F.linear(rows, part.gate)) * inner
    return F.linear(inner, part.down)
