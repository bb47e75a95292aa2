"""Rows are records, whatever the row groups; files of another shape are named."""

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from groundup.documents import Record, Rejected
from groundup.documents.readers.parquet import Parquet, ParquetConfig


def all_of(root, config: ParquetConfig | None = None) -> list[Record | Rejected]:
    reader = Parquet(config or ParquetConfig())
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


@pytest.mark.parametrize("part_bytes", [1, 500, 10**9])
def test_ranges_of_row_groups_give_every_row_once(tmp_path, part_bytes):
    texts = [f"row {number} é" for number in range(1_000)]
    parquet.write_table(
        pa.table({"text": texts, "license": ["MIT"] * 1_000, "other": texts}),
        tmp_path / "a.parquet", row_group_size=70,
    )  # fmt: skip
    found = all_of(tmp_path, ParquetConfig(part_bytes=part_bytes))
    assert [one.text for one in found] == texts
    assert [one.path for one in found] == [f"a.parquet#{number}" for number in range(1_000)]
    assert found[5].metadata == {"licence": "MIT"}
    start, end = found[5].map.byte_range(6, 7)
    assert texts[5].encode()[start:end].decode() == "é"


def test_mixed_schemas_are_told_apart_by_file(tmp_path):
    tables = {
        "a": pa.table({"text": ["one", None, "", "z\0"]}),
        "b": pa.table({"content": ["two"], "n": [1]}),
        "c": pa.table({"text": [1, 2]}),
        "d": pa.table({"text": pa.array([b"caf\xe9 au lait, gar\xe7on"]), "url": ["http://d"]}),
        "e": pa.table({"text": pa.array(["x", "y", "x"]).dictionary_encode(), "date": [None] * 3}),
        "f": pa.table({"text": pa.array([], pa.string())}),
    }
    for name, table in tables.items():
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    (tmp_path / "g.parquet").write_bytes(b"PAR1 not at all PAR1")
    (tmp_path / "h.parquet").write_bytes(b"")
    found = [
        (one.path, one.reason if isinstance(one, Rejected) else one.text)
        for one in all_of(tmp_path)
    ]
    assert found == [
        ("a.parquet#0", "one"), ("a.parquet#1", "no text"), ("a.parquet#2", "empty"),
        ("a.parquet#3", "binary"), ("b.parquet", "no text column"), ("c.parquet", "no text column"),
        ("d.parquet#0", "café au lait, garçon"), ("e.parquet#0", "x"), ("e.parquet#1", "y"),
        ("e.parquet#2", "x"), ("g.parquet", "broken file"), ("h.parquet", "broken file"),
    ]  # fmt: skip
    details = next(one for one in all_of(tmp_path) if one.path == "b.parquet").details
    assert details == "expected text; it has content, n"


def test_a_damaged_row_group_costs_itself(tmp_path):
    texts = [f"{number} " * 2_000 for number in range(30)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": texts}), path, row_group_size=10, compression="zstd",
                        use_dictionary=False)  # fmt: skip
    start = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(data)
    found = all_of(tmp_path)
    assert [one.text for one in found if isinstance(one, Record)] == texts[:10] + texts[20:]
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["broken file"]


def test_ids_kinds_and_sizes(tmp_path):
    table = pa.table({"html": ["<p>a", "<p>" + "b" * 99], "id": [7, 7], "date": ["2026", "2026"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    config = ParquetConfig(text_column="html", id_column="id", kind="html", max_bytes=50)
    one, two = all_of(tmp_path, config)
    assert (one.data, one.metadata) == (b"<p>a", {"date": "2026", "id": 7})
    assert two.reason == "too large"


def test_no_spelling_of_licence_takes_the_others_away(tmp_path):
    rows = {"licence": ["CC0-1.0", "CC0-1.0", None], "license": ["", "MIT", "MIT"]}
    parquet.write_table(pa.table({"text": ["a", "b", "c"]} | rows), tmp_path / "a.parquet")
    found = [one.metadata for one in all_of(tmp_path)]
    assert found == [{"licence": "CC0-1.0"}, {"licence": ["CC0-1.0", "MIT"]}, {"licence": "MIT"}]


def test_a_licence_is_read_from_columns_and_structs_that_nobody_named(tmp_path):
    rows = {
        "text": ["a", "b", "c"], "max_stars_repo_licenses": [["MIT"], [], None],
        "metadata": [{"license": None, "n": 1}, {"license": "GPL-3.0-only", "n": 2}, None],
        "SPDX": ["Zlib", None, None], "license_url": [None, None, "http://a/"],
    }  # fmt: skip
    parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
    expected = [
        {"licence": ["MIT", "Zlib"]}, {"licence": "GPL-3.0-only"},
        {"unread_licence_keys": ["license_url"]},
    ]  # fmt: skip
    for config in (ParquetConfig(), ParquetConfig(metadata_columns=())):
        found = [one.metadata for one in all_of(tmp_path, config)]
        assert sorted(map(str, found)) == sorted(map(str, expected))
    found = all_of(tmp_path, ParquetConfig(metadata_columns=("metadata",)))
    assert found[1].metadata["metadata"] == {"license": "GPL-3.0-only", "n": 2}
