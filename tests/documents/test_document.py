"""Every slice of a document's text maps to the bytes of its file."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.documents import Heading, Record, Segment, SourceMap, TextSpan, read_bytes
from groundup.documents.document import Segments

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@given(TEXT, st.sampled_from([b"", b"\xef\xbb\xbf"]), st.data())
def test_bytes_of_a_slice_decode_to_the_slice(text, mark, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    file = mark + text.encode()
    document = Record("1", "", "a.txt", "text", text, SourceMap.identity(text, len(mark)))
    quote = document.quote(start, end)
    assert file[quote.start : quote.end].decode() == quote.text == text[start:end]
    assert quote.line == 1 + file[: quote.start].count(b"\n")


def test_long_texts_are_mapped_past_the_first_checkpoint():
    text = "aé世🎈\n" * 5000
    map = SourceMap.identity(text)
    file = text.encode()
    for start in (0, 4095, 4096, 4097, 12_345, 24_999):
        begin, end = map.byte_range(start, min(start + 7, len(text)))
        assert file[begin:end].decode() == text[start : start + 7]


@given(TEXT, st.sampled_from([b"", b"\xef\xbb\xbf"]), st.data())
def test_bytes_of_a_slice_give_the_slice_back(text, mark, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    map = SourceMap.identity(text, len(mark))
    found = map.character_range(*map.byte_range(start, end))
    assert found == (start, end) if start < end else found[0] == found[1]
    low, high = data.draw(st.integers(0, 99)), data.draw(st.integers(0, 99))
    first, last = map.character_range(low, high)
    assert 0 <= first <= last <= len(text) or low >= high


def test_an_entity_is_indivisible_and_gaps_are_omitted():
    # bytes: "a&amp;b<i>c</i>"
    map = SourceMap(
        "a&bc",
        (
            Segment(0, 1, 0, 1, 1, True),
            Segment(1, 2, 1, 6, 1, False),
            Segment(2, 3, 6, 7, 1, True),
            Segment(3, 4, 10, 11, 1, True),
        ),
    )
    assert map.byte_range(1, 2) == (1, 6)
    assert map.byte_range(0, 2) == (0, 6)
    assert map.byte_range(2, 4) == (6, 11)
    assert map.byte_range(2, 3) == (6, 7)
    assert map.byte_range(4, 4) == (11, 11)
    assert map.character_range(3, 7) == (1, 3)
    assert map.character_range(7, 10) == map.character_range(20, 30) == (0, 0)
    assert map.character_range(5, 11) == (1, 4)


@given(TEXT)
def test_json_gives_the_same_record_back_on_one_line(text):
    spans, metadata = (TextSpan("heading", 0, 0, "1"),), {"n": 1, "sha256": "ab"}
    map = SourceMap.identity(text)
    record = Record("1", "", "ä b/ü.md", "markdown", text, map, spans, metadata)
    assert record.headings == (Heading(1, 0, 0),) and record.sha256 == "ab"
    line = record.to_json()
    assert Record.from_json(line) == record
    assert Record.from_json(line.encode()) == record
    assert "\n" not in line and "\r" not in line


def test_an_invalid_line_is_an_error():
    document = read_bytes(b"text", "a.txt")
    for line in ("", "{}", "[1]", document.to_json()[:-5], '{"text": 3}'):
        with pytest.raises(DataError, match="not a document"):
            Record.from_json(line)
    with pytest.raises(DataError, match="map has 4 characters, the text 5"):
        Record.from_json(document.to_json().replace('"text":"text"', '"text":"texts"'))


def test_a_slice_outside_the_text_is_refused():
    document = read_bytes(b"abc", "a.txt")
    for start, end in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(DataError, match="<= 3 of a text"):
            document.quote(start, end)


def test_an_empty_document_has_one_empty_quote():
    document = read_bytes(b"", "a.txt")
    assert document.quote(0, 0) == ("a.txt", 0, 0, "", 1, 0)


def test_ids_follow_path_and_content():
    def id(data: bytes, path: str) -> str:
        return read_bytes(data, path).id

    assert id(b"a", "a.txt") == id(b"a", "a.txt")
    assert len({id(b"a", "a.txt"), id(b"b", "a.txt"), id(b"a", "b.txt")}) == 3


def test_segments_read_like_a_tuple_of_them():
    rows = tuple(Segment(n, n + 1, 3 * n, 3 * n + 2, n + 1, n % 2 == 0) for n in range(9))
    packed = Segments(rows)
    assert packed == rows and rows == packed and hash(packed) == hash(rows)
    assert packed == Segments(rows) != Segments(rows[1:]) and repr(packed) == repr(rows)
    assert (packed[0], packed[-1], packed[2:4]) == (rows[0], rows[-1], rows[2:4])
    assert packed[0].exact is True and packed[1].exact is False and packed.length == 9
    assert tuple(packed.iter_range(3, 5)) == rows[3:5] and rows[4] in packed
    with pytest.raises(IndexError):
        packed[9]
    packed.extend_last(12, 30)
    assert packed[-1][:4] == (8, 12, 24, 30)


def test_a_map_with_a_segment_a_character_is_small():
    count = 50_000
    rows = (Segment(n, n + 1, 2 * n, 2 * n + 1, n + 1, False) for n in range(count))
    tracemalloc.start()
    map = SourceMap("x" * count, Segments(rows))
    assert map.byte_range(9, 10) == (18, 19)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 75 * count
