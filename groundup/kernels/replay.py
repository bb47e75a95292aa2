"""Torch's graph of gradients at values that the native stack computed.

The stack fixes the order of every sum, and a forward pass of torch does not. To train on the
stack's own values, its products are computed first and recorded; then torch's forward pass runs
with them in place of its own products, and builds its usual graph. What lies between products
(norms, rotation, attention, activation) torch computes again, with its own rounding, for gradients
alone. So values have the stack's bits and gradients are torch's but for rounding.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from groundup.core import ShapeError

from .native.stack import BLOCK_TOKENS, NativeStack, StackBatch

CHUNK_TOKENS = 256
"""Tokens whose logits are computed at a time, while they are in cache."""


class ReplayedProducts(TorchFunctionMode):
    """Within it `linear` with a known weight returns a recorded value, each one once.

    The gradients are those of the product.
    """

    def __init__(self, values: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take pairs of a weight (O, I) and the product's value (*batch, O) with its bias."""
        super().__init__()
        self.values = {id(weight): value for weight, value in values}
        """What has not been used, by the weight's identity."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Answer for `linear`; anything else runs as it is."""
        if func is F.linear and (value := self.values.pop(id(args[1]), None)) is not None:
            bias = args[2] if len(args) > 2 else None
            return _KnownProduct.apply(args[0], args[1], bias, value)
        return func(*args, **(kwargs or {}))


class _KnownProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, value: Tensor
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, _ = ctx.needs_input_grad
        rows = grad.flatten(0, -2)  # (N, O)
        return (
            grad @ weight if wants_x else None,
            rows.T @ x.flatten(0, -2) if wants_weight else None,
            rows.sum(0) if wants_bias else None,
            None,
        )


def document_starts(
    documents: Int[Tensor, "B T"],
) -> tuple[Int[Tensor, " sequences_plus_1"], Bool[Tensor, " N"]]:
    """Where each document begins among the tokens that are no padding, and which tokens these are.

    Raises ShapeError for padding alone, and if a document's tokens do not lie together.

    >>> starts, kept = document_starts(torch.tensor([[4, 4, -1, 6, -1]]))
    >>> starts.tolist(), kept.int().tolist()
    ([0, 2, 3], [1, 1, 0, 1, 0])
    """
    kept = (documents >= 0).flatten()
    rows = torch.arange(len(documents))[:, None].expand_as(documents)
    pairs = torch.stack([rows, documents], -1).flatten(0, 1)[kept]  # (n, 2)
    if not len(pairs):
        raise ShapeError("A batch of padding alone has no log-probabilities; give it tokens.")
    runs, counts = pairs.unique_consecutive(dim=0, return_counts=True)
    if len(runs.unique(dim=0)) < len(runs):
        raise ShapeError("A document's tokens must lie together, and its number comes twice.")
    return torch.cat([counts[:1] * 0, counts.cumsum(0)]), kept


def complete_batch(starts: Int[Tensor, " sequences_plus_1"]) -> StackBatch:
    """A batch of complete sequences, each from position 0 on, in blocks one after the other.

    >>> complete_batch(torch.tensor([0, 33, 35])).blocks.tolist()
    [[0, 1], [2, 0]]
    """
    lengths = starts.diff()
    sizes = (lengths + BLOCK_TOKENS - 1) // BLOCK_TOKENS
    blocks = torch.zeros(len(sizes), int(sizes.max()), dtype=torch.long)
    blocks[torch.arange(blocks.shape[1]) < sizes[:, None]] = torch.arange(int(sizes.sum()))
    positions = torch.arange(int(starts[-1])) - starts[:-1].repeat_interleave(lengths)
    return StackBatch(starts, positions, blocks, positions[:0])


def native_logprobs(
    stack: NativeStack, output: Float[Tensor, "N D"], states: Float[Tensor, "N D"],
    targets: Int[Tensor, " N"], *, head: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None = None, vocab_size: int | None = None,
) -> Float[Tensor, " N"]:  # fmt: skip
    """Log-probability of each target in nats, with the bits that sampling from the stack has.

    output      (N, D)  of the stack's last layer, before the final norm; not changed
    states      (N, D)  torch's input of the head, which gets gradients
    head, bias          of the model, which get gradients
    vocab_size          ids that can be drawn, from 0 on; None: all

    The log-probabilities (N, V) of all ids are kept until backward, which runs once.
    """
    return _NativeLogProbs.apply(states, head, bias, stack, output, targets, vocab_size)


class _NativeLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, bias: Tensor | None, stack: NativeStack,
        output: Tensor, targets: Tensor, vocab_size: int | None,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(states, head, targets)
        ctx.softcap, ctx.chunks, picked = stack.weights.shape.output_softcap, [], [states[:0, 0]]
        for start in range(0, len(states), CHUNK_TOKENS):
            part = slice(start, start + CHUNK_TOKENS)
            logits = stack.read_out(output[part].clone())[:, :vocab_size]
            logprobs = logits.log_softmax(-1)
            picked.append(logprobs.gather(1, targets[part, None])[:, 0])
            if any(ctx.needs_input_grad):
                ctx.chunks.append((part, logprobs, logits[:, :1] - logprobs[:, :1]))
        return torch.cat(picked)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if ctx.chunks is None:
            raise RuntimeError("Log-probabilities support one backward pass; compute them again.")
        states, head, targets = ctx.saved_tensors
        wants_states, wants_head, wants_bias = ctx.needs_input_grad[:3]
        grad_states = torch.zeros_like(states) if wants_states else None
        grad_head = torch.zeros_like(head) if wants_head else None
        grad_bias = head.new_zeros(len(head)) if wants_bias else None
        chunks, ctx.chunks = ctx.chunks, None
        while chunks:
            part, logprobs, lse = chunks.pop()
            own, vocab = grad[part, None], slice(0, logprobs.shape[1])
            bent = (logprobs + lse) / ctx.softcap if ctx.softcap else None
            errors = logprobs.exp_().mul_(-own).scatter_add_(1, targets[part, None], own)
            if bent is not None:
                errors *= 1 - bent * bent
            if grad_states is not None:
                grad_states[part] = errors @ head[vocab]
            if grad_head is not None:
                grad_head[vocab].addmm_(errors.T, states[part])
            if grad_bias is not None:
                grad_bias[vocab] += errors.sum(0)
        return grad_states, grad_head, grad_bias, None, None, None, None
