"""Words are cut, counted and numbered by frequency; blocks and files never change the result."""

import json
from collections import Counter

import numpy as np
import pytest

from groundup.core import DataError
from groundup.embeddings import text as module
from groundup.embeddings.text import (
    MAX_SENTENCE_WORDS,
    PhrasesConfig,
    TextConfig,
    _count_pairs,
    _drop_overlaps,
    _phrase_scores,
    _select_pairs,
    assign_ids,
    id_blocks,
    join_phrases,
    read_source_texts,
    renumber_by_frequency,
    tokenized_sentences,
)

LETTERS, SPACES = TextConfig(), TextConfig(words="spaces", lower=False)


def spelt(text, vocabulary):
    starts = [0, *text.ends[:-1]]
    words = [vocabulary.words[place] for place in text.ids]
    return [words[a:b] for a, b in zip(starts, text.ends, strict=True)]


def test_letters_make_words_and_marks_end_sentences():
    text = "The well-known cat’s 9 lives! (It sat.) Then\nslept\n\nA head, no stop\n\n42"
    assert list(tokenized_sentences([text], LETTERS)) == [
        ["the", "well-known", "cat’s", "lives"], ["it", "sat"], ["then", "slept"],
        ["a", "head", "no", "stop"],
    ]  # fmt: skip


def test_cut_text_stays_as_it_is():
    assert list(tokenized_sentences(["New_York is_big .\n\nYes !"], SPACES)) == [
        ["New_York", "is_big", "."], ["Yes", "!"],
    ]  # fmt: skip


def test_a_sentence_without_end_is_cut():
    found = list(tokenized_sentences(["a " * (MAX_SENTENCE_WORDS + 5)], SPACES))
    assert [len(one) for one in found] == [MAX_SENTENCE_WORDS, 5]


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
def test_counts_and_order_do_not_depend_on_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK_IDS", block)
    stream = np.random.default_rng(0)
    given = [[f"w{w}" for w in stream.zipf(1.6, 9) % 50] for _ in range(40)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "kept").mkdir()
    text, vocabulary = assign_ids(given, tmp_path / "raw")
    assert spelt(text, vocabulary) == given
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == Counter(
        word for one in given for word in one
    )
    text, kept = renumber_by_frequency(text, vocabulary, 3, tmp_path / "kept")
    common = set(kept.words)
    left = [[word for word in one if word in common] for one in given]
    assert spelt(text, kept) == [one for one in left if one]
    assert (np.diff(kept.counts) <= 0).all() and kept.counts.min() >= 3
    assert np.array_equal(np.bincount(text.ids), kept.counts)
    assert np.array_equal(np.concatenate([ids for ids, _ in id_blocks(text)]), text.ids)


def test_what_holds_too_few_words_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no word"):
        assign_ids([[], []], tmp_path)
    text, vocabulary = assign_ids([["a", "b", "b"]], tmp_path)
    (tmp_path / "kept").mkdir()
    with pytest.raises(DataError, match="1 of 2 words occur min_count=2 times .*most frequent 2"):
        renumber_by_frequency(text, vocabulary, 2, tmp_path / "kept")


def test_files_are_read_by_whole_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "READ_BYTES", 5)
    (tmp_path / "a.txt").write_text("one two\nthree\nfour five\n")
    found = list(read_source_texts([tmp_path / "a.txt"], SPACES))
    assert "".join(found) == "one two\nthree\nfour five\n" and len(found) > 1
    assert all(piece.endswith("\n") for piece in found)


@pytest.mark.parametrize("content", [None, b"\xff\xfe bad"])
def test_files_that_are_no_text_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt cannot be read as UTF-8"):
        list(read_source_texts([tmp_path / "a.txt"], LETTERS))


@pytest.fixture
def expected(root):
    return json.loads((root / "tests/fixtures/word2vec/expected.json").read_text())


def spelt_of_phrases(text, vocabulary):
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
    assert spelt_of_phrases(joined, words) == theirs["text"]
    assert np.array_equal(np.bincount(joined.ids, minlength=len(words.words)), words.counts)


def test_two_passes_make_longer_phrases(tmp_path):
    given = [["new", "york", "times", f"x{n}"] for n in range(20)] + [["times", "new"]]
    text, vocabulary = assign_ids(given, tmp_path)
    config = PhrasesConfig(passes=2, threshold=1.0, min_count=2)
    joined, words = join_phrases(text, vocabulary, config, tmp_path)
    assert spelt_of_phrases(joined, words)[0] == ["new_york_times", "x0"]
    assert spelt_of_phrases(joined, words)[-1] == ["times", "new"]


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
