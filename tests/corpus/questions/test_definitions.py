from groundup.corpus.questions.definitions import (
    documented_functions,
    python_entries,
    titled_sections,
)
from groundup.documents import read_bytes

from .pages import MODULE


def found(text, path="lib/dates.py"):
    document = read_bytes(text.encode(), path)
    return document, {(entry.owner, entry.name): entry for entry in python_entries(document)}


def test_public_definitions_and_their_parameters_are_entries():
    _, entries = found(MODULE)
    assert list(entries) == [
        ("", "dates.parse_date"), ("dates.parse_date", "text"), ("dates.parse_date", "first_day"),
        ("", "dates.Reader"), ("", "dates.Reader.read_all"), ("dates.Reader.read_all", "path"),
    ]  # fmt: skip
    assert entries["", "dates.parse_date"].head.text == "parse_date(text, *, first_day: int = 1)"
    assert entries["dates.parse_date", "text"].body[0].text == "The date to be parsed, day first."
    assert entries["dates.Reader.read_all", "path"].body[0].text == "The file to be read."


def test_docstrings_lie_where_they_say_behind_letters_of_several_bytes():
    text = 'é = "ü"; \nclass Ü:\n    """Ein Ü, das zählt."""\n'
    document, entries = found(text)
    (entry,) = entries.values()
    assert document.text[slice(*entry.body[0].span(0, 17))] == "Ein Ü, das zählt."


def test_what_cannot_be_parsed_or_has_escapes_gives_nothing():
    assert not found("def f(:\n")[1]
    assert not found('def f():\n    "A tab \\t inside."\n')[1]


def test_a_definition_on_one_line_and_an_empty_section_are_read():
    _, entries = found('def f(a, b=":"): "Do it."\n')
    assert entries["", "dates.f"].head.text == 'f(a, b=":")'
    assert list(found('def f():\n    """Do it.\n\n    Args:\n    """\n')[1]) == [("", "dates.f")]


STORE = '''"""Read and write settings.

More about it.
"""

def load(path):
    """Read a file.

    Raises OSError.
    """
    return open(path).read()


class Store:
    """Keep settings."""

    @property
    def size(self):
        """Number of settings."""
        return 0

    def _hidden(self):
        return 1
'''


def library_document(text: str, path: str = "lib/store/__init__.py"):
    return read_bytes(text.encode(), path)


def test_code_never_holds_its_own_docstring():
    found = list(documented_functions(library_document(STORE)))
    assert [f.name for f in found] == ["store.load", "store.Store", "store.Store.size"]
    load, store, size = found
    assert load.code == "def load(path):\n    return open(path).read()"
    assert size.code == "@property\ndef size(self):\n    return 0"
    assert load.docstring not in load.code and "Keep settings" not in store.code
    assert load.summary == "Read a file." and store.kind == "class"


def test_what_does_not_parse_offers_nothing():
    assert list(documented_functions(library_document("def broken(:\n"))) == []
    assert list(titled_sections(library_document("def broken(:\n"))) == []


def test_private_is_any_part_that_begins_with_an_underscore():
    text = 'def _inner():\n    """Do it."""\n    return 1\n'
    assert not next(documented_functions(library_document(text))).is_public
    assert not next(
        documented_functions(library_document(text.replace("_inner", "f"), "lib/_store.py"))
    ).is_public


def test_sections_are_titles_with_what_stands_under_them():
    text = "Names\n*****\n\nA name\nis bound.\n\n   x = 1\n\nMore\n====\n\nThe rest.\n"
    first, second = titled_sections(library_document(text, "topics/names.txt"))
    assert first == ("topics.names", "Names", ("A name is bound.", "   x = 1"))
    assert second.title == "More" and second.paragraphs == ("The rest.",)


def test_a_python_file_is_a_section_of_its_own():
    (section,) = titled_sections(library_document(STORE))
    assert section.title == "the module store"
    assert section.paragraphs[0] == "Read and write settings."
