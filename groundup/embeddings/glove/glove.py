"""GloVe: vectors whose dot products fit the logarithms of co-occurrence counts.

    loss   ½ Σ_ij f(x_ij) (w_i · c_j + a_i + b_j - ln x_ij)²,      f(x) = min(1, (x / x_max)^alpha)

Cells are visited in random order, with one AdaGrad step per cell; the sums of squares start at one.
A word's vector is w + c. `_train_cells` in numpy is the reference and `glove.cpp` agrees with it.
The original computes in float64, this in float32 with the loss in float64.
Source: Pennington et al. 2014, https://aclanthology.org/D14-1162; glove.c 1.2's defaults.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, device, native, record

from ..text import TokenizedText
from .cooccurrence import cooccurrences

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


class Glove(NamedTuple):
    """The result of training."""

    vectors: np.ndarray
    """(V, width) float32: w + c."""
    losses: list[float]
    """Mean loss per cell of each epoch."""


def _initial_sides(words: int, width: int, seed: int) -> tuple[SideParameters, SideParameters]:
    """Initial words and contexts, uniform in ±0.5 / (width + 1), as in glove.c."""
    stream, sides = np.random.default_rng(seed), []
    for _ in range(2):
        drawn = ((stream.random((words, width + 1)) - 0.5) / (width + 1)).astype(np.float32)
        side = SideParameters(
            native.aligned_zeros(words, width),
            drawn[:, width].copy(),
            native.aligned_zeros(words, width),
            np.ones(words, np.float32),
        )
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
    return native.load_library(
        Path(__file__).with_suffix(".cpp"), "numpy, hundreds of times slower"
    )


def _train_block(
    words: SideParameters,
    contexts: SideParameters,
    cells: np.ndarray,
    config: GloveConfig,
    threads: int = 1,
) -> float:
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
) -> Glove:
    """Train on co-occurrence cells; see `glove`."""
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
    return Glove((left.vectors + right.vectors)[:, : config.width].copy(), losses)


def glove(
    text: TokenizedText,
    words: int,
    config: GloveConfig,
    folder: Path,
    *,
    seed: int = 1,
    threads: int = 0,
) -> Glove:
    """Count a text's co-occurrences and train vectors of its words.

    words    size of the vocabulary
    folder   for data that does not fit into memory
    threads  0: all cores; only with 1 is the result deterministic
    """
    cells = cooccurrences(
        text, words, config.window, folder, is_symmetric=config.symmetric,
        by_distance=config.by_distance, memory_bytes=config.memory_bytes, seed=seed,
    )  # fmt: skip
    return _fit_cells(cells, words, config, seed=seed, threads=threads)
