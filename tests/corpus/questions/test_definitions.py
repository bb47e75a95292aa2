from groundup.corpus.questions.definitions import python_entries
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
