"""English prose of packages: pages and dictionaries, each paragraph once, other languages out."""

import gzip

import pytest

from groundup.core import DataError
from groundup.recipes.vectors.prose import _is_english, write_prose

ENGLISH = "The dog that barks at night is not the one which was here in the morning."
OTHER = "A king is a man who rules over a people, and his wife is the queen of it."


@pytest.fixture
def folder(tmp_path):
    pages = tmp_path / "x" / "usr" / "share" / "doc" / "guide" / "html"
    (pages / "de-DE").mkdir(parents=True)
    (pages / "en-US").mkdir()
    (pages / "a.html").write_text(f"<p>{ENGLISH}</p><p>{OTHER}</p><pre>x = f(y)\n</pre>")
    (pages / "en-US" / "b.html").write_text(f"<p>{ENGLISH.upper()}</p>")
    (pages / "de-DE" / "c.html").write_text(f"<p>{OTHER} But this is of the other folder.</p>")
    entry = f"King \\King\\, n.\n   A ruler.\n\n   {{Kings}} are those that rule. {OTHER[:60]}\n"
    (tmp_path / "x" / "small.dict.dz").write_bytes(gzip.compress(entry.encode()))
    return tmp_path / "x"


def test_each_english_paragraph_is_kept_once(folder, tmp_path):
    found = write_prose([folder], tmp_path / "prose.txt")
    text = (tmp_path / "prose.txt").read_text()
    assert text.lower().count("barks at night") == 1 and text.count(OTHER) == 1
    assert "f(y)" not in text and "other folder" not in text
    assert "Kings are those" in text and "{" not in text
    assert set(found.sources) == {"guide", "small"}
    assert sum(found.sources.values()) == found.bytes == len(text.encode())


def test_prose_in_other_languages_is_not_english():
    for text in (
        "Le roi est un homme qui règne sur un peuple et sa femme en est la reine",
        "int main void return x for i in range 10 print i self",
        "too short",
    ):
        assert not _is_english(text.lower().split())
    assert _is_english(ENGLISH.lower().replace(".", "").split())


def test_what_holds_no_english(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        write_prose([tmp_path / "absent"], tmp_path / "out.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="hold no English prose"):
        write_prose([tmp_path / "empty"], tmp_path / "out.txt")
    (tmp_path / "empty" / "a.dict.dz").write_bytes(gzip.compress(b"the " * 999)[:-20])
    with pytest.raises(DataError, match="cannot be decompressed"):
        write_prose([tmp_path / "empty"], tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
