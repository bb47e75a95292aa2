"""Phrases: gensim's scores and joined text; pairs never cross a sentence's end."""

import json

import numpy as np
import pytest

from groundup.embeddings.phrases import (
    PhrasesConfig,
    _count_pairs,
    _drop_overlaps,
    _phrase_scores,
    _select_pairs,
    join_phrases,
)
from groundup.embeddings.text import assign_ids


@pytest.fixture
def expected(root):
    return json.loads((root / "tests/fixtures/word2vec/expected.json").read_text())


def spelt(text, vocabulary):
    words = [vocabulary.words[place] for place in text.ids]
    return [words[a:b] for a, b in zip([0, *text.ends[:-1]], text.ends, strict=True)]


@pytest.mark.parametrize("score", ["original", "npmi"])
def test_phrases_are_gensims(expected, tmp_path, score):
    theirs = expected["phrases"][score]
    config = PhrasesConfig(
        passes=1, score=score, threshold=theirs["threshold"], min_count=3
    )  # fmt: skip
    text, vocabulary = assign_ids(expected["text"], tmp_path)
    size = len(vocabulary.words)
    keys, counts = _count_pairs(text, size)
    picked = _select_pairs(keys, counts, vocabulary, config)
    n = vocabulary.counts.astype(float)
    pairs = counts[np.searchsorted(keys, picked)].astype(float)
    found = _phrase_scores(
        pairs, n[picked // size], n[picked % size], config,
        distinct=size + len(keys), words=int(n.sum()),
    )  # fmt: skip
    names = [f"{vocabulary.words[k // size]}_{vocabulary.words[k % size]}" for k in picked]
    assert len(names) >= 3
    ours = dict(zip(names, found.tolist(), strict=True))
    assert {name: ours[name] for name in theirs["scores"]} == pytest.approx(theirs["scores"])
    joined, words = join_phrases(text, vocabulary, config, tmp_path)
    assert spelt(joined, words) == theirs["text"]
    assert np.array_equal(np.bincount(joined.ids, minlength=len(words.words)), words.counts)


def test_two_passes_make_longer_phrases(tmp_path):
    given = [["new", "york", "times", f"x{n}"] for n in range(20)] + [["times", "new"]]
    text, vocabulary = assign_ids(given, tmp_path)
    config = PhrasesConfig(passes=2, threshold=1.0, min_count=2)
    joined, words = join_phrases(text, vocabulary, config, tmp_path)
    assert spelt(joined, words)[0] == ["new_york_times", "x0"]
    assert spelt(joined, words)[-1] == ["times", "new"]


def test_no_pass_changes_nothing(tmp_path):
    text, vocabulary = assign_ids([["a", "b"]] * 9, tmp_path)
    assert join_phrases(text, vocabulary, PhrasesConfig(), tmp_path) == (text, vocabulary)


def test_no_pair_crosses_a_sentences_end(tmp_path):
    text, vocabulary = assign_ids([["a", "b"], ["c", "a"], ["b"]], tmp_path)
    keys, counts = _count_pairs(text, 3)
    assert keys.tolist() == [0 * 3 + 1, 2 * 3 + 0] and counts.tolist() == [1, 1]


def test_joining_goes_from_the_left():
    stream = np.random.default_rng(0)
    for fits in stream.random((50, 12)) < 0.6:
        taken, wanted = False, []
        for fit in fits:
            taken = bool(fit) and not taken
            wanted.append(taken)
        assert _drop_overlaps(fits).tolist() == wanted
