"""Decoders' objectives: tell each next token, after what came before or after a prefix seen whole.

    causal   a b c d e           each from those before it
    prefix   [a b c] d e         the first ones see each other both ways and are not asked for

Source: prefix language models: Liu et al. 2018, arXiv:1801.10198; drawn as in Raffel et al. 2019,
arXiv:1910.10683, section 3.2.1.
"""

import numpy as np
import torch

from ..batches import Batch
from .objective import Making
from .vocabulary import pieces


def causal_batch(making: Making) -> Batch:
    """Windows as they are: every token is a target once an epoch.

    >>> from .table import sample
    >>> batch = causal_batch(sample(["ab"], step=0))
    >>> batch.ids.shape == batch.targets.shape
    True
    """
    rows = making.rows
    ids = torch.from_numpy(rows.ids)
    return Batch(
        ids[:, :-1],
        ids[:, 1:],
        torch.from_numpy(rows.weights),
        torch.from_numpy(rows.documents),
        rows.names,
    )


def prefix_batch(making: Making) -> Batch:
    """Each document in a row cut in two: a prefix, and what is to be told after it.

    Of n positions the first c are the prefix, c drawn evenly from 1 to n - 1; the last of them
    tells the first token after the prefix. A document of one position has none.
    """
    batch, rows = causal_batch(making), making.rows
    prefix = np.zeros(rows.documents.shape, dtype=bool)
    weights = rows.weights
    for row, documents in enumerate(rows.documents):
        draws = making.draws(row)
        for piece in pieces(documents):
            length = piece.end - piece.start
            cut = 1 + draws.below(length - 1) if length > 1 else 0
            prefix[row, piece.start : piece.start + cut] = True
            weights[row, piece.start : piece.start + max(cut - 1, 0)] = 0.0
    return batch._replace(prefix=torch.from_numpy(prefix), weights=torch.from_numpy(weights))
