"""Four bits for two numbers of a vector, which lead to the nearest of many (faiss's fast scan).

A product quantiser gives each pair of neighbouring numbers one of 16 centroids; a question's
products with all centroids are a table that fits into registers, so a thousand vectors are compared
in four microseconds. What this leads to is compared again by the vectors themselves. At 100,000
vectors this is faster and finds more than a graph of neighbours (HNSW), and is made in a tenth of
the time (docs/log/2026-12.md). Threads make each quantiser another one, so it lies beside the
hashed files of a snapshot, behind a hash of its own.
Source: Jégou et al. 2011, "Product quantization"; André et al. 2017, arXiv:1704.07355.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import MANIFEST, Draft, MissingExtra, import_extra, record

from ..models import MIN_RECALL

FILE = "log/vectors.4bit.npz"
FAISS = ("faiss", "retrieve", "faiss-cpu")
BITS, TRAINED = 4, 2**14
"""Of a pair of numbers, and vectors that its centroids are fitted to."""
RESCORED = 200
"""Vectors that are found roughly and then compared in full."""
MEASURED = 500
"""Vectors whose nearest are looked for at each build."""


class NearVectors(NamedTuple):
    """What is compared in full, and how near all runs are."""

    rows: np.ndarray
    vectors: np.ndarray
    """(k, width) of these rows."""
    mean: float
    deviation: float


@dataclass
class QuantizedVectors:
    """An index of faiss, the row of each of its vectors, and the moments of all of them."""

    index: Any
    rows: np.ndarray
    moments: np.ndarray
    """As `moments_of` gives them."""

    def nearest_rows(self, vector: np.ndarray, count: int = RESCORED) -> np.ndarray:
        """Rows of about the `count` nearest vectors to one (width,)."""
        found = self.index.search(vector[None].astype(np.float32), min(count, len(self.rows)))[1][0]
        return self.rows[found[found >= 0]]

    def spread(self, vector: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation of a vector's products with all, without any of them."""
        return spread_of(self.moments, vector)


def moments_of(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(width + 1, width) float64: the mean of vectors, and of their outer products."""
    moments = np.zeros((matrix.shape[1] + 1, matrix.shape[1]))
    for block in _blocks(matrix, rows):
        moments += np.concatenate([block.sum(0, keepdims=True), block.T @ block]) / len(rows)
    return moments


def spread_of(moments: np.ndarray, vector: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a vector's products with all that the moments are of."""
    mean = float(moments[0] @ vector)
    return mean, max(0.0, float(vector @ moments[1:] @ vector) - mean**2) ** 0.5


def write_quantized(draft: Draft, matrix: np.ndarray, rows: Mapping[bytes, int]) -> None:
    """Quantise and measure, and write it if its recall is at least MIN_RECALL."""
    made = quantize_vectors(matrix, np.array(list(rows.values())))
    recall = draft.numbers["recall"] = measure_recall(made.nearest_rows, made.rows, matrix)
    if recall >= MIN_RECALL:
        buffer, index = io.BytesIO(), import_extra(*FAISS).serialize_index(made.index)
        np.savez(buffer, index=index, moments=made.moments)
        data = buffer.getvalue()
        draft.file(FILE).write_bytes(hashlib.sha256(data).digest() + data)


def quantize_vectors(matrix: np.ndarray, rows: np.ndarray) -> QuantizedVectors:
    """Codes of rows of a matrix (n, width)."""
    faiss, width = import_extra(*FAISS), matrix.shape[1]
    parts = next(count for count in range(max(1, width // 2), 0, -1) if width % count == 0)
    index = faiss.IndexPQFastScan(width, parts, BITS, faiss.METRIC_INNER_PRODUCT)
    sample = matrix[rows[:: max(1, len(rows) // TRAINED)]].astype(np.float32)
    least = 2**BITS * index.pq.cp.min_points_per_centroid
    index.train(np.resize(sample, (max(len(sample), least), width)))
    with record.progress("quantize", total=len(rows), unit="vectors") as bar:
        for block in _blocks(matrix, rows):
            index.add(block)
            bar.advance(len(block))
    return QuantizedVectors(index, rows, moments_of(matrix, rows))


def _blocks(matrix: np.ndarray, rows: np.ndarray, size: int = 2**14) -> Iterator[np.ndarray]:
    return (matrix[rows[at : at + size]].astype(np.float32) for at in range(0, len(rows), size))


def measure_recall(
    nearest_rows: Callable[[np.ndarray], np.ndarray], live: np.ndarray, matrix: np.ndarray
) -> float:
    """Share of the nearest ten to live rows of a matrix, themselves left out, that are led to."""
    asked = np.random.default_rng(0).choice(live, min(MEASURED, len(live)), replace=False)
    vectors, found = matrix[asked].astype(np.float32), 0
    best = np.full((len(asked), 11), -np.inf, np.float32)
    for block in _blocks(matrix, live):
        both = np.concatenate([best, vectors @ block.T], axis=1)
        best = -np.partition(-both, 10, axis=1)[:, :11]
    for vector, row, least in zip(vectors, asked, best.min(1) - 1e-5, strict=True):
        rows = nearest_rows(vector)
        cosines = matrix[rows[rows != row]].astype(np.float32) @ vector
        found += min(10, int((cosines >= least).sum()))  # copies are equally near
    return found / (len(asked) * min(10, len(live) - 1))


def open_quantized(snapshot: Path, rows: Mapping[bytes, int]) -> QuantizedVectors | None:
    """That of a snapshot; None without one, with a line in the log if it cannot be used."""
    numbers = json.loads((snapshot / MANIFEST).read_bytes())["numbers"]
    if numbers.get("recall", 0.0) < MIN_RECALL:
        return None
    try:
        data = (snapshot / FILE).read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:  # faiss may not survive it
            raise OSError(f"{snapshot / FILE} is damaged")
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as parts:
            index = import_extra(*FAISS).deserialize_index(parts["index"])
            return QuantizedVectors(index, np.array(list(rows.values())), parts["moments"])
    except (OSError, MissingExtra) as error:
        record.log(f"The codes of the vectors cannot be used, so all are compared: {error}")
        return None
