"""Cross-entropy of next tokens without holding all logits.

The logits of N tokens over V ids are the largest tensor of a training step. Here they exist for
`chunk` tokens at a time: products in the compute dtype, logsumexp in float32, and the gradients
for hidden and head at once in forward, while the chunk is still in cache. Backward only scales
them, where they lie: a second pass back over the same loss is refused.
Losses are sums of weighted nats; the caller divides by the weight of the whole step, so
micro-batches of any split give the same gradient. Knows nothing of models or optimizers.
Source: the idea of Hsu et al. 2024 (Liger Kernel), arXiv:2410.10989, §3.2.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError

from .compiled import compiled_once
from .native.softmax import has_native, native_losses_and_errors

CHUNK_BYTES = 2**26
"""Most that the logits of one chunk take: more need memory, and with less the head's gradient is
added up too often."""
LARGEST_CHUNK, SMALLEST_CHUNK = 2048, 128
"""Tokens; beyond the first nothing is gained. Source: docs/LOG.md, 2026-11-28."""


class LossSum(NamedTuple):
    """A loss as a sum and what to divide it by, so that parts of a batch add up."""

    total: Tensor
    """Weighted nats, a scalar tensor."""
    weight: Tensor
    """Sum of the weights, a scalar tensor."""


class LossTerms(NamedTuple):
    """What training adds to cross-entropy.

        (1 - smoothing) * -log p(target) + smoothing * mean over ids of -log p + z * logsumexp²

    Source: label smoothing, Szegedy et al. 2015, arXiv:1512.00567; z-loss of the output, Chowdhery
    et al. 2022 (PaLM), arXiv:2204.02311.
    """

    smoothing: float = 0.0
    """Share of the target's probability that is spread over all ids."""
    z: float = 0.0
    """Factor of the squared logsumexp, which keeps logits small."""


NO_TERMS = LossTerms()


def reference_cross_entropy(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Sum of weighted negative log-probabilities of the targets, nats.

    >>> two = torch.tensor([1.0, 1.0])
    >>> float(reference_cross_entropy(torch.zeros(2, 8), torch.tensor([3, 5]), two).exp().round())
    64.0
    """
    logprobs = logits.log_softmax(-1)  # (N, V)
    return -(weights * logprobs.gather(-1, targets[:, None]).squeeze(-1)).sum()


def cross_entropy(
    hidden: Float[Tensor, "N D"],
    head: Float[Tensor, "V D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    bias: Float[Tensor, " V"] | None = None,
    softcap: float | None = None,
    chunk: int | None = None,
    compiled: bool = False,
    terms: LossTerms = NO_TERMS,
) -> Float[Tensor, ""]:
    """Sum over tokens of weight * -log p(target), nats, in float32 or better.

    hidden   (N, D)  after the final norm
    head     (V, D)  the output embedding; logits are hidden @ head.T
    bias     (V,)    added to the logits
    softcap          logits x become softcap * tanh(x / softcap), after the bias
    targets  (N,)    ids; where the weight is 0 the id is ignored but must lie in 0..V-1
    chunk            tokens whose logits exist at one time; None: see `chunk_of`
    compiled         whether the softmax, where it is not native, is one compiled kernel
    terms            what is added to each token's loss

    Products run in autocast's dtype where autocast is on. Gradients flow to hidden, head and bias,
    once: a second backward through the same loss raises RuntimeError.
    """
    compute = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        compute = torch.get_autocast_dtype(hidden.device.type)
    chunk = chunk or chunk_of(len(head), compute.itemsize)
    errors = partial(chunk_errors, compiled=compiled, softcap=softcap)
    if terms != NO_TERMS:
        errors = partial(errors_with_terms, terms=terms, softcap=softcap)
    plan = LossPlan(chunk, compute, errors)
    return ChunkedCrossEntropy.apply(hidden, head, bias, targets, weights, plan)


def chunk_of(vocab_size: int, item_bytes: int) -> int:
    """Tokens whose logits are made together: a power of two that keeps them in `CHUNK_BYTES`.

    GROUNDUP_LOSS_CHUNK=TOKENS says it instead.

    >>> chunk_of(8_192, 2), chunk_of(50_304, 2), chunk_of(262_144, 2)
    (2048, 512, 128)
    """
    if wanted := os.environ.get("GROUNDUP_LOSS_CHUNK"):
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ConfigError(
                f"GROUNDUP_LOSS_CHUNK={wanted} must be a number of tokens, 1 or more, or not set."
            )
        return int(wanted)
    fits = max(1, CHUNK_BYTES // (vocab_size * item_bytes))
    return max(SMALLEST_CHUNK, min(LARGEST_CHUNK, 1 << fits.bit_length() - 1))


class LossPlan(NamedTuple):
    """How to walk over the tokens."""

    chunk: int
    compute: torch.dtype
    errors: Callable[[Tensor, Tensor | None, Tensor, Tensor], tuple[Tensor, Tensor]]
    """Of a chunk's logits, bias, targets and weights: its losses, and their derivative by the
    logits; `chunk_errors`, or another where ids are divided among processes."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """Loss and, already in forward, its gradients; see `cross_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor,
        weights: Tensor, plan: LossPlan,
    ) -> Tensor:  # fmt: skip
        """Walk over the chunks; keep gradients only of what asks for them."""
        output = head.detach().to(plan.compute)
        total = output.new_zeros((), dtype=torch.promote_types(plan.compute, torch.float32))
        wants_hidden, wants_head, wants_bias = ctx.needs_input_grad[:3]
        leaf = bias if wants_bias else None
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None  # each part is written
        grad_head = torch.zeros_like(head) if wants_head and not len(hidden) else None
        grad_bias = torch.zeros_like(leaf) if leaf is not None and not len(hidden) else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], plan.chunk):
                part = slice(start, start + plan.chunk)
                inputs = hidden[part].detach().to(plan.compute)
                losses, errors = plan.errors(inputs @ output.T, bias, targets[part], weights[part])
                total += losses.sum()
                if grad_hidden is not None:
                    grad_hidden[part] = errors @ output
                if wants_head:
                    grad_head = added(grad_head, errors.T @ inputs, head)
                if leaf is not None:
                    grad_bias = added(grad_bias, errors.sum(0), leaf)
        ctx.gradients = (grad_hidden, grad_head, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Scale the gradients that forward made, where they lie: the head's is as large as it."""
        if ctx.gradients is None:
            raise RuntimeError("cross_entropy gives its gradients once; compute the loss again.")
        gradients, ctx.gradients = ctx.gradients, None
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(scale.to(gradient.dtype))
        return (*gradients, None, None, None)


def added(total: Tensor | None, part: Tensor, leaf: Tensor) -> Tensor:
    """A chunk's share of a leaf's gradient on top of the others; the first is the total so far."""
    return part.to(leaf.dtype) if total is None else total.add_(part)


def chunk_errors(
    logits: Float[Tensor, "N V"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    compiled: bool = False,
    softcap: float | None = None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """Losses of a chunk's products, and their derivative by the products."""
    if has_native(logits.device.type, logits.dtype):
        softmax = native_losses_and_errors
    else:
        softmax = compiled_once(fused_losses_and_errors) if compiled else losses_and_errors
    if bias is not None:
        logits = logits + bias.detach().to(logits.dtype)
    if softcap is None:
        return softmax(logits, targets, weights)
    bent = torch.tanh(logits / softcap)
    losses, errors = softmax(bent * softcap, targets, weights)
    return losses, errors * (1 - bent * bent)


def errors_with_terms(
    logits: Float[Tensor, "N V"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    terms: LossTerms,
    softcap: float | None = None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """`chunk_errors` of a loss with terms: d/dx = softmax * (1 + 2 z logsumexp) - spread target."""
    dtype, exact = logits.dtype, torch.promote_types(logits.dtype, torch.float32)
    raw = logits.to(exact) if bias is None else logits.to(exact) + bias.detach().to(exact)
    bent = None
    if softcap is not None:
        bent = torch.tanh(raw / softcap)
        raw = bent * softcap
    whole, weights = raw.logsumexp(-1), weights.to(exact)  # (N,)
    picked = raw.gather(-1, targets[:, None]).squeeze(-1)
    spread = terms.smoothing * raw.mean(-1)
    losses = whole - (1 - terms.smoothing) * picked - spread + terms.z * whole.square()
    errors = (raw - whole[:, None]).exp_() * (1 + 2 * terms.z * whole)[:, None]
    errors -= terms.smoothing / logits.shape[1]
    own = torch.full_like(targets, -(1 - terms.smoothing), dtype=exact)
    errors.scatter_add_(-1, targets[:, None], own[:, None])
    errors *= weights[:, None]
    return losses * weights, (errors if bent is None else errors * (1 - bent * bent)).to(dtype)


def losses_and_errors(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """Weighted losses, and their derivative by the logits: weight * (softmax - one-hot)."""
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = weights.to(exact)
    logprobs = logits.log_softmax(-1, dtype=exact)  # (N, V)
    picked = logprobs.gather(-1, targets[:, None])  # (N, 1)
    errors = logprobs.exp_().mul_(weights[:, None])
    errors.scatter_add_(-1, targets[:, None], -weights[:, None])
    return -picked.squeeze(-1) * weights, errors.to(logits.dtype)


def fused_losses_and_errors(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """`losses_and_errors` without a scatter, which a compiler cannot fuse.

    So nothing of the logits' size exists in float32.
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = weights.to(exact)[:, None]
    logprobs = logits.log_softmax(-1, dtype=exact)  # (N, V)
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    errors = logprobs.exp() * weights - torch.where(is_target, weights, 0.0)
    losses = -logprobs.gather(-1, targets[:, None]) * weights  # (N, 1)
    return losses.squeeze(-1), errors.to(logits.dtype)
