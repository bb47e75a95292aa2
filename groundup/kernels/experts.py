"""Mixture of experts: each token is processed by the top-k experts of its router.

`reference_experts` is the definition, token by token. `mixture_of_experts` sorts the (token,
expert) pairs by expert, so that each expert is three matrix products over one slice, and adds the
results to their tokens: the cost of a dense layer with as many features per token, without padding.
An expert with a capacity serves its first tokens; the others get no output from it, only the
residual. Knows no router losses and no models. Source: Shazeer et al. 2017, arXiv:1701.06538; Fedus
et al. 2021, arXiv:2101.03961; without dropping: Gale et al. 2022, arXiv:2211.15841.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


class ClampedGate(NamedTuple):
    """GPT-OSS's hidden features: (u + 1) g sigmoid(gain g), of clamped gates and projections."""

    limit: float
    gain: float


Activation = Callable[[Tensor], Tensor] | ClampedGate


class ExpertWeights(NamedTuple):
    """Weights of all experts, or of one; without gate, out = act(x up) down."""

    up: Float[Tensor, "*E F D"]
    down: Float[Tensor, "*E D F"]
    gate: Float[Tensor, "*E F D"] | None = None
    up_bias: Float[Tensor, "*E F"] | None = None
    down_bias: Float[Tensor, "*E D"] | None = None
    gate_bias: Float[Tensor, "*E F"] | None = None


class ExpertScoring(NamedTuple):
    """How logits become the scores by which experts are chosen and weighed."""

    kind: Literal["softmax", "sigmoid"] = "softmax"
    correction: Float[Tensor, " E"] | None = None
    """Added to the scores for the choice alone (DeepSeek V3, arXiv:2412.19437, section 2.1.2)."""
    groups: int = 1
    chosen_groups: int = 1
    """Experts are chosen from these best groups (DeepSeek V2, arXiv:2405.04434, section 2.2.2)."""
    scale: float = 1.0
    """Factor of the weights."""


class ExpertRouting(NamedTuple):
    """Routing: the experts of each token."""

    experts: Int[Tensor, "N c"]
    """Experts of each token, the most probable first."""
    weights: Float[Tensor, "N c"]
    """Weight of each expert's output; 0 if it is not computed."""


SOFTMAX = ExpertScoring()


def route_tokens(
    logits: Float[Tensor, "N E"], top_k: int, *, normalised: bool, capacity: int | None = None,
    is_real: Bool[Tensor, " N"] | None = None, scoring: ExpertScoring = SOFTMAX,
) -> ExpertRouting:  # fmt: skip
    """Top-k routing: the most probable experts of each token and their weights, at least float32.

    normalised  weights are a softmax over the chosen experts; else their part of a softmax over all
    capacity    maximum tokens per expert: all first choices in order, then all second ones; None:
                no limit
    is_real     False for padding, which is not routed and uses no capacity

    >>> route_tokens(torch.tensor([[0.0, 2.0], [0.0, 1.0]]), 1, normalised=True, capacity=1)
    ExpertRouting(experts=tensor([[1],
            [1]]), weights=tensor([[1.],
            [0.]]))
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    shares = logits.to(exact)
    shares = shares.softmax(-1) if scoring.kind == "softmax" else shares.sigmoid()
    experts = _choice_scores(logits, shares, scoring).topk(top_k, dim=-1).indices  # (N, c)
    weights = shares.gather(-1, experts)
    if normalised:
        weights = weights / weights.sum(-1, keepdim=True)
    weights = weights * scoring.scale if scoring.scale != 1.0 else weights
    if is_real is not None:
        weights = weights.masked_fill(~is_real[:, None], 0.0)
    if capacity is not None:
        weights = weights.masked_fill(
            _queue_positions(experts, logits.shape[1], is_real) >= capacity, 0.0
        )
    return ExpertRouting(experts, weights)


def _choice_scores(
    logits: Float[Tensor, "N E"], shares: Float[Tensor, "N E"], scoring: ExpertScoring
) -> Float[Tensor, "N E"]:
    """Scores by which experts are chosen: corrected, and -inf outside the best groups."""
    if scoring.correction is not None:
        shares = shares + scoring.correction
    if scoring.groups == 1:  # logits tie less than scores, which may saturate
        return logits if scoring.correction is None else shares
    grouped = shares.detach().unflatten(-1, (scoring.groups, -1))
    best = grouped.topk(1 if scoring.kind == "softmax" else 2, dim=-1).values.sum(-1)
    chosen = best.topk(scoring.chosen_groups, dim=-1).indices
    is_open = torch.zeros_like(best).scatter(-1, chosen, 1.0) > 0
    return grouped.masked_fill(~is_open[..., None], -torch.inf).flatten(-2)


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
            part = ExpertWeights(*(None if w is None else w[expert] for w in weights))  # type: ignore[arg-type]
            inner = _biased(part.up @ token, part.up_bias)
            gate = None if part.gate is None else _biased(part.gate @ token, part.gate_bias)
            result = _biased(part.down @ _activate(inner, gate, activation), part.down_bias)
            out[n] = out[n] + (weight * result).to(out.dtype)
    return out


def _biased(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias


def _activate(
    up: Float[Tensor, "*N F"], gate: Float[Tensor, "*N F"] | None, activation: Activation
) -> Float[Tensor, "*N F"]:
    """Hidden features, gated or not."""
    if not isinstance(activation, ClampedGate):
        return activation(up) if gate is None else activation(gate) * up
    assert gate is not None, "a clamped gate has a gate"
    gate, up = gate.clamp(max=activation.limit), up.clamp(-activation.limit, activation.limit)
    return (up + 1) * gate * torch.sigmoid(gate * activation.gain)


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
    count = len(weights.up)
    each = ([None] * count if w is None else w.unbind(0) for w in weights)
    return [ExpertWeights(*part) for part in zip(*each, strict=True)]  # type: ignore[arg-type]


def _run_expert(
    rows: Float[Tensor, "n D"], part: ExpertWeights, activation: Activation
) -> Float[Tensor, "n D"]:
    inner = F.linear(rows, part.up, part.up_bias)
    gate = None if part.gate is None else F.linear(rows, part.gate, part.gate_bias)
    inner = _activate(inner, gate, activation)
    return F.linear(inner, part.down, part.down_bias)
