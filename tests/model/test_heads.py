"""Heads: each reads what stands for its text, and never padding."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError, ShapeError
from groundup.model import Head, HeadConfig, ModelWithHead, NormConfig, SpanBoundary
from groundup.model.heads import apply_softcap, pool
from tests.model.shapes import ENCODER_DECODERS, ENCODERS, VOCAB, tiny_model

LEFT = torch.tensor([[-1, -1, 0, 0, 0]])
RIGHT = torch.tensor([[0, 0, 0, -1, -1]])


@pytest.mark.parametrize("documents, real", [(LEFT, slice(2, 5)), (RIGHT, slice(0, 3))])
def test_pooling_sees_real_tokens_alone(documents, real):
    hidden = torch.randn(1, 5, 4)
    own = hidden[:, real]
    assert_close(pool(hidden, documents, "first"), own[:, 0])
    assert_close(pool(hidden, documents, "last"), own[:, -1])
    assert_close(pool(hidden, documents, "mean"), own.mean(1))


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_a_row_of_padding_gives_zeros(pooling):
    assert not pool(torch.randn(1, 3, 4), torch.full((1, 3), -1), pooling).any()


@pytest.mark.parametrize(
    "config, shape",
    [
        (HeadConfig(labels=3), (2, 3)),
        (HeadConfig(kind="sequence", labels=5, inner="tanh"), (2, 5)),
        (HeadConfig(kind="token", labels=4, inner="gelu"), (2, 7, 4)),
        (HeadConfig(kind="number", pooling="last"), (2,)),
        (HeadConfig(kind="embedding", pooling="mean"), (2, 16)),
        (
            HeadConfig(kind="token", inner="tanh", inner_bias=False, inner_norm=NormConfig()),
            (2, 7, 2),
        ),
        (HeadConfig(labels=3, bias=False, names=("a", "b", "c")), (2, 3)),
    ],
)
def test_a_head_on_a_model_gives_what_its_task_asks_for(config, shape):
    model = ModelWithHead(tiny_model(ENCODERS["bert"]), Head(config, 16).double())
    ids, documents = torch.randint(VOCAB, (2, 7)), torch.zeros(2, 7, dtype=torch.long)
    documents[1, 5:] = -1
    out = model(ids, documents=documents)
    assert out.shape == shape
    alone = model(ids[1:, :5])
    cut = out[1:, :5] if config.kind == "token" else out[1:]
    assert_close(cut, alone, atol=1e-10, rtol=1e-10)
    if config.kind == "embedding":
        assert_close(out.norm(dim=-1), torch.ones(2).double())
    out.square().sum().backward()


def test_a_vector_may_keep_its_length():
    hidden = torch.randn(2, 3, 4)
    kept = Head(HeadConfig(kind="embedding", pooling="mean", unit=False), 4)(hidden)
    assert_close(kept, hidden.mean(1))


def test_what_does_not_fit_a_head_says_so():
    with pytest.raises(ConfigError, match="has 1 names for labels=2"):
        HeadConfig(names=("a",))
    with pytest.raises(ConfigError, match="inner_norm needs a dense layer"):
        HeadConfig(inner_norm=NormConfig())


def test_spans_are_told_from_their_edges_and_places():
    head = SpanBoundary(ENCODERS["bert"], max_length=3)
    edges = torch.randn(2, 5, 16)
    out = head(edges[0], edges[1], torch.tensor([0, 1, 2, 9, 2]))
    assert out.shape == (5, 16)
    same = head(edges[0][:1], edges[1][:1], torch.tensor([1]))
    assert not torch.allclose(out[:1], same)


def test_capped_numbers_stay_within_the_cap():
    x = torch.tensor([0.0, 1.0, 1e9, -1e9])
    assert_close(apply_softcap(x, 2.0), torch.tensor([0.0, 2 * 0.46211716, 2.0, -2.0]))
    assert apply_softcap(x, None) is x


@pytest.mark.parametrize("kind", ["sequence", "number", "embedding"])
def test_a_packed_row_is_refused_where_it_would_be_one_answer(kind):
    model = ModelWithHead(tiny_model(ENCODERS["bert"]), Head(HeadConfig(kind=kind), 16).double())
    ids = torch.randint(VOCAB, (2, 5))
    documents = torch.tensor([[0, 0, 0, 0, -1], [-1, 0, 0, 1, 1]])
    with pytest.raises(ShapeError, match="Sequence 1 holds several documents"):
        model(ids, documents=documents)
    tokens = ModelWithHead(model.model, Head(HeadConfig(kind="token"), 16).double())
    assert tokens(ids, documents=documents).shape == (2, 5, 2)


@torch.no_grad()
def test_a_head_reads_pairs_whose_second_text_is_marked():
    model = ModelWithHead(tiny_model(ENCODERS["bert"]), Head(HeadConfig(), 16).double())
    ids, types = torch.randint(VOCAB, (1, 6)), torch.tensor([[0, 0, 0, 1, 1, 1]])
    assert_close(model(ids, types=torch.zeros_like(types)), model(ids))
    assert not torch.allclose(model(ids, types=types), model(ids))
    assert_close(model(ids, types=types), model.head(model.model(ids, types=types)))


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_a_head_on_an_encoder_decoder_is_refused_when_it_is_made(name):
    with pytest.raises(ConfigError, match="needs an encoder or a decoder"):
        ModelWithHead(tiny_model(ENCODER_DECODERS[name]), Head(HeadConfig(), 16))
