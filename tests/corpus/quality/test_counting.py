"""Counts of runs: none reaches over a text's end, and merging adds."""

from collections import Counter

import numpy as np

from groundup.corpus.quality.counting import bounded, continuations, count, discounts_of, merged
from groundup.corpus.quality.hashing import words
from groundup.corpus.quality.ngram import END, START


def padded(text: str) -> np.ndarray:
    return np.concatenate([[START], words(text).hashes, [END]]).astype(np.uint64)


TEXTS = ["a b a b", "b a", "a", "c a b"]


def plain(order: int) -> Counter:
    runs: Counter = Counter()
    for text in TEXTS:
        run = ["<s>", *text.split(), "</s>"]
        runs.update(tuple(run[i : i + order]) for i in range(len(run) - order + 1))
    return runs


def test_runs_are_those_of_each_text():
    for order, table in enumerate(count([padded(text) for text in TEXTS], 5), 1):
        wanted = plain(order)
        assert sorted(table.numbers.tolist()) == sorted(wanted.values())
        assert (np.diff(table.keys.astype(object)) > 0).all()
        begins = sum(number for run, number in wanted.items() if run[0] == "<s>")
        assert table.numbers[table.begins].sum() == begins


def test_continuations_count_different_words_before():
    tables = list(count([padded(text) for text in TEXTS], 2))
    found = dict(zip(tables[0].keys.tolist(), continuations(*tables).tolist(), strict=True))
    before_a = {run[0] for run in plain(2) if run[1] == "a"}
    assert found[int(words("a").hashes[0])] == len(before_a)
    assert found[int(START)] == len(TEXTS)


def test_merging_adds_and_bounding_forgets_the_rarest():
    (one,) = count([padded(text) for text in TEXTS], 1)
    both = merged([one, one])
    assert (both.numbers == 2 * one.numbers).all() and (both.keys == one.keys).all()
    small, lost = bounded(one, 3)
    assert len(small.keys) <= 3 and lost == len(one.keys) - len(small.keys)
    assert small.numbers.min() > 1


def test_discounts_are_those_of_the_formula():
    numbers = np.array([1] * 40 + [2] * 10 + [3] * 5 + [4] * 2)
    y = 40 / 60
    wanted = [1 - 2 * y * 10 / 40, 2 - 3 * y * 5 / 10, 3 - 4 * y * 2 / 5]
    np.testing.assert_allclose(discounts_of(numbers), wanted)
    np.testing.assert_array_equal(discounts_of(np.array([1, 1])), [0.5, 1.0, 1.5])
