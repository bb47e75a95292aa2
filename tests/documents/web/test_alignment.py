"""Every line of an extracted text maps to bytes that hold it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents.web.alignment import align_to_page as aligned
from tests.checking import unchecked

WORDS = st.text(st.sampled_from("abcé世 "), min_size=1, max_size=30).filter(str.strip)


def align(*page):
    """The map alone."""
    return aligned(*page).map


def held(data: bytes) -> str:
    """What a piece of a page says: tags out, entities and white space as they are squeezed."""
    text = re.sub(r"<[^>]*>", "", data.decode()).replace("&amp;", "&")
    return "".join(text.split())


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_bytes_of_a_line_hold_the_line(lines):
    page = "<body>" + "".join(
        f"<nav>menu {n}</nav><p>{line} <b>&amp;</b> z{n}</p>" for n, line in enumerate(lines)
    )
    data = page.encode()
    text = "\n".join(f"{' '.join(line.split())} & z{n}" for n, line in enumerate(lines))
    map = align(text, page)
    at = 0
    for line in text.split("\n"):
        first, last = map.byte_range(at, at + len(line))
        assert held(data[first:last]) == "".join(line.split())
        at += len(line) + 1


def test_a_line_whose_bytes_it_is_is_exact():
    data = b"<p>one two</p>\n<p>three <b>four</b></p>"
    map = align("one two\nthree four", data.decode())
    assert data[slice(*map.byte_range(4, 7))] == b"two"
    assert map.segments[0].exact and not map.segments[-1].exact
    assert data[slice(*map.byte_range(8, 9))] == b"three <b>four"
    assert map.line(8) == 2


def test_text_not_in_the_page_has_an_empty_range():
    map = align("made up\nhere", "<p>here</p>")
    first, last = map.byte_range(0, 7)
    assert first == last
    assert map.byte_range(8, 12) == (3, 7)


def places(text, page):
    """Every line of a text with the bytes that it came from."""
    map, without = aligned(text, page)
    data, at = page.encode(), 0
    for line in text.split("\n"):
        yield line, data[slice(*map.byte_range(at, at + len(line)))].decode(), without
        at += len(line) + 1


@pytest.mark.parametrize("put", ["  • ", "{}. ", "- ", ""])
def test_a_long_list_is_aligned(put):
    items = [f"entry {n} of it" for n in range(1000)]
    page = f"<ul>{''.join(f'<li><p>{item}</p></li>' for item in items)}</ul><p>After the list.</p>"
    lines = [put.format(n) + item for n, item in enumerate(items, 1)] + ["After the list."]
    found = list(places("\n".join(lines), page))
    for item, (line, there, without) in zip(items, found, strict=False):
        assert there in (item, f"<li><p>{item}") and line.endswith(item) and not without
    assert found[-1][1] == "After the list."
    at = len(lines[0]) + 1 + len(put.format(2))
    map = align("\n".join(lines), page)
    assert page[slice(*map.byte_range(at, at + len(items[1])))] == items[1]


@pytest.mark.parametrize("bar", ["\t\t", " | "])
def test_a_long_table_is_aligned(bar):
    rows = [(f"name {n}", f"a &amp; <i>b</i> {n}") for n in range(1000)]
    page = "".join(f"<tr><td>{a}</td>\n<td>{b}</td></tr>" for a, b in rows) + "<p>After the table."
    lines = [f"name {n}{bar}a & b {n}" for n in range(1000)] + ["After the table."]
    for line, found, without in places("\n".join(lines), page):
        assert held(found.encode()) == "".join(line.replace("|", "").split())
        assert not without


def test_page_text_missing_from_the_extraction_loses_nothing():
    unseen = "<select>" + "<option>of no use</option>" * 5000 + "</select>"
    page = f"<p>First <b hidden>not</b> of all comes this.</p>{unseen}"
    page += f"<p>Second, and a longer line than that.</p>{unseen}<p>At last it ends, as it had to."
    text = "First of all comes this.\nSecond, and a longer line than that.\n"
    text += "At last it ends, as it had to."
    lines = text.split("\n")
    found = [place for _, place, without in places(text, page) if not without]
    assert found == ["First <b hidden>not</b> of all comes this.", *lines[1:]]


def test_unaligned_lines_are_counted():
    map, without = aligned("made up\nhere\n• nor this", "<p>here</p>")
    assert without == 2 and map.byte_range(8, 12) == (3, 7)
    assert aligned("•\n1. here", "<ol><li>here").unaligned_lines == 0


def test_an_invented_line_does_not_match_after_the_next_line():
    page = "<p>A line that follows.</p><p>Another one, with an x in it."
    text = "x\nA line that follows.\nAnother one, with an x in it."
    found = [(place, without) for _, place, without in places(text, page)]
    assert found == [("", 1), ("A line that follows.", 1), ("Another one, with an x in it.", 1)]


def test_a_short_line_is_not_found_in_a_menu_far_before_it():
    menu = "".join(f"<li>Item {n}" for n in range(2000))
    page = f"{menu}<li>Note</ul>{menu}<h1>Note</h1><p>That which follows.</p>"
    first, _ = align("Note\nThat which follows.", page).byte_range(0, 4)
    assert page[first - 4 : first] == "<h1>"


@pytest.mark.parametrize(
    "page",
    ["<" * 500_000, "a" * 1_000_000, "&" * 300_000, "<script>" * 100_000, "<!--" * 100_000,
     "<pre>" + "x y;\n" * 150_000, "<p>nowhere to be " * 50_000, "<li>x" * 100_000],
    ids=range(8),
)  # fmt: skip
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_pages_are_aligned_in_time(page):
    lines = [f"nowhere to be found {n}" for n in range(800)] + ["x y;", "a" * 400, "• x"] * 800
    text = "\n".join(lines)
    assert align(text, page).text == text
