"""Shards are written whole or not at all; a marker tells whether they still are what they were."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet

from groundup.core import CapacityError
from groundup.corpus.engine import shards
from groundup.corpus.engine.shards import (
    as_capacity_error,
    catch_full_disk,
    link_file,
    load_job_result,
    open_writer,
    read_shard,
    read_step_results,
    shard_path,
    write_step_results,
)
from groundup.documents import (
    ExtractedText,
    Record,
    Segment,
    SourceMap,
    StepResult,
    TextEdit,
    TextSpan,
    record_id,
)


def record(number: int, text: str, metadata=None) -> Record:
    path = str(number)
    is_plain = text.isprintable() or text.isascii()
    map = SourceMap.identity(text) if is_plain else odd_map(text)
    return Record(record_id("s", path), "s", path, "text", text, map, (), metadata or {})


def odd_map(text: str) -> SourceMap:
    """One segment for a text that perhaps cannot be encoded."""
    return SourceMap(text, (Segment(0, len(text), 0, 9, 1, False),))


def write(folder: Path, records) -> shards.JobResult:
    with open_writer(folder, 0) as writer:
        for one in records:
            writer.put("kept", one)
        return writer.finish()


def test_records_come_back_and_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1_000)
    records = [record(n, "x" * 300) for n in range(10)] + [record(10, "y" * 5_000)]
    done = write(tmp_path, records)
    path = shard_path(tmp_path, 0, "kept")
    assert list(read_shard(path)) == records
    assert parquet.ParquetFile(path).num_row_groups == 3, "4 + 4 + 3"
    assert done.files["kept"].rows == 11 and load_job_result(tmp_path, 0) == done


def test_hostile_texts_come_back_as_they_were(tmp_path):
    texts = ["", "a\0b", "\ufeff\u202e\U0001f600", "x" * 5_000_000, "\r\n\x0b" * 1_000]
    records = [record(n, text) for n, text in enumerate(texts)]
    records = [one if one.text else replace(one, data=b"\xff\0") for one in records]
    write(tmp_path, records)
    back = list(read_shard(shard_path(tmp_path, 0, "kept")))
    assert [(one.text, one.data) for one in back] == [(one.text, one.data) for one in records]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "marker"])
def test_a_shard_that_is_not_what_it_was_is_not_finished(tmp_path, damage):
    write(tmp_path, [record(1, "one")])
    path = shard_path(tmp_path, 0, "kept")
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[:-1])
    elif damage == "flipped":
        path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    elif damage == "missing":
        path.unlink()
    else:
        (tmp_path / "00000.done").write_text('{"files": {"kept": [1')
    assert load_job_result(tmp_path, 0) is None


def test_nothing_is_left_of_a_shard_that_fails(tmp_path):
    with pytest.raises(RuntimeError):
        with open_writer(tmp_path, 0) as writer:
            writer.put("kept", record(1, "one"))
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_no_file_can_hold_is_removed_alone(tmp_path):
    bad = [record(1, "half \ud800"), record(2, "nan", {"score": float("nan")})]
    done = write(tmp_path, [record(0, "fine"), *bad, record(3, "fine too")])
    assert [one.text for one in read_shard(shard_path(tmp_path, 0, "kept"))] == ["fine", "fine too"]
    removed = parquet.read_table(shard_path(tmp_path, 0, "removed")).to_pylist()
    assert [row["text"] for row in removed] == ["half \\ud800", "nan"]
    assert done.counters["engine|record|cannot be stored"] == 2


def test_equal_records_give_equal_bytes(tmp_path):
    records = [record(n, f"text {n}", {"b": 1, "a": [n]}) for n in range(50)]
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    assert write(tmp_path / "a", records) == write(tmp_path / "b", records)


def test_links_replace(tmp_path):
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    link_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"
    link_file(
        tmp_path / "a", tmp_path / "b"
    )  # as a run that was killed before its marker does again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_results_of_a_global_step_survive_their_file(tmp_path):
    made = ExtractedText(SourceMap.identity("né, two"), (TextSpan("turn", 0, 2, "ann"),))
    edits = (TextEdit(0, 3, "repeated", metadata_key="copies"),)
    results = {
        "a": StepResult("near-duplicate", 0.9, "of b"),
        "b": StepResult(edits=edits, metadata={"cluster": 2}),
        "c": StepResult(extracted=made, metadata={"n": 1}),
    }
    for rows in (results, {}):
        assert read_step_results(write_step_results(tmp_path / "0.parquet", rows.items())) == rows


@pytest.mark.parametrize("error", [OSError(28, "full"), OSError(122, "quota"), OSError(27, "big")])
def test_a_full_disk_is_an_error_of_capacity(tmp_path, error):
    with pytest.raises(CapacityError, match="complete shards are kept"):
        with catch_full_disk(tmp_path):
            raise error


def test_numpy_gives_no_number_and_others_are_left_alone(tmp_path):
    short = OSError("8192 requested and 4096 written")
    assert isinstance(as_capacity_error(tmp_path, short), CapacityError)
    with pytest.raises(PermissionError):
        with catch_full_disk(tmp_path):
            raise PermissionError(13, "closed")
