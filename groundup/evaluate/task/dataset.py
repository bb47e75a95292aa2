"""A table of rows with the part of `datasets.Dataset`'s interface that task code uses.

Tables are immutable: map, filter, select … return new ones. A missing column is None, and a
column of ints and floats becomes floats, as in a typed table. Values are JSON values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, overload

import numpy as np

from groundup.core import DataError

Row = dict[str, Any]


class DatasetRows(Sequence[Row]):
    """A table: a list of rows with the same columns.

    >>> rows = DatasetRows([{"q": "1+1", "a": 2}, {"q": "half of 1", "a": 0.5, "note": "x"}])
    >>> rows[0], rows.column_names
    ({'q': '1+1', 'a': 2.0, 'note': None}, ['q', 'a', 'note'])
    >>> rows.map(lambda row: {"q": row["q"] + "?"}).filter(lambda row: row["note"])["q"]
    ['half of 1?']
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        found = [to_json_values(row) for row in rows]
        names = list(dict.fromkeys(name for row in found for name in row))
        self.rows: list[Row] = _unify_records(found, names)

    @classmethod
    def from_list(cls, rows: Iterable[Mapping[str, Any]]) -> "DatasetRows":
        """Rows of a list of dictionaries."""
        return cls(rows)

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    @property
    def features(self) -> dict[str, None]:
        """The columns' names as keys; types are unknown."""
        return dict.fromkeys(self.column_names)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """The rows, each a dictionary of its own."""
        return (dict(row) for row in self.rows)

    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> Any: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        """A row by its index, a column by its name, or the columns of a slice of rows."""
        if isinstance(key, str):
            return [row[key] for row in self.rows]
        if isinstance(key, slice):
            return {name: [row[name] for row in self.rows[key]] for name in self.column_names}
        return dict(self.rows[key])

    def map(
        self, function: Callable[..., Mapping[str, Any]], *, with_indices: bool = False,
        remove_columns: Sequence[str] | str = (), num_proc: int | None = None,
        load_from_cache_file: bool | None = None, desc: str | None = None,
    ) -> "DatasetRows":  # fmt: skip
        """Update each row with the function's result; performance options are ignored.

        `remove_columns` are dropped, unless the function returns them.
        """
        removed = {remove_columns} if isinstance(remove_columns, str) else set(remove_columns)

        def changed(number: int, row: Row) -> Row:
            copy = deepcopy(row)  # code may sort or strip in place
            new = function(copy, number) if with_indices else function(copy)
            return {name: value for name, value in row.items() if name not in removed} | dict(new)

        return DatasetRows(changed(number, row) for number, row in enumerate(self.rows))

    def filter(
        self, function: Callable[..., Any], *, with_indices: bool = False,
        num_proc: int | None = None, load_from_cache_file: bool | None = None,
        desc: str | None = None,
    ) -> "DatasetRows":  # fmt: skip
        """The rows for which the function is true."""
        kept = (
            row
            for number, row in enumerate(self.rows)
            if (function(dict(row), number) if with_indices else function(dict(row)))
        )
        return DatasetRows(kept)

    def select(self, indices: Iterable[int]) -> "DatasetRows":
        """The rows at these indices, in that order."""
        return DatasetRows(self.rows[int(number)] for number in indices)

    def shuffle(self, seed: int | None = None) -> "DatasetRows":
        """The rows in random order, determined by the seed."""
        return self.select(np.random.default_rng(seed).permutation(len(self)).tolist())

    def rename_column(self, old: str, new: str) -> "DatasetRows":
        """Rename a column, keeping its position."""
        return self.rename_columns({old: new})

    def rename_columns(self, names: Mapping[str, str]) -> "DatasetRows":
        """Rename columns, keeping their positions."""
        return DatasetRows({names.get(k, k): v for k, v in row.items()} for row in self.rows)

    def remove_columns(self, names: Sequence[str] | str) -> "DatasetRows":
        """The rows without these columns."""
        removed = {names} if isinstance(names, str) else set(names)
        return DatasetRows({k: v for k, v in row.items() if k not in removed} for row in self.rows)

    def select_columns(self, names: Sequence[str] | str) -> "DatasetRows":
        """The rows with only these columns."""
        kept = [names] if isinstance(names, str) else names
        return DatasetRows({name: row[name] for name in kept} for row in self.rows)

    def add_column(self, name: str, column: Sequence[Any]) -> "DatasetRows":
        """The rows with one more column."""
        return DatasetRows({**row, name: v} for row, v in zip(self.rows, column, strict=True))


def to_dataset_rows(value: Any, what: str) -> DatasetRows:
    """Convert rows of a task's own code: Rows, a list, or a `datasets.Dataset`.

    Raises DataError for anything else.
    """
    if isinstance(value, DatasetRows):
        return value
    try:
        return DatasetRows(value)
    except (TypeError, ValueError):
        raise DataError(f"{what} must return rows; got {type(value).__name__}.") from None


def _unify_types(values: list[Any]) -> list[Any]:
    """Unify the types of a column, also inside lists and dictionaries with equal keys.

    Dictionaries with different keys are unchanged.

    >>> _unify_types([{"a": 1}, None, {"a": 0.5}]), _unify_types([[1], [2.5]])
    ([{'a': 1.0}, None, {'a': 0.5}], [[1.0], [2.5]])
    """
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, dict) for value in present):
        is_same = all(value.keys() == present[0].keys() for value in present)
        return _unify_records(values, list(present[0])) if is_same else values
    if present and all(isinstance(value, list) for value in present):
        flat = iter(_unify_types([item for value in present for item in value]))
        return [None if v is None else [next(flat) for _ in v] for v in values]
    if {type(value) for value in present} == {int, float}:
        return [None if value is None else float(value) for value in values]
    return values


def _unify_records(values: list[Any], keys: list[str]) -> list[Any]:
    """Give dictionaries these keys, and unify the types of each key's values."""
    present = [value for value in values if value is not None]
    columns = {key: iter(_unify_types([row.get(key) for row in present])) for key in keys}
    return [None if v is None else {k: next(columns[k]) for k in keys} for v in values]


def to_json_values(value: Any) -> Any:
    """Convert NumPy scalars and arrays, tuples and mappings to JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_values(inner) for inner in value]
    return value
