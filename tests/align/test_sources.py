from groundup.align.sources import (
    clip_sentences,
    documented_functions,
    path_module_name,
    titled_sections,
)
from groundup.documents import SourceMap, make_document

CODE = '''"""Read and write settings.

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


def document(text: str, path: str = "lib/store/__init__.py", kind: str = "python"):
    return make_document(text.encode(), path, kind, SourceMap.identity(text))


def test_code_never_holds_its_own_docstring():
    found = list(documented_functions(document(CODE)))
    assert [f.name for f in found] == ["store.load", "store.Store", "store.Store.size"]
    load, store, size = found
    assert load.code == "def load(path):\n    return open(path).read()"
    assert size.code == "@property\ndef size(self):\n    return 0"
    assert load.docstring not in load.code and "Keep settings" not in store.code
    assert load.summary == "Read a file." and store.is_class


def test_what_does_not_parse_offers_nothing():
    assert list(documented_functions(document("def broken(:\n"))) == []
    assert list(titled_sections(document("def broken(:\n"))) == []


def test_private_is_any_part_that_begins_with_an_underscore():
    text = 'def _inner():\n    """Do it."""\n    return 1\n'
    assert not next(documented_functions(document(text))).is_public
    assert not next(
        documented_functions(document(text.replace("_inner", "f"), "lib/_store.py"))
    ).is_public


def test_sections_are_titles_with_what_stands_under_them():
    text = "Names\n*****\n\nA name\nis bound.\n\n   x = 1\n\nMore\n====\n\nThe rest.\n"
    first, second = titled_sections(document(text, "topics/names.txt", "text"))
    assert first == ("topics.names", "Names", ("A name is bound.", "   x = 1"))
    assert second.title == "More" and second.paragraphs == ("The rest.",)


def test_a_python_file_is_a_section_of_its_own():
    (section,) = titled_sections(document(CODE))
    assert section.title == "the module store"
    assert section.paragraphs[0] == "Read and write settings."


def test_paths_become_dotted_names():
    assert path_module_name("src/a b/c.py") == "a b.c"
    assert path_module_name("lib/__init__.py") == "__init__"


def test_clip_keeps_whole_sentences():
    assert clip_sentences("One two. Three four.", 12) == "One two."
    assert clip_sentences("One two three.", 5) == ""
