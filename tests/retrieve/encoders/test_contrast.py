"""Two passes give the gradient of one, and what may answer a query is no negative of it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from groundup.retrieve.encoders.contrast import (
    ContrastiveLoss,
    Embedded,
    EncodedText,
    Positives,
    contrastive_batch,
    find_positives,
    two_pass_gradients,
)
from groundup.train import Precision, split_batch
from tests.retrieve.encoders.small import embedder, random_batch

LOSS = ContrastiveLoss(0.1)


def gradients(model):
    return {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}


def one_pass(model, loss, batch):
    model.zero_grad()
    total = loss(model, batch)
    (total.total / 16).backward()
    return float(total.total.detach() / 16), gradients(model)


@pytest.mark.parametrize("parts", [1, 2, 8])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_two_passes_give_the_gradient_of_one(parts, dtype, limit):
    model, batch, loss = embedder(dtype), random_batch(), ContrastiveLoss(0.1)
    expected, slopes = one_pass(model, loss, batch)
    model.zero_grad()
    got = two_pass_gradients(loss, model, Precision())(split_batch(batch, parts), 16.0)
    assert got == pytest.approx(expected, abs=limit * 10)
    again = gradients(model)
    assert again.keys() == slopes.keys()
    for name, slope in slopes.items():
        largest = max(1.0, float(slope.abs().max()))
        assert_close(again[name], slope, atol=limit * largest, rtol=0)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_teacher_adds_the_divergence_of_its_order_of_own_and_hard_negatives(parts):
    model, texts = embedder(torch.float64), [EncodedText([5 + at, 9], at) for at in range(12)]
    queries = [EncodedText([20 + at], 40 + at) for at in range(4)]
    taught = [(0, 2.0), (1, 1.0), (2, 0.5), (3, -1.0)]
    taught += [(at, score) for at in range(4) for score in (0.3 * at, -2.0)]
    loss = ContrastiveLoss(0.1, teacher_weight=2.0)
    batch = contrastive_batch(queries, texts, 4, taught)
    plain = contrastive_batch(queries, texts, 4)
    expected, slopes = one_pass(model, loss, batch)
    without, _ = one_pass(model, loss, plain)
    vectors = [model(b, documents=d) for b, d in ((batch.source, batch.source_documents),
                                                 (batch.ids, batch.documents))]  # fmt: skip
    cosines = vectors[0] @ vectors[1].mT / 0.1
    divergence = 0.0
    for query in range(4):
        mine = [row for row in range(12) if int(batch.targets[row, 0]) == query]
        teacher = batch.label_weights[mine].double().softmax(0)
        student = cosines[query, mine].log_softmax(0)
        divergence += float((teacher * (teacher.log() - student)).sum().detach())
        assert len(mine) == 3
    assert expected - without == pytest.approx(2.0 * divergence / 16, abs=1e-6)
    model.zero_grad()
    got = two_pass_gradients(loss, model, Precision())(split_batch(batch, parts), 16.0)
    assert got == pytest.approx(expected, abs=1e-9)
    for name, slope in gradients(model).items():
        assert_close(slope, slopes[name], atol=1e-9, rtol=0)


def test_both_passes_draw_the_same_dropout():
    model, batch = embedder(), random_batch()
    model.model.set_dropout(0.3)
    model.train()
    torch.manual_seed(5)
    expected, slopes = one_pass(model, LOSS, batch)
    model.zero_grad()
    torch.manual_seed(5)
    got = two_pass_gradients(LOSS, model, Precision())([batch], 16.0)
    assert got == pytest.approx(expected, abs=1e-12)
    for name, slope in gradients(model).items():
        assert_close(slope, slopes[name], atol=1e-12, rtol=0)


def test_the_loss_scale_of_float16_multiplies_gradients_and_not_the_loss():
    model, batch = embedder(torch.float32), random_batch()
    expected, slopes = one_pass(model, LOSS, batch)
    scaled = Precision()
    scaled.scale = 8.0
    model.zero_grad()
    got = two_pass_gradients(LOSS, model, scaled)(split_batch(batch, 3), 16.0)
    assert got == pytest.approx(expected, abs=1e-5)
    name = "model.embed_tokens.weight"
    assert_close(gradients(model)[name] / 8, slopes[name], atol=1e-6, rtol=0)


def test_a_loss_by_hand():
    half = Embedded(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    own = torch.tensor([0, 1])
    everything = torch.ones(2, 3, dtype=torch.bool)
    by_hand = math.log(math.e + 2) - 1 + math.log(2 * math.e + 1) - 1
    assert float(ContrastiveLoss(1.0).total(half, Positives(own, everything))) == (
        pytest.approx(by_hand)
    )
    without_copy = everything.clone()
    without_copy[1, 2] = False
    by_hand = math.log(math.e + 2) - 1 + math.log(math.e + 1) - 1
    assert float(ContrastiveLoss(1.0).total(half, Positives(own, without_copy))) == (
        pytest.approx(by_hand)
    )
    sharp = ContrastiveLoss(0.5).total(half, Positives(own, without_copy))
    by_hand = math.log(math.e**2 + 2) - 2 + math.log(math.e**2 + 1) - 2
    assert float(sharp) == pytest.approx(by_hand)


def test_passages_are_in_the_order_of_their_lengths_and_labels_say_where():
    queries = [text(1, 5), text(2, 6), text(3, 7)]
    batch = contrastive_batch(queries, [text(1, 8, 8, 8), text(2, 9), text(3, 10, 10)], 4)
    assert batch.ids[:, 0].tolist() == [9, 10, 8]
    assert batch.labels is not None
    assert batch.labels.tolist() == [2, 0, 1]


def text(document: int, *ids: int) -> EncodedText:
    return EncodedText(ids, document)


def allowed(queries, passages):
    """Which passages each query is compared with, in the order in which they were given."""
    batch = contrastive_batch(queries, passages, 4)
    own, mask, _ = find_positives([batch])
    rows = [tuple(p.ids) for p in passages]
    order = [rows.index(tuple(row[row > 0].tolist())) for row in batch.ids]
    assert [order[i] for i in own] == list(range(len(queries)))
    return {(q, order[p]) for q, p in mask.nonzero().tolist()}


def test_passages_of_the_querys_document_are_no_negatives():
    queries = [text(1, 5), text(1, 6), text(2, 7)]
    passages = [text(1, 8), text(1, 9), text(2, 10), text(3, 11)]
    assert allowed(queries, passages) == {
        (0, 0), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)
    }  # fmt: skip


def test_the_own_passage_of_a_query_with_the_same_words_is_no_negative():
    queries, passages = [text(1, 5), text(2, 5)], [text(1, 8), text(2, 9), text(3, 10)]
    assert allowed(queries, passages) == {(0, 0), (0, 2), (1, 1), (1, 2)}


def test_copies_of_the_own_passage_are_no_negatives():
    batch = contrastive_batch([text(1, 5), text(2, 6)], [text(1, 8), text(2, 9), text(3, 8)], 2)
    own, mask, _ = find_positives([batch])
    copies = (batch.ids[:, 0] == 8).nonzero().flatten().tolist()
    assert mask[0, copies].sum() == 1
    assert mask[0, own[0]]
    assert mask[1].all()


@given(st.integers(1, 12), st.integers(0, 6), st.integers(1, 7))
def test_parts_of_a_batch_say_of_it_what_it_says(pairs, extra, parts):
    batch = random_batch(pairs, extra)
    own, mask, _ = find_positives([batch])
    again = find_positives(split_batch(batch, parts))
    assert torch.equal(own, again.own)
    assert torch.equal(mask, again.allowed)
    assert mask[torch.arange(pairs), own].all()
    assert float(batch.weights.sum()) == pairs
