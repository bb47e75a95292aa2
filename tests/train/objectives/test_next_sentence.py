"""Next sentence: half of the pairs belong together, and the model can see which."""

import numpy as np
import torch

from groundup.tokenizer import CLS, SEPARATOR
from groundup.train import get_objective
from groundup.train.objectives.next_sentence import IS_NEXT, IS_RANDOM
from tests.train.objectives.rows import making, many
from tests.train.objectives.test_masked import within


def made(what):
    return get_objective("next_sentence").batch(what.context, what.rows, what.step)


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
    batch, known = made(what), what.context.token_properties
    labels = batch.labels.numpy()
    assert within(int((labels == IS_RANDOM).sum()), len(labels), 0.5)
    for row in range(100):
        first, second = halves(batch, row, known)
        text = what.rows.ids[row, 1:].tolist()
        together = str([*first, *second])[1:-1]
        assert (together in str(text)[1:-1]) == (labels[row] == IS_NEXT)


def test_marks_are_never_hidden_and_fifteen_in_a_hundred_are():
    what = many()
    batch, known = made(what), what.context.token_properties
    hidden = batch.weights.numpy() > 0
    plain = (batch.documents.numpy() >= 0) & ~known.is_special[batch.targets.numpy()]
    assert not (hidden & ~plain).any()
    assert within(int(hidden.sum()), int(plain.sum()), 0.15)


def test_classes_weigh_as_much_as_tokens_together():
    batch = made(making())
    torch.testing.assert_close(batch.label_weights.sum(), batch.weights.sum())


def test_one_document_alone_has_no_other():
    what = making()
    rows = what.rows._replace(documents=np.zeros_like(what.rows.documents))
    assert (made(what._replace(rows=rows)).labels == IS_NEXT).all()


def test_padding_alone_makes_an_empty_pair():
    what = making()
    rows = what.rows._replace(documents=np.full_like(what.rows.documents, -1))
    batch = made(what._replace(rows=rows))
    assert batch.weights.sum() == 0 and (batch.documents >= 0).sum(1).tolist() == [3] * 8
