"""Pages: the reader's, between form feeds, or inferred."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap, TextSpan
from groundup.documents.books.pages import find_pages, normalize_line, parse_roman, split_into_lines


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


@given(st.text("ab\n\f", max_size=80))
def test_pages_and_lines_cover_the_text_in_order(text):
    pages = find_pages(plain(text)).pages
    assert all(a.end <= b.start for a, b in zip(pages, pages[1:], strict=False))
    kept = "".join(text[page.start : page.end] for page in pages)
    assert kept.replace("\f", "").replace("\n", "") == text.replace("\f", "").replace("\n", "")
    for line in split_into_lines(text):
        assert text[line.start : line.end] == line.text
    assert "\n".join(line.text for line in split_into_lines(text)) == text.replace("\f", "\n")


def test_spans_of_the_reader_come_first():
    found = find_pages(plain("one\ftwo", TextSpan("page", 0, 7, "9")))
    assert found.source == "spans" and found.pages[0].number == "9"


def test_prose_without_pages_is_one():
    text = "\n\n".join(f"Paragraph {n} says what no other says: {n * n}." for n in range(200))
    assert find_pages(plain(text)).source == "none"


@given(st.integers(1, 3_999))
def test_roman_numbers_are_read(number):
    signs = [(1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
             (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")]  # fmt: skip
    word, rest = "", number
    for value, sign in signs:
        word, rest = word + sign * (rest // value), rest % value
    assert parse_roman(word) == (number if len(word) <= 15 else None)


def test_folding_keeps_words():
    assert normalize_line("12   THE  Book") == "# the book"
