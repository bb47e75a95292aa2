"""The writer: white space is folded, breaks are merged, moved slices leave no gaps."""

from groundup.documents import Record, SourceMap, follow
from groundup.documents.articles.writer import BLANK_LINE, NEWLINE, Writer, in_pieces


def test_white_space_becomes_one_space_and_breaks_win():
    source = "one \n two<b>three"
    writer = Writer(SourceMap.identity(source))
    writer.keep(0, 9)
    writer.want(NEWLINE)
    writer.want(BLANK_LINE)
    writer.keep(12, len(source))
    assert writer.text() == "one two\n\nthree"


def test_moved_slices_include_the_break_before_them():
    source = "text|cap|more"
    writer = Writer(SourceMap.identity(source))
    writer.keep(0, 4)
    writer.want(BLANK_LINE)
    start = writer.here()
    writer.keep(5, 8)
    writer.aside("captions", start, "caption")
    writer.want(BLANK_LINE)
    writer.keep(9, 13)
    record = Record("1", "s", "p", "latex", data=source.encode())
    after = follow(record, writer.ruling({"k": 1}))
    assert after.text == "text\n\nmore"
    assert after.metadata == {"k": 1, "aside": {"captions": ["cap"]}}


def test_a_moved_slice_inside_another_is_separate():
    source = "abc"
    writer = Writer(SourceMap.identity(source))
    writer.keep(0, 1)
    inner = writer.here()
    writer.keep(1, 2)
    writer.aside("captions", inner, "caption")
    writer.keep(2, 3)
    writer.aside("figures", 0, "figure")
    after = follow(Record("1", "s", "p", "latex", data=b"abc"), writer.ruling({}))
    assert after.text == ""
    assert after.metadata["aside"] == {"figures": ["a", "c"], "captions": ["b"]}


def test_split_segments_map_like_the_original():
    text = "é\n" * 5_000
    whole, pieces = SourceMap.identity(text), in_pieces(SourceMap.identity(text))
    assert len(pieces.segments) > 1
    for start, end in ((0, 3), (4_095, 4_099), (9_998, 10_000)):
        assert pieces.byte_range(start, end) == whole.byte_range(start, end)
        assert pieces.line(start) == whole.line(start)
