"""Encoder objectives mask what their papers say, within documents."""

import numpy as np
import pytest
import torch
from scipy import stats

from groundup.tokenizer import CLS, MASK, SEPARATOR
from groundup.train import get_objective
from groundup.train.objectives.encoder import IS_NEXT, IS_RANDOM, LENGTH_WEIGHTS
from groundup.train.objectives.objective import KeyedRandom, document_spans, word_spans
from tests.train.objectives.rows import making, many, within


def batch_of(objective: str, what, step: int | None = None):
    return get_objective(objective).batch(
        what.context, what.rows, what.step if step is None else step
    )


@pytest.mark.parametrize("whole", [True, False])
def test_fifteen_in_a_hundred_are_hidden_in_eighty_ten_ten(whole: bool):
    what = many(whole_words=whole)
    batch, known = batch_of("masked", what), what.context.token_properties
    candidates = (what.rows.documents >= 0) & ~known.is_special[what.rows.ids[:, 1:]]
    hidden = batch.weights.numpy() > 0
    assert candidates.sum() > 90_000
    assert within(hidden.sum(), candidates.sum(), 0.15)
    shown, stood = batch.ids.numpy()[hidden], batch.targets.numpy()[hidden]
    masks = shown == known.special_token_id(MASK)
    assert within(masks.sum(), hidden.sum(), 0.8)
    chance = 0.1 / len(known.ordinary_ids)  # another token may be the same one
    assert within((shown == stood).sum(), hidden.sum(), 0.1 + chance)


def test_specials_and_padding_are_left_alone():
    what = many()
    batch, known = batch_of("masked", what), what.context.token_properties
    original = what.rows.ids[:, 1:]
    fixed = known.is_special[original] | (what.rows.documents < 0)
    assert fixed.any()
    assert not (batch.weights.numpy()[fixed] > 0).any()
    assert np.array_equal(batch.ids.numpy()[fixed], original[fixed])
    changed = batch.ids.numpy() != original
    put_in = batch.ids.numpy()[changed]
    assert (known.is_special[put_in] == (put_in == known.special_token_id(MASK))).all()


def test_the_targets_are_the_text():
    what = making()
    batch = batch_of("masked", what)
    assert np.array_equal(batch.targets.numpy(), what.rows.ids[:, 1:])
    seen = batch.weights == 0
    assert torch.equal(batch.ids[seen], batch.targets[seen])


def test_words_are_hidden_whole():
    what = making()
    hidden, known = batch_of("masked", what).weights.numpy() > 0, what.context.token_properties
    for row, documents in enumerate(what.rows.documents):
        for piece in document_spans(documents):
            for word in word_spans(what.rows.ids[row, 1:], piece, known):
                part = hidden[row, word.start : word.end]
                assert part.all() or not part.any()


def test_a_step_is_the_same_again_and_another_step_is_not():
    what = making()
    assert torch.equal(batch_of("masked", what, 4).ids, batch_of("masked", what, 4).ids)
    assert not torch.equal(batch_of("masked", what, 4).weights, batch_of("masked", what, 5).weights)


def test_static_masks_belong_to_the_text_alone():
    what = making(dynamic=False)
    assert torch.equal(batch_of("masked", what, 4).ids, batch_of("masked", what, 5).ids)
    turned = what.rows._replace(
        ids=what.rows.ids[::-1].copy(), documents=what.rows.documents[::-1].copy()
    )
    assert torch.equal(
        batch_of("masked", what._replace(rows=turned)).ids.flip(0), batch_of("masked", what).ids
    )


def test_another_seed_hides_others():
    assert not torch.equal(
        batch_of("masked", making(seed=0)).weights, batch_of("masked", making(seed=1)).weights
    )


def runs(hidden: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, start, end) of hidden tokens in a row."""
    found = []
    for row, line in enumerate(hidden):
        steps = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]])))
        found += [(row, int(a), int(b)) for a, b in steps.reshape(-1, 2)]
    return found


def test_lengths_are_the_paper_s_geometric_up_to_ten():
    found = 1 + KeyedRandom(1).weighted_choice(LENGTH_WEIGHTS, 20_000)
    law = stats.geom(0.2).pmf(np.arange(1, 11))
    counts = np.bincount(found, minlength=11)[1:]
    assert stats.chisquare(counts, 20_000 * law / law.sum()).pvalue > 1e-3
    assert round(float((law * np.arange(1, 11)).sum() / law.sum()), 1) == 3.8  # as it says


def test_fifteen_in_a_hundred_are_hidden_and_no_special_is():
    what = many()
    batch, known = batch_of("boundary", what), what.context.token_properties
    original = what.rows.ids[:, 1:]
    candidates = (what.rows.documents >= 0) & ~known.is_special[original]
    hidden = batch.weights.numpy() > 0
    assert within(hidden.sum(), candidates.sum(), 0.15)
    assert not (hidden & ~candidates).any()


def test_edges_are_seen_and_in_the_same_document():
    what = many()
    batch = batch_of("boundary", what)
    hidden, documents = batch.weights.numpy() > 0, what.rows.documents
    spans = runs(hidden.astype(int))
    assert len(spans) > 2000
    for row, start, end in spans:
        assert start > 0 and end < hidden.shape[1]
        assert len(set(documents[row, start - 1 : end + 1])) == 1
        wanted = [(start - 1, end, place) for place in range(end - start)]
        assert batch.edges[row, start:end].tolist() == [list(each) for each in wanted]
        assert not hidden[row, start - 1] and not hidden[row, end]


def test_a_span_has_one_fate():
    what = many()
    batch, known = batch_of("boundary", what), what.context.token_properties
    original, ids = what.rows.ids[:, 1:], batch.ids.numpy()
    spans = runs((batch.weights.numpy() > 0).astype(int))
    masks = [(ids[row, a:b] == known.special_token_id(MASK)) for row, a, b in spans]
    kept = [(ids[row, a:b] == original[row, a:b]).all() for row, a, b in spans]
    assert all(mask.all() or not mask.any() for mask in masks)
    assert within(sum(mask.all() for mask in masks), len(spans), 0.8)
    assert within(sum(kept), len(spans), 0.1)


def test_a_row_too_short_for_neighbours_hides_nothing():
    what = many()
    rows = what.rows._replace(ids=what.rows.ids[:, :3], documents=what.rows.documents[:, :2])
    assert batch_of("boundary", what._replace(rows=rows)).weights.sum() == 0


def halves(batch, row: int, known) -> tuple[list[int], list[int]]:
    ids = batch.targets[row][batch.documents[row] >= 0].tolist()
    border = ids.index(known.special_token_id(SEPARATOR))
    assert ids[0] == known.special_token_id(CLS) and ids[-1] == known.special_token_id(SEPARATOR)
    types = batch.types[row].tolist()
    assert types[: border + 1] == [0] * (border + 1)
    assert types[border + 1 : len(ids)] == [1] * (len(ids) - border - 1)
    return ids[1:border], ids[border + 1 : -1]


def test_half_of_the_pairs_are_next_and_follow_in_the_text():
    what = many()
    batch, known = batch_of("next_sentence", what), what.context.token_properties
    labels = batch.labels.numpy()
    assert within(int((labels == IS_RANDOM).sum()), len(labels), 0.5)
    for row in range(100):
        first, second = halves(batch, row, known)
        text = what.rows.ids[row, 1:].tolist()
        together = str([*first, *second])[1:-1]
        assert (together in str(text)[1:-1]) == (labels[row] == IS_NEXT)


def test_marks_are_never_hidden_and_fifteen_in_a_hundred_are():
    what = many()
    batch, known = batch_of("next_sentence", what), what.context.token_properties
    hidden = batch.weights.numpy() > 0
    plain = (batch.documents.numpy() >= 0) & ~known.is_special[batch.targets.numpy()]
    assert not (hidden & ~plain).any()
    assert within(int(hidden.sum()), int(plain.sum()), 0.15)


def test_classes_weigh_as_much_as_tokens_together():
    batch = batch_of("next_sentence", making())
    torch.testing.assert_close(batch.label_weights.sum(), batch.weights.sum())


def test_one_document_alone_has_no_other():
    what = making()
    rows = what.rows._replace(documents=np.zeros_like(what.rows.documents))
    assert (batch_of("next_sentence", what._replace(rows=rows)).labels == IS_NEXT).all()


def test_padding_alone_makes_an_empty_pair():
    what = making()
    rows = what.rows._replace(documents=np.full_like(what.rows.documents, -1))
    batch = batch_of("next_sentence", what._replace(rows=rows))
    assert batch.weights.sum() == 0 and (batch.documents >= 0).sum(1).tolist() == [3] * 8
