"""Names of chrome, and what is kept although it bears one."""

import pytest

pytest.importorskip("resiliparse")
from resiliparse.parse.html import HTMLTree

from groundup.documents.web.chrome import names_chrome, prune, quoted, selected


@pytest.mark.parametrize(
    "named",
    ["nav", "site-footer", "sphinxsidebar", "cookie-banner", "navBar", "ad-slot"],
)
def test_names_of_chrome(named):
    assert names_chrome(named)


@pytest.mark.parametrize(
    "named",
    ["", "text", "main-with-sidebar", "article-body", "header", "navel", "address", "shared-lib"],
)
def test_other_names(named):
    assert not names_chrome(named)


def pruned(page: str, share: float = 0.4) -> str:
    tree = HTMLTree.parse(page)
    prune(tree, page, share)
    return " ".join((tree.body.text or "").split())


def test_an_element_with_the_title_or_most_of_the_text_stays():
    assert (
        pruned("<header><h1>Title</h1></header><p>text of the page</p>") == "Titletext of the page"
    )
    assert pruned("<div class=menu>a long menu that is the page</div><p>x</p>").startswith("a long")


def test_beside_main_even_a_large_sidebar_goes():
    page = (
        "<div class=sidebar>"
        + "entry " * 30
        + "</div><main><h1>T</h1>short text of the page</main>"
    )
    assert pruned(page) == "Tshort text of the page"


def test_values_are_quoted_for_selectors():
    page = "<div class='nav\"]\\'>x</div><p>kept words here</p>"
    assert pruned(page) == "kept words here"
    assert quoted('a"b\\') == '"a\\"b\\\\"'


def test_thousands_of_elements_are_selected_in_linear_time():
    page = "<p class=nav><a href=x>Elsewhere</a></p>" * 4_900  # iterating over them took 30 s
    tree = HTMLTree.parse(f"<body>{page}</body>")
    assert [node.tag for node in selected(tree.body, ".nav")] == ["p"] * 4_900
