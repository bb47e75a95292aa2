"""GloVe: vectors whose dot products fit the logarithms of co-occurrence counts.

    loss   ½ Σ_ij f(x_ij) (w_i · c_j + a_i + b_j - ln x_ij)²,      f(x) = min(1, (x / x_max)^alpha)

Cells are visited in random order, with one AdaGrad step per cell; the sums of squares start at one.
A word's vector is w + c. `_train_cells` in numpy is the reference and `glove.cpp` agrees with it.
The original computes in float64, this in float32 with the loss in float64.
Source: Pennington et al. 2014, https://aclanthology.org/D14-1162; glove.c 1.2's defaults.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, DataError, device, native, record

from .text import TokenizedText

CELL = np.dtype([("word", "<i4"), ("context", "<i4"), ("count", "<f8")])
PAIR_BYTES = 64
"""Maximum memory of one collected pair while a run is sorted."""
SAMPLE_EVERY = 1000
"""Every SAMPLED-th key of a run is sampled to choose the ranges."""


class CooccurrenceRun(NamedTuple):
    """Distinct keys `word * V + context`, ascending, with their counts."""

    keys: np.ndarray
    counts: np.ndarray


def cooccurrences(
    text: TokenizedText, words: int, window: int, folder: Path, *, is_symmetric: bool = True,
    by_distance: bool = True, memory_bytes: int = 1 << 29, seed: int = 1,
) -> np.ndarray:  # fmt: skip
    """Count a text's co-occurrences; return them memory-mapped and shuffled: (cells,) CELL.

    words         size of the vocabulary
    is_symmetric  whether contexts include following words
    by_distance   whether a pair counts 1 / distance, or 1
    folder        for runs and the result, on a disk with enough space

    Raises DataError if no sentence has two words.
    """
    most = max(memory_bytes // PAIR_BYTES, 1 << 12)
    runs = []
    for number, run in enumerate(_count_runs(text, words, window, most, is_symmetric, by_distance)):
        runs.append(_store_run(run, folder / f"run-{number}"))
    total = sum(len(run.keys) for run in runs)
    if not total:
        raise DataError("No sentence has two words; give longer sentences.")
    buckets = -(-total * 2 * CELL.itemsize // memory_bytes)
    stream = np.random.default_rng(seed)
    files = [open(folder / f"bucket-{number}", "wb") for number in range(buckets)]  # noqa: SIM115
    try:
        for run in _merge_runs(runs, most):
            cells = _to_cells(run, words, is_symmetric)
            bucket = stream.integers(len(files), size=len(cells))
            for number, file in enumerate(files):
                cells[bucket == number].tofile(file)
    finally:
        for file in files:
            file.close()
    with open(folder / "cells", "wb") as result:
        for file in files:
            stream.permutation(np.fromfile(file.name, CELL)).tofile(result)
            Path(file.name).unlink()
    return np.memmap(folder / "cells", CELL, "r")


def _count_runs(
    text: TokenizedText, words: int, window: int, most: int, is_symmetric: bool, by_distance: bool
) -> Iterator[CooccurrenceRun]:  # fmt: skip
    """Yield runs of at most about `most` pairs each."""
    length, size = len(text.ids), max(most // window, 1)
    with record.progress("pairs", length, "words") as bar:
        for start in range(0, length, size):
            positions = np.arange(start, min(start + size, length))
            stops = text.ends[np.searchsorted(text.ends, positions, "right")]
            ids = np.array(text.ids[start : start + size + window], np.int64)
            keys, counts = [], []
            for distance in range(1, window + 1):
                left = positions[positions + distance < stops] - start
                a, b = ids[left], ids[left + distance]
                if is_symmetric:
                    a, b = np.minimum(a, b), np.maximum(a, b)
                keys.append(a * words + b)
                counts.append(np.full(len(left), 1 / distance if by_distance else 1.0))
            yield _sum_by_key(np.concatenate(keys), np.concatenate(counts))
            bar.advance(len(positions))


def _sum_by_key(keys: np.ndarray, counts: np.ndarray) -> CooccurrenceRun:
    """Sort by key and sum the counts of equal keys.

    >>> _sum_by_key(np.array([7, 3, 7]), np.array([1.0, 1.0, 0.5]))
    CooccurrenceRun(keys=array([3, 7]), counts=array([1. , 1.5]))
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    sums = np.add.reduceat(counts[order], first) if len(keys) else counts
    return CooccurrenceRun(keys[first], sums)


def _store_run(run: CooccurrenceRun, path: Path) -> CooccurrenceRun:
    if not len(run.keys):
        return run
    parts = []
    for name, values in zip(("keys", "counts"), run, strict=True):
        file = path.with_name(f"{path.name}-{name}")
        values.tofile(file)
        parts.append(np.memmap(file, values.dtype, "r"))
    return CooccurrenceRun(*parts)


def _merge_runs(runs: list[CooccurrenceRun], most: int) -> Iterator[CooccurrenceRun]:
    """Merge runs; yields one run per range of keys, each of about `most` entries."""
    total = sum(len(run.keys) for run in runs)
    sample = np.sort(np.concatenate([run.keys[::SAMPLE_EVERY] for run in runs]))
    parts = -(-total // most)
    inner = sample[np.arange(1, parts) * len(sample) // parts]
    bounds = [-1, *np.unique(inner).tolist(), np.iinfo(np.int64).max]
    for low, high in zip(bounds, bounds[1:], strict=False):
        ranges = [slice(*np.searchsorted(run.keys, [low, high], "right")) for run in runs]
        pairs = list(zip(runs, ranges, strict=True))
        keys = np.concatenate([run.keys[part] for run, part in pairs])
        if len(keys):
            yield _sum_by_key(keys, np.concatenate([run.counts[part] for run, part in pairs]))


def _to_cells(run: CooccurrenceRun, words: int, is_symmetric: bool) -> np.ndarray:
    """The cells of a run; if symmetric, in both directions, with the diagonal doubled."""
    cells = np.empty(len(run.keys), CELL)
    cells["word"], cells["context"] = run.keys // words, run.keys % words
    cells["count"] = run.counts
    if not is_symmetric:
        return cells
    is_same = cells["word"] == cells["context"]
    cells["count"][is_same] *= 2
    other = cells[~is_same]
    other["word"], other["context"] = other["context"].copy(), other["word"].copy()
    return np.concatenate([cells, other])


CELLS_PER_UPDATE = 1 << 20
"""Cells per thread between updates of the progress bar, when interrupts are handled."""


class GloveConfig(Config):
    """How GloVe counts and is trained; in brackets glove.c's and cooccur.c's names."""

    width: int = Field(default=50, ge=1, le=4096)
    """[vector-size] Dimensions of a vector."""
    window: int = Field(default=15, ge=1, le=1000)
    """[window-size] Maximum distance of neighbours."""
    symmetric: bool = True
    """[symmetric] Count neighbours on both sides, or only those before the word."""
    by_distance: bool = True
    """[distance-weighting] A pair counts 1 / distance, or 1."""
    x_max: float = Field(default=100.0, gt=0)
    """[x-max] Count from which a cell has full weight; use less for small texts."""
    alpha: float = Field(default=0.75, ge=0, le=2)
    """[alpha] Power of the weight below x_max."""
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    """[eta] Initial learning rate."""
    bias_learning_rate: float = Field(default=1.0, gt=0, le=1)
    """Of the biases; since version 1.2 glove.c applies eta to vectors only."""
    clip: float = Field(default=100.0, gt=0)
    """[grad-clip] Maximum magnitude of each gradient component."""
    epochs: int = Field(default=25, ge=1)
    """[iter] Passes over the cells."""
    memory_bytes: int = Field(default=1 << 29, ge=1 << 16)
    """[memory] Memory for counting; the rest is kept on disk."""


class SideParameters(NamedTuple):
    """The parameters of words or contexts: vectors, biases, and AdaGrad's sums of squares."""

    vectors: np.ndarray
    bias: np.ndarray
    vector_squares: np.ndarray
    bias_squares: np.ndarray


def _initial_sides(words: int, width: int, seed: int) -> tuple[SideParameters, SideParameters]:
    """Initial words and contexts, uniform in ±0.5 / (width + 1), as in glove.c."""
    stream, sides = np.random.default_rng(seed), []
    for _ in range(2):
        drawn = ((stream.random((words, width + 1)) - 0.5) / (width + 1)).astype(np.float32)
        vectors, squares = (native.aligned_zeros(words, width) for _ in range(2))
        bias, ones = drawn[:, width].copy(), np.ones(words, np.float32)
        side = SideParameters(vectors, bias, squares, ones)
        side.vectors[:, :width] = drawn[:, :width]
        side.vector_squares[:] = 1
        sides.append(side)
    return sides[0], sides[1]


def _train_cells(
    words: SideParameters, contexts: SideParameters, cells: np.ndarray, config: GloveConfig
) -> float:
    """Reference: one step per cell, in order; return the sum of the losses."""
    loss = 0.0
    for i, j, count in cells.tolist():
        a, b = words.vectors[i], contexts.vectors[j]
        error = float(a @ b + words.bias[i] + contexts.bias[j]) - np.log(count)
        weight = min(1.0, (count / config.x_max) ** config.alpha)
        loss += 0.5 * weight * error * error
        pull = np.float32(weight * error)
        for side, row, gradient in ((words, i, pull * b), (contexts, j, pull * a)):
            move = np.clip(gradient, -config.clip, config.clip) * config.learning_rate
            side.vectors[row] -= move / np.sqrt(side.vector_squares[row])
            side.vector_squares[row] += move * move
            push = pull * config.bias_learning_rate
            side.bias[row] -= push / np.sqrt(side.bias_squares[row])
            side.bias_squares[row] += push * push
    return float(loss)


class _GloveStruct(ctypes.Structure):
    """The struct Glove of glove.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in (
            "words", "contexts", "word_squares", "context_squares", "word_bias", "context_bias",
            "word_bias_squares", "context_bias_squares",
        )],
        ("stride", ctypes.c_int64),
        *[(name, ctypes.c_double) for name in ("x_max", "alpha", "rate", "bias_rate", "clip")],
    ]  # fmt: skip


def glove_library() -> ctypes.CDLL | None:
    """The compiled inner loops, or None without a C++ compiler."""
    source = Path(__file__).with_suffix(".cpp")
    return native.load_library(source, "numpy, hundreds of times slower")


def _train_block(
    words: SideParameters, contexts: SideParameters, cells: np.ndarray, config: GloveConfig,
    threads: int = 1,
) -> float:  # fmt: skip
    """Train on cells, compiled if possible; return the sum of the losses."""
    code = glove_library()
    if code is None:
        return _train_cells(words, contexts, cells, config)
    arrays = (
        words.vectors, contexts.vectors, words.vector_squares, contexts.vector_squares,
        words.bias, contexts.bias, words.bias_squares, contexts.bias_squares,
    )  # fmt: skip
    model = _GloveStruct(
        *map(native.data_pointer, arrays), words.vectors.shape[1], config.x_max, config.alpha,
        config.learning_rate, config.bias_learning_rate, config.clip,
    )  # fmt: skip
    run = code.glove
    run.restype, run.argtypes = ctypes.c_double, [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ]  # fmt: skip
    return run(ctypes.addressof(model), native.data_pointer(cells), len(cells), threads)


def _fit_cells(
    cells: np.ndarray, words: int, config: GloveConfig, *, seed: int = 1, threads: int = 0
) -> tuple[np.ndarray, list[float]]:
    threads = threads or device.available_cores()
    left, right = _initial_sides(words, config.width, seed)
    losses = []
    with record.progress("glove", len(cells) * config.epochs, "cells") as bar:
        for _ in range(config.epochs):
            loss = 0.0
            for start in range(0, len(cells), CELLS_PER_UPDATE * threads):
                block = cells[start : start + CELLS_PER_UPDATE * threads]
                loss += _train_block(left, right, block, config, threads)
                bar.advance(len(block), loss=loss / (start + len(block)))
            losses.append(loss / len(cells))
    return (left.vectors + right.vectors)[:, : config.width].copy(), losses


def glove(
    text: TokenizedText, words: int, config: GloveConfig, folder: Path, *, seed: int = 1,
    threads: int = 0,
) -> tuple[np.ndarray, list[float]]:  # fmt: skip
    """Count a text's co-occurrences and train vectors of its words.

    Returns w + c, (V, width) float32, and the mean loss per cell of each epoch.

    words    size of the vocabulary
    folder   for data that does not fit into memory
    threads  0: all cores; only with 1 is the result deterministic
    """
    cells = cooccurrences(
        text, words, config.window, folder, is_symmetric=config.symmetric,
        by_distance=config.by_distance, memory_bytes=config.memory_bytes, seed=seed,
    )  # fmt: skip
    return _fit_cells(cells, words, config, seed=seed, threads=threads)
