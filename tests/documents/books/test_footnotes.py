"""Footnotes: aside with their place; numbers of lists and of sections are none."""

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.footnotes import Footnotes, FootnotesConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


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
