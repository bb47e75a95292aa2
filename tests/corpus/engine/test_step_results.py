"""Files of rulings say again what was written."""

import pytest

pytest.importorskip("pyarrow")

from groundup.corpus.engine.step_results import read_step_results, write_step_results
from groundup.documents import ExtractedText, SourceMap, StepResult, TextEdit, TextSpan


def test_rulings_survive_their_file(tmp_path):
    rulings = {
        "a": StepResult("near-duplicate", 0.9, "of b"),
        "b": StepResult(
            edits=(TextEdit(0, 3, "repeated", metadata_key="copies"),), metadata={"cluster": 2}
        ),
    }
    path = write_step_results(tmp_path / "0.parquet", rulings.items())
    assert read_step_results(path) == rulings


def test_no_rulings_are_a_file_too(tmp_path):
    assert read_step_results(write_step_results(tmp_path / "0.parquet", [])) == {}


def test_a_text_that_was_made_survives(tmp_path):
    made = ExtractedText(SourceMap.identity("né, two"), (TextSpan("turn", 0, 2, "ann"),))
    rulings = {"a": StepResult(extracted=made, metadata={"n": 1})}
    assert read_step_results(write_step_results(tmp_path / "0.parquet", rulings.items())) == rulings
