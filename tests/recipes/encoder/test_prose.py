"""What is read: the library's pages or folders, and a thesaurus whose like words stand together."""

import pytest

from groundup.core import DataError
from groundup.recipes.encoder import prose
from groundup.recipes.encoder.prose import entries, make_reading, markdown_to_text, read_lines

ENGLISH = "It was the best of times and it was the worst of times in the city for all of them."


@pytest.fixture()
def thesaurus(tmp_path):
    alike = [f"like{n}" for n in range(20)]
    (tmp_path / "words.txt").write_text("Good," + ",".join(alike) + "\nbad,ill\n")
    return tmp_path / "words.txt"


def test_words_and_marks_stand_apart_in_lower_case():
    assert markdown_to_text("Don't GO!! (ever) :-)") == " don't go !! ( ever ) :-)"
    assert markdown_to_text("  \n ") == ""


def test_a_word_comes_again_among_its_like_words(thesaurus):
    first, second = entries(thesaurus)
    words = first.split()
    assert sorted(set(words)) == sorted(["Good", *(f"like{n}" for n in range(20))])
    assert [place for place, word in enumerate(words) if word == "Good"] == [0, 9, 18]
    assert words[1:9] != [f"like{n}" for n in range(8)]
    assert second == "bad ill" and list(entries(thesaurus))[0] == first


def test_the_library_s_pages_are_read_without_a_folder(tmp_path, thesaurus, monkeypatch):
    monkeypatch.setattr(prose, "manual_pages", lambda: iter([("a.txt", "A Page.\nOf it")]))
    made = make_reading([], thesaurus, tmp_path / "reading")
    lines = list(read_lines(made))
    assert lines[0] == " a page . of it" and lines[-1] == " bad ill"
    assert made.numbers["texts"] == len(lines) == 3


def test_folders_take_the_library_s_place(tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").write_text(ENGLISH + "\n\n" + "x = 1\n")
    made = make_reading([tmp_path / "books"], None, tmp_path / "run" / "reading")
    assert list(read_lines(made)) == [markdown_to_text(ENGLISH)]
    assert [parent.name for parent in made.parents] == ["prose"]


def test_a_missing_thesaurus_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(prose, "manual_pages", lambda: iter([]))
    with pytest.raises(DataError, match="no.such"):
        make_reading([], tmp_path / "no.such", tmp_path / "reading")
