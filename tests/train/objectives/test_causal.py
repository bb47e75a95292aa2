"""Decoders' batches: windows as they are, and windows with a prefix."""

import numpy as np
import torch

from groundup.model import Transformer
from groundup.train import causal_loss, get_objective
from groundup.train.objectives.token_properties import document_spans
from tests.model.shapes import tiny_config
from tests.train.objectives.rows import making, many


def test_each_token_is_told_after_the_one_before_it():
    what = making()
    batch = get_objective("causal").batch(what.context, what.rows, 0)
    assert torch.equal(batch.targets[:, :-1], batch.ids[:, 1:])
    assert np.array_equal(batch.documents.numpy(), what.rows.documents)
    assert batch.weights.sum() == (what.rows.documents >= 0).sum()


def test_what_is_seen_is_not_asked_for():
    what = many()
    batch = get_objective("prefix").batch(what.context, what.rows, 0)
    shares = []
    for row, documents in enumerate(what.rows.documents):
        for a, b in document_spans(documents):
            prefix, weights = batch.prefix[row, a:b].tolist(), batch.weights[row, a:b].tolist()
            cut = sum(prefix)
            assert prefix == [True] * cut + [False] * (b - a - cut)
            assert weights == [0.0] * max(cut - 1, 0) + [1.0] * (b - a - max(cut - 1, 0))
            assert 1 <= cut < b - a or b - a == 1
            if b - a == 256:
                shares.append(cut / 256)
    assert len(shares) > 100
    assert abs(np.mean(shares) - 0.5) < 4 * np.sqrt(1 / 12 / len(shares))


def test_a_prefix_is_seen_both_ways_and_what_follows_is_not():
    model = Transformer(tiny_config(), seed=1).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    ids = torch.arange(8)[None] + 3
    prefix = torch.tensor([[True] * 4 + [False] * 4])
    before = model(ids, prefix=prefix)
    in_prefix, after = (ids.index_fill(1, torch.tensor([place]), 20) for place in (3, 6))
    assert not torch.allclose(model(in_prefix, prefix=prefix)[:, 0], before[:, 0])
    assert torch.equal(model(after, prefix=prefix)[:, :6], before[:, :6])


def test_the_loss_uses_the_prefix():
    model = Transformer(tiny_config(), seed=1).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    what = making(length=32)
    batch = get_objective("prefix").batch(what.context, what.rows, 0)
    batch = batch._replace(ids=batch.ids % 29, targets=batch.targets % 29)
    with torch.no_grad():
        seen, unseen = (causal_loss(model, b) for b in (batch, batch._replace(prefix=None)))
    assert float(seen.total) != float(unseen.total)
