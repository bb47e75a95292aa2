"""Running heads and page numbers: what recurs or counts at the edges goes, titles and text stay."""

import random

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.heads import (
    Heads,
    HeadsConfig,
    _is_expected_number,
    _page_number_candidates,
    _strip_numbers,
)


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
    assert (
        _page_number_candidates("A-12") == [12]
        and _page_number_candidates("Page 7") == [7]
        and _page_number_candidates("word") == []
    )


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
    assert (
        _is_expected_number("[16]", 16)
        and not _is_expected_number("16 of 20 eggs", 16)
        and not _is_expected_number("", 1)
    )
