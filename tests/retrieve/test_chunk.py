"""Passages are exact slices under their titles, bounded, and together hold all that is visible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Document, read_bytes
from groundup.retrieve import ChunkConfig, chunk_document

PIECES = st.lists(
    st.sampled_from(
        ["# Title\n", "## Part\n", "Words of a sentence. ", "\n\n", "Über\n====\n", "- item\n",
         "```\ncode = 1\n```\n", "x" * 130, "def f():\n    '''Say it.'''\n    return 1\n", "\r\n",
         "class A:\n    def b(self):\n        pass\n", "日本語。", "\t", "<p>text</p>", "a: 1\n"]
    ),
    max_size=25,
)  # fmt: skip


@given(PIECES, st.sampled_from(["a.md", "a.txt", "a.py", "a.html"]))
def test_passages_are_bounded_slices_that_hold_all_that_is_visible(pieces, path):
    document = read_bytes("".join(pieces).encode(), path)
    end = 0
    for passage in chunk_document(document, ChunkConfig(max_characters=120, min_characters=40)):
        assert passage.text == document.text[passage.start : passage.end]
        assert passage.text == passage.text.strip() and len(passage.text) <= 120
        assert not document.text[end : passage.start].strip()
        quote = document.quote(passage.start, passage.end)
        assert quote.text == passage.text
        end = passage.end
    assert not document.text[end:].strip()


def titles(document: Document) -> dict[str, tuple[str, ...]]:
    config = ChunkConfig(min_characters=0)
    return {passage.text: passage.headings for passage in chunk_document(document, config)}


def test_markdown_passages_know_the_titles_above_them():
    text = b"# Tea\n\nHot.\n\n## Brewing\n\nSlow.\n\n## Storing\n\nDry.\n"
    assert titles(read_bytes(text, "tea.md")) == {
        "# Tea\n\nHot.": ("Tea",),
        "## Brewing\n\nSlow.": ("Tea", "Brewing"),
        "## Storing\n\nDry.": ("Tea", "Storing"),
    }


def test_underlined_titles_of_plain_text_count():
    text = b"Tea\n***\n\nHot.\n\nBrewing\n=======\n\nSlow.\n"
    assert titles(read_bytes(text, "tea.txt")) == {
        "Tea\n***\n\nHot.": ("Tea",),
        "Brewing\n=======\n\nSlow.": ("Tea", "Brewing"),
    }


def test_html_passages_quote_the_bytes_between_the_tags():
    data = b"<title>T</title><h1>Tea</h1><p>Hot &amp; <b>dry</b>.</p>"
    document = read_bytes(data, "tea.html")
    passage = chunk_document(document)[-1]
    assert passage.text.endswith("Hot & dry.") and "Tea" in passage.headings
    quote = document.quote(passage.end - len("Hot & dry."), passage.end)
    assert data[quote.start : quote.end] == b"Hot &amp; <b>dry</b>."


def test_python_passages_are_definitions_with_their_docstrings_first():
    source = '''"""Tools for tea."""
import os

class Pot:
    """Holds tea."""

    @property
    def full(self):
        """Whether it is full."""
        return True

x = 1
'''
    assert titles(read_bytes(source.encode(), "tea/pot.py")) == {
        '"""Tools for tea."""': ("tea.pot",),
        "import os": ("tea.pot",),
        'class Pot:\n    """Holds tea."""': ("tea.pot", "Pot"),
        '@property\n    def full(self):\n        """Whether it is full."""': (
            "tea.pot", "Pot", "full",
        ),
        "return True": ("tea.pot", "Pot", "full"),
        "x = 1": ("tea.pot",),
    }  # fmt: skip


def test_source_that_does_not_parse_is_still_found():
    assert "def f(:" in chunk_document(read_bytes(b"def f(:\n  'x'\n", "broken.py"))[0].text


def test_a_signature_goes_with_the_sentence_below_it():
    text = "Words here.\n\n" * 6 + "join(a, b)\n\nReturn both, joined by a sign.\n"
    document = read_bytes(text.encode(), "a.txt")
    found = [p.text for p in chunk_document(document, ChunkConfig(max_characters=100))]
    assert any("join(a, b)\n\nReturn both" in text for text in found)


@pytest.mark.parametrize("data", [b"", b" \n\t\n"])
def test_a_document_without_text_has_no_passages(data):
    assert chunk_document(read_bytes(data, "empty.txt")) == []
