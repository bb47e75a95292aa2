"""The table of words, the letter model and a book's own vocabulary."""

from pathlib import Path

from groundup.documents.books import words
from groundup.documents.books.words import (
    count_vocabulary,
    english_words,
    is_english_word,
    letter_model,
)


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
