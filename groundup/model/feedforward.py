"""The feed-forward of a block, dense or a mixture of experts.

    out = act(x W_up) W_down                    ReLU, GELU
    out = (act(x W_gate) * (x W_up)) W_down     gated: SwiGLU with SiLU, GeGLU with GELU

It acts on each token independently. With experts a router chooses a few of many networks for each
token:

    shares = softmax(x W_router);   out = sum over the chosen e of weight_e * network_e(x)

Two auxiliary losses train the router: one balances the load of the experts, the other keeps the
logits small. Both are means over real tokens: padding is not routed.
Source: Vaswani et al. 2017, arXiv:1706.03762; gates: Shazeer 2020, arXiv:2002.05202; Switch: Fedus
et al. 2021, arXiv:2101.03961, section 2.2; z loss: Zoph et al. 2022, arXiv:2202.08906; Mixtral:
Jiang et al. 2024, arXiv:2401.04088.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.kernels import (
    ClampedGate,
    ExpertRouting,
    ExpertScoring,
    ExpertWeights,
    mixture_of_experts,
    route_tokens,
)

from .attention import NO_CONTEXT, Context, empty_linear
from .configuration.config import Activation, ModelConfig

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


BIASES = ("up_bias", "down_bias", "gate_bias")
"""Of experts, in the order of `ExpertWeights`."""


class FeedForward(nn.Module):
    """A dense feed-forward, gated or not."""

    def __init__(self, config: ModelConfig, inner: int | None = None) -> None:
        """Build it with `inner` hidden features; None: as configured."""
        super().__init__()
        part, width = config.feedforward, config.width
        inner = part.width if inner is None else inner
        self.gate_proj = empty_linear(width, inner, part.bias) if part.gated else None
        self.up_proj = empty_linear(width, inner, part.bias)
        self.down_proj = empty_linear(inner, width, part.bias)
        self.activation = ACTIVATIONS[part.activation]

    def forward(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the update of each token's features."""
        up = self.up_proj(hidden)
        if self.gate_proj is None:
            return self.down_proj(self.activation(up))
        return self.down_proj(self.activation(self.gate_proj(hidden)) * up)


class Experts(nn.Module):
    """A layer's experts with their router."""

    up_bias: Tensor | None
    down_bias: Tensor | None
    gate_bias: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        part = config.feedforward
        assert part.experts is not None, "a layer with experts has an ExpertsConfig"
        self.config, count = part.experts, part.experts.count
        self.router = empty_linear(config.width, count, self.config.bias)
        inner = (count, part.expert_width, config.width)
        is_gated = part.gated if self.config.gated is None else self.config.gated
        self.gate_proj = nn.Parameter(torch.empty(inner)) if is_gated else None
        self.up_proj = nn.Parameter(torch.empty(inner))
        self.down_proj = nn.Parameter(torch.empty(count, config.width, part.expert_width))
        for name, size in zip(BIASES, (inner[1], config.width, inner[1]), strict=True):
            has_bias = self.config.bias and (is_gated or name != "gate_bias")
            bias = nn.Parameter(torch.empty(count, size)) if has_bias else None
            self.register_parameter(name, bias)
        self.register_buffer("correction", torch.zeros(count) if self.config.correction else None)
        self.shared = FeedForward(config, self.config.shared) if self.config.shared else None
        self.activation: Callable[[Tensor], Tensor] | ClampedGate = ACTIVATIONS[part.activation]
        if self.config.limit is not None:
            self.activation = ClampedGate(self.config.limit, self.config.gain)
        self.compute: Callable[..., Tensor] = mixture_of_experts
        """Runs the experts; replaced where they are sharded over processes."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Experts":  # type: ignore[override]
        """Keep the correction in float32 when the weights are rounded: near scores need it."""
        exact = self.correction
        super()._apply(fn, recurse)
        if exact is not None and not exact.is_meta:
            self.correction = exact.to(self.correction.device)
        return self

    def forward(
        self, hidden: Float[Tensor, "B T D"], context: Context = NO_CONTEXT
    ) -> Float[Tensor, "B T D"]:
        """Return the update of each token's features; append the logits to `context.routing`."""
        flat = hidden.flatten(0, 1)  # (N, D)
        logits = self.route(flat)  # (N, E)
        if context.routing is not None:
            context.routing.append(logits)
        documents = context.mask.documents
        is_real = None if documents is None else (documents[:, -hidden.shape[1] :] >= 0).flatten()
        choice, rows = self.choose(logits, is_real), flat
        if self.config.capacity is not None:
            length, most = hidden.shape[1], self.config.capacity
            choice = _apply_sequence_capacity(choice, length, most, is_real)
        if self.config.weighs_input:
            rows = flat * choice.weights.to(flat.dtype)
            choice = choice._replace(weights=(choice.weights != 0).to(choice.weights))
        weights = ExpertWeights(
            self.up_proj, self.down_proj, self.gate_proj, self.up_bias, self.down_bias,
            self.gate_bias,
        )  # fmt: skip
        out = self.compute(rows, weights, choice, self.activation)
        out = out if self.shared is None else out + self.shared(flat)
        return out.view_as(hidden)

    def route(self, flat: Float[Tensor, "N D"]) -> Float[Tensor, "N E"]:
        """The router's logits, in at least float32."""
        with torch.autocast(flat.device.type, enabled=False):
            exact = torch.promote_types(flat.dtype, torch.float32)
            bias = None if self.router.bias is None else self.router.bias.to(exact)
            return F.linear(flat.to(exact), self.router.weight.to(exact), bias)

    def choose(
        self, logits: Float[Tensor, "N E"], is_real: Bool[Tensor, " N"] | None = None
    ) -> ExpertRouting:
        """The experts of each token, and their weights."""
        part = self.config
        scoring = ExpertScoring(
            part.scores, self.correction, part.groups, part.chosen_groups, part.scale
        )
        return route_tokens(
            logits, part.chosen, normalised=part.normalised, capacity=self.capacity(len(logits)),
            is_real=is_real, scoring=scoring,
        )  # fmt: skip

    def capacity(self, tokens: int) -> int | None:
        """Tokens that one expert serves out of `tokens`; None: no limit."""
        if self.config.capacity_factor is None or not self.training:
            return None
        share = tokens * self.config.chosen / self.config.count
        return math.ceil(self.config.capacity_factor * share)


def _apply_sequence_capacity(
    choice: ExpertRouting, length: int, capacity: int, is_real: Bool[Tensor, " N"] | None = None
) -> ExpertRouting:
    """Keep an expert's first `capacity` tokens of each sequence; set the weight of others to 0.

    Padding does not use capacity. In Transformers padding on the left does, so that a result there
    depends on the longest sequence of its batch.

    >>> choice = ExpertRouting(torch.zeros(4, 1, dtype=torch.long), torch.ones(4, 1))
    >>> _apply_sequence_capacity(choice, 2, 1).weights.flatten().tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    assigned = F.one_hot(choice.experts).sum(1)  # (N, E)
    assigned = assigned if is_real is None else assigned * is_real[:, None]
    ranks = assigned.unflatten(0, (-1, length)).cumsum(1).flatten(0, 1)
    is_over = ranks.gather(1, choice.experts) > capacity
    return choice._replace(weights=choice.weights.masked_fill(is_over, 0.0))


def _all_reduce(tensor: Tensor, add: Callable[[Tensor], Tensor] | None) -> Tensor:
    """The sum of a tensor over processes; without `add`, this process's tensor."""
    return tensor if add is None else add(tensor)


def balance_loss(
    logits: Float[Tensor, "N E"],
    chosen: int,
    is_real: Bool[Tensor, " N"] | None = None,
    add: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """Load-balancing loss E * sum_e f_e P_e: 1 if all experts get equal load, more otherwise.

    f_e is the share of choices that fall on expert e, P_e its mean softmax probability.

    add  sums a tensor over the processes whose tokens are balanced together; None: this one only

    >>> round(float(balance_loss(torch.eye(4) * 20, 1)), 3)
    1.0
    """
    real = logits if is_real is None else logits[is_real]
    shares = real.softmax(-1)
    count = logits.shape[1]
    picked = shares.topk(chosen, dim=-1).indices.flatten().bincount(minlength=count)
    tokens = real.new_full((1,), len(real))
    totals = _all_reduce(torch.cat([picked.to(real.dtype), tokens]), add)
    picked, tokens = totals[:-1], totals[-1].clamp(min=1)
    mean = _all_reduce(shares.sum(0), add) / tokens
    return count * (picked / picked.sum().clamp(min=1) * mean).sum()


def z_loss(
    logits: Float[Tensor, "N E"],
    is_real: Bool[Tensor, " N"] | None = None,
    add: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """Mean square of the logits' logsumexp: keeps logits small, where rounding is finer.

    add  sums a tensor over the processes whose tokens are counted together; None: this one only

    >>> float(z_loss(torch.zeros(3, 1)))
    0.0
    """
    real = logits if is_real is None else logits[is_real]
    tokens = _all_reduce(real.new_full((1,), len(real)), add).clamp(min=1)
    return (_all_reduce(real.logsumexp(-1).square().sum()[None], add) / tokens).sum()
