"""Masks: order, documents, prefixes and patterns, each by its own words."""

import pytest
import torch

from groundup.core import ShapeError
from groundup.kernels import AttentionPattern, Mask, attention, document_positions, visible_mask
from tests.checking import unchecked


def seen(mask, queries, keys):
    return visible_mask(mask, queries, keys, "cpu").int().tolist()


def test_patterns_are_what_their_papers_draw():
    rows = {
        AttentionPattern("window", window=2): [0, 0, 0, 0, 1, 1],
        AttentionPattern("block", window=4): [0, 0, 0, 0, 1, 1],
        AttentionPattern("strided", window=2, stride=3): [0, 0, 1, 0, 1, 1],
        AttentionPattern("fixed", stride=4, tokens=1): [0, 0, 0, 1, 1, 1],
        AttentionPattern("global", window=2, tokens=1): [1, 0, 0, 0, 1, 1],
    }
    for pattern, row in rows.items():
        assert seen(Mask(pattern=pattern), 1, 6) == [[row]], pattern


def test_without_order_a_window_has_two_sides():
    mask = Mask(causal=False, pattern=AttentionPattern("window", window=2))
    assert seen(mask, 4, 4)[0] == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]


def test_a_pattern_starts_anew_with_every_document():
    mask = Mask(
        pattern=AttentionPattern("block", window=2), documents=torch.tensor([[0, 0, 0, 1, 1, 1]])
    )
    assert seen(mask, 6, 6)[0][3:] == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]


def test_places_start_anew_even_if_a_number_comes_back():
    assert document_positions(torch.tensor([[4, 4, 7, 4, 4]])).tolist() == [[0, 1, 0, 0, 1]]


def test_a_prefix_stays_within_its_document():
    prefix = torch.tensor([[1, 1, 0, 1, 0]]).bool()
    mask = Mask(documents=torch.tensor([[0, 0, 0, 1, 1]]), prefix=prefix)
    assert seen(mask, 5, 5)[0][0] == [1, 1, 0, 0, 0]
    assert seen(mask, 5, 5)[0][4] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "heads, keys, mask, message",
    [
        ((2, 5), (2, 4), Mask(), "5 queries cannot be the last of 4 keys"),
        ((2, 5), (2, 4), Mask(False, documents=torch.zeros(1, 4).long()), "5 queries"),
        ((3, 4), (2, 4), Mask(), "H a multiple of G"),
        ((2, 4), (2, 4), Mask(documents=torch.zeros(1, 3).long()), r"documents.*\(1, 3\)"),
        ((2, 4), (2, 4), Mask(prefix=torch.zeros(2, 4).bool()), r"prefix.*\(2, 4\)"),
    ],
)
def test_queries_keys_and_masks_that_do_not_fit_are_refused(heads, keys, mask, message):
    q, k = torch.zeros(1, *heads, 8), torch.zeros(1, *keys, 8)
    with unchecked(), pytest.raises(ShapeError, match=message):
        attention(q, k, k, mask=mask)
    more, few = torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 4, 8)  # of elsewhere: as many as wanted
    assert attention(more, few, few, mask=Mask(causal=False)).shape == (1, 2, 5, 8)
