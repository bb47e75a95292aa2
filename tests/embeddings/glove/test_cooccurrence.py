"""Cells: equal to counting by hand, however little memory there is; every order is as likely."""

import numpy as np
import pytest

from groundup.core import DataError
from groundup.embeddings.glove.cooccurrence import CELL, _merge_runs, _sum_by_key, cooccurrences
from groundup.embeddings.text import TokenizedText

WORDS = 30


def text_of(length=1500):
    ids = np.random.default_rng(0).zipf(1.5, length).astype(np.int32) % WORDS
    ends = np.unique(np.append(np.random.default_rng(1).integers(1, length, 90), length))
    return TokenizedText(ids, ends.astype(np.int64))


def by_hand(text, window, is_symmetric, by_distance):
    table = np.zeros((WORDS, WORDS))
    for start, stop in zip([0, *text.ends[:-1]], text.ends, strict=True):
        words = text.ids[start:stop]
        for place, word in enumerate(words):
            for distance in range(1, min(window, place) + 1):
                before, amount = words[place - distance], 1 / distance if by_distance else 1
                table[before, word] += amount
                if is_symmetric:
                    table[word, before] += amount
    return table


def table_of(cells):
    table = np.zeros((WORDS, WORDS))
    table[cells["word"], cells["context"]] = cells["count"]
    return table


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("memory", [1 << 14, 1 << 29])
def test_cells_are_those_counted_by_hand(tmp_path, is_symmetric, by_distance, memory):
    text = text_of()
    cells = cooccurrences(
        text, WORDS, 4, tmp_path, is_symmetric=is_symmetric, by_distance=by_distance,
        memory_bytes=memory,
    )  # fmt: skip
    assert cells.dtype == CELL
    assert len(set(zip(cells["word"].tolist(), cells["context"].tolist(), strict=True))) == len(
        cells
    )
    wanted = by_hand(text, 4, is_symmetric, by_distance)
    np.testing.assert_allclose(table_of(cells), wanted, rtol=1e-12)


def test_runs_are_merged_whatever_their_ranges():
    stream = np.random.default_rng(0)
    runs = [_sum_by_key(stream.integers(0, 9000, 4000), np.ones(4000)) for _ in range(5)]
    whole = _sum_by_key(
        np.concatenate([run.keys for run in runs]), np.concatenate([run.counts for run in runs])
    )
    parts = list(_merge_runs(runs, 1500))
    assert len(parts) > 3
    assert np.array_equal(np.concatenate([part.keys for part in parts]), whole.keys)
    assert np.array_equal(np.concatenate([part.counts for part in parts]), whole.counts)


@pytest.mark.parametrize("memory", [1 << 14, 1 << 29])
def test_cells_are_shuffled(tmp_path, memory):
    cells = cooccurrences(text_of(), WORDS, 5, tmp_path, memory_bytes=memory)
    places = np.arange(len(cells))
    keys = cells["word"].astype(int) * WORDS + cells["context"]
    assert abs(np.corrcoef(places, keys)[0, 1]) < 0.15
    (tmp_path / "again").mkdir()
    again = cooccurrences(text_of(), WORDS, 5, tmp_path / "again", memory_bytes=memory)
    assert np.array_equal(cells, again)


def test_single_words_give_no_cells(tmp_path):
    alone = TokenizedText(np.array([0, 1, 0], np.int32), np.array([1, 2, 3]))
    with pytest.raises(DataError, match="No sentence has two words"):
        cooccurrences(alone, 2, 5, tmp_path)
