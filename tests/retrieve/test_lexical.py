"""BM25 over passages, and the terms of a question, whatever characters it is written with."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ArtifactError, MissingExtra, Passage, Retriever
from groundup.retrieve import LexicalIndex
from groundup.retrieve.lexical import inverse_document_frequency, name_segments_by_content
from groundup.retrieve.wording.language import MAX_WORD_CHARACTERS, stop_words
from groundup.retrieve.wording.question import (
    MAX_QUESTION_CHARACTERS,
    MAX_TERMS,
    code_names,
    parse_question,
    term_credit,
    text_terms,
)


def passage(document: str, text: str, headings: tuple[str, ...] = (), start: int = 0) -> Passage:
    end = start + len(text)
    return Passage(
        f"{document}:{start}-{end}", document, f"{document}.md", start, end, text, headings
    )


TEA = passage("tea", "Pour hot water over the leaves.", ("Brewing",))
COFFEE = passage("coffee", "Grind the beans, then pour hot water.", ("Grinding",))
PATHS = passage("paths", "os.path.join(a, b) joins two names.", ("Paths",))


def found(retriever: Retriever, query: str, limit: int = 10) -> list[str]:
    return [hit.passage.document for hit in retriever.search(query, limit)]


def check_retriever(make: Callable[[], Retriever]) -> None:
    """What every implementation of the Retriever contract must do."""
    retriever = make()
    assert isinstance(retriever, Retriever)
    assert retriever.search("anything") == [], "an empty store finds nothing"
    empty = retriever.snapshot()

    retriever.add([TEA, COFFEE, PATHS])
    three = retriever.snapshot()
    assert three != empty and retriever.snapshot() == three
    assert found(retriever, "leaves") == ["tea"]
    assert set(found(retriever, "water")) == {"tea", "coffee"}
    assert len(found(retriever, "water", limit=1)) == 1
    assert [hit.passage for hit in retriever.search("leaves")] == [TEA], "passages come back whole"
    scores = [hit.score for hit in retriever.search("hot water leaves")]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0

    retriever.add([TEA])
    assert retriever.snapshot() == three, "a passage of a known id replaces it"
    assert found(retriever, "leaves") == ["tea"]

    retriever.delete(["tea", "not there"])
    retriever.snapshot()
    assert found(retriever, "leaves") == []
    retriever.add([TEA])
    assert retriever.snapshot() == three, "equal content has equal ids"

    twins = [passage(name, "The same words here.") for name in ("c", "a", "b", "e", "d")]
    retriever.add(twins)
    retriever.snapshot()
    assert found(retriever, "same words", 3) == ["a", "b", "c"], "ties are broken by id"
    for query in ('"AND (foo:', "a\\b ^~* [x TO y] +-!", "", " ", "né\0\ud800", "x" * 10_000):
        retriever.search(query)  # no character is syntax


def test_the_lexical_index_is_a_retriever(tmp_path):
    check_retriever(lambda: LexicalIndex(tmp_path / "lexical"))


@pytest.fixture
def index(tmp_path: Path) -> LexicalIndex:
    index = LexicalIndex(tmp_path / "lexical")
    index.add([TEA, COFFEE, PATHS])
    index.snapshot()
    return index


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("os.path.join", "paths"),
        ("path.join()", "paths"),
        ("joining names", "paths"),
        ("brewed", "tea"),
        ("GRIND", "coffee"),
    ],
)
def test_stems_titles_and_names_are_found(index, query, document):
    assert found(index, query)[0] == document


def test_nothing_is_visible_before_the_snapshot(tmp_path):
    index = LexicalIndex(tmp_path)
    index.add([TEA])
    assert index.search("leaves") == [] and len(index) == 0
    index.snapshot()
    assert len(index) == 1


def test_a_snapshot_outlives_its_process(tmp_path, index):
    again = LexicalIndex(tmp_path / "lexical")
    assert again.snapshot() == index.snapshot()
    assert again.search("leaves") == index.search("leaves")


def test_one_writer_at_a_time(tmp_path, index):
    index.add([])
    with pytest.raises(ArtifactError, match="another run is writing"):
        LexicalIndex(tmp_path / "lexical").add([TEA])


def test_a_damaged_index_is_one_line(tmp_path, index):
    (tmp_path / "lexical" / "meta.json").write_text("{")
    with pytest.raises(ArtifactError, match="holds no readable index") as error:
        LexicalIndex(tmp_path / "lexical")
    assert "\n" not in str(error.value)


def test_rarer_terms_weigh_more_and_absent_ones_most():
    weights = [inverse_document_frequency(100, having) for having in (0, 1, 10, 100)]
    assert weights == sorted(weights, reverse=True) and weights[-1] > 0
    assert inverse_document_frequency(1, 0) > inverse_document_frequency(1, 1)


def test_an_index_that_may_only_be_read_is_opened_through_links(index):
    linked = LexicalIndex(index._readonly_copy())
    assert linked.search("leaves") == index.search("leaves")


def test_equal_indexes_are_equal_files(tmp_path):
    contents = []
    for name in ("one", "two"):
        index = LexicalIndex(tmp_path / name)
        index.add([TEA, COFFEE, PATHS])
        index.snapshot()
        del index
        name_segments_by_content(tmp_path / name)
        files = (path for path in (tmp_path / name).iterdir() if path.is_file())
        contents.append({path.name: path.read_bytes() for path in files})
        assert found(LexicalIndex(tmp_path / name), "leaves") == ["tea"]
    assert contents[0] == contents[1]


def test_of_many_that_tie_the_first_ids_are_found(tmp_path):
    store = LexicalIndex(tmp_path / "not" / "there" / "yet")
    names = [f"{number:02}" for number in range(40)]
    store.add([passage(name, "The same words here.") for name in reversed(names)])
    store.snapshot()
    for limit in (1, 2, 7, 39):
        assert found(store, "same words", limit) == names[:limit]


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
    assert all(word == word.lower() for words in stop_words().values() for word in words)


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


def test_a_number_is_no_part_of_a_longer_one():
    [term] = parse_question("9.1").terms
    found = ("of 9.1 and", "9.1.2", "9.1", "1.9.1", "name-1.9.1", "9 of 1")
    assert [term_credit(term, text_terms(text)) for text in found] == [1, 1, 1, 0, 0, 0]


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


def test_without_the_engine_the_error_tells_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingExtra, match=r"groundup\[retrieve\]"):
        LexicalIndex(tmp_path)


def test_a_name_longer_than_any_word_is_none():
    assert list(code_names("a_" * (MAX_WORD_CHARACTERS // 2 - 1) + "b c_d")) == [
        "a_" * (MAX_WORD_CHARACTERS // 2 - 1) + "b", "c_d",
    ]  # fmt: skip
    assert list(code_names("a_" * MAX_WORD_CHARACTERS + "b c_d")) == ["c_d"]
