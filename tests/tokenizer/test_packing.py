"""packing.py: whole examples behind one another, told apart by document numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError, Message
from groundup.tokenizer import FastTokenizer, RenderedChat, pack_examples, render
from groundup.tokenizer.packing import first_fit


@st.composite
def examples(draw):
    """Rendered examples in which at least one token after the first is trained."""
    length = draw(st.integers(2, 20))
    ids = draw(st.lists(st.integers(0, 99), min_size=length, max_size=length))
    mask = draw(st.lists(st.booleans(), min_size=length, max_size=length))
    mask[draw(st.integers(1, length - 1))] = True
    return RenderedChat("", ids, mask)


@given(st.lists(examples(), min_size=1, max_size=12), st.integers(19, 64))
def test_unpacking_gives_every_example_back_whole(given_examples, length):
    packed = pack_examples(given_examples, length)
    for number, example in enumerate(given_examples):
        rows, places = np.nonzero(packed.documents == number)
        assert len(set(rows)) == 1 and (np.diff(places) == 1).all()
        row, at = rows[0], slice(places[0], places[-1] + 1)
        assert packed.ids[row, at].tolist() == example.ids[:-1]
        assert packed.targets[row, at].tolist() == example.ids[1:]
        assert packed.weights[row, at].tolist() == example.mask[1:]
        assert packed.positions[row, at].tolist() == list(range(len(example.ids) - 1))


@given(st.lists(examples(), min_size=1, max_size=12), st.integers(19, 64))
def test_padding_counts_nothing(given_examples, length):
    packed = pack_examples(given_examples, length)
    padding = packed.documents == -1
    assert not packed.weights[padding].any() and not packed.ids[padding].any()
    assert (~padding).sum() == sum(len(example.ids) - 1 for example in given_examples)
    assert packed.weights.sum() == sum(sum(example.mask[1:]) for example in given_examples)


@given(st.lists(st.integers(1, 50), max_size=40))
def testfirst_fit_fills_rows_at_least_half(sizes):
    rows = first_fit(dict(enumerate(sizes)), 50)
    filled = [sum(sizes[key] for key in row) for row in rows]
    assert sorted(key for row in rows for key in row) == list(range(len(sizes)))
    assert all(total <= 50 for total in filled)
    assert sum(total * 2 <= 50 for total in filled) <= 1


def test_a_packed_chat_trains_the_answer_alone():
    tokenizer = FastTokenizer([])
    chats = [
        render(tokenizer, (Message("user", "?" * n), Message("assistant", "yes"))) for n in (1, 9)
    ]
    packed = pack_examples(chats, 128)
    trained = packed.targets[packed.weights > 0]
    assert tokenizer.decode(trained.tolist()) == "yes<|im_end|>" * 2
    assert packed.ids.shape == (1, 128)


def test_too_long_is_an_error_or_dropped_with_its_reason():
    short, long = RenderedChat("", [1, 2], [False, True]), RenderedChat("", [1] * 9, [True] * 9)
    with pytest.raises(DataError, match="row b has 9 tokens; a sequence of length=4 takes 5"):
        pack_examples([short, long], 4, names=["row a", "row b"])
    packed = pack_examples([short, long], 4, too_long="drop")
    assert packed.dropped[1].code == "too_long" and set(packed.dropped) == {1}
    assert set(packed.documents.ravel()) == {0, -1}
    with pytest.raises(DataError, match="of 1, 1 were too long"):
        pack_examples([long], 4, too_long="drop")


def test_an_example_without_a_trained_token_is_named():
    fine, empty = RenderedChat("", [1, 2], [False, True]), RenderedChat("", [1, 2], [False, False])
    with pytest.raises(DataError, match="example 1 has no token to train on"):
        pack_examples([fine, empty], 8)
    with pytest.raises(DataError, match="faq.md has no token"):
        pack_examples([empty], 8, names=["faq.md"])
    with pytest.raises(DataError, match="No example to pack"):
        pack_examples([], 8)
