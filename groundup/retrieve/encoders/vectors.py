"""Vectors of an index's runs of sentences, by which a question finds them in any words.

    passage  ->  runs of three sentences, each from the last of the one before
    run      ->  "titles. run"  ->  encoder  ->  a unit vector, float16

    vectors.npy       one row per run, float16
    vectors.json      the encoder, and of each row the passage and the run's place in it
    vectors.keys      16 bytes per row: the hash of what was encoded
    vectors.int8.npy  if precision=int8: (runs, width), multiples of a step for each dimension
    log/vectors.4bit.npz  from `exact_below` different texts on: codes of four bits
    log/vectors.postgres.json  if the vectors are in a database: its rows (postgres.py)

Three sentences are what is quoted, and find the right place in other words more often than passages
or paragraphs do (docs/log/2026-12.md). A search compares a question with all vectors, with a byte
for each of their numbers, or from `exact_below` texts on with codes of four bits (quantized.py);
the nearest RESCORED are compared again in full, and what says the same as a nearer one is passed
over. What the same files of an encoder encoded before keeps its vector, so an update costs what
changed.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from groundup.core import (
    ArtifactError,
    Draft,
    GroundupError,
    atomic_replace,
    device,
    import_extra,
    record,
    write_json,
)

from ..chunks.passage_text import QUOTE_CHARACTERS, PassageText
from ..models import VECTORS, TextEncoderConfig, check_same_model, load_text_encoder
from .postgres import StoredRuns, new_runs, open_runs, take_turn
from .quantized import (
    FAISS,
    RESCORED,
    NearVectors,
    QuantizedVectors,
    open_quantized,
    write_quantized,
)

if TYPE_CHECKING:
    from groundup.embeddings import BertEncoder, StaticEncoder
    from groundup.model import TextEncoder

KEY_BYTES = 16
CODES = "vectors.int8.npy"
SCAN_ROWS = 2**9
"""Vectors of a block that is made float32 at once: it stays in the processor's cache."""
COPY_COSINE = 0.99
"""From which a run says what a nearer one says."""
RUN_UNITS = 3
"""Sentences of a run."""
BLOCK = 512
"""Runs encoded between two steps of the progress bar, in batches of similar lengths."""


class Run(NamedTuple):
    """Neighbouring sentences of a passage, below one title."""

    passage: str
    """Id of the passage."""
    start: int
    """First character in the passage's text."""
    end: int
    text: str = ""
    """What is encoded: the titles and the sentences; empty in an open index."""

    @property
    def document(self) -> str:
        """Id of the passage's document."""
        return self.passage.rpartition(":")[0]


class NearRuns(NamedTuple):
    """The runs nearest to a vector, and how near all of them are."""

    runs: list[Run]
    """Nearest first."""
    cosines: np.ndarray
    """(k,) float32, of these runs."""
    mean: float
    """Mean cosine of all runs."""
    deviation: float
    """Standard deviation of the cosines of all runs."""


@dataclass
class RunVectors:
    """The vectors of a snapshot."""

    config: TextEncoderConfig
    runs: list[Run]
    """In the order of the rows."""
    matrix: np.ndarray
    """(runs, width) float16, unit vectors."""
    rows: dict[bytes, int]
    """The first row of each text, by the hash of what was encoded."""
    codes: np.ndarray
    """What is compared first: the same, or int8 in multiples of `steps` (width,)."""
    steps: np.ndarray
    quantized: QuantizedVectors | None = None
    """What leads to the vectors near to a question; None: all are compared."""
    stored: StoredRuns | None = None
    """Where they are, if not in the matrix."""

    def nearest(
        self, vector: np.ndarray, limit: int, documents: Collection[str] | None = None
    ) -> NearRuns:
        """The different runs with the largest cosine to a unit vector; of some documents alone."""
        count = max(limit, RESCORED)
        if self.quantized is not None and documents is None:
            rows = self.quantized.nearest_rows(vector, count)
            near = NearVectors(rows, self.matrix[rows], *self.quantized.spread(vector))
        else:
            rows = np.fromiter(self.rows.values(), int, len(self.rows))
            if documents is not None:
                inside = [run.document in documents for run in self.runs]
                rows = np.flatnonzero(inside)
            if not len(rows):
                return NearRuns([], np.empty(0, np.float32), 0.0, 0.0)
            if self.stored is not None:
                near = self.stored.near(vector, count, documents, len(rows))
            else:
                near = self._scan(vector, count, rows)
        vectors = near.vectors.astype(np.float32)
        cosines = vectors @ vector
        order = np.lexsort((near.rows, -cosines))
        order = order[_without_copies(vectors[order], limit)]
        runs = [self.runs[row] for row in near.rows[order]]
        return NearRuns(runs, cosines[order], near.mean, near.deviation)

    def _scan(self, vector: np.ndarray, count: int, rows: np.ndarray) -> NearVectors:
        starts, scaled = range(0, len(self.codes), SCAN_ROWS), vector * self.steps
        blocks = (self.codes[at : at + SCAN_ROWS].astype(np.float32) for at in starts)
        cosines = np.concatenate([block @ scaled for block in blocks])[rows]
        spread = float(cosines.mean()), float(cosines.std())
        if len(rows) > count:
            rows = rows[np.argpartition(-cosines, count)[:count]]
        return NearVectors(rows, self.matrix[rows], *spread)

    def by_text(self) -> dict[bytes, np.ndarray]:
        """The vector of each text, by the hash of what was encoded."""
        if self.stored is not None:
            with take_turn(self.stored.store) as connection:
                return self.stored.vectors(connection, self.rows)
        return {key: self.matrix[row] for key, row in self.rows.items()}


def _without_copies(vectors: np.ndarray, limit: int) -> list[int]:
    """The first `limit` of vectors (k, width) that are not nearly one before them."""
    kept = list[int]()
    for at, vector in enumerate(vectors):
        if len(kept) == limit:
            break
        if not (vectors[kept] @ vector >= COPY_COSINE).any():
            kept.append(at)
    return kept


def runs_of(text: PassageText) -> Iterator[Run]:
    """Yield the runs of a passage: up to three sentences that no title parts, every other one.

    >>> from groundup.core import Hit
    >>> from groundup.retrieve import chunk_document
    >>> from groundup.documents import read_bytes
    >>> document = read_bytes(b"# A cat\\n\\nIt is grey. It is old. It sleeps. It eats.", "a.md")
    >>> [passage] = chunk_document(document)
    >>> [run.text for run in runs_of(PassageText(Hit(passage, 1.0), document))]
    ['A cat. It is grey. It is old. It sleeps.', 'A cat. It sleeps. It eats.']
    """
    units, passage, done = text.units, text.passage, 0
    for first, unit in enumerate(units):
        if unit.kind == "heading" or first < done or unit.end - unit.start > QUOTE_CHARACTERS:
            continue
        last = first
        while (
            last + 1 < min(len(units), first + RUN_UNITS)
            and units[last + 1].kind != "heading"
            and units[last + 1].end - unit.start <= QUOTE_CHARACTERS
        ):
            last += 1
        done = max(first + 1, last)
        if last + 1 == len(units) or units[last + 1].kind == "heading":
            done = last + 1
        words = passage.text[unit.start : units[last].end]
        titled = f"{' > '.join(passage.headings)}. {words}"
        yield Run(passage.id, unit.start, units[last].end, titled)


def open_encoder(config: TextEncoderConfig) -> "TextEncoder | StaticEncoder":
    """The encoder that made the vectors; an error if it is gone or its files changed."""
    encoder = load_text_encoder(check_same_model(config, "text encoder"))
    encoder.prompt = ""  # the prefixes of the configuration stand for it
    return encoder


def open_question_encoder(config: TextEncoderConfig) -> "TextEncoder | BertEncoder | StaticEncoder":
    """The same for single questions: without torch, which takes a second to import, if possible."""
    from groundup.embeddings import open_bert_encoder

    path = check_same_model(config, "text encoder")
    encoder = open_bert_encoder(path) or load_text_encoder(path)
    encoder.prompt = ""
    return encoder


def write_vectors(
    draft: Draft, runs: Sequence[Run], config: TextEncoderConfig, earlier: RunVectors | None
) -> int:
    """Encode runs into the files of a snapshot; return how many were new.

    What an earlier snapshot has by the same encoder is taken from there, and what was encoded
    before a kill from the draft's scratch folder.
    """
    texts = [config.passage_prefix + run.text for run in runs]
    hashes = [hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest() for text in texts]
    rows = _first_rows(hashes)
    if is_large := len(rows) >= config.exact_below and not config.store:
        import_extra(*FAISS)  # before hours of encoding
    stored, present = new_runs(draft, config) if config.store else None, set[bytes]()
    if stored:
        with take_turn(config.store) as connection:
            present = stored.present(connection, rows)
    known = dict[bytes, np.ndarray]()
    if earlier is None or earlier.config.digest != config.digest:
        earlier = None
    elif not stored or earlier.config.store != config.store:
        with suppress(GroundupError):  # a database that is gone
            known = earlier.by_text()
    unfinished = draft.scratch / f"encoded-{config.digest[:16]}"
    for block in _read_encoded(unfinished):
        known |= block
    new = sorted(row for key, row in rows.items() if key not in known and key not in present)
    for block in _encode(texts, hashes, new, open_encoder(config), unfinished) if new else ():
        known |= block
    draft.file(VECTORS[2]).write_bytes(b"".join(hashes))
    table = {"encoder": config.to_dict(), "runs": [run[:3] for run in runs]}
    if stored:
        stored.write(draft, [run.document for run in runs], hashes, known, config.exact_below)
    else:
        matrix = np.stack([known[key] for key in hashes])
        table |= _write_matrix(draft, matrix, config)
        if is_large:
            write_quantized(draft, matrix, rows)
    write_json(draft.file(VECTORS[1]), table)
    return len(new)


def _write_matrix(
    draft: Draft, matrix: np.ndarray, config: TextEncoderConfig
) -> dict[str, list[float]]:
    """Write vectors, and their bytes if those are compared first, whose steps are returned."""
    np.save(draft.file(VECTORS[0]), matrix, allow_pickle=False)
    if config.precision != "int8":
        return {}
    codes, steps = int8_codes(matrix)
    np.save(draft.file(CODES), codes, allow_pickle=False)
    return {"steps": steps.tolist()}


def int8_codes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiples (n, width) of a step for each dimension, and the steps (width,) float32."""
    steps = np.maximum(np.abs(matrix).max(0).astype(np.float32), 1e-6) / 127
    return np.rint(matrix / steps).astype(np.int8), steps


def _encode(
    texts: Sequence[str],
    hashes: Sequence[bytes],
    new: list[int],
    encoder: "TextEncoder | StaticEncoder",
    out: Path,
) -> Iterator[dict[bytes, np.ndarray]]:
    """Yield the vectors of blocks of texts of similar lengths; each is kept in a file first."""
    out.mkdir(exist_ok=True)
    new = sorted(new, key=lambda i: len(texts[i]))
    keys = [hashes[i] for i in new]
    for wide in embed_blocks(encoder, [texts[i] for i in new]):
        vectors = wide.astype(np.float16)
        block, keys = keys[: len(vectors)], keys[len(vectors) :]
        with atomic_replace(out / f"{block[0].hex()}.npz") as path, open(path, "wb") as file:
            np.savez(file, keys=np.frombuffer(b"".join(block), np.uint8), vectors=vectors)
        yield dict(zip(block, vectors, strict=True))


def embed_blocks(
    encoder: "TextEncoder | StaticEncoder", texts: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield unit vectors of BLOCK texts at a time, computed in what is fastest here."""
    from groundup.embeddings import StaticEncoder
    from groundup.train import resolve_precision  # imports torch

    where = device.default_device()
    if not isinstance(encoder, StaticEncoder):
        encoder.model.to(where)
    with (
        resolve_precision("auto", where).autocast(where.type),
        record.progress("encode", total=len(texts), unit="texts") as bar,
    ):
        for start in range(0, len(texts), BLOCK):
            yield unit_rows(encoder.embed(texts[start : start + BLOCK]))
            bar.advance(len(texts[start : start + BLOCK]))


def _read_encoded(folder: Path) -> Iterator[dict[bytes, np.ndarray]]:
    """Yield the blocks that a killed run encoded."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as block:
            yield dict(zip(_cut(block["keys"].tobytes()), block["vectors"], strict=True))


def _first_rows(keys: Sequence[bytes]) -> dict[bytes, int]:
    return {key: row for row, key in reversed(list(enumerate(keys)))}


def _cut(keys: bytes) -> list[bytes]:
    return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, width) of length one; ArtifactError if one is not finite."""
    if not np.isfinite(vectors).all():
        raise ArtifactError("The encoder gives vectors that are not finite: its files are damaged.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def open_vectors(folder: Path) -> RunVectors | None:
    """The vectors of a snapshot; None without any, ArtifactError if they are damaged."""
    table = folder / VECTORS[1]
    if not table.is_file():
        return None
    try:
        values = json.loads(table.read_bytes())
        keys, runs = (folder / VECTORS[2]).read_bytes(), [Run(*place) for place in values["runs"]]
        config = TextEncoderConfig.model_validate(values["encoder"])
        stored = open_runs(folder) if config.store else None
        matrix = np.empty((len(runs), 0), np.float16)
        if stored is None:
            matrix = np.load(folder / VECTORS[0], mmap_mode="r", allow_pickle=False)
        codes, steps = matrix, np.ones(1, np.float32)
        if "steps" in values:
            codes = np.load(folder / CODES, mmap_mode="r", allow_pickle=False)
            steps = np.array(values["steps"], np.float32)
        if matrix.shape != codes.shape or not len(runs) == len(matrix) == len(keys) / KEY_BYTES:
            raise ValueError(f"{len(runs)} runs and vectors of shape {matrix.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"The vectors in {folder} are damaged ({error}); index again with a new --out."
        ) from None
    rows = _first_rows(_cut(keys))
    quantized = None if stored else open_quantized(folder, rows)
    return RunVectors(config, runs, matrix, rows, codes, steps, quantized, stored)
