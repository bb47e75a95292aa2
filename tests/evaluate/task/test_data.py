"""Rows: a table as task code relies on it, read from files; errors name the place."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from groundup.core import ConfigError, DataError
from groundup.evaluate.task.data import (
    DatasetRows,
    DatasetSource,
    _read_csv,
    _unify_types,
    find_data_file,
    read_dataset_split,
    to_dataset_rows,
)

ROWS = DatasetRows([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}])


def test_rows_slices_and_columns():
    assert ROWS[1] == {"a": 2, "b": "y"} and ROWS[-1]["a"] == 3
    assert ROWS["a"] == [1, 2, 3] and ROWS[:2] == {"a": [1, 2], "b": ["x", "y"]}
    assert len(ROWS) == 3 and list(ROWS.features) == ROWS.column_names == ["a", "b"]


def test_a_row_that_is_changed_leaves_the_table_as_it_was():
    row = ROWS[0]
    row["a"] = 99
    next(iter(ROWS))["a"] = 98
    assert ROWS[0]["a"] == 1


def test_map_writes_over_the_row():
    found = ROWS.map(lambda row: {"c": row["a"] * 2}, remove_columns=["a"])
    assert found[2] == {"b": "z", "c": 6}
    assert ROWS.map(lambda row, n: {"n": n}, with_indices=True)["n"] == [0, 1, 2]


def test_filter_select_shuffle():
    assert ROWS.filter(lambda row: row["a"] > 1)["b"] == ["y", "z"]
    assert ROWS.filter(lambda row, n: n == 0, with_indices=True)["b"] == ["x"]
    assert ROWS.select([2, 0])["a"] == [3, 1]
    assert ROWS.shuffle(seed=42)["a"] == ROWS.shuffle(seed=42)["a"]
    assert sorted(ROWS.shuffle(seed=1)["a"]) == [1, 2, 3]


def test_columns_are_renamed_removed_chosen_and_added():
    assert ROWS.rename_column("a", "n").column_names == ["n", "b"]
    assert ROWS.remove_columns("a").column_names == ["b"]
    assert ROWS.select_columns(["b"]).column_names == ["b"]
    assert ROWS.add_column("c", [7, 8, 9])["c"] == [7, 8, 9]


def test_columns_are_of_one_kind():
    found = DatasetRows([{"n": 1, "m": {"x": 1}}, {"n": 0.5}, {"m": {"y": 2}}])
    assert found["n"] == [1.0, 0.5, None]
    assert found["m"] == [{"x": 1}, None, {"y": 2}]
    mixed = [{"a": 1}, "x", None]
    assert _unify_types(mixed) == mixed


def test_rows_of_what_task_code_returns():
    assert to_dataset_rows([{"a": 1}], "it")[0] == {"a": 1}
    assert to_dataset_rows(({"a": n} for n in range(2)), "it")["a"] == [0, 1]
    with pytest.raises(DataError, match="it must return rows; got int"):
        to_dataset_rows(3, "it")
    assert DatasetRows([]).column_names == [] and len(DatasetRows([])) == 0


def source(
    folder: Path, path: str = "json", name: str | None = None, **options: Any
) -> DatasetSource:
    data = options.pop("data", None)
    return DatasetSource("mine", folder / "mine.yaml", path, name, options, data)


def read(folder: Path, path: str = "json", *more: str, split: str = "train", **options: Any):
    return read_dataset_split(source(folder, path, *more, **options), split)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text", ['{"a": 1}\n\n{"a": 2}\n', '[{"a": 1},\n {"a": 2}]', '\ufeff{"a": 1}\n{"a": 2}']
)
def test_json_a_line_each_or_in_a_list(tmp_path, text):
    put(tmp_path / "x.json", text)
    assert read(tmp_path, data_files="x.json")["a"] == [1, 2]


def test_json_of_one_field(tmp_path):
    put(tmp_path / "x.json", '{"rows": [{"a": 1}], "columns": {"a": [1, 2], "b": [3, 4]}}')
    assert len(read(tmp_path, data_files="x.json", field="rows")) == 1
    columns = read(tmp_path, data_files="x.json", field="columns")
    assert columns[1] == {"a": 2, "b": 4}
    with pytest.raises(DataError, match="one JSON object per row in `no`"):
        read(tmp_path, data_files="x.json", field="no")


def test_damaged_json_names_file_and_line(tmp_path):
    put(tmp_path / "x.jsonl", '{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"x\.jsonl, line 2 is not JSON"):
        read(tmp_path, data_files="x.jsonl")
    put(tmp_path / "x.jsonl", "[1, 2]")
    with pytest.raises(DataError, match="must hold one JSON object per row"):
        read(tmp_path, data_files="x.jsonl")
    (tmp_path / "x.jsonl").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        read(tmp_path, data_files="x.jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_pipe_is_told_and_not_waited_for(tmp_path, kind):
    (tmp_path / "mine").mkdir()
    os.mkfifo(tmp_path / "mine" / f"train.{kind}")
    with pytest.raises(DataError, match=r"train\.\w+ .*no regular file"):
        list(read(tmp_path, data=tmp_path))


def test_tables(tmp_path):
    put(tmp_path / "x.csv", 'id,text,ok,half\n1,"a, ""b""\nc",True,\n2,NA,False,0.5\n')
    rows = read(tmp_path, "csv", data_files="x.csv")
    assert rows[0] == {"id": 1, "text": 'a, "b"\nc', "ok": True, "half": None}
    assert rows[1] == {"id": 2, "text": None, "ok": False, "half": 0.5}
    put(tmp_path / "x.tsv", "1\tx\n2\ty\n")
    named = source(tmp_path, "csv", data_files="x.tsv", names=["n", "s"])
    assert read_dataset_split(named, "train")["s"] == ["x", "y"]
    with pytest.raises(DataError, match="row 2 has 3 cells for 2 columns"):
        _read_csv(Path("y.csv"), "a,b\n1,2\n1,2,3\n", {})
    texts = [{"a": "1_000"}, {"a": "2"}]
    assert _read_csv(Path("y.csv"), "a\n1_000\n2\n", {}) == texts, "no number in Python's form"


def test_texts_by_line_paragraph_and_document(tmp_path):
    put(tmp_path / "x.txt", "a\nb\n\nc")
    for by, count in (("line", 4), ("paragraph", 2), ("document", 1)):
        rows = read(tmp_path, "text", data_files="x.txt", sample_by=by)
        assert len(rows) == count
    assert read(tmp_path, "text", data_files="x.txt")["text"][0] == "a"


def test_compressed_files(tmp_path):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert read(tmp_path, data_files="x.jsonl.gz")["a"] == [1]
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 50)[:20])
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path, data_files="x.jsonl.gz")


def test_parquet_is_read(tmp_path):
    import pyarrow
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"a": [1, 2]}), tmp_path / "x.parquet")
    rows = read(tmp_path, "parquet", data_files="x.parquet")
    assert rows["a"] == [1, 2]


def test_several_files_and_wildcards(tmp_path):
    for n in range(3):
        put(tmp_path / f"part-{n}.jsonl", f'{{"a": {n}}}\n')
    assert read(tmp_path, data_files="part-*.jsonl")["a"] == [
        0,
        1,
        2,
    ]
    two = source(tmp_path, data_files={"test": ["part-2.jsonl", "part-0.jsonl"]})
    assert read_dataset_split(two, "test")["a"] == [2, 0]
    with pytest.raises(ConfigError, match="no split `train`; it has test"):
        read_dataset_split(two, "train")


def test_a_name_of_the_hub_is_a_folder_of_data(tmp_path):
    data = tmp_path / "data"
    arc = source(tmp_path, "allenai/ai2_arc", "ARC-Easy", data=data)
    with pytest.raises(
        DataError, match=r"nothing is downloaded.*--data.*ai2_arc.ARC-Easy/test\.\*"
    ):
        read_dataset_split(arc, "test")
    put(data / "ai2_arc" / "ARC-Easy" / "test-00000-of-00001.jsonl", '{"a": 1}\n')
    assert read_dataset_split(arc, "test")["a"] == [1]
    put(data / "allenai" / "ai2_arc" / "ARC-Easy" / "test.jsonl", '{"a": 2}\n')
    assert read_dataset_split(arc, "test")["a"] == [2]
    put(data / "mine" / "test.csv", "a\n3\n")
    assert read_dataset_split(arc, "test")["a"] == [3]


def test_rows_of_another_part_are_not_taken(tmp_path):
    put(tmp_path / "data" / "mmlu" / "test.jsonl", '{"a": 1}\n')
    with pytest.raises(DataError, match="mmlu/virology"):
        read(tmp_path, "mmlu", "virology", data=tmp_path / "data", split="test")


def test_a_local_folder(tmp_path):
    put(tmp_path / "rows" / "test" / "0.jsonl", '{"a": 1}\n')
    assert read(tmp_path, "rows", split="test")["a"] == [1]
    with pytest.raises(DataError, match=r"Found there: test"):
        read(tmp_path, "rows", split="validation")


def test_what_cannot_be_is_told(tmp_path):
    with pytest.raises(ConfigError, match="dataset_kwargs has no key `shard`"):
        read(tmp_path, data_files="x", shard=1)
    with pytest.raises(
        DataError, match=r"no file https://example\.org/y\.json; searched.*/y\.json"
    ):
        read(tmp_path, data_files="https://example.org/y.json")
    with pytest.raises(DataError, match=r"no file nowhere\.json; searched"):
        read(tmp_path, data_files="nowhere.json")
    put(tmp_path / "x.jsonl", "\n")
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path, data_files="x.jsonl")
    read_me = source(tmp_path, data_files="x.jsonl", trust_remote_code=True)
    put(tmp_path / "x.jsonl", '{"a": 1}\n')
    assert len(read_dataset_split(read_me, "train")) == 1


@pytest.mark.parametrize("way", ["absolute", "above", "wildcard", "link", "folder", "here"])
def test_a_task_reads_nothing_but_its_folder_and_the_data(tmp_path, way, monkeypatch):
    secret = put(tmp_path / "home" / "test.jsonl", '{"a": "secret"}\n')
    task = tmp_path / "task"
    task.mkdir()
    (task / "link.jsonl").symlink_to(secret)
    monkeypatch.chdir(secret.parent)
    named = {
        "absolute": source(task, data_files={"test": str(secret)}),
        "above": source(task, data_files={"test": "../home/test.jsonl"}),
        "wildcard": source(task, data_files={"test": "../*/test.jsonl"}),
        "link": source(task, data_files={"test": "link.jsonl"}),
        "folder": source(task, "../home"),
        "here": source(task, data_files={"test": "test.jsonl"}),
    }[way]
    with pytest.raises(DataError, match="--data|no file test.jsonl"):
        read_dataset_split(named, "test")
    if way != "folder":
        given = named._replace(data=secret.parent)
        assert read_dataset_split(given, "test")["a"] == ["secret"]


def test_the_folder_for_data_comes_before_the_package(tmp_path: Path):
    inside = ("groundup", "core", "pip install x")
    carried = find_data_file(None, ("errors.py",), *inside)
    assert carried.is_file() and carried.parent.name == "core"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "errors.py").touch()
    assert find_data_file(tmp_path, ("errors.py",), *inside) == tmp_path / "deep" / "errors.py"
    assert (
        find_data_file(tmp_path, ("no.py", "errors.py"), "no_package", "", "").parent.name == "deep"
    )


def test_what_is_nowhere_names_the_command(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"Found no a\.txt; run: pip install x"):
        find_data_file(None, ("a.txt",), "no_package", "", "pip install x")
    with pytest.raises(ConfigError, match=r"a\.txt in .*--data"):
        find_data_file(tmp_path, ("a.txt",), "groundup", "core", "pip install x")
