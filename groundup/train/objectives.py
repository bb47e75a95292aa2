"""Objectives: what a model is trained to do, as functions `loss(model, batch) -> LossSum`.

A loss is a sum and the weight it was summed over, never a mean: the loop divides once, by the
weight of the whole step. Dividing earlier makes gradients depend on how a batch was split.
"""

import torch

from groundup.kernels import LossSum, cross_entropy
from groundup.model import Transformer

from .batches import Batch


def causal(model: Transformer, batch: Batch) -> LossSum:
    """Cross-entropy of each next token, in nats, summed over weighted targets."""
    hidden = model(batch.ids, documents=batch.documents)  # (B, T, D)
    weights = batch.weights.flatten()
    total = cross_entropy(
        hidden.flatten(0, 1),
        model.head,
        batch.targets.flatten(),
        weights,
        compiled=model.is_compiled and model.training,
    )
    return LossSum(total, weights.sum(dtype=torch.float64))
