"""Passages of a search: found by words in any form, and marked where those words are."""

import pytest

from groundup.retrieve import index, mark_words, open_index, search_passages
from groundup.retrieve.wording.question import parse_question

MARKED = [
    ("english", "renewals", "It was renewed, and Renewal is near.", ["renewed", "Renewal"]),
    ("english", "stopping distance", "the stop-\nping of it", ["stop-\nping"]),
    ("english", "os.path.join", "Call os.path.join here", ["os.path.join"]),
    ("english", "café hours", "The Cafe; its hour", ["Cafe", "hour"]),
    ("english", "the of and", "the of and", []),
    ("german", "gekauft", "Sie kaufte und kauft Brot", ["kaufte", "kauft"]),
    ("english", "東京都", "彼は東京都に住む", ["東京都"]),
    ("hindi", "किताब", "यह किताब है", ["किताब"]),
    ("english", "pump", "pumps🎡 pump's_pump", ["pumps", "pump", "pump"]),
]


@pytest.mark.parametrize(("language", "query", "text", "words"), MARKED)
def test_words_are_marked_in_any_form(language, query, text, words):
    marks = mark_words(text, parse_question(query, language), language)
    assert [text[start:end] for start, end in marks] == words
    assert all(a[1] < b[0] for a, b in zip(marks, marks[1:], strict=False))


def test_a_search_finds_passages_with_their_places(tmp_path):
    text = "# Lease é\n\nIt was renewed twice.\n\n# Other\n\nNothing is said of it here.\n"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(text)
    (tmp_path / "docs" / "b.md").write_text("# Boats\n\nA boat is long.\n")
    index(tmp_path / "docs", tmp_path / "i")
    opened = open_index(tmp_path / "i")
    [first, *_] = search_passages(opened, "renewals of the lease")
    quote = first.quote
    assert text.encode()[quote.start : quote.end].decode() == quote.text
    assert [quote.text[start:end] for start, end in first.marks][-1] == "renewed"
    [(title, marks)] = first.headings
    assert (title, [title[a:b] for a, b in marks], first.kind) == ("Lease é", ["Lease"], "markdown")
    assert search_passages(opened, "zebra") == search_passages(opened, "lease", 0) == []
    assert len(search_passages(opened, "lease boat", 1)) == 1
