"""What is drawn by: gensim's thresholds, shares and numbers; Huffman's tree is a shortest one."""

import heapq
import json

import numpy as np
import pytest

from groundup.embeddings.tables import (
    Word2VecRandom,
    cumulative_shares,
    huffman_tree,
    keep_thresholds,
    search_starts,
)


@pytest.fixture
def expected(root):
    return json.loads((root / "tests/fixtures/word2vec/expected.json").read_text())


def test_shares_and_thresholds_are_gensims(expected):
    told = expected["training"]["cbow-negatives"]
    counts = np.array(told["counts"])
    assert cumulative_shares(counts, 0.75).tolist() == told["cumulative"]
    assert keep_thresholds(counts, 1e-2, "gensim").tolist() == expected["keep"]


def test_the_papers_formula_keeps_fewer():
    counts = np.array([5000, 300, 20, 1])
    code, paper = (keep_thresholds(counts, 1e-3, rule) for rule in ("gensim", "paper"))
    assert (paper <= code).all() and paper[0] < code[0]
    assert paper[0] / 2**32 == pytest.approx((1e-3 * counts.sum() / 5000) ** 0.5)
    assert keep_thresholds(counts, 1e9, "gensim").tolist() == [2**32 - 1] * 4


def test_buckets_lead_to_the_word_of_a_number():
    cumulative = cumulative_shares(np.random.default_rng(0).integers(1, 9000, 700), 0.75)
    starts, draws = search_starts(cumulative), Word2VecRandom(3)
    for _ in range(2000):
        number = draws.next() % int(cumulative[-1])
        word = int(starts[number >> 15])
        while cumulative[word] < number:
            word += 1
        assert word == np.searchsorted(cumulative, number, "left")


def code_of(tree, word):
    return tree.codes[tree.paths[word] : tree.paths[word + 1]].tolist()


@pytest.mark.parametrize("size", [2, 3, 10, 257])
def test_the_trees_codes_are_shortest_and_tell_words_apart(size):
    counts = np.sort(np.random.default_rng(size).integers(1, 1000, size))[::-1]
    tree = huffman_tree(counts)
    cost = sum(int(n) * len(code_of(tree, word)) for word, n in enumerate(counts))
    heap = counts.tolist()
    heapq.heapify(heap)
    least = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        least += both
        heapq.heappush(heap, both)
    assert cost == least
    codes = ["".join(map(str, code_of(tree, word))) for word in range(size)]
    assert not any(a != b and b.startswith(a) for a in codes for b in codes)
    assert (tree.points[tree.paths[:-1]] == size - 2).all()
    assert tree.points.min() >= 0
