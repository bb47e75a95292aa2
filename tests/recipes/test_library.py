"""The library's text is the same at every reading, and its manual holds public docstrings only."""

import itertools

import pytest

from groundup.corpus import CorpusConfig
from groundup.documents import Record, read_bytes
from groundup.recipes.library import (
    EXCLUDED_NAMES,
    LibraryManualConfig,
    _collect_docstrings,
    _read_library,
    library_corpus,
    library_manual,
    manual_pages,
)

SOURCE = '''"""Read and write stores."""

def open_store(path):
    """Open a store.

    It must be there.
    """

def _hidden():
    """Not shown."""

class Store:
    """Keeps rows."""

    def close(self):
        """Close it."""

    def bare(self):
        pass

async def wait():
    """Wait."""
'''


def python(text: str, path: str = "lib/pack/store.py") -> Record:
    found = read_bytes(text.encode(), path)
    assert isinstance(found, Record)
    return found


def test_docstrings_of_public_names_stand_under_them_in_order():
    parts = _collect_docstrings(python(SOURCE)).rstrip().split("\n\n\n")
    assert [part.split("\n\n")[0] for part in parts] == [
        "pack.store", "pack.store.open_store", "pack.store.Store", "pack.store.Store.close",
        "pack.store.wait",
    ]  # fmt: skip
    assert parts[1] == "pack.store.open_store\n\nOpen a store.\n\nIt must be there."


def test_a_package_is_called_by_its_name_and_code_that_does_not_parse_gives_nothing():
    assert (
        _collect_docstrings(python('"""Whole."""\n', "lib/pack/__init__.py")) == "pack\n\nWhole.\n"
    )
    assert _collect_docstrings(python("def broken(:\n")) == ""
    assert _collect_docstrings(python("x = 1  # no docstring at all\n")) == ""


def test_the_library_is_in_order_and_leaves_out_what_is_not_its_own():
    paths = [each.path for each in itertools.islice(_read_library(), 100)]
    assert paths == [each.path for each in itertools.islice(_read_library(), 100)]
    assert "lib/argparse.py" in paths and len(set(paths)) == 100
    assert not any(EXCLUDED_NAMES & set(path.split("/")) for path in paths)


def test_the_manual_holds_the_docstrings_of_every_module_under_its_name():
    pages = dict(itertools.islice(manual_pages(), 60))
    assert "docstrings/argparse.txt" in pages
    assert "argparse.ArgumentParser.error\n\n" in pages["docstrings/argparse.txt"]
    assert all(text.strip() for text in pages.values())


def test_every_page_of_the_manual_is_a_file_of_its_text(tmp_path, monkeypatch):
    pages = {"topics/with.txt": "The with statement.\n", "docstrings/pack/store.txt": "Größe\n"}
    monkeypatch.setattr("groundup.recipes.library.manual_pages", pages.items)
    made = library_manual(LibraryManualConfig(), tmp_path / "manual")
    assert {name: made.file(name).read_text("utf-8") for name in made.files} == pages
    assert made.numbers == {"files": 2, "bytes": made.bytes}


@pytest.mark.slow
def test_made_again_the_manual_is_the_same(tmp_path):
    one, other = (
        library_manual(LibraryManualConfig(), tmp_path / name) for name in ("one", "other")
    )
    assert one.id == other.id
    assert {"topics/with.txt", "docstrings/json/__init__.txt"} <= one.files.keys()
    assert one.numbers == {"files": len(one.files), "bytes": one.bytes}


@pytest.mark.slow
def test_the_corpus_holds_megabytes_and_its_key_the_text(tmp_path):
    made = library_corpus(CorpusConfig(), tmp_path / "corpus")
    assert made.numbers["bytes"]["train"] > 5_000_000
    assert min(made.numbers["documents"].values()) > 20
    assert made.config["source_digest"]
