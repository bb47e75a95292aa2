"""What is found in the plain text is a slice of the document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.questions.plain import strip_markup

KINDS = ("text", "markdown", "html", "python")


@pytest.mark.parametrize(
    "kind, text, expected",
    [
        ("text", "See :func:`~os.stat`,\n   *two* **marks**.", "See os.stat, two marks."),
        ("text", "a ``literal`` and :term:`shown <hidden>`", "a literal and shown"),
        ("markdown", "A [link](http://x.y) of `code`, 2 * 3 * 4", "A link of code, 2 * 3 * 4"),
        ("html", "*args and **kwargs stay", "*args and **kwargs stay"),
        ("python", "sqrt(x**2 + y**2) of *two* x", "sqrt(x**2 + y**2) of two x"),
        ("text", "linkgit:git-log[1] shows", "git-log shows"),
    ],
)
def test_markup_goes_and_words_stay(kind, text, expected):
    assert strip_markup(text, kind=kind).text == expected


@given(st.text(alphabet="ab .\n*`_[]()<>:~é", max_size=60), st.sampled_from(KINDS))
def test_every_character_stands_where_it_says(text, kind):
    read = strip_markup(text, kind=kind)
    assert len(read.positions) == len(read.text) + 1
    assert list(read.positions) == sorted(read.positions)
    for letter, place in zip(read.text, read.positions, strict=False):
        assert text[place] == letter or (letter == " " and text[place].isspace())


def test_a_part_knows_its_place():
    text = "One **two** three"
    read = strip_markup(text, kind="markdown")
    start = read.text.index("two")
    assert text[slice(*read.slice_text(start, start + 5).span(0, 3))] == "two"


def test_sentences_end_at_full_stops_that_end_them():
    text = "Use e.g. this. Set core.pager to cat! os.stat() is slow? Yes (so they say.) End"
    said = [sentence.text for sentence in strip_markup(text, kind="text").sentences()]
    assert said == [
        "Use e.g. this.", "Set core.pager to cat!", "os.stat() is slow?",
        "Yes (so they say.", "End",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("rst", "See os.stat of two"),
        ("notebook", "See :func:os.stat of two"),
        ("pdf", "See :func:`os.stat` of *two*"),
    ],
)
def test_a_prepared_corpus_has_further_kinds(kind, expected):
    assert strip_markup("See :func:`os.stat` of\n *two*", kind=kind).text == expected
