"""Chunked cross-entropy and log-probabilities of next tokens, which never store all logits.

The logits of N tokens over V ids are the largest tensor of a training step. Here they exist for
`chunk` tokens at a time: products in the compute dtype, logsumexp in float32, and the gradients of
hidden and head computed in forward, while the chunk is in cache. Backward only scales them in
place, so a second backward over the same loss is an error. Losses are sums of weighted nats; the
caller divides by the weight of the complete step, so any split into micro-batches has the same
gradient. Knows nothing of models or optimizers. Source: the idea of Hsu et al. 2024 (Liger Kernel),
arXiv:2410.10989, §3.2.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError

from .compiled import compiled_once
from .native.interval import has_native_softmax, native_losses_and_logit_grads

CHUNK_BYTES = 2**26
"""Maximum size of a chunk's logits: larger ones need memory, smaller ones accumulate the head's
gradient too often."""
MAX_CHUNK_TOKENS, MIN_CHUNK_TOKENS = 2048, 128
"""Limits of the chunk in tokens; larger ones are not faster (docs/log, 2026-11-28)."""


class LossSum(NamedTuple):
    """A loss as a sum and its divisor, so that micro-batches add up."""

    total: Tensor
    """Weighted nats, a scalar tensor."""
    weight: Tensor
    """Sum of the weights, a scalar tensor."""


class LossTerms(NamedTuple):
    """Training terms in addition to cross-entropy.

        (1 - smoothing) * -log p(target) + smoothing * mean over ids of -log p + z * logsumexp²

    Source: label smoothing, Szegedy et al. 2015, arXiv:1512.00567; z-loss of the output, Chowdhery
    et al. 2022 (PaLM), arXiv:2204.02311.
    """

    smoothing: float = 0.0
    """Label smoothing: share of the target's probability distributed over all ids."""
    z: float = 0.0
    """z-loss: weight of the squared logsumexp, which keeps logits small."""


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
    hidden: Float[Tensor, "N D"], head: Float[Tensor, "V D"], targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"], *, bias: Float[Tensor, " V"] | None = None,
    softcap: float | None = None, chunk: int | None = None, compiled: bool = False,
    terms: LossTerms = NO_TERMS,
) -> Float[Tensor, ""]:  # fmt: skip
    """Sum over tokens of weight * -log p(target), nats, in float32 or better.

    hidden   (N, D)  after the final norm
    head     (V, D)  the output embedding; logits are hidden @ head.T
    bias     (V,)    added to the logits
    softcap          logits x become softcap * tanh(x / softcap), after the bias
    targets  (N,)    ids; where the weight is 0 the id is ignored but must be in 0..V-1
    chunk            tokens whose logits exist at a time; None: chosen by size
    compiled         compile the softmax into one kernel where it is not native
    terms            label smoothing and z-loss

    Products use autocast's dtype if autocast is on. Hidden, head and bias get gradients once: a
    second backward through the same loss raises RuntimeError.
    """
    errors = partial(_chunk_losses_and_grads, compiled=compiled, softcap=softcap)
    if terms != NO_TERMS:
        errors = partial(_losses_and_grads_with_terms, terms=terms, softcap=softcap)
    plan = LossPlan.of(hidden, head, chunk, errors)
    return ChunkedCrossEntropy.apply(hidden, head, bias, targets, weights, plan)


def token_logprobs(
    hidden: Float[Tensor, "N D"], head: Float[Tensor, "V D"], targets: Int[Tensor, " N"], *,
    bias: Float[Tensor, " V"] | None = None, softcap: float | None = None,
    chunk: int | None = None,
) -> Float[Tensor, " N"]:  # fmt: skip
    """Log-probability of each target, nats; arguments as of `cross_entropy`.

    For losses that are no weighted sum of them, such as preferences. Forward keeps no logits, and
    backward computes those of each chunk again.

    >>> token_logprobs(torch.zeros(1, 2), torch.zeros(8, 2), torch.tensor([3])).exp()
    tensor([0.1250])
    """
    plan = LossPlan.of(hidden, head, chunk, partial(_chunk_losses_and_grads, softcap=softcap))
    return TokenLogprobs.apply(hidden, head, bias, targets, plan)


def _default_chunk(vocab_size: int, item_bytes: int) -> int:
    """Chunk size in tokens: a power of two within `CHUNK_BYTES`.

    GROUNDUP_LOSS_CHUNK=TOKENS overrides it.

    >>> _default_chunk(8_192, 2), _default_chunk(50_304, 2), _default_chunk(262_144, 2)
    (2048, 512, 128)
    """
    if wanted := os.environ.get("GROUNDUP_LOSS_CHUNK"):
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ConfigError(f"GROUNDUP_LOSS_CHUNK={wanted} must be a positive number of tokens.")
        return int(wanted)
    fits = max(1, CHUNK_BYTES // (vocab_size * item_bytes))
    return max(MIN_CHUNK_TOKENS, min(MAX_CHUNK_TOKENS, 1 << fits.bit_length() - 1))


LossAndGrad = Callable[[Tensor, Tensor | None, Tensor, Tensor], tuple[Tensor, Tensor]]


class LossPlan(NamedTuple):
    """How to compute the chunks."""

    chunk: int
    compute: torch.dtype
    loss_and_grad: LossAndGrad
    """Maps a chunk's logits, bias, targets and weights to its losses and logit gradients; another
    function where the vocabulary is sharded."""

    @classmethod
    def of(
        cls, hidden: Tensor, head: Tensor, chunk: int | None, loss_and_grad: LossAndGrad
    ) -> "LossPlan":
        """In autocast's dtype if autocast is on, and by default in chunks that fit a cache."""
        compute = hidden.dtype
        if torch.is_autocast_enabled(hidden.device.type):
            compute = torch.get_autocast_dtype(hidden.device.type)
        return cls(chunk or _default_chunk(len(head), compute.itemsize), compute, loss_and_grad)


class ChunkedCrossEntropy(torch.autograd.Function):
    """The loss and, computed in forward, its gradients; see `cross_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor,
        weights: Tensor, plan: LossPlan,
    ) -> Tensor:  # fmt: skip
        """Loop over chunks; gradients only of inputs that require them."""
        losses, ctx.gradients = _compute_chunks(
            hidden, head, bias, targets, weights, plan=plan, wants=ctx.needs_input_grad
        )
        total = head.new_zeros((), dtype=torch.promote_types(plan.compute, torch.float32))
        for part in losses:
            total += part.sum()
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Scale forward's gradients in place, as the head's is large."""
        if ctx.gradients is None:
            raise RuntimeError("cross_entropy supports one backward pass; compute the loss again.")
        gradients, ctx.gradients = ctx.gradients, None
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(scale.to(gradient.dtype))
        return (*gradients, None, None, None)


class TokenLogprobs(torch.autograd.Function):
    """Log-probabilities of targets; backward computes the logits of each chunk again."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor,
        plan: LossPlan,
    ) -> Tensor:  # fmt: skip
        """Loop over chunks without gradients."""
        ctx.save_for_backward(hidden, head, bias, targets)
        ctx.plan = plan
        ones = hidden.new_ones(len(hidden), dtype=torch.float32)
        losses, _ = _compute_chunks(
            hidden, head, bias, targets, ones, plan=plan, wants=(False, False, False)
        )
        return -torch.cat([ones[:0], *losses])  # of no tokens, too

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The gradients of a cross-entropy whose weights are the slopes."""
        hidden, head, bias, targets = ctx.saved_tensors
        _, gradients = _compute_chunks(
            hidden, head, bias, targets, -slopes, plan=ctx.plan, wants=ctx.needs_input_grad
        )
        return (*gradients, None, None)


def _compute_chunks(
    hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, *,
    plan: LossPlan, wants: Sequence[bool],
) -> tuple[list[Tensor], tuple[Tensor | None, ...]]:  # fmt: skip
    """Each chunk's losses, and the gradients of hidden, head and bias that are wanted."""
    output = head.detach().to(plan.compute)
    wants_hidden, wants_head, wants_bias = wants[:3]
    leaf = bias if wants_bias else None
    grad_hidden = torch.empty_like(hidden) if wants_hidden else None  # every chunk is assigned
    grad_head = torch.zeros_like(head) if wants_head and not len(hidden) else None
    grad_bias = torch.zeros_like(leaf) if leaf is not None and not len(hidden) else None
    chunks = list[Tensor]()
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, hidden.shape[0], plan.chunk):
            part = slice(start, start + plan.chunk)
            inputs, own = hidden[part].detach().to(plan.compute), (targets[part], weights[part])
            losses, errors = plan.loss_and_grad(inputs @ output.T, bias, *own)
            chunks.append(losses)
            if grad_hidden is not None:
                grad_hidden[part] = errors @ output
            if wants_head:
                grad_head = _accumulate(grad_head, errors.T @ inputs, head)
            if leaf is not None:
                grad_bias = _accumulate(grad_bias, errors.sum(0), leaf)
    return chunks, (grad_hidden, grad_head, grad_bias)


def _accumulate(total: Tensor | None, part: Tensor, leaf: Tensor) -> Tensor:
    """Accumulate a chunk's gradient; the first chunk becomes the total."""
    return part.to(leaf.dtype) if total is None else total.add_(part)


def _chunk_losses_and_grads(
    logits: Float[Tensor, "N V"], bias: Float[Tensor, " V"] | None, targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"], *, compiled: bool = False, softcap: float | None = None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:  # fmt: skip
    if has_native_softmax(logits.device.type, logits.dtype):
        softmax = native_losses_and_logit_grads
    else:
        softmax = (
            compiled_once(_fused_losses_and_logit_grads) if compiled else _losses_and_logit_grads
        )
    if bias is not None:
        logits = logits + bias.detach().to(logits.dtype)
    if softcap is None:
        return softmax(logits, targets, weights)
    bent = torch.tanh(logits / softcap)
    losses, errors = softmax(bent * softcap, targets, weights)
    return losses, errors * (1 - bent * bent)


def _losses_and_grads_with_terms(
    logits: Float[Tensor, "N V"], bias: Float[Tensor, " V"] | None, targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"], *, terms: LossTerms, softcap: float | None = None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:  # fmt: skip
    """The same with loss terms: d/dx = softmax * (1 + 2 z logsumexp) - smoothed target."""
    dtype, exact = logits.dtype, torch.promote_types(logits.dtype, torch.float32)
    raw = logits.to(exact) if bias is None else logits.to(exact) + bias.detach().to(exact)
    bent = None
    if softcap is not None:
        bent = torch.tanh(raw / softcap)
        raw = bent * softcap
    lse, weights = raw.logsumexp(-1), weights.to(exact)  # (N,)
    picked = raw.gather(-1, targets[:, None]).squeeze(-1)
    spread = terms.smoothing * raw.mean(-1)
    losses = lse - (1 - terms.smoothing) * picked - spread + terms.z * lse.square()
    errors = (raw - lse[:, None]).exp_() * (1 + 2 * terms.z * lse)[:, None]
    errors -= terms.smoothing / logits.shape[1]
    own = torch.full_like(targets, -(1 - terms.smoothing), dtype=exact)
    errors.scatter_add_(-1, targets[:, None], own[:, None])
    errors *= weights[:, None]
    return losses * weights, (errors if bent is None else errors * (1 - bent * bent)).to(dtype)


def _losses_and_logit_grads(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """Weighted losses and their logit gradients: weight * (softmax - one-hot)."""
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = weights.to(exact)
    logprobs = logits.log_softmax(-1, dtype=exact)  # (N, V)
    picked = logprobs.gather(-1, targets[:, None])  # (N, 1)
    errors = logprobs.exp_().mul_(weights[:, None])
    errors.scatter_add_(-1, targets[:, None], -weights[:, None])
    return -picked.squeeze(-1) * weights, errors.to(logits.dtype)


def _fused_losses_and_logit_grads(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """The same without a scatter, which the compiler cannot fuse.

    So no float32 tensor of the logits' size exists.
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    weights = weights.to(exact)[:, None]
    logprobs = logits.log_softmax(-1, dtype=exact)  # (N, V)
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    errors = logprobs.exp() * weights - torch.where(is_target, weights, 0.0)
    losses = -logprobs.gather(-1, targets[:, None]) * weights  # (N, 1)
    return losses.squeeze(-1), errors.to(logits.dtype)
