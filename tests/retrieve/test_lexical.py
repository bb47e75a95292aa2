"""Every Retriever finds what was added and not what was deleted; BM25 finds exact names too."""

from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.core import ArtifactError, Passage, Retriever
from groundup.retrieve import LexicalIndex
from groundup.retrieve.lexical import inverse_document_frequency, name_segments_by_content


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
    with pytest.raises(ArtifactError, match="holds no index that can be read") as error:
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
