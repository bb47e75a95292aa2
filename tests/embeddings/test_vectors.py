"""Neighbours and analogies are gensim's; words of a question never answer it."""

import json

import numpy as np
import pytest

from groundup.core import ConfigError, DataError
from groundup.embeddings import vectors as module
from groundup.embeddings.files import read_word2vec
from groundup.embeddings.vectors import Vectors


@pytest.fixture
def folder(root):
    return root / "tests/fixtures/word2vec"


@pytest.fixture
def known(folder):
    return read_word2vec(folder / "vectors.bin")


@pytest.fixture
def asked(folder):
    return json.loads((folder / "expected.json").read_text())["asked"]


def same(found, expected):
    assert [one.word for one in found] == [word for word, _ in expected]
    assert [one.score for one in found] == pytest.approx([s for _, s in expected], rel=2e-5)


def test_neighbours_and_analogies_are_gensims(known, asked):
    same(known.neighbours("w3", 8), asked["neighbours"])
    same(known.analogy("w1", "w5", "w2", count=8), asked["add"])
    same(known.analogy("w1", "w5", "w2", method="multiply", count=8), asked["multiply"])


def test_blocks_do_not_change_the_answers(known, monkeypatch):
    rows = np.random.default_rng(0).integers(len(known), size=(50, 3))
    whole = {m: known.analogies(rows, method=m, count=5) for m in ("add", "multiply")}
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * len(known) * 3)
    for method, best in whole.items():
        parts = known.analogies(rows, method=method, count=5)
        assert np.array_equal(parts.ids, best.ids)
        np.testing.assert_allclose(parts.scores, best.scores, rtol=1e-5)
        assert not any(set(a) & set(b) for a, b in zip(best.ids, rows, strict=True))


def test_a_limit_hides_rare_words(known):
    best = known.analogies(np.array([[1, 30, 2]]), count=6, limit=10)
    assert best.ids.max() < 10
    first = known.unit_vectors[[0]]
    assert np.isneginf(known.nearest(first, np.array([[0]]), 10, limit=10).scores[0, -1])


def test_all_words_are_ranked(known):
    assert len(known.neighbours("w1", 999)) == len(known) - 1
    ranks = sorted(known.rank("w1", "w5", "w2", one) for one in known.words)
    assert ranks == list(range(1, len(known) + 1))
    best = known.analogy("w1", "w5", "w2", count=3)
    assert [known.rank("w1", "w5", "w2", one.word) for one in best] == [1, 2, 3]


def test_unknown_words_are_told_with_those_spelt_alike():
    vectors = Vectors(["Paris", "kings", "king", "queen"], np.eye(4))
    with pytest.raises(ConfigError, match="did you mean 'Paris'"):
        vectors["paris"]
    with pytest.raises(ConfigError, match="similar words: king, kings"):
        vectors.neighbours("kinga")
    with pytest.raises(ConfigError, match="similar words: queen"):
        vectors.neighbours("Wueen")
    with pytest.raises(ConfigError, match="similar words: Paris"):
        vectors.neighbours("pariss")
    with pytest.raises(ConfigError, match="among 4 words; no word is similar"):
        vectors.similarity("queen", "zebra")


def test_a_vector_of_zeros_is_near_nothing():
    vectors = Vectors(["a", "b", "none"], np.array([[1, 0], [1, 1], [0, 0]]))
    assert vectors.similarity("a", "none") == 0
    assert [one.word for one in vectors.neighbours("a")] == ["b", "none"]


@pytest.mark.parametrize(
    ("words", "matrix", "said"),
    [
        (["a"], np.ones((2, 2)), "as many vectors"),
        (["a", "a"], np.ones((2, 2)), "two vectors"),
        (["a", "b"], np.array([[1, 2], [np.inf, 1]]), "'b' has a number"),
        (["a"], np.ones(1), "shape"),
    ],
)
def test_what_are_no_vectors(words, matrix, said):
    with pytest.raises(DataError, match=said):
        Vectors(words, matrix)


def test_counts_below_one_are_refused(known):
    with pytest.raises(ConfigError, match="count=0"):
        known.neighbours("w1", 0)
