"""Each token is scored exactly once, with the context that the signature states."""

import math
from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.evaluate import (
    DocumentScore,
    bits_per_byte,
    score_compressor,
    score_documents,
)
from groundup.evaluate.likelihood import disjoint_windows, sliding_windows
from groundup.generate import scoring
from groundup.measure import Interval, above, check_requirement
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer

BOS = 63


def tiny(vocab_size: int = 64, dtype: torch.dtype = torch.float64) -> Transformer:
    config = ModelConfig(
        vocab_size=vocab_size, width=16, layers=2, context_length=256,
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=8),
        feedforward=FeedForwardConfig(width=24),
    )  # fmt: skip
    model = Transformer(config)
    with torch.no_grad():  # a new model is nearly uniform: make it one with opinions
        generator = torch.Generator().manual_seed(1)
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model.to(dtype)


def naive(model: Transformer, ids: list[int], window: int, stride: int, bos: int = BOS) -> float:
    """One forward pass a token, with exactly the context that the rule gives it."""
    row, nats = [bos, *ids], 0.0
    for target in range(1, len(row)):
        start = 0
        while start + window < target:
            start += stride
        logits = model.logits(torch.tensor([row[start:target]]))[0, -1]
        nats -= float(logits.log_softmax(-1)[row[target]])
    return nats


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_windows_reach_each_token_exactly_once(length, window, data):
    stride = data.draw(st.integers(1, window))
    targets, context = [], []
    for start, end, first in sliding_windows(length, window, stride):
        assert end - start <= window
        targets += range(first, end + 1)
        context += [target - start for target in range(first, end + 1)]
    assert targets == list(range(1, length))
    for target, seen in zip(targets, context, strict=True):
        assert seen == target or seen >= window - stride + 1


@pytest.mark.parametrize(("window", "stride"), [(64, None), (8, None), (8, 8), (8, 1), (1, 1)])
@torch.no_grad()
def test_scores_equal_one_pass_a_token(window, stride):
    model, random = tiny(), torch.Generator().manual_seed(2)
    lengths = [1, 7, 8, 9, 30, 17]
    documents = [
        (f"d{n}", torch.randint(0, 63, (n,), generator=random).tolist(), 3 * n) for n in lengths
    ]
    found = score_documents(
        model, documents, bos=BOS, window=window, stride=stride, batch_tokens=20
    )
    for score, (name, ids, size) in zip(found, documents, strict=True):
        assert (score.name, score.bytes, score.tokens) == (name, size, len(ids))
        assert score.nats == pytest.approx(
            naive(model, ids, window, stride or max(1, window // 2)), rel=1e-10
        )


def test_batches_do_not_move_a_score(monkeypatch):
    model, random = tiny(), torch.Generator().manual_seed(3)
    documents = [
        (str(n), torch.randint(0, 63, (n,), generator=random).numpy(), n) for n in range(1, 25)
    ]
    together = score_documents(model, documents, bos=BOS, window=16, batch_tokens=10_000)
    monkeypatch.setattr(scoring, "CHUNK_LOGITS", 64 * 3)
    alone = score_documents(model, documents, bos=BOS, window=16, batch_tokens=1)
    assert [a.nats for a in together] == pytest.approx([b.nats for b in alone], rel=1e-12)
    assert together[0].signature == alone[0].signature


def test_uniform_model_needs_log_of_the_vocabulary():
    model = tiny()
    torch.nn.init.zeros_(model.embed_tokens.weight)
    (score,) = score_documents(model, [("a", [1, 2, 3, BOS], 4)], bos=BOS)
    assert score.nats == pytest.approx(4 * math.log(64))


def test_the_signature_tells_what_moves_the_number():
    documents = [("a", [1, 2], 2)]
    signatures = {
        score_documents(model, documents, bos=BOS, window=window, stride=stride)[0].signature
        for model in (tiny(), tiny(dtype=torch.bfloat16))
        for window, stride in ((32, 16), (32, 8), (16, 8))
    }
    assert len(signatures) == 6
    assert "document|first:after_bos|window:32|stride:16|dtype:float64" in signatures


def test_computing_in_bfloat16_is_told_and_moves_the_number_little():
    model, documents = tiny(dtype=torch.float32), [("a", list(range(60)), 60)]
    exact = score_documents(model, documents, bos=BOS, window=32)
    with torch.autocast("cpu", torch.bfloat16):
        fast = score_documents(model, documents, bos=BOS, window=32)
    for a, b in zip(exact, fast, strict=True):
        assert a.signature.endswith("dtype:float32") and b.signature.endswith("dtype:bfloat16")
        assert b.nats == pytest.approx(a.nats, rel=0.02) and b.nats != a.nats


def test_bfloat16_is_near_float32():
    documents = [("a", list(range(40)), 60)]
    (rough,) = score_documents(tiny(dtype=torch.bfloat16), documents, bos=BOS)
    (fine,) = score_documents(tiny(dtype=torch.float32), documents, bos=BOS)
    assert rough.nats == pytest.approx(fine.nats, rel=0.02)


def test_scoring_leaves_the_model_as_it_was():
    model = tiny().train()
    score_documents(model, [("a", [1, 2], 2)], bos=BOS)
    assert model.training and all(weight.grad is None for weight in model.parameters())


@given(st.integers(1, 60), st.integers(1, 20))
def test_disjoint_windows_reach_each_token_exactly_once_and_the_last_is_full(length, window):
    parts = list(disjoint_windows(length, window))
    assert [t for part in parts for t in range(part.first_target, part.end + 1)] == list(
        range(1, length)
    )
    assert all(part.end - part.start <= window for part in parts)
    if length > window:
        assert parts[-1].end - parts[-1].start == window


def test_what_cannot_be_scored_says_why():
    model = tiny()
    with pytest.raises(DataError, match="d has the id 64 and the model has 64"):
        score_documents(model, [("d", [64], 1)], bos=BOS)
    with pytest.raises(DataError, match="d has 2 tokens and 0 bytes"):
        score_documents(model, [("d", [1, 2], 0)], bos=BOS)
    with pytest.raises(ConfigError, match="stride=9 must lie between 1 and window=8"):
        score_documents(model, [("d", [1], 1)], bos=BOS, window=8, stride=9)
    torch.nn.init.constant_(model.norm.weight, float("nan"))
    with pytest.raises(DataError, match="d scores nan nats"):
        score_documents(model, [("d", [1], 1)], bos=BOS)
    assert score_documents(model, [], bos=BOS) == []


def test_bits_per_byte_is_of_all_bytes_together():
    found = bits_per_byte([
        DocumentScore("a", 30 * log(2), 10, 5, ""), DocumentScore("b", 10 * log(2), 30, 5, ""),
    ])  # fmt: skip
    assert isinstance(found, Interval) and found.estimate == pytest.approx(1.0)


def test_one_document_gives_a_reason_not_a_number():
    for scores in ([], [DocumentScore("a", 1.0, 10, 5, "")]):
        found = bits_per_byte(scores)
        assert isinstance(found, Reason) and found.code == "too_few_groups"
        assert not check_requirement("x", found, above(0)).passed


def test_a_compressor_is_a_baseline_for_any_model():
    found = score_compressor([("d0", "abc " * 200), ("d1", "ünïcode " * 150)])
    assert [score.bytes for score in found] == [800, 1500]
    assert 0 < found[0].nats / log(2) / 8 < 40
    assert all("compressor|xz" in score.signature for score in found)
    halved = [score._replace(nats=score.nats / 2) for score in found]
    xz, ours = bits_per_byte(found), bits_per_byte(halved)
    assert isinstance(xz, Interval) and isinstance(ours, Interval)
    assert ours.estimate == pytest.approx(xz.estimate / 2)
