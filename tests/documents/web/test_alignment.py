"""Every line of an extracted text leads back to bytes that hold it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents.web.alignment import align
from groundup.documents.web.main_text import decode

WORDS = st.text(st.sampled_from("abcé世 "), min_size=1, max_size=30).filter(str.strip)


def held(data: bytes, charset: str) -> str:
    """What a piece of a page says: tags out, entities and white space as they are squeezed."""
    text = re.sub(r"<[^>]*>", "", data.decode(charset)).replace("&amp;", "&")
    return "".join(text.split())


@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from(["utf-8", "utf-16-le", "gb18030"]))
def test_bytes_of_a_line_hold_the_line(lines, charset):
    page = "<body>" + "".join(
        f"<nav>menu {n}</nav><p>{line} <b>&amp;</b> z{n}</p>" for n, line in enumerate(lines)
    )
    data = page.encode(charset)
    text = "\n".join(f"{' '.join(line.split())} & z{n}" for n, line in enumerate(lines))
    map = align(text, page, charset)
    at = 0
    for line in text.split("\n"):
        first, last = map.byte_range(at, at + len(line))
        assert held(data[first:last], charset) == "".join(line.split())
        at += len(line) + 1


def test_a_line_whose_bytes_it_is_is_exact():
    data = b"<p>one two</p>\n<p>three <b>four</b></p>"
    map = align("one two\nthree four", data.decode(), "utf-8")
    assert data[slice(*map.byte_range(4, 7))] == b"two"
    assert map.segments[0].exact and not map.segments[-1].exact
    assert data[slice(*map.byte_range(8, 9))] == b"three <b>four"
    assert map.line(8) == 2


def test_what_stands_nowhere_has_an_empty_place():
    map = align("made up\nhere", "<p>here</p>", "utf-8")
    first, last = map.byte_range(0, 7)
    assert first == last
    assert map.byte_range(8, 12) == (3, 7)


def test_a_short_line_is_not_found_in_a_menu_far_before_it():
    menu = "".join(f"<li>Item {n}" for n in range(2000))
    page = f"{menu}<li>Note</ul>{menu}<h1>Note</h1><p>That which follows.</p>"
    first, _ = align("Note\nThat which follows.", page, "utf-8").byte_range(0, 4)
    assert page[first - 4 : first] == "<h1>"


@pytest.mark.parametrize(
    "page",
    ["<" * 500_000, "a" * 1_000_000, "&" * 300_000, "<script>" * 100_000, "<!--" * 100_000,
     "<pre>" + "x y;\n" * 150_000],
    ids=range(6),
)  # fmt: skip
def test_hostile_pages_are_aligned_in_time(page):
    lines = [f"nowhere to be found {n}" for n in range(3000)] + ["x y;"] * 3000
    text = "\n".join(lines)
    assert align(text, page, "utf-8").text == text


def test_bytes_that_are_no_characters_keep_their_places():
    data = "<p>né</p>".encode() + b"\xff\xfe<p>here</p>"
    page = decode(data)
    map = align("here", page.text, page.charset, page.start)
    assert data[slice(*map.byte_range(0, 4))] == b"here"
