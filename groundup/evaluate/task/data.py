r"""Rows of a task: a table like `datasets.Dataset`, read from local files.

    dataset_path: json, csv, parquet, text     the files of `dataset_kwargs: {data_files: …}`
    dataset_path: a folder                     its files by split: test.jsonl, test-00000-….parquet
    dataset_path: a name on a hub              the same, inside the folder `data`

Nothing is downloaded, and only files below the task file's folder or `data` are read: an untrusted
task file must not send files of this machine to a server. For `dataset_path: allenai/ai2_arc` and
`dataset_name: ARC-Easy` the folder `data` is searched for allenai/ai2_arc/ARC-Easy, then for
ai2_arc/ARC-Easy. Tables are immutable; a missing column is None, and a column of ints and floats
becomes floats, as in a typed table.
"""

import csv
import gzip
import importlib.util
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from groundup.core import ConfigError, DataError, is_within, require_regular_file

from .task import check_keys

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


FORMATS = {
    "json": ("jsonl", "json", "jsonl.gz", "json.gz"),
    "csv": ("csv", "tsv", "csv.gz", "tsv.gz"),
    "parquet": ("parquet",),
    "text": ("txt", "txt.gz"),
}
FORMAT_BY_SUFFIX = {suffix: kind for kind, suffixes in FORMATS.items() for suffix in suffixes}
DATASET_OPTIONS = ("data_files", "data_dir", "field", "sep", "delimiter", "names", "sample_by",
           "keep_linebreaks")  # fmt: skip
IGNORED_OPTIONS = ("trust_remote_code", "cache_dir", "download_mode", "verification_mode", "token")
"""Options of downloads, which are ignored."""
MISSING_VALUES = frozenset(
    "#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,"
    "null,".split(",")
)
"""Cells of a CSV file that are missing values, as in pandas."""


class DatasetSource(NamedTuple):
    """A data set as named by a task file."""

    task: str
    file: Path
    """The task file."""
    path: str
    name: str | None
    options: Mapping[str, Any]
    data: Path | None
    """Local folder in place of the hub."""


def read_dataset_split(source: DatasetSource, split: str) -> DatasetRows:
    """Read all rows of one split.

    Raises DataError naming the searched paths, or the file and line that is damaged.
    """
    known = DATASET_OPTIONS + IGNORED_OPTIONS
    check_keys(source.options, known, f"{source.file}: dataset_kwargs")
    files = _find_split_files(source, split)
    for file in files:
        if not any(is_within(file, base) for base in _base_folders(source)):
            raise DataError(
                f"{source.file} names {file}, which is neither below its folder nor below --data; "
                "pass its folder as --data if the task may read it."
            )
    rows = [row for path in files for row in _read_rows(path, source)]
    if not rows:
        raise DataError(f"{', '.join(map(str, files))}: no rows in the split `{split}`.")
    return DatasetRows(rows)


def _find_split_files(source: DatasetSource, split: str) -> list[Path]:
    named = source.options.get("data_files")
    if named is not None:
        return _resolve_data_files(source, named, split)
    searched = list(_candidate_folders(source))
    for folder in searched:
        if found := _split_files(folder, split):
            return found
    allowed = [
        each for each in searched if any(is_within(each, base) for base in _base_folders(source))
    ]
    names = sorted({p.name for folder in allowed if folder.is_dir() for p in folder.iterdir()})
    existing = f" Found there: {', '.join(names[:8])}." if names else ""
    paths = ", ".join(f"{folder}/{split}.*" for folder in searched)
    raise DataError(
        f"{source.file}: no rows of {source.path!r} for the split `{split}`; nothing is "
        f"downloaded, so store them as .jsonl, .csv or .parquet and pass the folder as --data. "
        f"Searched: {paths or 'nothing, since no folder was given as --data'}.{existing}"
    )


def _resolve_data_files(source: DatasetSource, data_files: Any, split: str) -> list[Path]:
    """The files that `data_files` names for a split; a list or a name alone means `train`."""
    by_split = data_files if isinstance(data_files, dict) else {"train": data_files}
    if split not in by_split:
        raise ConfigError(
            f"{source.file}: data_files has no split `{split}`; it has {', '.join(by_split)}."
        )
    patterns = by_split[split] if isinstance(by_split[split], list) else [by_split[split]]
    files = []
    for pattern in patterns:
        # A URL is replaced by its file name: nothing is downloaded.
        local = pattern.rpartition("/")[2] if "://" in pattern else pattern
        inner = Path(source.options.get("data_dir") or "") / local
        paths = [base / inner for base in _base_folders(source)]
        matches = next((m for p in paths if (m := _glob_files(p))), None)
        if matches is None:
            raise DataError(
                f"{source.file}: no file {pattern}; searched {', '.join(map(str, paths))}."
            )
        files += matches
    return files


def _base_folders(source: DatasetSource) -> list[Path]:
    """Base folders of relative paths: `data`, then the task file's folder."""
    given = [] if source.data is None else [source.data]
    return list(dict.fromkeys([*given, source.file.parent]))


def _glob_files(pattern: Path) -> list[Path]:
    if pattern.is_file():
        return [pattern]
    fixed = pattern.parent
    while any(sign in str(fixed) for sign in "*?["):
        fixed = fixed.parent
    return sorted(path for path in fixed.glob(str(pattern.relative_to(fixed))) if path.is_file())


def _candidate_folders(source: DatasetSource) -> Iterator[Path]:
    inner = [part for part in (source.name, source.options.get("data_dir")) if part]
    if source.data is not None:
        yield source.data / source.task
        for name in dict.fromkeys((source.path, source.path.rpartition("/")[2])):
            yield source.data.joinpath(name, *inner)
    base = source.file.parent
    if source.path not in FORMATS and (base / source.path).is_dir():
        yield base.joinpath(source.path, *inner)


def _split_files(folder: Path, split: str) -> list[Path]:
    """Files of a split in a folder: `test.jsonl`, `test-00000-of-00002.parquet`, `test/….csv`."""
    for suffix in FORMAT_BY_SUFFIX:
        for pattern in (f"{split}.{suffix}", f"{split}-*.{suffix}", f"{split}/*.{suffix}"):
            if found := sorted(folder.glob(pattern)):
                return found
    return []


def _read_rows(path: Path, source: DatasetSource) -> Iterable[Row]:
    """Read one file in the format that the task names, else by its extension."""
    ending = next(
        (kind for end, kind in FORMAT_BY_SUFFIX.items() if path.name.endswith(f".{end}")), None
    )
    kind = source.path if source.path in FORMATS else ending
    if kind == "parquet":
        return _read_parquet(path)
    try:
        data = require_regular_file(path).read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}).") from None
    if kind == "csv":
        return _read_csv(path, text, source.options)
    if kind == "text":
        return _read_text_rows(text, source.options)
    return _read_json_rows(path, text, source.options.get("field"))


def _read_json_rows(path: Path, text: str, field: str | None) -> list[Row]:
    """Rows of a JSON file: an object per line, a list of objects, or an object of columns."""
    data: Any = None
    try:
        data = json.loads(text)
    except ValueError:
        if field is not None:
            raise DataError(f"{path} is not JSON, so it has no field `{field}`.") from None
    if field is not None:
        data = data.get(field) if isinstance(data, dict) else None
        if isinstance(data, dict) and all(isinstance(v, list) for v in data.values()):
            data = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    if data is None and field is None:
        data = _read_json_lines(path, text)
    rows = [data] if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(
            f"{path} must hold one JSON object per row{'' if not field else f' in `{field}`'}."
        )
    return rows


def _read_json_lines(path: Path, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"{path}, line {number} is not JSON ({error}).") from None
    return rows


def _read_csv(path: Path, text: str, options: Mapping[str, Any]) -> list[Row]:
    """Rows of a table with a header; column types are inferred as in pandas."""
    delimiter = options.get("sep") or options.get("delimiter")
    delimiter = delimiter or ("\t" if ".tsv" in path.name else ",")
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    lines = [line for line in lines if line]
    names = options.get("names") or (lines.pop(0) if lines else [])
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise DataError(f"{path}, row {number} has {len(line)} cells for {len(names)} columns.")
    columns = [_infer_types(list(column)) for column in zip(*lines, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _infer_types(cells: list[str]) -> list[Any]:
    """Convert a column of texts to integers, floats or booleans if all its cells are.

    >>> [_infer_types(cells) for cells in (["1", "2"], ["1", ""], ["True", "False"], ["1", "x"])]
    [[1, 2], [1.0, None], [True, False], ['1', 'x']]
    """
    values = [None if cell in MISSING_VALUES else cell for cell in cells]
    present = [value for value in values if value is not None]
    booleans = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False,
              "false": False}  # fmt: skip
    if present and len(present) == len(values) and all(value in booleans for value in present):
        return [booleans[value] for value in present]
    for kind in (int, float):
        try:
            numbers = [None if v is None or "_" in v else kind(v) for v in values]
        except ValueError:
            continue
        if any("_" in value for value in present):
            break
        is_int_column = kind is int and len(present) == len(values)
        return numbers if is_int_column else [None if v is None else float(v) for v in numbers]
    return values


def _read_text_rows(text: str, options: Mapping[str, Any]) -> list[Row]:
    """Rows with the column `text`: a line, a paragraph or the complete document each."""
    by = options.get("sample_by", "line")
    if by == "document":
        return [{"text": text}]
    if by == "paragraph":
        return [{"text": part} for part in text.split("\n\n") if part]
    end = "" if options.get("keep_linebreaks") else "\n"
    return [{"text": line.removesuffix(end)} for line in io.StringIO(text, newline=None)]


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow.parquet as parquet

    try:
        return parquet.read_table(require_regular_file(path)).to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a Parquet file ({error}).") from None


def find_data_file(
    data: Path | None, names: Sequence[str], package: str, folder: str, command: str
) -> Path:
    """The first existing file with one of these names, below `data` or in a package.

    Raises ConfigError with the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    roots = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or ()]
    in_data = [path for name in names for path in sorted(data.rglob(name))] if data else []
    in_package = [root / folder / name for root in roots for name in names]
    for path in (*in_data, *in_package):
        if path.is_file():
            return path
    where = f" in {data}" if data else ""
    raise ConfigError(f"Found no {names[0]}{where}; run: {command}, or pass its folder as --data.")
