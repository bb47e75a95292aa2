"""Vectors of an index in PostgreSQL 17 with pgvector, for many readers of a large index.

    groundup_vectors  (encoder, hash of text) -> halfvec, once for all snapshots with the text
    groundup_runs     (snapshot, hash, row) -> document, and whether it is the text's first row

The runs stay in the snapshot, whose log/vectors.postgres.json has the number of its rows, drawn
before the first is written. One transaction writes them before the snapshot is complete. A question
opens a connection of its own: threads share none, and a server that came back answers again.

From `exact_below` texts on an HNSW index leads to the nearest. It has the texts of all snapshots of
the encoder, and is scanned until enough are the snapshot's; else all are compared.
"""

import json
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from groundup.core import ArtifactError, Draft, import_extra, write_json

from ..models import MIN_RECALL, STORED, TextEncoderConfig
from . import quantized

MOMENTS = "log/vectors.moments.npy"
PGVECTOR = """SELECT FROM pg_extension
WHERE extname = 'vector' AND string_to_array(extversion, '.')::int[] >= '{0,8}'"""
TABLES = """SET LOCAL client_connection_check_interval = '1s';  -- a killed client gives its turn up
SELECT pg_advisory_xact_lock(hashtext('groundup'));  -- writers take turns
CREATE TABLE IF NOT EXISTS groundup_vectors
    (encoder text, hash bytea, vector halfvec NOT NULL, PRIMARY KEY (hash, encoder));
CREATE TABLE IF NOT EXISTS groundup_runs (snapshot uuid, encoder text NOT NULL, hash bytea, row int,
    document text NOT NULL, is_first bool NOT NULL, PRIMARY KEY (snapshot, hash, row))"""
OWN = """groundup_runs JOIN groundup_vectors v USING (encoder, hash)
WHERE snapshot = %(snapshot)s"""
EXACT = f"""WITH every AS MATERIALIZED (
    SELECT row, encoder, hash, -(vector::vector <#> %(vector)s::vector) AS cosine FROM {OWN}
    AND (%(documents)s::text[] IS NULL AND is_first OR document = ANY(%(documents)s))),
nearest AS (SELECT * FROM every ORDER BY cosine DESC, row LIMIT %(count)s)
SELECT row, halfvec_send(vector), spread.* FROM nearest JOIN groundup_vectors USING (encoder, hash),
    (SELECT avg(cosine), stddev_pop(cosine), count(*) FROM every) spread"""
PLAN = """SELECT set_config('hnsw.ef_search', '400', true), set_config('enable_sort', 'off', true),
    set_config('hnsw.iterative_scan', 'strict_order', true)"""
LED = f"""SELECT row, halfvec_send(vector) FROM {OWN} AND is_first AND v.encoder = '{{name}}'
ORDER BY vector::halfvec({{width}}) <#> %(vector)s::halfvec({{width}}) LIMIT %(count)s"""
GRAPH = """CREATE INDEX IF NOT EXISTS groundup_hnsw_{name} ON groundup_vectors
USING hnsw ((vector::halfvec({width})) halfvec_ip_ops)
WITH (m = 16, ef_construction = 128)
WHERE encoder = '{name}'"""
MEMORY = """SELECT set_config('maintenance_work_mem', '1GB', true),
    set_config('max_parallel_maintenance_workers', '0', true) -- shared memory may be small"""


@contextmanager
def connect(store: str) -> Iterator[Any]:
    """A transaction in a database; what fails there is an ArtifactError of one line."""
    psycopg = import_extra("psycopg", "postgres", "psycopg[binary]")
    try:
        with psycopg.connect(
            store, connect_timeout=10, application_name="groundup", prepare_threshold=None
        ) as connection:
            connection.execute("SET LOCAL jit = off")  # it takes longer than any query here
            yield connection
    except psycopg.Error as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(
            f"{store} does not give its vectors ({why}); see that it runs and takes this user "
            "(PGPASSWORD, ~/.pgpass), and if its tables are gone, index again."
        ) from None


@contextmanager
def take_turn(store: str) -> Iterator[Any]:
    """A transaction of the only writer, with the tables; ArtifactError without pgvector."""
    with connect(store) as connection:
        if connection.execute(PGVECTOR).fetchone() is None:
            raise ArtifactError(
                f"{store} lacks pgvector 0.8 or newer; install it (Debian: postgresql-17-pgvector) "
                "and run there: CREATE EXTENSION vector"
            )
        connection.execute(TABLES)
        yield connection


@dataclass
class StoredRuns:
    """The rows of a snapshot in a database."""

    store: str
    """URL."""
    snapshot: str
    """The number of its rows."""
    encoder: str
    """Digest of the encoder, 16 characters."""
    moments: np.ndarray | None = None
    """Of all vectors, beside a graph that leads to the nearest; None: all are compared."""

    def near(
        self, vector: np.ndarray, count: int, documents: Collection[str] | None, expected: int
    ) -> quantized.NearVectors:
        """The `count` nearest vectors to one (width,); ArtifactError if not all `expected` are."""
        asked = {
            "snapshot": self.snapshot, "vector": str(vector.tolist()), "count": count,
            "documents": None if documents is None else list(documents),
        }  # fmt: skip
        with connect(self.store) as connection:
            if self.moments is not None and documents is None:
                rows = self._led(connection, asked)
                if len(rows) == min(count, expected):
                    return _near(rows, *quantized.spread_of(self.moments, vector))
            rows = connection.execute(EXACT, asked).fetchall()
        if not rows or rows[0][-1] != expected:
            raise ArtifactError(
                f"{self.store} has {rows[0][-1] if rows else 0} of the {expected} vectors; index "
                "again, or open the index again if it was updated twice since."
            )
        return _near(rows, *rows[0][2:4])

    def _led(self, connection: Any, asked: dict[str, Any]) -> list[tuple[int, bytes]]:
        connection.execute(PLAN)
        width = asked["vector"].count(",") + 1
        return connection.execute(LED.format(name=self.encoder, width=width), asked).fetchall()

    def present(self, connection: Any, texts: Collection[bytes]) -> set[bytes]:
        """Hashes of the texts that have a vector."""
        query = "SELECT hash FROM groundup_vectors WHERE encoder = %s AND hash = ANY(%s)"
        return {text for (text,) in connection.execute(query, [self.encoder, list(texts)])}

    def vectors(self, connection: Any, texts: Collection[bytes]) -> dict[bytes, np.ndarray]:
        """The vectors of texts, by their hashes, as far as they are there."""
        query = """SELECT hash, halfvec_send(vector) FROM groundup_vectors
            WHERE encoder = %s AND hash = ANY(%s)"""
        rows = connection.execute(query, [self.encoder, list(texts)])
        return {text: _halves(data) for text, data in rows}

    def write(
        self, draft: Draft, documents: Sequence[str], hashes: Sequence[bytes],
        known: Mapping[bytes, np.ndarray], exact_below: int,
    ) -> None:  # fmt: skip
        """Write the rows, and the vectors of those texts whose vector is not there."""
        first = {text: row for row, text in reversed(list(enumerate(hashes)))}
        write_json(draft.file(STORED), [self.store, self.snapshot, self.encoder, len(documents)])
        with take_turn(self.store) as connection:
            connection.execute("DELETE FROM groundup_runs WHERE snapshot = %s", [self.snapshot])
            absent = first.keys() - self.present(connection, first)
            if absent - known.keys():
                raise ArtifactError("Another `groundup index` removed vectors; run this again.")
            self._send(connection, {text: known[text] for text in sorted(absent)})
            with connection.cursor().copy("COPY groundup_runs FROM STDIN") as copy:
                for row, (document, text) in enumerate(zip(documents, hashes, strict=True)):
                    own = (self.snapshot, self.encoder, text, row)
                    copy.write_row((*own, document, row == first[text]))
            connection.execute("ANALYZE groundup_runs, groundup_vectors (encoder, hash)")
            if len(first) >= exact_below:
                self._lead(connection, draft, first)

    def _send(self, connection: Any, vectors: Mapping[bytes, np.ndarray]) -> None:
        with connection.cursor().copy("COPY groundup_vectors FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for text, vector in vectors.items():
                halves = struct.pack(">hh", len(vector), 0) + vector.astype(">f2").tobytes()
                fields = (self.encoder.encode(), text, halves)
                sized = (struct.pack(">i", len(field)) + field for field in fields)
                copy.write(struct.pack(">h", 3) + b"".join(sized))
            copy.write(b"\xff\xff")

    def _lead(self, connection: Any, draft: Draft, first: Mapping[bytes, int]) -> None:
        """Make the HNSW index and measure it; one below MIN_RECALL is dropped."""
        vectors, live = self.vectors(connection, first), np.array(list(first.values()))
        width = len(next(iter(vectors.values())))
        matrix = np.zeros((live.max() + 1, width), np.float16)
        matrix[live] = [vectors[text] for text in first]
        connection.execute(MEMORY)

        def nearest_rows(vector: np.ndarray) -> np.ndarray:
            asked = {"vector": str(vector.tolist()), "count": quantized.RESCORED}
            rows = self._led(connection, asked | {"snapshot": self.snapshot})
            return np.array([row for row, _ in rows])

        connection.execute(GRAPH.format(name=self.encoder, width=width))
        recall = draft.numbers["recall"] = quantized.measure_recall(nearest_rows, live, matrix)
        if recall >= MIN_RECALL:
            np.save(draft.file(MOMENTS), quantized.moments_of(matrix, live), allow_pickle=False)
        else:
            connection.execute(f"DROP INDEX groundup_hnsw_{self.encoder}")


def _halves(data: bytes) -> np.ndarray:
    return np.frombuffer(data, ">f2", offset=4).astype(np.float16)


def _near(rows: Sequence[tuple], mean: float, deviation: float) -> quantized.NearVectors:
    vectors = np.stack([_halves(row[1]) for row in rows])
    return quantized.NearVectors(np.array([row[0] for row in rows]), vectors, mean, deviation)


def new_runs(draft: Draft, config: TextEncoderConfig) -> StoredRuns:
    """Where a snapshot's rows will be: those of a killed run again."""
    has_rows = draft.file(STORED).is_file()
    number = open_runs(draft.path).snapshot if has_rows else str(uuid4())
    return StoredRuns(config.store, number, config.digest[:16])


def open_runs(folder: Path) -> StoredRuns:
    """The rows of a snapshot; connects to nothing."""
    store, snapshot, encoder, _ = json.loads((folder / STORED).read_bytes())
    has_graph = (folder / MOMENTS).is_file()
    moments = np.load(folder / MOMENTS, allow_pickle=False) if has_graph else None
    return StoredRuns(store, snapshot, encoder, moments)


def has_all_runs(folder: Path) -> bool:
    """Whether the database has all vectors of a snapshot; ArtifactError if it does not answer."""
    try:
        store, snapshot, _, runs = json.loads((folder / STORED).read_bytes())
    except (OSError, ValueError):
        return False
    with take_turn(store) as connection:
        counted = connection.execute(f"SELECT count(*) FROM {OWN}", {"snapshot": snapshot})
        return counted.fetchone()[0] == runs


def delete_runs(folder: Path) -> None:
    """Delete the rows of a snapshot, and the vectors that no other one needs."""
    stored = open_runs(folder)
    with take_turn(stored.store) as connection:
        connection.execute("DELETE FROM groundup_runs WHERE snapshot = %s", [stored.snapshot])
        connection.execute(
            "DELETE FROM groundup_vectors v WHERE NOT EXISTS "
            "(SELECT FROM groundup_runs r WHERE r.hash = v.hash AND r.encoder = v.encoder)"
        )
