"""The writer: white space is folded, breaks are merged, moved slices leave no gaps."""

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.articles.writer import BLANK_LINE, NEWLINE, MappedWriter, _split_segments


def test_white_space_becomes_one_space_and_breaks_win():
    source = "one \n two<b>three"
    writer = MappedWriter(SourceMap.identity(source))
    writer.write_slice(0, 9)
    writer.request_break(NEWLINE)
    writer.request_break(BLANK_LINE)
    writer.write_slice(12, len(source))
    assert writer.text() == "one two\n\nthree"


def test_moved_slices_include_the_break_before_them():
    source = "text|cap|more"
    writer = MappedWriter(SourceMap.identity(source))
    writer.write_slice(0, 4)
    writer.request_break(BLANK_LINE)
    start = writer.next_offset()
    writer.write_slice(5, 8)
    writer.mark_for_metadata("captions", start, "caption")
    writer.request_break(BLANK_LINE)
    writer.write_slice(9, 13)
    record = Record("1", "s", "p", "latex", data=source.encode())
    after = apply_result(record, writer.to_result({"k": 1}))
    assert after.text == "text\n\nmore"
    assert after.metadata == {"k": 1, "aside": {"captions": ["cap"]}}


def test_a_moved_slice_inside_another_is_separate():
    source = "abc"
    writer = MappedWriter(SourceMap.identity(source))
    writer.write_slice(0, 1)
    inner = writer.next_offset()
    writer.write_slice(1, 2)
    writer.mark_for_metadata("captions", inner, "caption")
    writer.write_slice(2, 3)
    writer.mark_for_metadata("figures", 0, "figure")
    after = apply_result(Record("1", "s", "p", "latex", data=b"abc"), writer.to_result({}))
    assert after.text == ""
    assert after.metadata["aside"] == {"figures": ["a", "c"], "captions": ["b"]}


def test_split_segments_map_like_the_original():
    text = "é\n" * 5_000
    whole, pieces = SourceMap.identity(text), _split_segments(SourceMap.identity(text))
    assert len(pieces.segments) > 1
    for start, end in ((0, 3), (4_095, 4_099), (9_998, 10_000)):
        assert pieces.byte_range(start, end) == whole.byte_range(start, end)
        assert pieces.line(start) == whole.line(start)
