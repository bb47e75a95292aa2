"""The tables of roff: breaks that the writer knows, characters that are text."""

from groundup.documents.articles import roff
from groundup.documents.articles.writer import BREAKS


def test_breaks_are_ones_that_the_writer_knows():
    assert all(0 <= strength < len(BREAKS) for strength in roff.BREAKS.values())
    assert all(strength is None or 0 <= strength < len(BREAKS) for strength in roff.MDOC.values())


def test_characters_print_something():
    assert all(text and text.isprintable() for text in roff.CHARACTERS.values())
