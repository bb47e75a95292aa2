"""Decoder objectives predict each next token, after a prefix, or a middle."""

import numpy as np
import pytest
import torch

from groundup.model import Transformer
from groundup.tokenizer import DOCUMENT_END, MIDDLE, PREFIX, SUFFIX
from groundup.train import causal_loss, get_objective
from groundup.train.objectives.objective import document_spans
from tests.model.shapes import tiny_config
from tests.train.objectives.rows import making, many, tokenizer, within


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


def made(what):
    return get_objective("middle").batch(what.context, what.rows, what.step)


def parts(ids: list[int], known) -> tuple[list[int], list[int], list[int], bool]:
    """Prefix, middle and suffix of a moved document, and whether the suffix came first."""
    names = (PREFIX, MIDDLE, SUFFIX, DOCUMENT_END)
    prefix, middle, suffix, end = map(known.special_token_id, names)
    assert ids[0] == prefix and ids[-1] == end
    s, m = ids.index(suffix), ids.index(middle)
    if s == 1:  # the prefix's end is not marked: both orders give the same joined text
        return ids[m + 1 : -1], [], ids[2:m], True
    return ids[1:s], ids[m + 1 : -1], ids[s + 1 : m], False


@pytest.mark.parametrize("characters", [True, False])
def test_the_text_comes_back(characters: bool):
    what = many(characters=characters, middle_rate=1.0)
    batch, known, words = made(what), what.context.token_properties, tokenizer()
    first = moved = lost = 0
    for row, documents in enumerate(what.rows.documents):
        for a, b in document_spans(documents):
            if b - a < 8:
                continue
            told = batch.targets[row, a:b][batch.documents[row, a:b] >= 0].tolist()
            if told[0] != known.special_token_id(PREFIX):
                lost += 1
                continue
            moved += 1
            prefix, middle, suffix, is_first = parts(told, known)
            first += is_first
            own = what.rows.ids[row, 1 + a : 1 + b]
            text = words.decode_bytes(own[~known.is_special[own]].tolist())
            text = text.decode("utf-8", "ignore").encode() if characters else text
            again = words.decode_bytes([*prefix, *middle, *suffix])
            assert text.startswith(again) and len(text) - len(again) < 200
    assert moved > 300 and lost < moved / 30  # cut anew, few become too many tokens
    assert within(first, moved, 0.5)


def test_half_of_the_documents_are_moved_and_the_rest_is_as_it_was():
    what = many()
    batch, known = made(what), what.context.token_properties
    total = moved = 0
    for row, documents in enumerate(what.rows.documents):
        for a, b in document_spans(documents):
            if b - a < 16:
                continue
            total += 1
            if batch.targets[row, a] == known.special_token_id(PREFIX):
                moved += 1
            else:
                assert np.array_equal(batch.targets[row, a:b], what.rows.ids[row, 1 + a : 1 + b])
    assert within(moved, total, 0.5)


def test_cuts_fall_within_words_or_between_tokens():
    def starts(characters: bool) -> float:
        what = many(characters=characters, middle_rate=1.0, suffix_first=0.0)
        batch, known, words = made(what), what.context.token_properties, tokenizer()
        inside = total = 0
        for row in range(200):
            told = batch.targets[row][batch.documents[row] >= 0].tolist()
            if told[0] != known.special_token_id(PREFIX):
                continue
            prefix, middle, _, _ = parts(
                told[: told.index(known.special_token_id(DOCUMENT_END)) + 1], known
            )
            if prefix and middle:
                total += 1
                joined = words.encode(words.decode([*prefix[-4:], *middle[:4]]))
                inside += len(joined) < len([*prefix[-4:], *middle[:4]])
        return inside / total

    assert starts(True) > 0.3 > 0.1 > starts(False)


def test_nothing_is_seen_of_what_came_before_a_moved_document():
    what = many(middle_rate=1.0)
    batch, end = made(what), what.context.token_properties.special_token_id(DOCUMENT_END)
    moved = batch.targets == what.context.token_properties.special_token_id(PREFIX)
    assert (batch.ids[moved] == end).all()
    inside = (batch.documents[:, 1:] == batch.documents[:, :-1]) & (batch.documents[:, 1:] >= 0)
    assert torch.equal(batch.ids[:, 1:][inside], batch.targets[:, :-1][inside])


def test_a_document_too_short_stays():
    what = making(length=6, middle_rate=1.0)
    assert np.array_equal(made(what).targets, what.rows.ids[:, 1:])
