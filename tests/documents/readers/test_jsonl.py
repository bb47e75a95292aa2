"""Every line is a record or a reject, however the file is split, and every character has bytes."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.documents import InputSplit, Record, Rejected, SourceMap
from groundup.documents.readers.jsonl import (
    JsonLines,
    JsonLinesConfig,
    _map_string,
    parse_located_json,
)

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)


def all_of(root: Path, reader: JsonLines) -> list[Record | Rejected]:
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(WORDS, st.booleans(), st.data())
def test_the_bytes_of_a_slice_unescape_to_the_slice(text, ascii, data):
    line = json.dumps({"é": ["x", {"text": text}]}, ensure_ascii=ascii)
    value = parse_located_json(line)["é"][1]["text"]
    map = _map_string(line, value)
    assert map.text == value == text
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = map.byte_range(start, end)
    assert json.loads(b'"' + line.encode()[first:last] + b'"') == text[start:end]


@settings(max_examples=40)
@given(st.lists(WORDS, max_size=12), st.integers(1, 300))
def test_split_anywhere_the_records_are_the_same(tmp_path_factory, texts, part_bytes):
    root = tmp_path_factory.mktemp("rows")
    write(root / "a.jsonl", [{"text": text} for text in texts])
    whole = all_of(root, JsonLines(JsonLinesConfig()))
    pieces = all_of(root, JsonLines(JsonLinesConfig(part_bytes=part_bytes)))
    assert pieces == whole and len(whole) == len(texts)
    data = (root / "a.jsonl").read_bytes()
    for one in whole:
        if isinstance(one, Record):
            line = data[int(one.path.partition("#")[2]) :].split(b"\n")[0]
            assert json.loads(line)["text"] == one.text


def test_bad_lines_cost_themselves_alone(tmp_path):
    deep = b"[" * 200_000 + b"]" * 200_000
    lines = [
        b'{"text": "one"}', b'{"text": "cut', b'{"text": 3}', b'[]', b'{"text": "\xff"}',
        b'{"text": "half \\ud800"}', b'{"text": "zero \\u0000"}', b'{"text": NaN}', b'{"text": ""}',
        b'{"text": "' + b"x" * 2_000_000 + b'"}', deep, b'{"text": ' + b"9" * 5_000 + b"}", b"",
        b'{"text": "last", "license": "MIT", "title": "\\udfff", "author": 1e999}',
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    found = all_of(tmp_path, JsonLines(JsonLinesConfig(max_bytes=1_000_000)))
    assert [one.reason if isinstance(one, Rejected) else one.text for one in found] == [
        "one", "not JSON", "no text", "no text", "not UTF-8", "lone surrogate", "binary",
        "not JSON", "empty", "too large", "nested too deeply", "not JSON", "last",
    ]  # fmt: skip
    assert found[-1].metadata == {"licence": "MIT", "title": "'\\udfff'", "author": "inf"}
    replaced = all_of(tmp_path, JsonLines(JsonLinesConfig(surrogates="replace")))
    assert [one.text for one in replaced if isinstance(one, Record)][1] == "half \ufffd"


def test_ids_of_a_key_are_given_as_they_are(tmp_path):
    write(tmp_path / "a.jsonl", [{"id": 7, "text": "a"}, {"id": 7, "text": "b"}, {"text": "c"}])
    one, two, three = all_of(tmp_path, JsonLines(JsonLinesConfig(id_key="id")))
    assert one.id == two.id != three.id and one.path != two.path
    assert one.metadata == {"id": 7}


@pytest.mark.parametrize("ending, pack", [(".gz", gzip.compress), (".bz2", bz2.compress),
                                          (".xz", lzma.compress)])  # fmt: skip
def test_packed_files_and_where_they_break(tmp_path, ending, pack):
    rows = [{"text": f"row {number} " + "é" * 50} for number in range(300)]
    plain = write(tmp_path / "a.jsonl", rows).read_bytes()
    packed = tmp_path / f"b.jsonl{ending}"
    packed.write_bytes(pack(plain))
    reader = JsonLines(JsonLinesConfig(part_bytes=10))
    whole = [one.text for one in reader.read(tmp_path, InputSplit(packed.name, 0, 1, 1), "s")]
    assert whole == [row["text"] for row in rows]
    packed.write_bytes(pack(plain)[:-20])
    *before, last = reader.read(tmp_path, InputSplit(packed.name, 0, 1, 1), "s")
    assert isinstance(last, Rejected) and last.reason == "broken archive"
    assert [one.text for one in before] == whole[: len(before)]


def test_zstd_is_read_through_arrow(tmp_path):
    import pyarrow as pa

    data = b'{"text": "one"}\n{"text": "two"}\n' * 1000
    (tmp_path / "a.jsonl.zst").write_bytes(pa.compress(data, "zstd", asbytes=True))
    found = all_of(tmp_path, JsonLines(JsonLinesConfig()))
    assert len(found) == 2000 and found[-1].text == "two"


def test_html_in_json_stays_bytes_and_empty_files_have_no_records(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert all_of(tmp_path, JsonLines(JsonLinesConfig())) == []
    write(tmp_path / "a.jsonl", [{"html": "<p>é", "url": "http://a/"}])
    (one,) = all_of(tmp_path, JsonLines(JsonLinesConfig(kind="html", text_key="html")))
    assert (one.kind, one.data, one.text) == ("html", "<p>é".encode(), "")
    assert one.metadata == {"url": "http://a/"} and one.map == SourceMap("", ())


@pytest.mark.parametrize(
    ("row", "licence"),
    [
        ({"licence": "CC-BY-4.0"}, "CC-BY-4.0"),
        ({"licence": "CC-BY-4.0", "license": None}, "CC-BY-4.0"),
        ({"licence": "CC-BY-4.0", "license": ""}, "CC-BY-4.0"),
        ({"license": "MIT", "licence": None}, "MIT"),
        ({"license": "MIT", "licence": "MIT"}, "MIT"),
        ({"license": "MIT", "licence": "Zlib"}, ["Zlib", "MIT"]),
        ({"license": ["MIT", "Zlib"]}, ["MIT", "Zlib"]),
        ({"License": {"spdx": "MIT"}, "metadata": {"license": "Zlib"}}, ["MIT", "Zlib"]),
        ({}, None),
    ],
)
def test_no_spelling_of_licence_takes_the_others_away(tmp_path, row, licence):
    write(tmp_path / "a.jsonl", [{"text": "x"} | row])
    (one,) = all_of(tmp_path, JsonLines(JsonLinesConfig()))
    assert one.metadata == ({} if licence is None else {"licence": licence})


def test_a_licence_below_a_dotted_key_is_the_licence(tmp_path):
    write(tmp_path / "a.jsonl", [{"text": "x", "meta": {"license": "MIT", "year": 1999}}])
    config = JsonLinesConfig(metadata_keys=("meta.license", "meta.year"))
    (one,) = all_of(tmp_path, JsonLines(config))
    assert one.metadata == {"licence": "MIT", "meta.year": 1999}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("part_bytes", [1, 10, 10**6])
def test_a_byte_order_mark_costs_no_row(tmp_path, pack, part_bytes):
    rows = b"".join(b'{"text": "row %d \xc3\xa9"}\n' % n for n in range(3))
    name = "a.jsonl" if pack is bytes else "a.jsonl.gz"
    (tmp_path / name).write_bytes(pack(b"\xef\xbb\xbf" + rows))
    found = all_of(tmp_path, JsonLines(JsonLinesConfig(part_bytes=part_bytes)))
    assert [one.text for one in found] == ["row 0 é", "row 1 é", "row 2 é"]
    offset = int(found[0].path.partition("#")[2])
    start, end = found[0].map.byte_range(6, 7)
    line = (b"\xef\xbb\xbf" + rows)[offset:].split(b"\n")[0]
    assert line[start:end].decode() == "é"
    (tmp_path / name).write_bytes(pack(b"\xef\xbb\xbf"))
    assert all_of(tmp_path, JsonLines(JsonLinesConfig())) == []
