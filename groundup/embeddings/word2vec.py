"""word2vec: vectors that predict a word's neighbours, by skip-gram or CBOW.

    skip-gram   h = v_j                        for each neighbour j of the centre i
    CBOW        h = mean (or sum) of the neighbours' v
    loss        -Σ_k y_k ln σ(f_k) + (1 - y_k) ln σ(-f_k),   f_k = u_k · h

The k are the centre (y = 1) and negative samples (y = 0), or with the hierarchical softmax the
inner nodes on the centre's path in the tree (y = 1 - code). `_train_job` in numpy is the reference;
`word2vec.cpp` draws the same random numbers and agrees with it on one thread. All f of a step are
computed before any vector is updated. σ is exact: word2vec.c and gensim use a table of 1,000
entries, whose σ(0) is 0.494 because 83⅓ is truncated, and gensim skips |f| ≥ 6; with their table
and one negative the reference reproduces gensim's vectors. As there, a CBOW neighbour gets the full
gradient of the mean, or its share of the sum's.
Source: Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546; word2vec.c; gensim 4's defaults.

Sampling tables of word2vec: subsampling, negative sampling and the hierarchical softmax.

    keep(w)      (√(n/t) + 1) · t/n  in word2vec.c and gensim; √(t/n) in the paper;   t = sample · N
    negatives    n^exponent / Σ n^exponent, as cumulative shares of 2³¹ - 1
    tree         Huffman tree: frequent words have short codes

Numbers are drawn by the linear congruential generator of word2vec.c and gensim:
state ← state · 25214903917 + 11 mod 2⁴⁸, and the number is the upper 32 bits of the state before.
Source: Mikolov et al. 2013, arXiv:1310.4546, §2; the code's formula differs from equation 5.
"""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, device, native, record

from .text import TokenizedText

MASK = (1 << 48) - 1
DOMAIN = 2**31 - 1
BUCKET_BITS = 15

Subsampling = Literal["gensim", "paper"]


class HuffmanTree(NamedTuple):
    """Each word's path from the root: the inner nodes, and whether it goes right there."""

    points: np.ndarray
    """(all steps,) int32, in 0 … V - 2; the root is V - 2."""
    codes: np.ndarray
    """(all steps,) uint8."""
    paths: np.ndarray
    """(V + 1,) int64: the steps of word w are paths[w] … paths[w + 1] - 1."""


class Word2VecRandom:
    """The random number generator of a job; see the module docstring.

    >>> draws = Word2VecRandom(1 << 16)
    >>> draws.next(), draws.next()
    (1, 3740067437)
    """

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        """A number from 0 to 2³² - 1."""
        drawn = self.state >> 16
        self.state = (self.state * 25214903917 + 11) & MASK
        return drawn


def keep_thresholds(counts: np.ndarray, sample: float, rule: Subsampling) -> np.ndarray:
    """The largest 32-bit random number that keeps a word, (V,) uint32; see the module docstring.

    sample  frequency above which words are subsampled; values of 1 and more are counts

    >>> (keep_thresholds(np.array([9900, 100]), 0.01, "paper") / 2**32).round(4)
    array([0.1005, 1.    ])
    """
    threshold = sample * counts.sum() if sample < 1 else sample * (3 + np.sqrt(5)) / 2
    ratio = threshold / counts
    share = np.sqrt(ratio) if rule == "paper" else np.sqrt(ratio) + ratio
    return (np.minimum(share, 1.0) * (2**32 - 1)).astype(np.uint32)


def cumulative_shares(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Cumulative shares of the words among negatives, (V,) uint32; the last is 2³¹ - 1.

    >>> cumulative_shares(np.array([16, 1]), 0.75)
    array([1908874353, 2147483647], dtype=uint32)
    """
    shares = counts.astype(np.float64) ** exponent
    return np.round(np.cumsum(shares) / shares.sum() * DOMAIN).astype(np.uint32)


def search_starts(cumulative: np.ndarray) -> np.ndarray:
    """Where to start the search for a number, by its upper 16 bits: (65,536,) int32."""
    starts = np.arange(1 << (31 - BUCKET_BITS), dtype=np.int64) << BUCKET_BITS
    return np.searchsorted(cumulative, starts, "left").astype(np.int32)


def huffman_tree(counts: np.ndarray) -> HuffmanTree:
    """The Huffman tree of words with descending counts, built with two queues, as in word2vec.c.

    >>> tree = huffman_tree(np.array([5, 2, 1]))
    >>> [tree.codes[tree.paths[w] : tree.paths[w + 1]].tolist() for w in range(3)]
    [[1], [0, 1], [0, 0]]
    """
    size = len(counts)
    parent, side = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.uint8)
    weights = [*counts.tolist(), *([0] * (size - 1))]
    leaf, inner = size - 1, size
    for node in range(size, 2 * size - 1):
        total = 0
        for is_right in (0, 1):
            if leaf >= 0 and (inner >= node or weights[leaf] < weights[inner]):
                child, leaf = leaf, leaf - 1
            else:
                child, inner = inner, inner + 1
            total += weights[child]
            parent[child], side[child] = node, is_right
        weights[node] = total
    return _trace_paths(parent, side, size)


def _trace_paths(parent: np.ndarray, side: np.ndarray, size: int) -> HuffmanTree:
    """Every word's path from the root, from each node's parent and side."""
    root, up, down = 2 * size - 2, parent.tolist(), side.tolist()
    points: list[int] = []
    codes: list[int] = []
    ends = [0]
    for word in range(size):
        path, turns, node = [], [], word
        while node != root:
            turns.append(down[node])
            node = up[node]
            path.append(node - size)
        points += reversed(path)
        codes += reversed(turns)
        ends.append(len(points))
    kinds = zip((points, codes, ends), (np.int32, np.uint8, np.int64), strict=True)
    return HuffmanTree(*(np.array(values, kind) for values, kind in kinds))


JOB_WORDS = 10_000
"""Words that share a learning rate and a random stream; gensim's batch_words."""
JOBS_PER_UPDATE = 100
"""Jobs per thread between updates of the progress bar, when interrupts are handled."""


class Word2VecConfig(Config):
    """How word2vec is trained; in brackets gensim's names, with the same defaults."""

    model: Literal["skip_gram", "cbow"] = "cbow"
    """[sg] Predict a centre from each neighbour, or from all of them at once."""
    output: Literal["negatives", "hierarchical"] = "negatives"
    """[hs] Negative sampling or hierarchical softmax."""
    width: int = Field(default=100, ge=1, le=4096)
    """[vector_size] Dimensions of a vector."""
    window: int = Field(default=5, ge=1, le=1000)
    """[window] Maximum distance of neighbours, on each side."""
    shrink_window: bool = True
    """[shrink_windows] Draw each centre's window from 1 … window, which favours near neighbours."""
    negatives: int = Field(default=5, ge=1, le=100)
    """[negative] Negative samples per prediction."""
    exponent: float = Field(default=0.75, ge=-2, le=2)
    """[ns_exponent] Power of the counts in negative sampling; 1 samples as in the text."""
    sample: float = Field(default=1e-3, ge=0)
    """[sample] Frequency above which words are subsampled; 0 keeps all."""
    subsampling: Subsampling = "gensim"
    """The formula of the code (gensim, word2vec.c) or of the paper, which keeps fewer words."""
    cbow_mean: bool = True
    """[cbow_mean] Whether CBOW uses the mean of the neighbours or their sum."""
    epochs: int = Field(default=5, ge=1)
    """[epochs] Passes over the text."""
    learning_rate: float = Field(default=0.025, gt=0, le=1)
    """[alpha] Initial learning rate; it decays linearly over all epochs."""
    last_learning_rate: float = Field(default=1e-4, ge=0, le=1)
    """[min_alpha] Final learning rate."""


class Word2VecParameters(NamedTuple):
    """The trained matrices; rows are padded with zeros to full SIMD vectors."""

    input: np.ndarray
    """(V, padded width) float32: the words' vectors v."""
    output: np.ndarray
    """(V, padded width) float32: u of the words, or of the tree's inner nodes."""


class SamplingTables(NamedTuple):
    """Sampling tables, constant during training."""

    keep: np.ndarray | None
    cumulative: np.ndarray
    buckets: np.ndarray
    tree: HuffmanTree | None


class TrainingJob(NamedTuple):
    """Some sentences of one epoch: [first, last)."""

    first: int
    last: int
    seed: int
    learning_rate: float


Sigmoid = Callable[[np.ndarray], np.ndarray]


def _initial_parameters(words: int, width: int, seed: int) -> Word2VecParameters:
    """Input vectors uniform in ±1/width, as in gensim, and zero output vectors."""
    parameters = Word2VecParameters(*(native.aligned_zeros(words, width) for _ in range(2)))
    drawn = np.random.default_rng(seed).random((words, width), dtype=np.float32)
    parameters.input[:, :width] = (drawn * 2 - 1) / width
    return parameters


def _build_sampling_tables(counts: np.ndarray, config: Word2VecConfig) -> SamplingTables:
    keep = keep_thresholds(counts, config.sample, config.subsampling) if config.sample else None
    cumulative = cumulative_shares(counts, config.exponent)
    tree = huffman_tree(counts) if config.output == "hierarchical" else None
    return SamplingTables(keep, cumulative, search_starts(cumulative), tree)


def _job_bounds(text: TokenizedText) -> np.ndarray:
    """First sentence of every job, and the number of sentences."""
    starts = np.concatenate([[0], text.ends[:-1]])
    first = np.flatnonzero(np.diff(starts // JOB_WORDS, prepend=-1))
    return np.append(first, len(text.ends)).astype(np.int64)


def _iterate_jobs(
    text: TokenizedText, config: Word2VecConfig, seed: int
) -> Iterator[list[TrainingJob]]:
    """Yield each epoch's jobs; seeds and learning rates depend on a job's position only."""
    bounds, words = _job_bounds(text), len(text.ids)
    starts = np.concatenate([[0], text.ends])[bounds[:-1]]
    first, fall = config.learning_rate, config.learning_rate - config.last_learning_rate
    for epoch in range(config.epochs):
        rates = first - fall * (epoch + starts / words) / config.epochs
        states = np.random.SeedSequence((seed, epoch)).generate_state(len(starts), np.uint64)
        yield [
            TrainingJob(int(a), int(b), int(state) & ((1 << 48) - 1), float(rate))
            for a, b, state, rate in zip(bounds, bounds[1:], states, rates, strict=False)
        ]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-x))


def _train_step(
    hidden: np.ndarray, output: np.ndarray, rows: np.ndarray, labels: np.ndarray, rate: float,
    sigma: Sigmoid = sigmoid,
) -> np.ndarray:  # fmt: skip
    """Move the rows (k,) of the output; return what the hidden vector should move by."""
    chosen = output[rows]
    moves = ((labels - sigma(chosen @ hidden)) * rate).astype(np.float32)
    np.add.at(output, rows, moves[:, None] * hidden)
    return moves @ chosen


def _train_job(
    parameters: Word2VecParameters, text: TokenizedText, job: TrainingJob, config: Word2VecConfig,
    sampling: SamplingTables, *, sigma: Sigmoid = sigmoid,
) -> int:  # fmt: skip
    """Reference: train on a job's sentences; return the number of words after subsampling."""
    draws, trained = Word2VecRandom(job.seed), 0
    for sentence in range(job.first, job.last):
        start = text.ends[sentence - 1] if sentence else 0
        ids = text.ids[start : text.ends[sentence]].tolist()
        if sampling.keep is not None:
            ids = [word for word in ids if draws.next() <= sampling.keep[word]]
        for i, centre in enumerate(ids):
            reach = config.window - (draws.next() % config.window if config.shrink_window else 0)
            around = [*ids[max(i - reach, 0) : i], *ids[i + 1 : i + reach + 1]]
            groups = [[word] for word in around] if config.model == "skip_gram" else [around]
            drawn = (centre, draws, config, sampling)
            targets = [_sample_targets(*drawn) for group in groups if group]
            for group, (rows, labels) in zip(groups, targets, strict=False):
                hidden = parameters.input[group].sum(0)
                if config.cbow_mean:
                    hidden /= len(group)
                rate = job.learning_rate
                update = _train_step(hidden, parameters.output, rows, labels, rate, sigma)
                if not config.cbow_mean:
                    update /= len(group)
                np.add.at(parameters.input, group, update)
        trained += len(ids)
    return trained


def _sample_targets(
    centre: int, draws: Word2VecRandom, config: Word2VecConfig, sampling: SamplingTables
) -> tuple[np.ndarray, np.ndarray]:
    """Output rows to predict and their labels: the centre and negatives, or its tree path."""
    if sampling.tree is not None:
        path = slice(sampling.tree.paths[centre], sampling.tree.paths[centre + 1])
        return sampling.tree.points[path], 1 - sampling.tree.codes[path].astype(np.float32)
    last = int(sampling.cumulative[-1])
    numbers = [draws.next() % last for _ in range(config.negatives)]
    drawn = np.searchsorted(sampling.cumulative, numbers, "left")
    rows = np.concatenate([[centre], drawn[drawn != centre]])
    return rows, (np.arange(len(rows)) == 0).astype(np.float32)


class _Word2VecStruct(ctypes.Structure):
    """The struct Word2Vec of word2vec.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("input", "output")],
        ("stride", ctypes.c_int64),
        *[(name, ctypes.c_void_p) for name in ("ids", "ends", "keep", "cumulative", "buckets")],
        ("words", ctypes.c_int64),
        *[(name, ctypes.c_void_p) for name in ("points", "codes", "paths")],
        *[(name, ctypes.c_int64) for name in (
            "window", "negatives", "skip_gram", "shrink", "mean",
        )],
    ]  # fmt: skip


def _to_native(
    parameters: Word2VecParameters, text: TokenizedText, config: Word2VecConfig,
    sampling: SamplingTables,
) -> _Word2VecStruct:  # fmt: skip
    tree = sampling.tree or HuffmanTree(*[None] * 3)  # type: ignore[arg-type]
    tables = (text.ids, text.ends, sampling.keep, sampling.cumulative, sampling.buckets)
    return _Word2VecStruct(
        *map(native.data_pointer, parameters), parameters.input.shape[1],
        *map(native.data_pointer, tables), len(sampling.cumulative),
        *map(native.data_pointer, tree), config.window, 0 if sampling.tree else config.negatives,
        config.model == "skip_gram", config.shrink_window, config.cbow_mean,
    )  # fmt: skip


def word2vec_library() -> ctypes.CDLL | None:
    """The compiled inner loops, or None without a C++ compiler."""
    source = Path(__file__).with_suffix(".cpp")
    return native.load_library(source, "numpy, hundreds of times slower")


def _train_jobs(
    parameters: Word2VecParameters, text: TokenizedText, jobs: list[TrainingJob],
    config: Word2VecConfig, sampling: SamplingTables, *, threads: int = 1,
) -> int:  # fmt: skip
    """Train on consecutive jobs, compiled if possible; return the number of words used."""
    code = word2vec_library()
    if code is None:
        return sum(_train_job(parameters, text, job, config, sampling) for job in jobs)
    model = _to_native(parameters, text, config, sampling)
    bounds = np.array([*[job.first for job in jobs], jobs[-1].last], np.int64)
    seeds = np.array([job.seed for job in jobs], np.uint64)
    rates = np.array([job.learning_rate for job in jobs], np.float32)
    train = code.train
    train.restype, train.argtypes = ctypes.c_int64, [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
        ctypes.c_int64,
    ]  # fmt: skip
    arrays = map(native.data_pointer, (bounds, seeds, rates))
    return train(ctypes.addressof(model), *arrays, len(jobs), threads)


def word2vec(
    text: TokenizedText, counts: np.ndarray, config: Word2VecConfig, *, seed: int = 1,
    threads: int = 0,
) -> np.ndarray:  # fmt: skip
    """Train vectors (V, width) float32 of a text's words.

    counts   count of each word, descending
    threads  0: all cores; only with 1 is the result deterministic

    Raises CapacityError if the vectors do not fit into memory.
    """
    parameters = _initial_parameters(len(counts), config.width, seed)
    known = _build_sampling_tables(counts, config)
    threads = threads or device.available_cores()
    total = len(text.ids) * config.epochs
    with record.progress("word2vec", total, "words") as bar:
        for jobs in _iterate_jobs(text, config, seed):
            for start in range(0, len(jobs), JOBS_PER_UPDATE * threads):
                part = jobs[start : start + JOBS_PER_UPDATE * threads]
                _train_jobs(parameters, text, part, config, known, threads=threads)
                first = text.ends[part[0].first - 1] if part[0].first else 0
                bar.advance(int(text.ends[part[-1].last - 1] - first), rate=part[-1].learning_rate)
    return np.array(parameters.input[:, : config.width])
