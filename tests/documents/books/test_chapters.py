"""Chapters: titles that count up and have text behind them."""

from groundup.documents import Record, SourceMap, TextSpan
from groundup.documents.books.chapters import Chapters, ChaptersConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


TEXT = "\n\n" + "A sentence of the chapter's text. " * 30 + "\n\n"


def titles(text: str, *spans: TextSpan) -> list[str]:
    return [s.value for s in Chapters(ChaptersConfig())(plain(text, *spans)).spans]


def test_named_chapters_roman_spelt_and_arabic():
    text = f"CHAPTER I. The Start{TEXT}CHAPTER II{TEXT}Chapter Three{TEXT}Chapter 4: End{TEXT}"
    assert titles(text) == ["CHAPTER I. The Start", "CHAPTER II", "Chapter Three", "Chapter 4: End"]


def test_contents_are_no_chapters():
    contents = "1 Start ..... 3\n\n2 Middle ..... 9\n\n"
    assert titles(f"{contents}1 Start{TEXT}2 Middle{TEXT}3 End{TEXT}") == [
        "1 Start",
        "2 Middle",
        "3 End",
    ]


def test_marked_headings_come_first_and_spans_cover_the_rest_of_the_text():
    text = f"Alpha{TEXT}Beta{TEXT}"
    heads = [
        TextSpan("heading", at, at + len(w), "1")
        for w in ("Alpha", "Beta")
        for at in [text.index(w)]
    ]
    spans = Chapters(ChaptersConfig())(plain(text, *heads)).spans
    assert [s.value for s in spans] == ["Alpha", "Beta"]
    assert spans[0].end == spans[1].start and spans[1].end == len(text)


def test_a_numbered_list_is_no_book():
    assert titles("\n\n".join(f"{n} Item of a list" for n in range(1, 9))) == []
