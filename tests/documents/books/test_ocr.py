"""OCR: noisy pages score higher, unreadable ones are dropped, nothing else is changed."""

from collections import Counter
from pathlib import Path

import pytest

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.books import words
from groundup.documents.books.ocr import BookTokens, Ocr, OcrConfig
from groundup.documents.books.words import (
    count_vocabulary,
    english_words,
    is_english_word,
    letter_model,
)


def plain(text: str) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text))


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
    pages = ["Values of the table are kept. " * 10, "Values cf the table are kept with care."]
    clean, noisy = BookTokens(Counter(), pages).signs_by_page()
    assert clean.counts.total() == 0 and noisy.counts["strange neighbours"] == 1


def test_one_sign_says_less_on_a_short_page():
    def scores(words: int) -> float:
        page = "wbich " + "the value of a table " * words
        return Ocr(OcrConfig())(plain(page)).metadata["ocr_score"]

    assert 0 < scores(100) < scores(4) < 0.02


@pytest.mark.parametrize(
    ("token", "looks"),
    [
        ("which", "right"), ("wbich", "confused"), ("rnodern", "confused"), ("tlie", "confused"),
        ("xqkzvj", "garbled"), ("foo(bar)", "none"), ("12", "none"), ("–", "none"), ("", "none"),
        ("well-known", "right"), ("w", "none"), ("NATO", "none"), ("s0me1hing", "none"),
        ("comman|d", "holed"), ("di5played", "holed"), ("3D", "none"), ("x86", "none"),
    ],
)  # fmt: skip
def test_a_token_is_classified_by_its_looks(token, looks):
    assert BookTokens(Counter(), []).classify(token) == looks


def test_a_book_vouches_for_its_words_but_not_for_what_comes_back_misread():
    book = BookTokens(Counter({"frobnitz": 3, "tbe": 5, "the": 400}), ["di5played " * 3])
    assert book.classify("frobnitz") == "right" and book.classify("tbe") == "confused"
    assert book.classify("di5played") != "holed"


def test_the_table_is_small_and_knows_common_words():
    assert len(english_words()) > 60_000
    assert (Path(words.__file__).parent / "words.txt.xz").stat().st_size <= 150_000
    assert all(map(is_english_word, "the colour color manuals reading's isn't wolf".split()))
    assert not any(map(is_english_word, "tbe rnodern wbich qxz".split()))
    assert list(english_words()) == sorted(english_words())


def test_letters_tell_words_from_noise():
    model = letter_model()
    assert min(map(model.mean_logprob, ("international", "window", "strength"))) > max(
        map(model.mean_logprob, ("xqzv", "wnidvo", "tlne1kq"))
    )


def test_a_broken_word_is_not_counted_as_two():
    own = count_vocabulary("The compo-\nnents, a well-known case; well-known.")
    assert own.words["compo"] == 0 and own.words["nents"] == 0
    assert own.hyphenated["well-known"] == 2
