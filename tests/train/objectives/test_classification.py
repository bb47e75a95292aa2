"""Classes: padding moves nothing, the split moves nothing, and a head learns."""

import pytest
import torch

from groundup.core import DataError
from groundup.model import Head, HeadConfig, ModelWithHead, Transformer
from groundup.train import (
    LoopOptions,
    OptimConfig,
    Optimizer,
    class_batch,
    classification_loss,
    split_batch,
    train,
)
from tests.model.shapes import ENCODERS

TEXTS = [[5, 6, 7, 8], [9], [5, 5, 6], [10, 9, 9, 9, 11]]


def model() -> ModelWithHead:
    body = Transformer(ENCODERS["bert"], seed=1)
    return ModelWithHead(body, Head(HeadConfig(pooling="mean"), body.config.width))


def test_padding_and_the_split_move_nothing():
    found = model().double().eval()
    batch = class_batch(TEXTS, [0, 1, 0, 1])
    whole = classification_loss(found, batch).total
    alone = [
        classification_loss(found, class_batch([row], [n % 2])).total for n, row in enumerate(TEXTS)
    ]
    torch.testing.assert_close(whole, torch.stack(alone).sum())
    parts = [classification_loss(found, part) for part in split_batch(batch, 2)]
    torch.testing.assert_close(whole, parts[0].total + parts[1].total)
    assert float(batch.weights.sum()) == float(classification_loss(found, batch).weight) == 4


def test_a_head_learns_what_it_is_shown():
    found, batch = model(), class_batch(TEXTS, [0, 1, 0, 1])
    optimizer = Optimizer(found.named_parameters(), OptimConfig(matrix_optimizer="adamw"))
    steps = list(
        train(
            found,
            lambda step: [batch],
            classification_loss,
            optimizer,
            lambda s: 1.0,
            LoopOptions(30),
        )
    )
    assert steps[0].loss == pytest.approx(0.69, abs=0.1) and steps[-1].loss < 0.1


def test_an_empty_text_and_a_missing_label_are_errors():
    with pytest.raises(DataError, match="1 of them empty"):
        class_batch([[1], []], [0, 1])
    with pytest.raises(DataError, match="Got 2 texts .*1 labels"):
        class_batch([[1], [2]], [0])
