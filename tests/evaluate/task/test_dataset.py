"""Rows behave as `datasets.Dataset` does where the code of tasks relies on it."""

import pytest

from groundup.core import DataError
from groundup.evaluate.task.dataset import DatasetRows, _unify_types, to_dataset_rows

ROWS = DatasetRows([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}])


def test_columns_of_several_kinds_stay_as_they_are():
    mixed = [{"a": 1}, "x", None]
    assert _unify_types(mixed) == mixed


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


def test_rows_of_what_task_code_returns():
    assert to_dataset_rows([{"a": 1}], "it")[0] == {"a": 1}
    assert to_dataset_rows(({"a": n} for n in range(2)), "it")["a"] == [0, 1]
    with pytest.raises(DataError, match="it must return rows; got int"):
        to_dataset_rows(3, "it")


def test_an_empty_table_has_no_columns():
    assert DatasetRows([]).column_names == [] and len(DatasetRows([])) == 0
