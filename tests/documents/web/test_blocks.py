"""Boilerplate blocks beside the text are found by their content; blocks of text are kept."""

import pytest

pytest.importorskip("resiliparse")
from resiliparse.parse.html import HTMLTree

from groundup.documents.web.blocks import MAX_CHILDREN, find_side_elements
from groundup.documents.web.marks import ANY_MARK, mark_tags

WORDS = "These words are what the page has to say, in sentences that go on for a while. " * 4
LINKS = "".join(f"<li><a href='/{n}'>Another page about {n}</a></li>" for n in range(6))
TEXT = f"<div class=x><h1>Title</h1><p>{WORDS}</p><p>{WORDS}</p>%s</div>"


def found(page: str) -> list[tuple[str, str]]:
    tree = HTMLTree.parse(mark_tags(page))
    return [
        (one.kind, ANY_MARK.sub("", one.node.text)[:20]) for one in find_side_elements(tree.body)
    ]


def test_a_block_of_links_beside_the_text_is_found_whatever_its_name():
    page = f"<div class=q1><div>Brand</div><ul>{LINKS}</ul></div>" + TEXT % ""
    assert found(page) == [("links beside the text", "BrandAnother page ab")]


def test_a_block_of_few_links_or_inside_the_text_is_kept():
    assert found("<div><a href=a>See this</a></div>" + TEXT % "") == []
    assert found(TEXT % f"<ul>{LINKS}</ul>") == []


def test_what_follows_with_the_copyright_is_a_footer():
    end = "<div><p>Office: 12 Quay Street.</p><p>© 2024 Kettle Company</p></div>"
    assert found(TEXT % "" + end) == [("footer", "Office: 12 Quay Stre")]
    assert found(end + TEXT % "") == []


@pytest.mark.parametrize(
    "heading, kind", [("Comments (7)", "comments"), ("Related stories", "navigation")]
)
def test_a_heading_names_the_kind_of_its_block(heading, kind):
    block = f"<div><h3>{heading}</h3><p>I disagree, said a cousin.</p></div>"
    assert [k for k, _ in found(TEXT % "" + block)] == [kind]
    assert [k for k, _ in found(TEXT % block)] == [kind]


def test_headings_of_text_do_not():
    for heading in ("Comments", "See also", "Search", "Description"):
        assert found(TEXT % f"<div><h3>{heading}</h3><p>A sentence of the text.</p></div>") == []


def test_a_page_of_links_and_one_with_too_many_children_are_kept():
    assert found(f"<div><p>Few words here</p></div><ul>{LINKS}</ul>") == []
    assert found("<p>x</p>" * (MAX_CHILDREN + 1) + f"<ul>{LINKS}</ul>") == []


@pytest.mark.parametrize("page", ["", "<div>" * 5_000, "<div><p>a</p>" * 3_000, "<!-- x -->"])
def test_hostile_trees(page):
    assert found(page) == []
