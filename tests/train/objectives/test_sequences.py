"""Shifted targets: a start in front, padding that weighs nothing, pairs that do not meet."""

import pytest
import torch

from groundup.core import DataError
from groundup.model import Transformer
from groundup.train import SourceTarget, sequence_batch, sequence_to_sequence_loss
from tests.model.shapes import ENCODER_DECODERS

ROWS = [[SourceTarget([4, 5, 6], [7, 8, 2])], [SourceTarget([9], [3, 2])]]


def test_what_is_read_is_what_is_told_one_later():
    batch = sequence_batch(ROWS, start=1, multiple=4)
    assert batch.ids.tolist() == [[1, 7, 8, 1], [1, 3, 1, 1]]
    assert batch.targets.tolist() == [[7, 8, 2, 1], [3, 2, 1, 1]]
    assert batch.weights.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch.source.tolist() == [[4, 5, 6, 1], [9, 1, 1, 1]]
    assert batch.source_documents.tolist() == [[0, 0, 0, -1], [0, -1, -1, -1]]


@pytest.mark.parametrize("name", sorted(ENCODER_DECODERS))
def test_packed_pairs_lose_what_they_lose_alone(name: str):
    model = Transformer(ENCODER_DECODERS[name], seed=1).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    apart = sequence_batch([[row[0]] for row in ROWS], start=1)
    packed = sequence_batch([[row[0] for row in ROWS]], start=1, multiple=8)
    losses = [sequence_to_sequence_loss(model, batch._replace(weights=batch.weights.double())).total
              for batch in (apart, packed)]  # fmt: skip
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=1e-10)


def test_a_source_that_does_not_fit_or_is_empty_is_an_error():
    with pytest.raises(DataError, match="3 tokens, more than length=2"):
        sequence_batch(ROWS, start=1, length=2)
    with pytest.raises(DataError, match="Row 1 has a pair without a source"):
        sequence_batch([ROWS[0], [SourceTarget([], [2])]], start=1)
