"""A graph of neighbours that leads to the nearest of very many vectors (HNSW, by faiss).

Nodes are different texts, with a byte a number; what they lead to is compared again by the vectors
themselves. Nothing is taken out of such a graph: nodes whose text is gone are passed over, and once
they are a fifth it is built anew. Threads make each build another one, so it lies beside the hashed
files of a snapshot, behind a hash of its own.
Source: Malkov & Yashunin 2016, arXiv:1603.09320.
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

GRAPH = "log/vectors.hnsw.npz"
FAISS = ("faiss", "retrieve", "faiss-cpu")
NEIGHBOURS, BUILD_CANDIDATES = 16, 128
"""Of a node on each level (twice as many on the lowest), and looked at when it is added."""
RESCORED = 200
"""Vectors that are found roughly and then compared in full."""
MAX_GONE = 0.2
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
class NeighbourGraph:
    """An index of faiss, and of each of its nodes the hash of its text and its row, or -1."""

    index: Any
    keys: np.ndarray
    moments: np.ndarray
    """Of the vectors, as `moments_of` gives them."""
    rows: np.ndarray

    def nearest_rows(self, vector: np.ndarray, count: int = RESCORED) -> np.ndarray:
        """Rows of about the `count` nearest vectors to one (width,)."""
        self.index.hnsw.efSearch = 2 * count  # questions are less like texts than texts
        rows = self.rows[self.index.search(vector[None].astype(np.float32), count)[1][0]]
        return rows[rows >= 0]

    def spread(self, vector: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation of a vector's products with all, without any of them."""
        return spread_of(self.moments, vector)

    @property
    def live(self) -> np.ndarray:
        """Rows that it leads to."""
        return np.sort(self.rows[self.rows >= 0])


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


def write_graph(
    draft: Draft, matrix: np.ndarray, rows: Mapping[bytes, int], earlier: NeighbourGraph | None
) -> None:
    """Build and measure a graph, and write it if its recall is at least MIN_RECALL."""
    graph = build_graph(matrix, rows, earlier)
    draft.numbers["graph_recall"] = recall = measure_recall(graph.nearest_rows, graph.live, matrix)
    if recall < MIN_RECALL and earlier is not None:
        write_graph(draft, matrix, rows, None)  # it may have suffered from what was added
    elif recall >= MIN_RECALL:
        buffer, index = io.BytesIO(), import_extra(*FAISS).serialize_index(graph.index)
        np.savez(buffer, index=index, keys=graph.keys, moments=graph.moments)
        data = buffer.getvalue()
        draft.file(GRAPH).write_bytes(hashlib.sha256(data).digest() + data)


def build_graph(
    matrix: np.ndarray, rows: Mapping[bytes, int], earlier: NeighbourGraph | None
) -> NeighbourGraph:
    """A graph of the row of each text, by its hash, or what is new added to an earlier graph."""
    faiss, order, width = import_extra(*FAISS), np.array(list(rows.values())), matrix.shape[1]
    known = {key.tobytes() for key in earlier.keys} if earlier else set[bytes]()
    if earlier is None or len(known - rows.keys()) > MAX_GONE * len(known):
        known, keys = set[bytes](), b""
        index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_8bit, NEIGHBOURS)
        index.hnsw.efConstruction = BUILD_CANDIDATES
        index.train(next(_blocks(matrix, order[:: max(1, len(order) // 2**14)])))
    else:
        index, keys = earlier.index, earlier.keys.tobytes()
    new = [key for key in rows if key not in known]
    with record.progress("graph", total=len(new), unit="vectors") as bar:
        for block in _blocks(matrix, np.array([rows[key] for key in new], int)):
            index.add(block)
            bar.advance(len(block))
    nodes = np.frombuffer(keys + b"".join(new), np.uint8).reshape(index.ntotal, -1)
    return NeighbourGraph(index, nodes, moments_of(matrix, order), _rows_of(nodes, rows))


def _blocks(matrix: np.ndarray, rows: np.ndarray, size: int = 2**14) -> Iterator[np.ndarray]:
    return (matrix[rows[at : at + size]].astype(np.float32) for at in range(0, len(rows), size))


def _rows_of(keys: np.ndarray, rows: Mapping[bytes, int]) -> np.ndarray:
    # One more, which faiss's -1 for no node is the index of.
    return np.array([*(rows.get(key.tobytes(), -1) for key in keys), -1])


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


def open_graph(snapshot: Path, rows: Mapping[bytes, int]) -> NeighbourGraph | None:
    """The graph of a snapshot; None without one, with a line in the log if it cannot be used."""
    numbers = json.loads((snapshot / MANIFEST).read_bytes())["numbers"]
    if numbers.get("graph_recall", 0.0) < MIN_RECALL:
        return None
    try:
        data = (snapshot / GRAPH).read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:  # faiss may not survive it
            raise OSError(f"{snapshot / GRAPH} is damaged")
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as parts:
            index, keys = import_extra(*FAISS).deserialize_index(parts["index"]), parts["keys"]
            return NeighbourGraph(index, keys, parts["moments"], _rows_of(keys, rows))
    except (OSError, MissingExtra) as error:
        record.log(f"The graph of the vectors cannot be used, so all are compared: {error}")
        return None
