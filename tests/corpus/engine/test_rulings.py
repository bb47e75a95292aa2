"""Files of rulings say again what was written."""

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.engine.rulings import read_rulings, write_rulings
from groundup.documents import Edit, Made, Ruling, SourceMap, Span


def test_rulings_survive_their_file(tmp_path):
    rulings = {
        "a": Ruling("near-duplicate", 0.9, "of b"),
        "b": Ruling(edits=(Edit(0, 3, "repeated", aside="copies"),), metadata={"cluster": 2}),
    }
    path = write_rulings(tmp_path / "0.parquet", rulings.items())
    assert read_rulings(path) == rulings


def test_no_rulings_are_a_file_too(tmp_path):
    assert read_rulings(write_rulings(tmp_path / "0.parquet", [])) == {}


def test_a_text_that_was_made_survives(tmp_path):
    made = Made(SourceMap.identity("né, two"), (Span("turn", 0, 2, "ann"),))
    rulings = {"a": Ruling(made=made, metadata={"n": 1})}
    assert read_rulings(write_rulings(tmp_path / "0.parquet", rulings.items())) == rulings
