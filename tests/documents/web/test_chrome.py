"""Chrome by names in the markup and by position; text stays."""

import pytest

pytest.importorskip("resiliparse")
from resiliparse.parse.html import HTMLTree

from groundup.documents.web.chrome import (
    KIND_BY_WORD,
    MAX_CHILDREN,
    MAX_MEASURED_ELEMENTS,
    ROLE_KINDS,
    TAGS,
    _kind_by_names,
    _select_elements,
    detach_chrome,
    find_side_elements,
    restore_chrome,
)
from groundup.documents.web.links import ANY_MARK, CHROME_KINDS, mark_tags


@pytest.mark.parametrize(
    "named, kind",
    [
        ("nav", "navigation"), ("site-footer", "footer"), ("sphinxsidebar", "sidebar"),
        ("cookie-banner", "notice"), ("navBar", "navigation"), ("ad-slot", "advertisement"),
        ("x hd", "header"), ("sr-only", "hidden"),
    ],
)  # fmt: skip
def test_names_of_chrome(named, kind):
    assert _kind_by_names(named) == kind


@pytest.mark.parametrize(
    "named",
    ["", "text", "main-with-sidebar", "article-body", "header", "navel", "address", "shared-lib"],
)
def test_other_names(named):
    assert not _kind_by_names(named)


def test_every_word_names_a_kind_that_the_marks_know():
    assert {*KIND_BY_WORD.values(), *TAGS.values(), *ROLE_KINDS.values()} <= {*CHROME_KINDS}


def pruned(page: str, share: float = 0.4) -> str:
    tree = HTMLTree.parse(page)
    detach_chrome(tree, page, share)
    return " ".join((tree.body.text or "").split())


def test_an_element_with_the_title_or_most_of_the_text_is_kept():
    assert (
        pruned("<header><h1>Title</h1></header><p>text of the page</p>") == "Titletext of the page"
    )
    assert pruned("<div class=menu>a long menu that is the page</div><p>x</p>").startswith("a long")


def test_next_to_main_even_a_large_sidebar_is_removed():
    page = (
        "<div class=sidebar>"
        + "entry " * 30
        + "</div><main><h1>T</h1>short text of the page</main>"
    )
    assert pruned(page) == "Tshort text of the page"


def test_values_are_quoted_for_selectors():
    page = "<div class='nav\"]\\'>x</div><p>kept words here</p>"
    assert pruned(page) == "kept words here"


def test_detached_elements_are_restored_to_their_position():
    page = "<div><ul class=nav><li class=menu>a<li>b</ul>c<aside>d</aside></div><p>e <b id=ad>f</b>"
    tree = HTMLTree.parse(page)
    whole = tree.body.html
    cuts = detach_chrome(tree, page, 0.9)
    assert len(cuts) >= 2 and tree.body.html != whole
    restore_chrome(tree, cuts)
    assert ANY_MARK.sub("", tree.body.html) == whole


def test_chrome_inside_chrome_is_measured_within_bounds():
    deep = "<div class=nav>" * 4_000 + "x " * 50_000
    tree = HTMLTree.parse(deep)
    assert len(detach_chrome(tree, deep, 0.4)) < MAX_MEASURED_ELEMENTS


def test_a_sponsored_link_is_removed():
    assert pruned("<p>text of the page</p><p><a href='https://ads.example/1'>Buy</a></p>") == (
        "text of the page"
    )


def test_thousands_of_elements_are_detached_in_linear_time():
    # One by one, resiliparse walks over all that were found for each: 4,900² steps.
    page = "<body><h1>T</h1>" + '<p class="nav">x</p>' * 4_900 + "<p>Text</p></body>"
    assert len(_select_elements(HTMLTree.parse(page).body, ".nav")) == 4_900


WORDS = "These words are what the page has to say, in sentences that go on for a while. " * 4
LINKS = "".join(f"<li><a href='/{n}'>Another page about {n}</a></li>" for n in range(6))
TEXT = f"<div class=x><h1>Title</h1><p>{WORDS}</p><p>{WORDS}</p>%s</div>"


def side_kinds(page: str) -> list[tuple[str, str]]:
    tree = HTMLTree.parse(mark_tags(page))
    found = find_side_elements(tree.body)
    return [(kind, ANY_MARK.sub("", node.text)[:20]) for node, kind in found]


def test_a_block_of_links_beside_the_text_is_found_whatever_its_name():
    page = f"<div class=q1><div>Brand</div><ul>{LINKS}</ul></div>" + TEXT % ""
    assert side_kinds(page) == [("links beside the text", "BrandAnother page ab")]


def test_a_block_of_few_links_or_inside_the_text_is_kept():
    assert side_kinds("<div><a href=a>See this</a></div>" + TEXT % "") == []
    assert side_kinds(TEXT % f"<ul>{LINKS}</ul>") == []


def test_what_follows_with_the_copyright_is_a_footer():
    end = "<div><p>Office: 12 Quay Street.</p><p>© 2024 Kettle Company</p></div>"
    assert side_kinds(TEXT % "" + end) == [("footer", "Office: 12 Quay Stre")]
    assert side_kinds(end + TEXT % "") == []


@pytest.mark.parametrize(
    "heading, kind", [("Comments (7)", "comments"), ("Related stories", "navigation")]
)
def test_a_heading_names_the_kind_of_its_block(heading, kind):
    block = f"<div><h3>{heading}</h3><p>I disagree, said a cousin.</p></div>"
    assert [k for k, _ in side_kinds(TEXT % "" + block)] == [kind]
    assert [k for k, _ in side_kinds(TEXT % block)] == [kind]


def test_headings_of_text_do_not():
    for heading in ("Comments", "See also", "Search", "Description"):
        assert (
            side_kinds(TEXT % f"<div><h3>{heading}</h3><p>A sentence of the text.</p></div>") == []
        )


def test_a_page_of_links_and_one_with_too_many_children_are_kept():
    assert side_kinds(f"<div><p>Few words here</p></div><ul>{LINKS}</ul>") == []
    assert side_kinds("<p>x</p>" * (MAX_CHILDREN + 1) + f"<ul>{LINKS}</ul>") == []


@pytest.mark.parametrize("page", ["", "<div>" * 5_000, "<div><p>a</p>" * 3_000, "<!-- x -->"])
def test_hostile_trees(page):
    assert side_kinds(page) == []
