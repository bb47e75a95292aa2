"""Objectives: what a model is trained to do, as functions `loss(model, batch) -> LossSum`.

A loss is a sum and the weight it was summed over, never a mean: the loop divides once, by the
weight of the whole step. Dividing earlier makes gradients depend on how a batch was split.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.kernels import LossSum, cross_entropy
from groundup.model import Transformer

from .batches import Batch


def causal(model: Transformer, batch: Batch) -> LossSum:
    """Cross-entropy of each next token, in nats, summed over weighted targets."""
    hidden = model(batch.ids, documents=batch.documents)  # (B, T, D)
    return token_loss(model, hidden, batch.targets, batch.weights)


def token_loss(
    model: Transformer,
    hidden: Float[Tensor, "B T D"],
    targets: Int[Tensor, "B T"],
    weights: Float[Tensor, "B T"],
) -> LossSum:
    """Cross-entropy of the tokens that a model reads off its hidden states."""
    flat = weights.flatten()
    total = cross_entropy(
        model.readout(hidden).flatten(0, 1), model.head, targets.flatten(), flat,
        bias=model.lm_bias, softcap=model.config.output.softcap,
        compiled=model.is_compiled and model.training,
    )  # fmt: skip
    return LossSum(total, flat.sum(dtype=torch.float64))
