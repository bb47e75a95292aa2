"""The causal loss is the sum of each weighted next token's nats."""

import torch

from groundup.train import causal_loss
from tests.train.test_loop import ragged_batch, tiny_model


def test_it_equals_the_plain_sum_over_logits():
    model, batch = tiny_model(), ragged_batch()
    found = causal_loss(model, batch)
    logprobs = model.logits(batch.ids, documents=batch.documents).log_softmax(-1)
    nats = -logprobs.gather(-1, batch.targets[..., None]).squeeze(-1)
    torch.testing.assert_close(found.total, (nats * batch.weights).sum(), rtol=1e-4, atol=1e-4)
    assert float(found.weight) == float(batch.weights.sum())


def test_targets_without_weight_do_not_matter():
    model, batch = tiny_model(), ragged_batch()
    other = torch.where(batch.weights > 0, batch.targets, (batch.targets + 1) % 32)
    torch.testing.assert_close(
        causal_loss(model, batch).total, causal_loss(model, batch._replace(targets=other)).total
    )
