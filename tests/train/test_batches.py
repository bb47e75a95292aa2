"""A batch cut into parts is the same rows in the same order."""

import numpy as np
import pytest
import torch

from groundup.train.batches import shuffled_indices, single_document_batch, split_batch
from tests.train.test_loop import ragged_batch


@pytest.mark.parametrize("parts", [1, 3, 8, 20])
def test_parts_hold_every_row_once(parts: int):
    batch = ragged_batch()
    pieces = split_batch(batch, parts)
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), batch.ids)
    assert torch.equal(torch.cat([piece.weights for piece in pieces]), batch.weights)
    assert sum((piece.names for piece in pieces), ()) == batch.names
    assert len(pieces) == min(parts, 8)


def test_documents_may_be_absent():
    batch = single_document_batch(torch.arange(20).reshape(4, 5))
    assert all(piece.documents is None for piece in split_batch(batch, 2))
    assert torch.equal(batch.targets, batch.ids + 1)


def test_every_epoch_reads_every_example_once_in_an_order_of_its_own():
    places = [at for step in range(14) for at in shuffled_indices(step, 3, 7, seed=0)]
    epochs = np.reshape(places, (6, 7))
    assert (np.sort(epochs, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1
    assert shuffled_indices(5, 3, 7, seed=0) == places[15:18]
    assert shuffled_indices(0, 7, 7, seed=1) != places[:7]
