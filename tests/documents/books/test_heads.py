"""Pages of a book: heads and numbers at their edges, footnotes, chapters."""

import random

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.chapters import Chapters, ChaptersConfig
from groundup.documents.books.footnotes import Footnotes, FootnotesConfig
from groundup.documents.books.heads import (
    Heads,
    HeadsConfig,
    _is_expected_number,
    _page_number_candidates,
    _strip_numbers,
)
from groundup.documents.books.pages import find_pages, normalize_line, parse_roman, split_into_lines


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


WORDS = "amber birch cedar dune ember fjord grove heath islet juniper knoll larch meadow".split()


def body(page: int) -> str:
    rng = random.Random(page)
    return "\n".join("Line " + " ".join(rng.choices(WORDS, k=7)) for _ in range(9))


def cleaned(*pages: str) -> str:
    record = plain("\f".join(pages))
    return apply_result(record, Heads(HeadsConfig())(record)).text


def test_left_and_right_heads_with_numbers_go_and_all_text_stays():
    heads = [f"{n} THE BOOK" if n % 2 == 0 else f"Chapter 1: Lists {n}" for n in range(10, 20)]
    text = cleaned(*(f"{head}\n\n{body(n)}\n" for n, head in enumerate(heads)))
    assert not any(head in text for head in heads)
    assert all(line in text for n in range(10) for line in body(n).split("\n"))


def test_roman_and_arabic_numbers_alone_at_the_bottom():
    numbers = ["i", "ii", "iii", "iv", "1", "2", "3", "4", "- 5 -"]
    text = cleaned(*(f"{body(n)}\n\n        {number}\n" for n, number in enumerate(numbers)))
    assert text.split("\n") == [
        line if line.startswith("Line") else "" for line in text.split("\n")
    ]


def test_a_number_of_the_text_that_does_not_count_stays():
    numbers = ["7", "90", "13", "4", "55", "21"]
    text = cleaned(*(f"{body(n)}\n{number}" for n, number in enumerate(numbers)))
    assert all(f"\n{number}\n" in f"{text}\n" for number in numbers)


def test_a_chapters_title_is_no_head_though_heads_repeat_it():
    pages = ["14\n\n3 Objects and modes\n" + body(0)]
    pages += [f"Chapter 3: Objects and modes {n}\n\n{body(n)}" for n in range(15, 22)]
    text = cleaned(*pages)
    assert "3 Objects and modes" in text and "Chapter 3" not in text and "14\n" not in text


def test_heads_that_a_scanner_misread_go_too():
    read = "Chapter 3: Lists 2l;Chapter 3: Lists 22;Chaptcr 3: Lists 23;Chapter 3: Lists Z4"
    heads = f"{read};Chapter 3: Lists 25;Chapter 3: Llsts 26;Chapter 3: Lists 27".split(";")
    text = cleaned(*(f"{head}\n\n{body(n)}" for n, head in enumerate(heads)))
    assert "3:" not in text


def test_a_line_that_recurs_inside_pages_is_text():
    line = "\nDefault: 1 inch."
    pages = [body(n) + line + "\n" + body(n + 50) + line for n in range(8)]
    assert cleaned(*pages).count("Default") == 16


def test_pages_without_form_feeds_are_found_by_their_period():
    head = "\n\ntool(1)     Manual     tool(1)\n\n"
    pages = [f"{head}{body(n)}\n{body(n + 30)}\n\n\nGNU 2026  {n}\n\n" for n in range(1, 9)]
    record = plain("".join(pages))
    ruling = Heads(HeadsConfig())(record)
    after = apply_result(record, ruling)
    assert ruling.metadata["pages_from"] == "period"
    assert "Manual" not in after.text and "GNU" not in after.text
    assert after.text.count("Line") == 8 * 18


def test_pages_outlive_their_form_feeds():
    record = plain("\f".join(f"{n}\n{body(n)}" for n in range(1, 7)))
    after = apply_result(record, Heads(HeadsConfig())(record))
    assert "\f" not in after.text
    assert [span.value for span in after.spans] == list("123456")


def test_two_pages_are_too_few_to_tell():
    assert not Heads(HeadsConfig())(plain("1\na\f2\nb")).edits


def test_numbers_of_a_line():
    lines = {"A-12": [12], "Page 7": [7], "word": [], "12  Lists": [12], "- xiv -": [14]}
    for line, numbers in (lines | {"Index   1O1": [101]}).items():
        assert _page_number_candidates(line) == numbers


def test_a_head_that_a_scanner_put_inside_a_page_goes_with_its_number():
    pages = [f"The Long Manual {n} / 99\n\n{body(n)}" for n in range(10, 20)]
    inner = body(14).split("\n")
    pages[4] = "\n".join(["x7", *inner[:5], "The Long Manual", "14 / 99", *inner[5:]])
    text = cleaned(*pages)
    assert "Manual" not in text and "/ 99" not in text and "x7\n" in text
    assert all(line in text for line in inner)


def test_a_head_cut_in_two_goes_in_both_pieces():
    pages = [f"{n}   Notes\n\n{body(n)}" for n in range(10, 20)]
    pages[5] = f"l5\n{body(15)}\nNotes"
    text = cleaned(*pages)
    assert "Notes" not in text and "l5" not in text


def test_a_word_of_the_text_that_is_like_a_head_stays():
    pages = [f"{n}   Notes\n\n{body(n)}\nNotes\n{body(n + 50)}" for n in range(10, 20)]
    pages[5] = f"l5\n{body(15)}\nNotes\n{body(65)}"
    assert cleaned(*pages).count("Notes") == 10


def test_the_first_page_of_a_chapter_keeps_its_title():
    def chapter(title: str, first: int) -> list[str]:
        opening = f"{title}\n\n{body(first)}\n\n{first}"
        return [opening, *(f"{n}  {title}\n\n{body(n)}" for n in range(first + 1, first + 8))]

    text = cleaned(*chapter("Objects and modes", 3), *chapter("Lists and frames", 11))
    assert text.count("Objects and modes") == 1 and text.count("Lists and frames") == 1


def test_a_head_without_its_number():
    assert _strip_numbers("12") == "" and _strip_numbers("# the book #") == "the book"
    assert _strip_numbers("auto multiple choice # / #") == "auto multiple choice"
    assert all(_is_expected_number(line, 16) for line in ("[16]", " 16 / 102", "Page l6"))
    assert not any(_is_expected_number(line, 16) for line in ("16 of 20 eggs", "16 eggs", ""))


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
