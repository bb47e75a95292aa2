"""OCR: noisy pages score higher, unreadable ones are dropped, nothing else is changed."""

from collections import Counter

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.ocr import (
    BookTokens,
    Ocr,
    OcrConfig,
    _is_misread_leader_dot,
    _is_punctuation_mark,
)


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


CLEAN = (
    "The library function reads the value of the argument and returns another value, which the\n"
    "program then prints. When the table is empty, nothing is printed and the function returns.\n"
) * 6
NOISY = (
    CLEAN.replace("which", "wbich", 1)
    .replace("function", "functiou", 1)
    .replace("table", "tab1e", 1)
    .replace("returns", "retums", 1)
)


def done(text: str, **settings: float) -> Record:
    record = plain(text)
    return apply_result(record, Ocr(OcrConfig(**settings))(record))


def test_noise_scores_higher_and_the_text_stays():
    text = NOISY + "\n" + CLEAN * 3
    after, clean = done(text), done(CLEAN * 4)
    assert after.metadata["ocr_score"] > clean.metadata["ocr_score"]
    assert after.metadata["ocr_damaged_pages"] == 1 and clean.metadata["ocr_damaged_pages"] == 0
    assert after.text == text


def test_a_page_beyond_repair_goes():
    letters = "bcdfghjkqvwxz"
    lost = " ".join(f"xqkz{a}{b}" for a in letters for b in letters)
    after = done(CLEAN * 3 + "\f" + lost + "\f" + CLEAN)
    assert "xqkz" not in after.text and after.text.count("library") == 24


def test_another_language_is_not_judged():
    text = "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann nach Hause. " * 9
    after = done(text)
    assert after.text == text and "ocr_score" not in after.metadata


def test_neighbours_know_which_word_should_stand_there():
    pages = ["Values of the table are kept. " * 10, "Values cf the table are kept w ith care."]
    clean, noisy = BookTokens(Counter(), pages).signs_by_page()
    assert clean.counts.total() == 0
    assert noisy.counts["strange neighbours"] == 1 and noisy.counts["split"] == 1


def test_a_row_of_dots_has_no_other_sign_in_it():
    assert _is_misread_leader_dot(".", "·", ".") and _is_misread_leader_dot("word", ",", ".")
    assert not _is_misread_leader_dot("a", ",", "b")
    assert (
        _is_punctuation_mark("·")
        and not _is_punctuation_mark(".")
        and not _is_punctuation_mark("12")
    )


def test_one_sign_says_less_on_a_short_page():
    def scores(words: int) -> float:
        page = "wbich " + "the value of a table " * words
        return Ocr(OcrConfig())(plain(page)).metadata["ocr_score"]

    assert 0 < scores(100) < scores(4) < 0.02
