"""A question is its content: stems and exact names, whatever characters it is written with."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import MissingExtra
from groundup.retrieve.terms import (
    MAX_QUESTION_CHARACTERS,
    MAX_TERMS,
    MAX_WORD_CHARACTERS,
    STOP_WORDS,
    code_names,
    import_tantivy,
    parse_question,
    term_credit,
    text_terms,
)


@given(st.text(max_size=200))
def test_any_text_is_a_question(text):
    question = parse_question(text)
    assert all(term.stems or term.name for term in question.terms)
    for term in question.terms:
        assert 0.0 <= term_credit(term, text_terms(text)) <= 1.0


def terms(text: str) -> list[str]:
    return [term.text for term in parse_question(text).terms]


def test_question_and_stop_words_carry_no_content():
    assert terms("How do I open the files?") == ["open", "files"]
    assert terms("What is it and why does that happen?") == []
    assert all(word == word.lower() for word in STOP_WORDS)


def test_stop_words_count_where_they_are_meant():
    assert terms("What does `with` do?") == ["with"]
    assert terms('What is "for" for?') == ["for"]
    assert terms("How does a while loop end?") == ["while loop", "end"]


def test_a_keyword_and_its_noun_must_stand_together():
    (term,) = parse_question("What does the unless statement do?").terms
    assert term_credit(term, text_terms('The "unless" statement ends.')) == 1.0
    assert term_credit(term, text_terms("The statement fails unless it ends.")) == 0.5


def test_names_are_found_whole_by_their_ending_or_by_their_parts():
    (term,) = parse_question("What does os.path.join do?").terms
    assert term_credit(term, text_terms("Use os.path.join(a, b).")) == 1.0
    assert term_credit(term, text_terms("Use path.join(a, b).")) == 0.9
    assert term_credit(term, text_terms("The os may join a path.")) == pytest.approx(0.55)
    assert term_credit(term, text_terms("Nothing of it.")) == 0.0
    assert term_credit(term, text_terms("join it", context="os.path.join")) == 1.0


def test_names_of_text_are_dotted_called_or_spelt_like_code():
    text = "A Path, a read_bytes, an OrderedDict, f(), plain words, --out"
    assert list(code_names(text)) == ["read_bytes", "OrderedDict", "f", "--out"]


def test_a_long_question_is_cut_and_says_so():
    assert parse_question("word").truncation_note == ""
    many = " ".join(f"term{i}" for i in range(100))
    assert len(parse_question(many).terms) == MAX_TERMS
    assert "32 of 100 terms" in parse_question(many).truncation_note
    assert (
        f"{MAX_QUESTION_CHARACTERS:,} of 100,000" in parse_question("x" * 100_000).truncation_note
    )


def test_a_long_question_is_not_cut_inside_a_word():
    asked = "how do I rebase a branch onto another branch "
    for shift in range(len(asked)):
        found = parse_question("!" * shift + asked * 200)
        assert {term.text for term in found.terms} == {"rebase", "branch"}, shift
    blank = " " * (MAX_QUESTION_CHARACTERS + 1)
    assert [term.text for term in parse_question(blank + "rebase").terms] == ["rebase"]
    assert parse_question(blank).terms == ()


def test_without_the_engine_the_error_tells_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingExtra, match=r"groundup\[retrieve\]"):
        import_tantivy()


def test_a_name_longer_than_any_word_is_none():
    assert list(code_names("a_" * (MAX_WORD_CHARACTERS // 2 - 1) + "b c_d")) == [
        "a_" * (MAX_WORD_CHARACTERS // 2 - 1) + "b", "c_d",
    ]  # fmt: skip
    assert list(code_names("a_" * MAX_WORD_CHARACTERS + "b c_d")) == ["c_d"]
