"""Pages, footnotes and chapters of a book."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.chapters import Chapters, ChaptersConfig
from groundup.documents.books.footnotes import Footnotes, FootnotesConfig
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


PAGE = "The first words1 are here.\nMore of the text.\nAnd the second2 place.\nIt ends here.\n\n"
NOTES = " 1\n   About the first.\n 2 About the second.\n"


def done(text: str) -> Record:
    record = plain(text)
    return apply_result(record, Footnotes(FootnotesConfig())(record))


def test_notes_go_aside_and_their_places_stay():
    after = done(PAGE + NOTES + "\fAnother page.\n")
    assert after.metadata["aside"]["footnotes"] == ["1\n   About the first.", "2 About the second."]
    assert "words are here" in after.text and "About" not in after.text
    places = [(after.text[: span.start].split()[-1], span.value) for span in after.spans]
    assert places == [("words", "0"), ("second", "1")]


def test_signs_and_brackets_are_markers_too():
    after = done(
        "A word* here.\nText follows.\n\n* The note.\n\fA word[1] here.\nText.\n\n[1] Other.\n"
    )
    assert after.metadata["aside"]["footnotes"] == ["* The note.", "[1] Other."]


def test_a_note_without_its_marker_in_the_text_stays():
    text = "No marker here at all.\nText.\n\n 1 One thing\n 2 Another\n\fPage two.\n"
    assert done(text).text == text


def test_lists_and_sections_stay():
    text = "Do these1 things:\n\n1. Open it.\n2. Close it.\n\f3 Objects\n\n3.1 Modes\nText3.1 is.\n"
    assert done(text).text == text


def test_a_note_goes_on_at_the_bottom_of_the_next_page():
    first = "A first word1 stands.\nMore text here.\nAnd more.\n\n1 The note begins and\n"
    second = "The next page has text.\nAnd it ends.\n\ngoes on to its end.\n"
    after = done(first + "\f" + second + "\fThird page.\n")
    assert after.metadata["aside"]["footnotes"] == ["1 The note begins and", "goes on to its end."]
    assert "goes on" not in after.text and "And it ends." in after.text


def test_a_marker_behind_a_quotes_stop_and_one_behind_a_year():
    page = "He said “no”.¹ And so on.\nMore text.\nIn 1848,2 he\nleft.\n\n1 Smith.\n2 Jones.\n"
    after = done(page + "\fAnother page.\n")
    assert after.metadata["aside"]["footnotes"] == ["1 Smith.", "2 Jones."]
    assert "“no”. And" in after.text and "In 1848, he" in after.text


def test_a_decimal_comma_without_its_note_stays():
    text = "It has 1848,2 metres here1 in all.\nText.\nAnd more.\n\n1 By the survey.\n\fPage two.\n"
    assert "1848,2 metres here in" in done(text).text


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
