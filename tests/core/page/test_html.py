"""Whatever a page shows stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.core.page import Html, anchor, element, escape, join_html
from tests.core.page.reading import Reading

VISIBLE = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(VISIBLE, VISIBLE)
def test_text_and_attributes_come_back_as_they_went_in(text, title):
    read = Reading(element("p", text, attributes={"title": title}))
    assert read.text == text
    assert read.tags == [("p", {"title": title})]


@given(st.text())
def test_no_text_makes_an_element(text):
    read = Reading(element("p", text, attributes={"title": text}))
    assert [tag for tag, _ in read.tags] == ["p"]
    str(element("p", text)).encode("utf-8")


def test_markup_is_escaped_once_it_is_no_longer_html():
    bold = element("b", "x")
    assert escape(bold) == "<b>x</b>"
    assert escape(f"{bold}") == "&lt;b&gt;x&lt;/b&gt;"
    assert escape(bold + "!") == "&lt;b&gt;x&lt;/b&gt;!"
    assert join_html([bold, "<i>"]) == "<b>x</b>&lt;i&gt;"
    assert isinstance(join_html([bold]), Html)


@pytest.mark.parametrize("name", ["script", "SCRIPT", "iframe", "img", "link", "b onclick=x", ""])
def test_elements_that_run_or_load_are_refused(name):
    with pytest.raises(DataError):
        element(name, "x")


@pytest.mark.parametrize(
    "attributes",
    [
        {"href": "https://example.org"},
        {"href": "javascript:alert(1)"},
        {"HREF": "//example.org"},
        {"href": "/etc/passwd"},
        {"href": "../../up/two.html"},
        {"href": "a/../../b.html"},
        {"href": "data:text.html"},
        {"href": "other.svg"},
        {"src": "x"},
        {"onclick": "x"},
        {"ONload": "x"},
        {"style": "background:URL(x)"},
        {"a b": 1},
    ],
)
def test_attributes_that_run_or_load_are_refused(attributes):
    with pytest.raises(DataError):
        element("a", "x", attributes=attributes)


@pytest.mark.parametrize("href", ["#a", "samples/sums-2.html#row-7", "../index.html", "a.html"])
def test_links_lead_to_anchors_and_to_pages_that_lie_with_it(href):
    assert element("a", "x", attributes={"href": href}) == f'<a href="{href}">x</a>'


def test_absent_attributes_are_left_out_and_true_ones_are_bare():
    assert element("p.a.b", attributes={"id": None, "open": False, "hidden": True}) == (
        '<p class="a b" hidden></p>'
    )
    assert element("br") == "<br>"


def test_anchors_are_never_empty():
    assert anchor("…") == "part"
    assert anchor("Größe & Maß") == "größe-maß"
