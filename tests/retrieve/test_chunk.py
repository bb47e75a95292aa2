"""Passages and sentences are exact slices: nothing is rewritten, nothing visible is lost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, is_label, label_lines, read_bytes, split_sentences
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


def titles(document: Record) -> dict[str, tuple[str, ...]]:
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


TEXT = st.text(
    st.one_of(st.sampled_from(" \n\t.!?:;-=#*`>()\"'“”…。a1Ab"), st.characters(codec="utf-8")),
    max_size=300,
)


@given(TEXT, st.booleans())
def test_sentences_are_slices_in_order_that_hold_all_that_is_visible(text, lines_end):
    parts = split_sentences(text, lines_end)
    end = 0
    for part in parts:
        assert end <= part.start < part.end <= len(text)
        assert not text[end : part.start].strip()
        assert text[part.start : part.end].strip() == text[part.start : part.end]
        end = part.end
    assert not text[end:].strip()


def cut(text: str, lines_end: bool = False) -> list[str]:
    return [text[part.start : part.end] for part in split_sentences(text, lines_end)]


@pytest.mark.parametrize(
    "sentence",
    [
        "It was Dr. Smith, e.g. here, who said so.",
        "See Fig. 3 and No. 7 of Vol. 2.",
        "J. R. Smith wrote version 3.14.",
        "Is it “done”?",
        "Call os.path.join(a, b) now!",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(sentence):
    assert cut(f"{sentence} Then another one follows.") == [sentence, "Then another one follows."]


def test_full_width_stops_need_no_space():
    assert cut("你好。再见！") == ["你好。", "再见！"]


def test_code_stays_whole_and_apart_from_prose():
    text = "Do this:\n\n    x = 1\n\n    y = 2\n\nThen rest. And go."
    assert cut(text) == ["Do this:", "x = 1\n\n    y = 2", "Then rest.", "And go."]
    assert [part.kind for part in split_sentences(text)] == ["prose", "code", "prose", "prose"]


def test_a_fence_keeps_everything_inside_it():
    text = "Before.\n```\nOne. Two.\n\n# three\n```\nAfter."
    assert cut(text) == ["Before.", "```\nOne. Two.\n\n# three\n```", "After."]


def test_titles_and_list_items_end_a_sentence():
    text = "Title\n=====\n\n# Other\nWords here.\n- one thing\n- two things\n"
    assert cut(text) == ["Title\n=====", "# Other", "Words here.", "- one thing", "- two things"]


def test_lines_end_sentences_where_asked():
    assert cut("one line\nanother line", lines_end=True) == ["one line", "another line"]
    assert cut("one line\nanother line") == ["one line\nanother line"]


def test_labels_name_what_follows():
    assert is_label("os.path.join(path, *paths)") and not is_label("It is so.")
    assert label_lines("join(a, b)\nReturn both of them, one after the other.") == ["join"]
    assert label_lines("one\ntwo\nthree") == []


def test_a_line_end_ends_no_sentence_unless_lines_are_units():
    text = "It goes on\nin the next line."
    assert cut(text) == [text] == [text[s.start : s.end] for s in split_sentences(text)]
    assert cut(text, True) == ["It goes on", "in the next line."]


def test_what_begins_with_a_prompt_is_code_to_its_end():
    assert [
        part.kind for part in split_sentences(">>> brew(tea)\nIt is green and hot and good now")
    ] == ["code"]


def test_a_label_has_six_words_at_most():
    assert is_label("one two three four five six")
    assert not is_label("one two three four five six seven")


def test_the_first_line_of_an_office_file_without_titles_is_its_title():
    text = "Inspection of the cable car\n\nThe brake stops it.\n"
    for kind, titles in (("pdf", ("Inspection of the cable car",)), ("text", ())):
        document = read_bytes(text.encode(), "a.txt")
        document = replace(document, kind=kind)
        assert {passage.headings for passage in chunk_document(document)} == {titles}


def test_a_number_at_the_start_of_a_line_may_end_a_sentence():
    text = "It will default to port\n23. The rest is new.\n\n1. One\n2. Two"
    shown = [text[part.start : part.end] for part in split_sentences(text)]
    assert shown == ["It will default to port\n23.", "The rest is new.", "1. One", "2. Two"]
