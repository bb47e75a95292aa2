"""Passages and sentences are exact slices: nothing is rewritten, nothing visible is lost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, ShapeError, digest, record
from groundup.documents import (
    NAVIGATION,
    PAGES,
    ReadConfig,
    Record,
    is_label,
    label_lines,
    read_bytes,
    read_data,
    read_folder,
    split_sentences,
)
from groundup.retrieve import (
    ChunkConfig,
    IndexConfig,
    answer_question,
    chunk_document,
    index,
    open_index,
)
from groundup.retrieve.chunks.chunk import parent_hits

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


def test_passages_of_source_are_definitions_below_the_names_around_them():
    source = """import fs from "fs";

// Keeps tea.
class Pot {
  // Whether it is full.
  full() {
    const level = () => this.level;

    return level() > 9;
  }
}
"""
    assert titles(read(source, "tea/pot.js")) == {
        'import fs from "fs";': ("pot.js",),
        "// Keeps tea.\nclass Pot {": ("pot.js", "Pot"),
        source[source.index("// Whether") :].strip(): ("pot.js", "Pot", "full"),
    }
    long = source.replace("return", "this.pour();\n" * 200 + "return")
    found = [p.headings for p in chunk_document(read(long, "a.js")) if "pour" in p.text]
    assert len(found) > 1 and set(found) == {("a.js", "Pot", "full")}


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


ASK = Path(__file__).resolve().parents[2] / "benchmarks" / "data" / "ask"
STRATEGIES = ("structure", "fixed", "sentence", "semantic", "parent")
ROWS = st.lists(
    st.sampled_from(
        ["# Title\n", "Words of a sentence. ", "\n\n", "x" * 130, "| a | b |\n|---|---|\n",
         "| 1 | 2 |\n", "| - item | 1. one |\n", "日本語。", "\t",
         "- item\n", "<p>text</p>", "\r\n", "It is so. "]
    ),
    max_size=25,
)  # fmt: skip


def read(text: str, path: str) -> Record:
    """As `groundup index` reads a file, with its tables."""
    (document,) = read_data(path, text.encode(), ReadConfig())
    assert isinstance(document, Record)
    return document


def embed(texts: list[str]) -> np.ndarray:
    """Counts of five letters: enough of a meaning to differ."""
    return np.array([[text.count(letter) for letter in "aeist"] for text in texts], float)


def split(document: Record, **settings: Any) -> list[str]:
    return [p.text for p in chunk_document(document, ChunkConfig(**settings), embed)]


@given(ROWS, st.sampled_from("a.md a.txt a.py a.html a.js".split()), st.sampled_from(STRATEGIES),
       st.integers(0, 30))  # fmt: skip
def test_every_strategy_gives_bounded_slices_that_hold_all_that_is_visible(
    pieces, path, strategy, overlap
):
    text = "".join(pieces)
    document = read(text, path) if text.strip() else read_bytes(b"", path)
    config = ChunkConfig(
        max_characters=120, min_characters=40, strategy=strategy, overlap=overlap, percentile=50
    )
    start = end = indexed = text = 0
    for passage in chunk_document(document, config, embed):
        assert passage.text == document.text[passage.start : passage.end] == passage.text.strip()
        assert 0 < len(passage.text) <= 120
        assert not document.text[end : passage.start].strip()
        assert passage.end > end and passage.start > start - (not end)
        assert overlap or passage.start >= end  # exactly one passage has what is visible
        assert max(0, end - passage.start) <= min(overlap, (passage.end - passage.start) // 4)
        assert document.quote(passage.start, passage.end).text == passage.text
        if passage.parent is not None:
            assert passage.parent[0] <= passage.start and passage.end <= passage.parent[1]
        indexed, text = indexed + len(passage.text), text + passage.end - max(end, passage.start)
        start, end = passage.start, passage.end
    assert not document.text[end:].strip()
    assert 3 * indexed <= 4 * text
    assert (strategy == "parent") == any(
        p.parent for p in chunk_document(document, config, embed)
    ) or not indexed


@given(PIECES, st.sampled_from(STRATEGIES), st.integers(0, 25))
def test_only_fixed_passages_cross_a_title(pieces, strategy, overlap):
    document = read_bytes("".join(pieces).encode(), "a.md")
    config = ChunkConfig(max_characters=100, min_characters=0, strategy=strategy, overlap=overlap)
    for passage in chunk_document(document, config, embed):
        if strategy != "fixed":
            for heading in document.headings:
                line = document.text.rfind("\n", 0, heading.start) + 1
                assert not passage.start < line < passage.end or heading.start == passage.start


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_passage_crosses_a_page(strategy):
    text = "One thing is here. It is on a page.\nAnother is there, on the next.\n"
    document = read_bytes(text.encode(), "a.txt")
    page = text.index("Another")
    document = replace(document, kind="pdf", metadata={**document.metadata, PAGES: [0, page]})
    for size in (100, 140):
        config = ChunkConfig(max_characters=size, min_characters=0, strategy=strategy, overlap=25)
        for passage in chunk_document(document, config, embed):
            assert not passage.start < page < passage.end


TABLE = "| city | height |\n|---|---|\n| - Rome | 21 m |\n| - Oslo | 23 m |\n\n"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_table_that_fits_is_in_one_passage_and_a_row_is_never_split(strategy):
    document = read("Words here now. " * 5 + "\n\n" + TABLE, "a.md")
    found = split(document, max_characters=100, strategy=strategy, whole_tables=True)
    assert any(TABLE.strip() in text for text in found)
    row = "| " + " ".join(["stone and brick"] * 4) + " | x |\n"
    document = read("| a | b |\n|---|---|\n" + row * 6, "a.md")
    for text in split(document, max_characters=100, strategy=strategy, overlap=25):
        assert text.startswith("|") and text.endswith("|") and text.count("|") % 3 == 0


def test_fixed_passages_are_words_that_fit_whatever_the_titles():
    document = read_bytes(b"# Tea\n\nHot and dry.\n\n# Cocoa\n\n" + b"sweet drinks " * 10, "a.md")
    first, second = chunk_document(document, ChunkConfig(max_characters=100, strategy="fixed"))
    assert "Tea" in first.text and "Cocoa" in first.text and first.headings == ("Tea",)
    assert 88 <= len(first.text) <= 100 and second.text.startswith(("sweet", "drinks"))
    assert second.headings == ("Cocoa",)


def test_sentence_passages_end_with_sentences_where_paragraphs_do_not_fit():
    text = "First comes tea here. " * 3 + "\n\n" + "Then comes cocoa now. " * 3
    found = split(read_bytes(text.encode(), "a.txt"), max_characters=100, strategy="sentence")
    assert found[0].endswith("here. \n\nThen comes cocoa now.")


def test_semantic_passages_end_where_the_meaning_changes():
    cats, taxes = "The cat purrs on the mat. ", "A tax is due in the autumn. "
    document = read_bytes((cats * 4 + taxes * 4).encode(), "a.txt")

    def meaning(texts: list[str]) -> np.ndarray:
        return np.array([[text.count("cat"), text.count("tax")] for text in texts], float)

    config = ChunkConfig(strategy="semantic", min_characters=0, percentile=80)
    first, second = chunk_document(document, config, meaning)
    assert "tax" not in first.text.lower() and "cat" not in second.text
    windows: list[str] = []
    one = chunk_document(document, config, lambda texts: windows.extend(texts) or np.ones((8, 3)))
    assert windows[0] == windows[1].rpartition(" The")[0] and windows[3].count(".") == 3
    assert len(one) == 1  # no distance is above the others
    for wrong in (np.ones(8), np.ones((3, 2)), np.full((8, 2), np.nan)):
        with pytest.raises(ShapeError, match=r"shape \(8, width\), one for each"):
            chunk_document(document, config, lambda texts, wrong=wrong: wrong)


def test_overlap_begins_with_a_word_of_the_passage_before():
    text = " ".join(f"word{number:03}" for number in range(60))
    document = read_bytes(text.encode(), "a.txt")
    config = ChunkConfig(max_characters=100, overlap=20)
    found = chunk_document(document, config)
    assert all(p.text.startswith("word") for p in found)
    assert {a.end - b.start for a, b in zip(found, found[1:], strict=False)} <= {15, 16}
    document = read_bytes(("日本語" * 60).encode(), "a.txt")
    first, second, *_ = chunk_document(document, config)
    assert first.end - second.start == 20


def test_no_overlap_swallows_the_passage_before():
    text = "Look up. It boils. The kettle stands by the window of the kitchen all the year."
    document = read_bytes(text.encode(), "a.txt")
    config = ChunkConfig(strategy="semantic", min_characters=0, overlap=300, percentile=25)

    def meaning(texts: list[str]) -> np.ndarray:
        return np.array([[1, 0], [0.9, 0.1], [0, 1]])

    first, second = chunk_document(document, config, meaning)
    assert first.text == "Look up. It boils." and second.text.startswith("up. It boils. The")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_characters": 99}, "max_characters: .* greater than or equal to 100; got 99"),
        ({"strategy": "sentense"}, "strategy='sentense' is unknown; did you mean `sentence`"),
        ({"overlap": 301}, "overlap=301 is 25% of max_characters=1200; at most a quarter, 300"),
        ({"overlap": 200, "max_characters": 256}, "overlap=200 is 78%"),
        ({"overlap": -1}, "overlap: .* greater than or equal to 0"),
        ({"strategy": "parent", "parent_characters": 1200}, "must be above max_characters=1200"),
        ({"percentile": 100}, "percentile: .* less than 100"),
    ],
)
def test_settings_of_passages_are_checked(settings, told):
    with pytest.raises(ConfigError, match=told):
        ChunkConfig(**settings)
    ChunkConfig(overlap=300)
    ChunkConfig(parent_characters=100)  # which nothing but parent reads


def test_semantic_passages_need_an_encoder(tmp_path):
    (tmp_path / "tea.txt").write_text("Tea is hot.")
    with pytest.raises(ConfigError, match="needs an encoder"):
        index(tmp_path, tmp_path / "i", IndexConfig(chunk=ChunkConfig(strategy="semantic")))


@pytest.mark.parametrize(
    ("name", "passages"),
    [
        ("kiln", "679906c23f1f8b55"),
        ("languages", "5e5990353d1541a5"),
        ("relations_a", "edc7d3127c9a1a23"),
    ],
)
def test_passages_of_default_indexes_are_those_before_there_were_strategies(
    name, passages, tmp_path
):
    made = index(ASK / name / "documents", tmp_path / "i")
    stored = sorted(
        (p.path, p.start, p.end, list(p.headings)) for p in open_index(made.path).lexical.passages()
    )
    assert digest(stored)[:16] == passages
    assert made.numbers["indexed_characters"] == made.numbers["text_characters"]


KILN = (
    "How much does the kiln weigh?",
    "When was the interlock introduced?",
    "What shade of dark glasses is needed?",
    "What colour are the transport bolts, and how high is the ceiling?",
)


@pytest.mark.parametrize("strategy", ["fixed", "parent"])
def test_an_updated_index_with_overlap_equals_a_new_one(strategy, tmp_path):
    config = IndexConfig(chunk=ChunkConfig(max_characters=200, overlap=50, strategy=strategy))
    folder = tmp_path / "d"
    folder.mkdir()
    for path in (ASK / "kiln" / "documents").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        updated = index(folder, tmp_path / "i", config)
    new = index(folder, tmp_path / "j", config)
    assert updated.id == new.id and updated.numbers == new.numbers


@pytest.mark.parametrize("strategy", ["structure", "fixed", "sentence"])
def test_nothing_is_quoted_twice_where_passages_overlap(strategy, tmp_path):
    chunk = ChunkConfig(max_characters=200, overlap=50, strategy=strategy)
    made = index(ASK / "kiln" / "documents", tmp_path / "i", IndexConfig(chunk=chunk))
    assert 1 < made.numbers["indexed_characters"] / made.numbers["text_characters"] <= 4 / 3
    opened = open_index(made.path)
    for question in KILN:
        claims = answer_question(opened, question, limit=5).claims
        quoted = [(q.path, at) for c in claims for q in c.quotes for at in range(q.start, q.end)]
        assert claims and len(quoted) == len(set(quoted))


def test_the_blow_up_of_an_overlap_is_reported(tmp_path, monkeypatch):
    logged: list[str] = []
    monkeypatch.setattr(record, "log", logged.append)
    chunk = ChunkConfig(max_characters=200, overlap=50)
    made = index(ASK / "kiln" / "documents", tmp_path / "i", IndexConfig(chunk=chunk))
    indexed, text = (made.numbers[f"{name}_characters"] for name in ("indexed", "text"))
    line = f"Overlap: the passages have {indexed:,} characters, {indexed / text:.2f} times the"
    assert any(line in each for each in logged)
    documents = [d for d in read_folder(ASK / "kiln" / "documents") if isinstance(d, Record)]
    found = [chunk_document(document, chunk) for document in documents]
    assert indexed == sum(len(p.text) for passages in found for p in passages)
    covered = {(p.document, at) for each in found for p in each for at in range(p.start, p.end)}
    assert text == len(covered)


def test_a_small_passage_is_found_and_the_one_around_it_is_shown(tmp_path):
    text = "# Kettle\n\n" + "\n\n".join(
        ["The kettle stands by the window of the kitchen all year."] * 3
        + ["Vinegar removes limescale.", "Wait for 40 minutes, then rinse it twice with water."]
    )
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kettle.md").write_text(text)
    sizes: dict[str, Any] = {"max_characters": 100, "min_characters": 0}
    made = index(
        tmp_path / "d", tmp_path / "i", IndexConfig(chunk=ChunkConfig(strategy="parent", **sizes))
    )
    opened = open_index(made.path)
    hits = opened.lexical.search("kettle limescale")
    assert len(hits) > 2 and all(len(hit.passage.text) <= 100 for hit in hits)
    assert {hit.passage.parent for hit in hits} == {(0, len(text))}
    (shown,) = parent_hits(hits, opened.read_document)
    assert shown.passage.text == text and shown.score == hits[0].score
    assert shown.passage.headings == ("Kettle",)
    answer = answer_question(opened, "How many minutes does vinegar wait in the kettle?")
    assert "40 minutes" in answer.text
    plain = index(tmp_path / "d", tmp_path / "j", IndexConfig(chunk=ChunkConfig(**sizes)))
    plain = open_index(plain.path).lexical
    assert parent_hits(plain.search("kettle"), opened.read_document) == plain.search("kettle")
    assert plain.snapshot() != opened.lexical.snapshot()


def test_what_is_skipped_inside_a_block_is_in_no_passage():
    text = "One line of text.\nFoot 1\nAnother line of text.\n"
    document = read_bytes(text.encode(), "a.txt")
    document = replace(document, metadata=document.metadata | {NAVIGATION: [[18, 25]]})
    assert [each.text for each in chunk_document(document)] == [
        "One line of text.", "Another line of text."
    ]  # fmt: skip
