"""word2vec: gensim's numbers, the definition and the compiled loops, and what it learns."""

import heapq
import itertools
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from groundup.core import ConfigError, device
from groundup.core.native import aligned_zeros
from groundup.embeddings.text import TokenizedText, assign_ids
from groundup.embeddings.word2vec import (
    HuffmanTree,
    SamplingTables,
    TrainingJob,
    Word2VecConfig,
    Word2VecParameters,
    Word2VecRandom,
    _build_sampling_tables,
    _initial_parameters,
    _iterate_jobs,
    _job_bounds,
    _train_job,
    _train_jobs,
    cumulative_shares,
    huffman_tree,
    keep_thresholds,
    search_starts,
    word2vec,
    word2vec_library,
)

WAYS = (
    "skip_gram-negatives", "skip_gram-hierarchical", "cbow-negatives", "cbow-negatives-sum",
    "cbow-negatives-five", "cbow-hierarchical",
)  # fmt: skip
needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")


def looked_up(x):
    """σ as gensim and word2vec.c look it up: 1,000 places from -6 to 6, found by whole numbers."""
    place = ((x + 6) * np.float32(1000 // 6 // 2)).astype(int)
    return (1 / (1 + np.exp(-(place / 1000 * 2 - 1) * 6))).astype(np.float32)


def text_of(seed=0, words=60, length=2000, sentence=20):
    """A made-up text whose ids fall in frequency, and its counts."""
    shares = 1 / np.arange(1, words + 1)
    ids = np.random.default_rng(seed).choice(words, length, p=shares / shares.sum())
    counts = np.bincount(ids, minlength=words) + 1
    order = np.argsort(-counts, kind="stable")
    new = np.argsort(order)
    ends = np.append(np.arange(sentence, length, sentence), length).astype(np.int64)
    return TokenizedText(new[ids].astype(np.int32), ends), counts[order]


@pytest.mark.parametrize("way", WAYS)
def test_vectors_are_gensims(root, way):
    folder = root / "tests/fixtures/word2vec"
    expected = json.loads((folder / "expected.json").read_text())
    told, arrays = expected["training"][way], load_file(folder / "training.safetensors")
    place = {word: number for number, word in enumerate(told["words"])}
    ids = np.array([place[word] for one in expected["text"] for word in one], np.int32)
    text = TokenizedText(ids, np.cumsum([len(one) for one in expected["text"]]).astype(np.int64))
    model, output, *others = way.split("-")
    config = Word2VecConfig(
        model=model, output=output, width=12, window=3, shrink_window=False, sample=0,
        cbow_mean="sum" not in others, epochs=1, negatives=5 if "five" in others else 1,
    )  # fmt: skip
    known = _build_sampling_tables(np.array(told["counts"]), config)
    if output == "hierarchical":  # gensim parts equal counts otherwise, so its own tree is taken
        points = np.concatenate([node["point"] for node in told["tree"]]).astype(np.int32)
        codes = np.concatenate([node["code"] for node in told["tree"]]).astype(np.uint8)
        paths = np.cumsum([0, *(len(node["code"]) for node in told["tree"])]).astype(np.int64)
        known = known._replace(tree=HuffmanTree(points, codes, paths))
    first = arrays[f"{way}.first"]
    ours = Word2VecParameters(aligned_zeros(*first.shape), aligned_zeros(*first.shape))
    ours.input[:, :12] = first
    job = TrainingJob(0, len(text.ends), told["seed"], 0.05)
    _train_job(ours, text, job, config, known, sigma=looked_up)
    # Of words drawn twice in one step gensim sees the second after the first has moved.
    near = 2e-6 if config.negatives == 1 or known.tree else 0.05
    output = arrays[f"{way}.output"]
    np.testing.assert_allclose(ours.input[:, :12], arrays[f"{way}.last"], atol=near)
    np.testing.assert_allclose(ours.output[: len(output), :12], output, atol=near)


@needs_compiler
@pytest.mark.parametrize(
    ("model", "output", "mean", "shrink"),
    [*itertools.product(["cbow"], ["negatives", "hierarchical"], [True, False], [True]),
     ("skip_gram", "negatives", True, True), ("skip_gram", "hierarchical", True, False)],
)  # fmt: skip
@pytest.mark.parametrize("width", [5, 100, 350])
def test_the_compiled_loops_are_the_definition(model, output, mean, shrink, width):
    assert word2vec_library() is not None
    text, counts = text_of(length=700)
    config = Word2VecConfig(
        model=model, output=output, cbow_mean=mean, shrink_window=shrink, width=width, epochs=1
    )
    known = _build_sampling_tables(counts, config)
    slow, fast = (
        _initial_parameters(len(counts), width, 1),
        _initial_parameters(len(counts), width, 1),
    )
    [jobs] = _iterate_jobs(text, config, 1)
    words = sum(_train_job(slow, text, job, config, known) for job in jobs)
    assert _train_jobs(fast, text, jobs, config, known) == words
    np.testing.assert_allclose(slow.input, fast.input, atol=5e-7)
    np.testing.assert_allclose(slow.output, fast.output, atol=5e-7)
    assert not fast.input[:, width:].any() and not fast.output[:, width:].any()
    assert abs(fast.output).max() > 1e-4


@needs_compiler
def test_one_thread_gives_equal_vectors_twice():
    text, counts = text_of(length=30_000)
    config = Word2VecConfig(width=16, epochs=2)
    one, again = (word2vec(text, counts, config, threads=1) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, word2vec(text, counts, config, threads=1, seed=2))
    two = word2vec(text, counts, config, threads=2)
    assert np.isfinite(two).all() and np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.8


def test_without_a_compiler_the_definition_runs(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    text, counts = text_of(length=200)
    config = Word2VecConfig(width=4, epochs=1)
    slow = word2vec(text, counts, config, threads=1)
    monkeypatch.undo()
    np.testing.assert_allclose(slow, word2vec(text, counts, config, threads=1), atol=1e-6)


def test_jobs_cover_the_text_and_rates_fall_in_a_line():
    text, _ = text_of(length=45_000, sentence=130)
    config = Word2VecConfig(epochs=3)
    epochs = list(_iterate_jobs(text, config, seed=1))
    for jobs in epochs:
        assert [job.first for job in jobs[1:]] == [job.last for job in jobs[:-1]]
        assert jobs[0].first == 0 and jobs[-1].last == len(text.ends)
        assert len(jobs) == 5
    rates = [job.learning_rate for jobs in epochs for job in jobs]
    assert rates[0] == 0.025 and (np.diff(rates) < 0).all() and rates[-1] > 1e-4
    assert rates[5] == pytest.approx(0.025 - (0.025 - 1e-4) / 3)
    assert len({job.seed for jobs in epochs for job in jobs}) == 15


def test_a_long_sentence_is_one_job():
    text = TokenizedText(np.zeros(30_000, np.int32), np.array([3, 25_000, 30_000]))
    assert _job_bounds(text).tolist() == [0, 2, 3]


@needs_compiler
@pytest.mark.parametrize("model", ["skip_gram", "cbow"])
@pytest.mark.parametrize("output", ["negatives", "hierarchical"])
def test_words_of_like_use_become_alike(tmp_path, model, output):
    stream = np.random.default_rng(0)
    kinds = [[f"{kind}{n}" for n in range(6)] for kind in "abcd"]
    given = [list(stream.choice(kinds[n % 4], 8)) for n in range(4000)]
    text, vocabulary = assign_ids(given, tmp_path)
    config = Word2VecConfig(model=model, output=output, width=16, sample=0, epochs=5)
    found = word2vec(text, vocabulary.counts, config, threads=1)
    units = found / np.linalg.norm(found, axis=1, keepdims=True)
    same = np.array([[a[0] == b[0] for b in vocabulary.words] for a in vocabulary.words])
    near = units @ units.T
    off = ~np.eye(len(near), dtype=bool)
    assert near[same & off].mean() > near[~same].mean() + 0.5


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"window": 0}, {"model": "sg"}, {"negatives": 0}, {"windows": 3}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match="Word2VecConfig"):
        Word2VecConfig(**wrong)


def test_tables_hold_what_the_way_needs():
    _, counts = text_of()
    none = _build_sampling_tables(counts, Word2VecConfig(sample=0))
    assert isinstance(none, SamplingTables) and none.keep is None and none.tree is None
    assert _build_sampling_tables(counts, Word2VecConfig(output="hierarchical")).tree is not None


def test_vectors_begin_small_and_to_both_sides():
    began = _initial_parameters(500, 20, seed=0).input[:, :20]
    assert abs(began).max() <= 1 / 20 and began.min() < -0.04 and abs(began.mean()) < 0.002


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
