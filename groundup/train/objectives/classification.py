"""Text classification: one label per sequence, predicted by a head.

A sequence is one text, padded on the right. Its class is one target, so the weight is 1 at its
first position and 0 elsewhere.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from groundup.core import DataError
from groundup.kernels import LossSum
from groundup.model import ModelWithHead

from ..batches import MicroBatch


def class_batch(
    rows: Sequence[list[int]], labels: Sequence[int], *, padding: int = 0
) -> MicroBatch:
    """A batch of texts with one label each, padded to the longest.

    >>> batch = class_batch([[5, 6], [7]], [1, 0])
    >>> batch.documents.tolist(), batch.weights.tolist()
    ([[0, 0], [0, -1]], [[1.0, 0.0], [1.0, 0.0]])

    Raises DataError if a text is empty, or the numbers of texts and labels differ.
    """
    if len(rows) != len(labels) or not all(rows):
        raise DataError(
            f"Got {len(rows)} texts ({sum(not row for row in rows)} of them empty) and "
            f"{len(labels)} labels; every text needs a token and a label."
        )
    T = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding] * (T - len(row))] for row in rows])
    documents = torch.tensor([[0] * len(row) + [-1] * (T - len(row)) for row in rows])
    weights = torch.zeros(len(rows), T)
    weights[:, 0] = 1.0
    return MicroBatch(
        ids, torch.zeros_like(ids), weights, documents,
        labels=torch.tensor(list(labels)), label_weights=torch.ones(len(rows)),
    )  # fmt: skip


def classification_loss(model: ModelWithHead, batch: MicroBatch) -> LossSum:
    """Cross-entropy of each sequence's class, in nats."""
    assert batch.labels is not None and batch.label_weights is not None, "texts have labels"
    logits = model(batch.ids, documents=batch.documents, types=batch.types)  # (B, labels)
    nats = F.cross_entropy(logits.float(), batch.labels, reduction="none")
    return LossSum((nats * batch.label_weights).sum(), batch.label_weights.sum())
