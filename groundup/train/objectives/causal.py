"""Decoder objectives: predict each next token, causally or after a bidirectional prefix.

    causal   a b c d e           each from those before it
    prefix   [a b c] d e         the prefix attends to itself in both directions; no targets in it

Source: prefix language models: Liu et al. 2018, arXiv:1801.10198; drawn as in Raffel et al. 2019,
arXiv:1910.10683, section 3.2.1.
"""

import numpy as np
import torch

from ..batches import MicroBatch
from .objective import BatchInputs
from .token_properties import document_spans


def causal_batch(making: BatchInputs) -> MicroBatch:
    """Windows unchanged: every token is a target once per epoch.

    >>> from .registry import _sample_batch_inputs
    >>> batch = causal_batch(_sample_batch_inputs(["ab"], step=0))
    >>> batch.ids.shape == batch.targets.shape
    True
    """
    rows = making.rows
    ids = torch.from_numpy(rows.ids)
    return MicroBatch(
        ids[:, :-1],
        ids[:, 1:],
        torch.from_numpy(rows.weights),
        torch.from_numpy(rows.documents),
        rows.names,
    )


def prefix_batch(making: BatchInputs) -> MicroBatch:
    """Each document split in two: a prefix, and the targets after it.

    Of n positions the first c are the prefix, c uniform in 1 to n - 1; the last of them predicts
    the first token after the prefix. A document of one position has no prefix.
    """
    batch, rows = causal_batch(making), making.rows
    prefix = np.zeros(rows.documents.shape, dtype=bool)
    weights = rows.weights
    for row, documents in enumerate(rows.documents):
        draws = making.keyed_random(row)
        for document in document_spans(documents):
            length = document.end - document.start
            cut = 1 + draws.random_integer(length - 1) if length > 1 else 0
            prefix[row, document.start : document.start + cut] = True
            weights[row, document.start : document.start + max(cut - 1, 0)] = 0.0
    return batch._replace(prefix=torch.from_numpy(prefix), weights=torch.from_numpy(weights))
