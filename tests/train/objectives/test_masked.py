"""Masks: the paper's rates, whole words, no special token, and the same again when asked again."""

import numpy as np
import pytest
import torch

from groundup.tokenizer import MASK
from groundup.train import get_objective
from groundup.train.objectives.token_properties import document_spans, word_spans
from tests.train.objectives.rows import making, many


def made(what, step: int = 0):
    return get_objective("masked").batch(what.context, what.rows, step)


def within(count: int, total: int, rate: float) -> bool:
    """Whether a count is within four standard deviations of a binomial's mean."""
    return abs(count - rate * total) < 4 * np.sqrt(total * rate * (1 - rate))


@pytest.mark.parametrize("whole", [True, False])
def test_fifteen_in_a_hundred_are_hidden_in_eighty_ten_ten(whole: bool):
    what = many(whole_words=whole)
    batch, known = made(what), what.context.token_properties
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
    batch, known = made(what), what.context.token_properties
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
    batch = made(what)
    assert np.array_equal(batch.targets.numpy(), what.rows.ids[:, 1:])
    seen = batch.weights == 0
    assert torch.equal(batch.ids[seen], batch.targets[seen])


def test_words_are_hidden_whole():
    what = making()
    hidden, known = made(what).weights.numpy() > 0, what.context.token_properties
    for row, documents in enumerate(what.rows.documents):
        for piece in document_spans(documents):
            for word in word_spans(what.rows.ids[row, 1:], piece, known):
                part = hidden[row, word.start : word.end]
                assert part.all() or not part.any()


def test_a_step_is_the_same_again_and_another_step_is_not():
    what = making()
    assert torch.equal(made(what, 4).ids, made(what, 4).ids)
    assert not torch.equal(made(what, 4).weights, made(what, 5).weights)


def test_static_masks_belong_to_the_text_alone():
    what = making(dynamic=False)
    assert torch.equal(made(what, 4).ids, made(what, 5).ids)
    turned = what.rows._replace(
        ids=what.rows.ids[::-1].copy(), documents=what.rows.documents[::-1].copy()
    )
    assert torch.equal(made(what._replace(rows=turned)).ids.flip(0), made(what).ids)


def test_another_seed_hides_others():
    assert not torch.equal(made(making(seed=0)).weights, made(making(seed=1)).weights)
