# ruff: noqa: F811
"""One contract for all that keep vectors: files compared whole, files with codes, a database."""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest

from groundup.core import ArtifactError, ConfigError, MissingExtra, produce
from groundup.retrieve import IndexConfig, answer_question, index, open_index, snapshots
from groundup.retrieve.encoders import meaning, postgres, quantized
from groundup.retrieve.encoders.vectors import KEY_BYTES, Run, open_vectors, write_vectors
from groundup.retrieve.models import STORED, TextEncoderConfig, with_digest
from groundup.retrieve.snapshots import remove_snapshot
from tests.retrieve.encoders.server import MISSING, is_installed, postgres_server
from tests.retrieve.encoders.test_vectors import (
    always,
    config_of,
    encoder,  # noqa: F401
    folder,  # noqa: F401
)

STORES = {
    "files": {}, "bytes": {"precision": "int8"}, "codes": {"exact_below": 2},
    "postgres": {"store": True}, "postgres graph": {"store": True, "exact_below": 2},
}  # fmt: skip
DIGEST, WIDTH = "cd" * 32, 16
QUESTION = "Does the furnace stand in the dwelling?"


@pytest.fixture(scope="session")
def server():
    """The URL of a database without pgvector, on a server of this session."""
    if not is_installed():
        pytest.skip(MISSING)
    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE vectors")
        with psycopg.connect(url.replace("/postgres?", "/vectors?")) as connection:
            connection.execute("CREATE EXTENSION vector")
        yield url


@pytest.fixture
def url(server):
    """The URL of an empty database with pgvector."""
    url = server.replace("/postgres?", "/vectors?")
    with postgres.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS groundup_vectors, groundup_runs")
    return url


@pytest.fixture(params=STORES)
def config(request, monkeypatch):
    """How vectors are kept."""
    settings = dict(STORES[request.param])
    if settings.pop("store", None):
        settings["store"] = request.getfixturevalue("url")
    elif "exact_below" in settings:
        pytest.importorskip("faiss")
    monkeypatch.setattr(quantized, "MEASURED", 40)
    return TextEncoderConfig(path="none", digest=DIGEST, **settings)


def unit_vectors(number, seed=0):
    """Unit vectors (number, WIDTH) float32."""
    points = np.random.default_rng(seed).standard_normal((number, WIDTH)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def runs_at(numbers):
    """A run of each numbered text, in one of seven documents."""
    return [Run(f"{n % 7}:{n}", n, n + 1, f"text {n}") for n in numbers]


def publish(folder, config, runs, vectors, earlier=None):
    """A snapshot whose texts were encoded before a kill; how many were new, and what it opens."""
    new = []

    def write(draft):
        keys = [hashlib.blake2b(r.text.encode(), digest_size=KEY_BYTES).digest() for r in runs]
        encoded = draft.scratch / f"encoded-{DIGEST[:16]}"
        encoded.mkdir()
        halves = vectors.astype(np.float16)
        np.savez(encoded / "0.npz", keys=np.frombuffer(b"".join(keys), np.uint8), vectors=halves)
        new.append(write_vectors(draft, runs, config, earlier))

    produce(
        folder, kind="index", stage="index", version=1, config=IndexConfig(encoder=config),
        parents={}, write=write,
    )  # fmt: skip
    assert new == [0], "nothing is encoded that a killed run encoded"
    return open_vectors(folder)


def expected(runs, vectors, query, limit, inside=None):
    """By comparing all: the nearest runs without copies, their cosines, mean and deviation."""
    cosines = [float(v.astype(np.float16).astype(np.float64) @ query) for v in vectors]
    texts, rows = set(), []
    for row, run in enumerate(runs):
        if run.document in inside if inside is not None else run.text not in texts:
            rows.append(row)
        texts.add(run.text)
    kept = []
    for row in sorted(rows, key=lambda row: -cosines[row]):
        if all(vectors[row] @ vectors[other] < 0.99 for other in kept) and len(kept) < limit:
            kept.append(row)
    near = [cosines[row] for row in rows]
    return [runs[row][:3] for row in kept], [cosines[row] for row in kept], near


def check(opened, runs, vectors, inside=None, seed=1):
    """Assert that what is opened answers as comparing all does."""
    for query in unit_vectors(3, seed):
        near = opened.nearest(query, 10, inside)
        places, cosines, everything = expected(runs, vectors, query, 10, inside)
        assert [run[:3] for run in near.runs] == places
        assert near.cosines.tolist() == pytest.approx(cosines, abs=1e-6)
        assert near.mean == pytest.approx(np.mean(everything), abs=1e-3)
        assert near.deviation == pytest.approx(np.std(everything), abs=1e-3)


def test_the_nearest_are_those_of_comparing_all_and_again_when_reopened(config, tmp_path):
    runs, vectors = runs_at(range(400)), unit_vectors(400)
    check(publish(tmp_path / "a", config, runs, vectors), runs, vectors)
    check(open_vectors(tmp_path / "a"), runs, vectors)
    check(open_vectors(tmp_path / "a"), runs, vectors, inside={"3", "5"})
    assert open_vectors(tmp_path / "a").nearest(vectors[0], 10, ["none"]).runs == []


def test_what_says_the_same_counts_once(config, tmp_path):
    runs, vectors = runs_at(range(300)), unit_vectors(300)
    runs += [run._replace(passage=f"8:{n}") for n, run in enumerate(runs[:50])]  # in two documents
    vectors = np.concatenate([vectors, vectors[:50]])
    vectors[100:120] = vectors[:20] + 0.001  # nearly the same
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    opened = publish(tmp_path / "a", config, runs, vectors)
    check(opened, runs, vectors)
    check(opened, runs, vectors, inside={"8", "2"})


def test_an_update_and_a_deletion_leave_the_snapshot_before_as_it_is(config, tmp_path):
    vectors = unit_vectors(460)
    first = publish(tmp_path / "a", config, runs_at(range(400)), vectors[:400])
    later = runs_at(range(20, 460))
    assert len(first.by_text()) == 400
    second = publish(tmp_path / "b", config, later, vectors[20:], open_vectors(tmp_path / "a"))
    check(second, later, vectors[20:])
    check(first, runs_at(range(400)), vectors[:400])
    if config.store:
        with postgres.connect(config.store) as connection:
            assert count(connection) == 460, "what both have is there once"
    remove_snapshot(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    check(open_vectors(tmp_path / "b"), later, vectors[20:])
    if config.store:
        with postgres.connect(config.store) as connection:
            assert count(connection) == 440
        with pytest.raises(ArtifactError, match="has 0 of the 400 vectors; index again"):
            first.nearest(vectors[0], 1, {str(n) for n in range(7)})


def count(connection):
    return connection.execute("SELECT count(*) FROM groundup_vectors").fetchone()[0]


def test_damage_is_named_and_made_anew(config, tmp_path):
    runs, vectors = runs_at(range(250)), unit_vectors(250)
    opened = publish(tmp_path / "a", config, runs, vectors)
    if config.store:
        with postgres.connect(config.store) as connection:
            connection.execute("DELETE FROM groundup_vectors WHERE hash < '\\x80'")
        with pytest.raises(ArtifactError, match="of the 250 vectors; index again"):
            opened.nearest(vectors[0], 200)
        assert not postgres.has_all_runs(tmp_path / "a")
        with postgres.connect(config.store) as connection:
            connection.execute("DROP TABLE groundup_vectors")
        with pytest.raises(ArtifactError, match="if its tables are gone, index again"):
            opened.nearest(vectors[0], 10)
        opened = None
    else:
        (tmp_path / "a" / "vectors.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(ArtifactError, match="vectors in .* are damaged"):
            open_vectors(tmp_path / "a")
    remove_snapshot(tmp_path / "a")
    check(publish(tmp_path / "a", config, runs, vectors), runs, vectors)


def test_a_store_takes_over_what_another_has(config, tmp_path):
    runs, vectors = runs_at(range(250)), unit_vectors(250)
    plain = publish(tmp_path / "a", TextEncoderConfig(path="e", digest=DIGEST), runs, vectors)
    here = publish(tmp_path / "b", config, runs[:1], vectors[:1], plain)
    again = publish(tmp_path / "c", config, runs, unit_vectors(250), here)
    check(again, runs, vectors)
    after = again.by_text()
    assert all((after[key] == vector).all() for key, vector in plain.by_text().items()), "each bit"


# ---- what only a database can do ----


def test_an_index_in_a_database_answers_as_one_in_files(
    folder, encoder, url, tmp_path, monkeypatch
):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    plain, stored = config_of(encoder), config_of(encoder, store=url)
    index(folder, tmp_path / "i", plain)
    before = answer_question(open_index(tmp_path / "i"), QUESTION)
    made = index(folder, tmp_path / "i", stored)
    assert made.numbers["encoded"] == 0, "the files' vectors were sent"
    assert not made.path.joinpath("vectors.npy").exists()
    opened = open_index(tmp_path / "i")
    answer = answer_question(opened, QUESTION)
    assert answer.claims == before.claims and answer.details["meaning"] == before.details["meaning"]
    assert answer_question(opened.only(["garden.md"]), QUESTION).claims != before.claims
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: answer_question(opened, QUESTION).claims, range(16)))
    assert answers == [before.claims] * 16
    assert index(folder, tmp_path / "i", stored) == made
    for name in ("garden", "kitchen"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe roses are old.\n")
        made = index(folder, tmp_path / "i", stored)
    assert made.numbers["encoded"] == 1
    with postgres.connect(url) as connection:
        kept = connection.execute("SELECT count(DISTINCT snapshot) FROM groundup_runs").fetchone()
        assert kept == (2,) and count(connection) == 4, "of the two newest snapshots"
    assert index(folder, tmp_path / "i", plain).numbers["encoded"] == 0, "the database's were read"


def test_words_answer_without_the_database_and_a_line_says_what_to_do(
    folder, encoder, url, tmp_path, monkeypatch
):
    monkeypatch.setattr(meaning, "decision", lambda: always(0.5))
    made = index(folder, tmp_path / "i", config_of(encoder, store=url))
    with postgres.connect(url) as connection:
        connection.execute("TRUNCATE groundup_vectors, groundup_runs")
    refused = answer_question(open_index(tmp_path / "i"), QUESTION)
    assert refused.refused and "index again" in refused.details["note"]
    again = index(folder, tmp_path / "i", config_of(encoder, store=url))
    assert again.id == made.id and again.numbers["encoded"] == 3
    assert not answer_question(open_index(tmp_path / "i"), QUESTION).refused
    table = json.loads(again.path.joinpath(STORED).read_bytes())
    again.path.joinpath(STORED).unlink()
    assert "are damaged" in answer_question(open_index(tmp_path / "i"), QUESTION).details["note"]
    again = index(folder, tmp_path / "i", config_of(encoder, store=url))
    gone = "postgresql://tester@/vectors?host=/nowhere"
    again.path.joinpath(STORED).write_text(json.dumps([gone, *table[1:]]))
    opened = open_index(tmp_path / "i")
    assert "the server runs" not in (note := answer_question(opened, QUESTION).details["note"])
    assert note.startswith("not looked for by meaning: ") and "see that it runs" in note
    assert "\n" not in note and "PGPASSWORD" in note
    assert not answer_question(opened, "What does the boiler warm?").refused
    (folder / "new.md").write_text("# New\n\nThe pond is old.\n")
    with pytest.raises(ArtifactError, match="see that it runs and takes this user"):
        index(folder, tmp_path / "j", config_of(encoder, store=gone))
    assert not answer_question(open_index(tmp_path / "i"), "What does the boiler warm?").refused


def test_a_kill_between_database_and_pointer_is_repaired(
    folder, encoder, url, tmp_path, monkeypatch
):
    config = config_of(encoder, store=url)
    whole = index(folder, tmp_path / "whole", config)

    def dies(*_, **__):
        raise SystemExit(9)

    for name in ("groundup.core.artifact._build_manifest", "groundup.core.ledger.Pointer.move"):
        with monkeypatch.context() as patch:
            patch.setattr(name, dies)
            with pytest.raises(SystemExit):
                index(folder, tmp_path / "i", config)
        assert not (tmp_path / "i" / "ledger" / "current.jsonl").exists()
    made = index(folder, tmp_path / "i", config)
    assert made.id == whole.id
    with postgres.connect(url) as connection:
        rows = connection.execute("SELECT count(DISTINCT snapshot) FROM groundup_runs").fetchone()
        assert rows == (2,) and count(connection) == 3, "the killed run left no rows of its own"


def test_two_writers_take_turns(folder, encoder, url, tmp_path):
    config = config_of(encoder, store=url)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda n: index(folder, tmp_path / str(n), config), range(4)))
    assert len({artifact.id for artifact in made}) == 1
    assert all(postgres.has_all_runs(artifact.path) for artifact in made)
    stored = open_vectors(made[0].path).stored
    other = postgres.StoredRuns(url, stored.snapshot, "ef" * 32)
    with pytest.raises(ArtifactError, match="Another `groundup index` removed vectors"):
        draft = type("Draft", (), {"file": lambda self, name: tmp_path / "table"})()
        other.write(draft, ["1"], [b"0" * KEY_BYTES], {}, 9)


def test_a_graph_that_leads_to_too_few_is_dropped(url, tmp_path, monkeypatch):
    monkeypatch.setattr(quantized, "measure_recall", lambda *_: 0.94)
    config = TextEncoderConfig(path="none", digest=DIGEST, store=url, exact_below=2)
    opened = publish(tmp_path / "a", config, runs_at(range(9)), unit_vectors(9))
    check(opened, runs_at(range(9)), unit_vectors(9))
    with postgres.connect(url) as connection:
        query = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'groundup_hnsw%'"
        assert connection.execute(query).fetchone() == (0,)


def test_rows_that_cannot_be_deleted_keep_their_folder(folder, encoder, url, tmp_path):
    made = index(folder, tmp_path / "i", config_of(encoder, store=url))
    table = json.loads(made.path.joinpath(STORED).read_bytes())
    path = made.path.joinpath(STORED)
    path.write_text(json.dumps(["postgresql://tester@/v?host=/nowhere", *table[1:]]))
    remove_snapshot(made.path)
    [kept] = made.path.parent.iterdir()
    (kept / STORED).write_text(json.dumps(table))
    snapshots._delete_set_aside(made.path.parent)
    assert not kept.exists()
    with postgres.connect(url) as connection:
        assert count(connection) == 0


def test_no_password_is_kept_and_settings_that_do_not_fit_are_refused(encoder, server, tmp_path):
    for store in ("postgresql://me:s3cret@host/db", "postgres://h/db?user=me&password=s3cret"):
        with pytest.raises(ConfigError, match="PGPASSWORD") as refused:
            with_digest(TextEncoderConfig(path=str(encoder), store=store))
        assert "s3cret" not in str(refused.value)
    for settings, message in (
        ({"store": "mysql://h/db"}, "expected postgresql://"),
        ({"store": "postgresql://h/db", "precision": "int8"}, "int8 is of files"),
        ({"store": "postgresql://h/db", "path": ""}, "need an --encoder"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_digest(TextEncoderConfig(**{"path": str(encoder)} | settings))


def test_what_is_missing_is_named(folder, encoder, server, tmp_path, monkeypatch):
    with pytest.raises(ArtifactError, match="lacks pgvector 0.8 or newer.*CREATE EXTENSION vector"):
        index(folder, tmp_path / "i", config_of(encoder, store=server))
    assert not list(Path(tmp_path / "i" / "snapshots").iterdir())
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'groundup\[postgres\]'"):
        index(folder, tmp_path / "i", config_of(encoder, store=server))
