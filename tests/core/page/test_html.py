"""Whatever a page shows stays text."""

import base64
import hashlib
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError, page
from groundup.core.page import (
    Html,
    HtmlPage,
    anchor,
    chip,
    command_box,
    element,
    escape,
    join_html,
    read_resource,
)
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


TEXT_ON = ("--paper", "--card")
TEXT = ("--ink", "--ink-2", "--accent", "--good", "--warn", "--bad")


def example() -> HtmlPage:
    sheet = HtmlPage("Title <1>", "It worked.")
    sheet.add(chip("one gate", "good", "#gates"))
    for title in ("Gates", "Results", "Try it"):
        sheet.section(title, f"About {title}.", command_box("groundup doctor"))
    return sheet


def tokens() -> dict[str, tuple[str, str]]:
    """Light and dark value of every colour of the style."""
    found = re.findall(
        r"(--[\w-]+): light-dark\((#\w{6}), (#\w{6})\)", read_resource(page.__file__, "look.css")
    )
    return {name: (light, dark) for name, light, dark in found}


def luminance(colour: str) -> float:
    """Relative luminance after WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_nothing_is_loaded_from_elsewhere():
    text = example().render()
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert Reading(text).values("src") == []
    assert all(link.startswith("#") for link in Reading(text).values("href"))


def test_the_policy_allows_our_script_alone():
    text = example().render()
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    policy = Reading(text).values("content")[0]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_every_link_leads_somewhere_and_every_id_is_unique():
    read = Reading(example().render())
    assert len(read.values("id")) == len(set(read.values("id")))
    assert {link[1:] for link in read.values("href")} <= set(read.values("id"))
    assert set(read.values("aria-labelledby")) <= set(read.values("id"))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("word", TEXT)
@pytest.mark.parametrize("ground", TEXT_ON)
def test_words_reach_the_contrast_that_eyes_need(word, ground, theme):
    colours = tokens()
    assert contrast(colours[word][theme], colours[ground][theme]) >= 4.5


def test_the_faint_ink_is_never_used_for_words():
    rules = re.findall(
        r"(?<![\w-])(color|fill): var\((--[\w-]+)\)", read_resource(page.__file__, "look.css")
    )
    words = {name for _, name in rules}
    assert "--ink-3" not in words
    assert words <= {*TEXT, "--card", "--stroke"}


def test_titles_are_text():
    text = example().render()
    assert "<title>Title &lt;1&gt;</title>" in text
    assert Reading(text).text.count("Title <1>") == 2


def test_contents_come_with_three_sections():
    assert Reading(example().render()).count("nav") == 1
    assert Reading(HtmlPage("a", "b").render()).count("nav") == 0


def test_style_and_script_cannot_end_their_element():
    assert "</" not in read_resource(page.__file__, "look.css") and "</" not in read_resource(
        page.__file__, "look.js"
    )


def test_a_page_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; "
        "import groundup.core.page as p; p.HtmlPage('a', 'b')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_more_style_script_and_keys_are_inlined_and_allowed_by_their_hash():
    sheet = HtmlPage(
        "Title", "", style=".x { color: red }", script="void 0;", shortcuts=(("z", "zoom"),)
    )
    text = sheet.render()
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert script.endswith("void 0;") and f"sha256-{digest}" in text
    assert ".x { color: red }</style>" in text and "zoom" in text
    assert "connect-src" not in text
    sheet.is_served = True
    assert "connect-src &#x27;self&#x27;" in sheet.render()
