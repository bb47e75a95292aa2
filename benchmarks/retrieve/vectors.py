"""Search among vectors: all of them, a byte a number, codes of four bits, beside faiss's own.

Vectors are of the runs of sentences of a folder, by a text encoder; questions are single sentences
of such runs, without titles. Beyond the real vectors there are perturbed ones, for time and memory
alone. One question at a time, as `ask` has them; ours and faiss take turns.

    python -m benchmarks.retrieve.vectors FOLDER ENCODER [--runs 25000] [--kept FILE.npz]

Results: results/vectors.json. Recall is of the exact ten nearest by float32.
"""

import argparse
import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks import table
from groundup.core import Hit
from groundup.documents import Record, read_folder
from groundup.retrieve import chunk_document
from groundup.retrieve.chunks.passage_text import PassageText
from groundup.retrieve.encoders.quantized import (
    RESCORED,
    QuantizedVectors,
    measure_recall,
    quantize_vectors,
)
from groundup.retrieve.encoders.vectors import (
    COPY_COSINE,
    KEY_BYTES,
    Run,
    RunVectors,
    embed_blocks,
    int8_codes,
    runs_of,
)
from groundup.retrieve.models import TextEncoderConfig, load_text_encoder

QUESTIONS, TIMED, BEST = 500, 40, 10
NEIGHBOURS, BUILD_CANDIDATES = 16, 128
"""Of a node of the graph beside which ours stands, and looked at when it is added."""
SIZES = (100_000,)
"""Numbers of vectors beyond the real ones."""
NOISE = 0.02
"""Standard deviation of what is added to each number of a perturbed vector."""


def main() -> None:
    """Measure recall on the real vectors, and time and memory on more."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--runs", type=int, default=25_000)
    parser.add_argument("--kept", type=Path, help="where vectors are kept for the next time")
    arguments = parser.parse_args()
    if arguments.kept is None or not arguments.kept.is_file():
        found = encode(arguments.folder, arguments.encoder, arguments.runs)
        if arguments.kept:
            np.savez(arguments.kept, **found)
    else:
        found = dict(np.load(arguments.kept, allow_pickle=False))
    wide, asked = found["rows"], found["queries"][:QUESTIONS]
    notes = {
        "share of the exact ten in int8's own, by whose step": coarse_recall(wide, asked),
        "share of the exact ten among int8's nearest": rescored_recall(wide, asked),
        "copies among the ten nearest": copies(wide, asked[: 5 * TIMED]),
    }
    rows = list(measure("real", wide, asked, notes))
    for size in SIZES:
        rows += measure("perturbed", perturbed(wide, size), asked[: 3 * TIMED], notes)
    table.report("vectors", rows, notes)


def encode(folder: Path, encoder: Path, limit: int) -> dict[str, np.ndarray]:
    """Vectors of the first runs of a folder's documents in a seeded order, and of questions."""
    drawn, texts, sentences = random.Random(0), list[str](), list[str]()
    documents = [each for each in read_folder(folder) if isinstance(each, Record)]
    drawn.shuffle(documents)
    for text, words in (each for document in documents for each in run_texts(document)):
        near = re.split(r"(?<=[.!?])\s+", words)
        if fit := [sentence for sentence in near if 40 <= len(sentence) <= 200]:
            sentences.append(drawn.choice(fit))
        texts.append(text)
        if len(texts) == limit:
            break
    model = load_text_encoder(encoder)
    model.prompt = ""
    queries = np.concatenate(list(embed_blocks(model, drawn.sample(sentences, QUESTIONS))))
    return {"rows": np.concatenate(list(embed_blocks(model, texts))), "queries": queries}


def run_texts(document: Record) -> Iterator[tuple[str, str]]:
    """Yield what is encoded of each run, and the same without titles."""
    for passage in chunk_document(document):
        for run in runs_of(PassageText(Hit(passage, 1.0), document)):
            yield run.text, passage.text[run.start : run.end]


def perturbed(wide: np.ndarray, size: int) -> np.ndarray:
    """The real vectors, again and again, a little turned but for the first time."""
    drawn = np.random.default_rng(0)
    more = wide[np.arange(size) % len(wide)].copy()
    noise = drawn.standard_normal((size - len(wide), wide.shape[1]), np.float32)
    more[len(wide) :] += NOISE * noise
    return more / np.linalg.norm(more, axis=1, keepdims=True)


def exact_rows(wide: np.ndarray, asked: np.ndarray, count: int = BEST) -> np.ndarray:
    """The nearest rows (questions, count) by float32, of all."""
    found = []
    for at in range(0, len(asked), 50):
        block = -asked[at : at + 50] @ wide.T
        near = np.argpartition(block, count, axis=1)[:, :count]
        order = np.take_along_axis(block, near, axis=1).argsort(axis=1)
        found.append(np.take_along_axis(near, order, axis=1))
    return np.concatenate(found)


def share(found: np.ndarray, exact: np.ndarray) -> float:
    """How much of what is exact was found; rows of different numbers of places."""
    pairs = zip(found.tolist(), exact.tolist(), strict=True)
    return round(sum(len(set(a) & set(b)) for a, b in pairs) / exact.size, 4)


def coarse_recall(wide: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """What one byte a number keeps, with one step for all, one a dimension, or one a row."""
    exact, found = exact_rows(wide, asked), {}
    for name, axis in (("all", None), ("dimension", 0), ("row", 1)):
        steps = np.abs(wide).max(axis=axis, keepdims=True) / 127
        found[name] = share(exact_rows(np.rint(wide / steps) * steps, asked), exact)
    return found


def rescored_recall(wide: np.ndarray, asked: np.ndarray) -> dict[int, float]:
    """By how many are compared again."""
    codes, steps = int8_codes(wide.astype(np.float16))
    near, exact = exact_rows(codes * steps, asked, RESCORED), exact_rows(wide, asked)
    return {count: share(near[:, :count], exact) for count in (10, 12, 15, 20, 50, RESCORED)}


def copies(wide: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """Places of the ten nearest that say what a nearer one says, before and after.

    With copies: a fifth of the vectors twice more, half of these a little turned.
    """
    drawn = np.random.default_rng(0)
    twice = np.tile(drawn.choice(wide, len(wide) // 5, replace=False), (2, 1))
    twice[::2] += 0.003 * drawn.standard_normal(twice[::2].shape, np.float32)
    twice /= np.linalg.norm(twice, axis=1, keepdims=True)
    found = {}
    for name, rows in (("real", wide), ("with copies", np.concatenate([wide, twice]))):
        opened = open_on(rows.astype(np.float16))
        after = np.array([places(opened, each) for each in asked])
        counts = [
            sum(int((np.tril(rows[ten] @ rows[ten].T, -1) >= COPY_COSINE).any(1).sum()) for ten in
                tens) / len(asked)
            for tens in (exact_rows(rows, asked), after)
        ]  # fmt: skip
        found[name] = {"before": counts[0], "after": counts[1]}
    return found


def open_on(
    matrix: np.ndarray,
    codes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
    quantized: QuantizedVectors | None = None,
) -> RunVectors:
    """Vectors as an index has them."""
    runs = [Run(str(at), at, at + 1) for at in range(len(matrix))]
    coarse = (matrix, np.ones(1, np.float32)) if codes is None or steps is None else (codes, steps)
    return RunVectors(TextEncoderConfig(), runs, matrix, keys_of(matrix), *coarse, quantized)


def keys_of(matrix: np.ndarray) -> dict[bytes, int]:
    """The first row of each vector."""
    keys = [hashlib.blake2b(row.tobytes(), digest_size=KEY_BYTES).digest() for row in matrix]
    return {key: at for at, key in reversed(list(enumerate(keys)))}


def places(opened: RunVectors, question: np.ndarray) -> list[int]:
    """Rows of the ten nearest places."""
    return [run.start for run in opened.nearest(question, BEST).runs]


def measure(
    name: str, wide: np.ndarray, asked: np.ndarray, notes: dict[str, Any]
) -> Iterator[table.Row]:
    """Yield questions a second of each way beside faiss's; recall, bytes and seconds as notes."""
    matrix, built = wide.astype(np.float16), dict[str, float]()
    codes, steps = timed(built, "int8", lambda: int8_codes(matrix))
    rows = np.fromiter(keys_of(matrix).values(), int)
    quantized: QuantizedVectors = timed(built, "4 bits", lambda: quantize_vectors(matrix, rows))
    graph = faiss.IndexHNSWSQ(wide.shape[1], faiss.ScalarQuantizer.QT_8bit, NEIGHBOURS)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = BUILD_CANDIDATES, 2 * RESCORED
    timed(built, "IndexHNSWSQ", lambda: (graph.train(wide), graph.add(wide)))
    flat, scalar = faiss.IndexFlatIP(wide.shape[1]), faiss.IndexScalarQuantizer(
        wide.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )  # fmt: skip
    timed(built, "IndexFlatIP", lambda: flat.add(wide))
    timed(built, "IndexScalarQuantizer", lambda: (scalar.train(wide), scalar.add(wide)))
    ours = {
        "float16": open_on(matrix), "int8": open_on(matrix, codes=codes, steps=steps),
        "4 bits": open_on(matrix, quantized=quantized),
    }  # fmt: skip
    ways: dict[str, Callable[[np.ndarray], list[int]]] = {
        way: lambda question, opened=opened: places(opened, question)
        for way, opened in ours.items()
    }
    peers = {"IndexFlatIP": flat, "IndexScalarQuantizer": scalar, "IndexHNSWSQ": graph}
    for way, peer in peers.items():
        ways[way] = lambda question, peer=peer: peer.search(question[None], BEST)[1][0].tolist()
    exact, width = exact_rows(wide, asked), wide.shape[1]
    size = {"float16": 2 * width, "int8": 3 * width}
    size["4 bits"] = 2 * width + faiss.serialize_index(quantized.index).nbytes / len(wide)
    size |= {way: faiss.serialize_index(peer).nbytes / len(wide) for way, peer in peers.items()}
    found = {way: np.array([ask(each) for each in asked]) for way, ask in ways.items()}
    noted: dict[str, Any] = {
        way: {
            "recall@10": share(found[way], exact), "bytes a vector": round(size[way]),
            "seconds to build": round(built.get(way, 0.0), 2),
        }
        for way in ways
    }  # fmt: skip
    noted["recall that a build measures"] = round(
        measure_recall(quantized.nearest_rows, quantized.rows, matrix), 4
    )
    notes[f"{len(wide):,} {name}"] = noted
    speeds = table.alternate({way: rate(ask, asked) for way, ask in ways.items()}, rounds=3)
    for way in ours:
        for peer in peers:
            yield table.compare(
                f"{way}, {len(wide):,} {name} vectors", "questions/s", speeds[way], speeds[peer],
                table.Peer(f"faiss {peer}", faiss.__version__),
            )  # fmt: skip


def timed(built: dict[str, float], name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; its seconds are kept by a name."""
    started = time.perf_counter()
    result = make()
    built[name] = time.perf_counter() - started
    return result


def rate(ask: Callable[[np.ndarray], list[int]], asked: np.ndarray) -> Callable[[], float]:
    """How many questions a second are answered."""

    def measured() -> float:
        started = time.perf_counter()
        for question in asked[:TIMED]:
            ask(question)
        return TIMED / (time.perf_counter() - started)

    return measured


if __name__ == "__main__":
    main()
