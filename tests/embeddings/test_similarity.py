"""Tests against people give gensim's numbers; what has no vector is counted."""

import json

import numpy as np
import pytest

from groundup.core import DataError, Reason
from groundup.embeddings.files import read_word2vec
from groundup.embeddings.similarity import (
    Analogies,
    RatedPair,
    answer_analogies,
    detect_test_kind,
    rating_correlation,
    read_analogies,
    read_ratings,
)
from groundup.embeddings.vectors import Vectors
from groundup.measure import Interval


@pytest.fixture
def known(root):
    return read_word2vec(root / "tests/fixtures/word2vec/vectors.bin")


@pytest.fixture
def asked(root):
    return json.loads((root / "tests/fixtures/word2vec/expected.json").read_text())["asked"]


def test_ratings_correlate_as_in_gensim(known, asked, tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(asked["pairs"])
    pairs = read_ratings(path)
    assert detect_test_kind(path) == "ratings" and pairs[0] == RatedPair("W0", "w1", 9.0)
    found = rating_correlation(known, pairs)
    assert isinstance(found.spearman, Interval)
    assert found.spearman.estimate == pytest.approx(asked["spearman"], abs=1e-9)
    assert found.spearman.low < found.spearman.estimate < found.spearman.high
    assert 100 * found.unknown / found.asked == pytest.approx(asked["unknown_percent"])
    assert str(found).endswith("9 of 10 pairs (1 lack a vector)")


def test_analogies_are_answered_as_in_gensim(known, asked, tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(asked["questions"])
    sections = read_analogies(path)
    assert detect_test_kind(path) == "analogies" and list(sections) == ["first kind", "second"]
    found = answer_analogies(known, sections)
    theirs = {name: tuple(counts) for name, counts in asked["sections"].items()}
    for section in found.sections:
        assert (section.right, section.asked - section.right) == theirs[section.name]
    assert found.sections[1].unknown == 1
    assert found.accuracy == found.right / 14
    assert "all" in str(found).splitlines()[-1]


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_a_parallelogram_is_found(method):
    points = np.array([[4, 1], [4, 2], [1, 3], [1, 4], [9, 1]], float)
    vectors = Vectors(["Man", "Woman", "King", "Queen", "kin"], points)
    found = answer_analogies(vectors, {"family": [["man", "woman", "king", "queen"]]}, method)
    assert found.right == 1


def test_nothing_known_is_a_reason(known):
    found = rating_correlation(known, [RatedPair("x", "y", 1.0)] * 3)
    assert isinstance(found.spearman, Reason) and found.unknown == 3
    none = answer_analogies(known, {"a": [["p", "q", "r", "s"]]})
    assert isinstance(none.accuracy, Reason) and "1 unknown" in str(none)
    assert isinstance(Analogies(()).accuracy, Reason)


@pytest.mark.parametrize(
    ("content", "said"),
    [("a\tb\n", "line 1: expected 3 columns"), ("a\tb\tmuch\n", "expected a rating; got 'much'")],
)
def test_wrong_ratings_are_told(tmp_path, content, said):
    (tmp_path / "t").write_text(content)
    with pytest.raises(DataError, match=said):
        read_ratings(tmp_path / "t")


def test_wrong_analogies_are_told(tmp_path):
    (tmp_path / "t").write_text(": x\na b c d\na b c\n")
    with pytest.raises(DataError, match="line 3: expected 4 columns"):
        read_analogies(tmp_path / "t")
    (tmp_path / "t").write_text("# only a comment\n")
    with pytest.raises(DataError, match="is empty"):
        detect_test_kind(tmp_path / "t")
    with pytest.raises(DataError, match="cannot be read"):
        read_ratings(tmp_path / "absent")
