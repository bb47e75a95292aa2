"""What was opened stays the same, and a snapshot opens like the index that points to it."""

import pytest

from groundup.core import ArtifactError
from groundup.retrieve import index, open_index
from groundup.retrieve.terms import QuestionTerm, parse_question


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Alpha\n\nThe alpha note.\n\nRare word: quark.\n")
    (folder / "b.md").write_text("# Beta\n\nThe beta note calls os.walk(top).\n")
    return folder


def test_an_open_index_stays_while_the_pointer_moves(folder, tmp_path):
    index(folder, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    (folder / "a.md").write_text("# Gamma\n\nAnother note.\n")
    index(folder, tmp_path / "i")
    assert [hit.passage.path for hit in opened.search("alpha")] == ["a.md"]
    assert open_index(tmp_path / "i").search("alpha") == []


def test_passages_are_slices_of_the_stored_documents(folder, tmp_path):
    opened = open_index(index(folder, tmp_path / "i").path)
    for hit in opened.search("note"):
        document = opened.read_document(hit.passage.document)
        assert document.text[hit.passage.start : hit.passage.end] == hit.passage.text
        assert document.sha256 == opened.sha256_by_path[hit.passage.path]


def test_a_term_weighs_by_its_rarity(folder, tmp_path):
    index(folder, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    weights = [
        opened.term_weight(QuestionTerm(word, (word,))) for word in ("nowher", "quark", "note")
    ]
    assert weights == sorted(weights, reverse=True) and weights[0] > weights[1] > weights[2]
    (name,) = parse_question("os.walk").terms
    assert opened.term_weight(name) == opened.term_weight(QuestionTerm("quark", ("quark",)))


def test_a_pointer_that_names_no_snapshot_is_told(folder, tmp_path):
    index(folder, tmp_path / "i")
    (tmp_path / "i" / "snapshots").rename(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="there is no such folder"):
        open_index(tmp_path / "i")


def test_a_term_of_two_stems_weighs_as_the_rarer_one(folder, tmp_path):
    index(folder, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    rare, common = (opened.term_weight(QuestionTerm(word, (word,))) for word in ("quark", "note"))
    assert rare > common
    assert opened.term_weight(QuestionTerm("note quark", ("note", "quark"), is_pair=True)) == rare
