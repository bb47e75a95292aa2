"""Chrome: the parts of a page that its site puts around every text, by the words of its markup.

Authors of templates name what they make: `nav`, `breadcrumbs`, `cookie-banner`, `sphinxsidebar`. So
an element goes if its tag, role, class or id says so, unless it holds too much of the page to be
chrome, or the title. What carries no telling name is left to blocks.py and to the lines
(links.py, lines.py). Knows nothing of bytes: it takes elements out of a tree that resiliparse has
parsed, and puts them back between marks.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .blocks import beside_text
from .marks import CLOSE, OPEN

KINDS = {
    "navigation": "nav navbar navbars navigation navigations navheader navfooter navpanel navmenu "
    "navlinks navlist topnav sidenav subnav mainnav globalnav localnav menu menus menubar submenu "
    "dropdown breadcrumb breadcrumbs crumbs pager pagination paginator prevnext relbar rel related "
    "sitemap skip skiplink skipnav toctree toolbar topbar tabbar hamburger backtotop totop "
    "tocframe toc-page next_page previous_page nav_flow left_bar right_bar bar jump-link "
    "page-links page-next page-previous page-up extra-links skip-nav back-to-top",
    "sidebar": "sidebar sidebars sphinxsidebar sidebarwrapper sphinxsidebarwrapper aside",
    "footer": "footer footers pagefooter sitefooter colophon copyright copyrights legal imprint "
    "generator contentinfo verifier built ft bd-footer",
    "header": "masthead siteheader pageheader topheader logo logos hd sub-heading bd-header "
    "site-header page-header top-header",
    "advertisement": "ad ads advert adverts advertisement advertisements advertising adsense "
    "adslot adunit banner adbanner adbox sponsor sponsors sponsored promo promos promotion "
    "promoted outbrain taboola dfp gpt donate",
    "notice": "cookie cookies consent gdpr ccpa newsletter subscribe subscription signup signin "
    "login logout register paywall popup popups modal overlay lightbox interstitial",
    "comments": "share sharing sharer social socials addthis sharethis likes comment comments "
    "commentlist disqus respond recommended recommendations trending popular mostread post-meta "
    "byline-share",
    "controls": "search searchbox searchform searchbar searches languages language-switcher langs "
    "btn buttons widget widgets tooltip autocomplete srcbutton editlink editsection mwjump "
    "copy-path edit-link view-source",
    "heading link": "permalink headerlink copiable id_link anchor doc-anchor",
    "hidden": "hidden visuallyhidden invisible noprint out-of-band sr-only screen-reader-text",
}
"""What an element is for to the words that say so; a kind is the reason of the edit."""
WHOLE = frozenset("anchor aside bar ft hd".split())
"""Single words that say so only if they are the whole class or id."""
KIND_OF = {word: kind for kind, words in KINDS.items() for word in words.split()}
KEPT = frozenset(
    "main content body article post entry text document maincontent bodywrapper documentwrapper "
    "bodycontent pagebody wrapper page container layout root app html admonition".split()
)
"""A word that an element of chrome does not bear: `main-with-sidebar`, `article-body`."""
ROLES = frozenset(
    "navigation search banner contentinfo complementary menu menubar toolbar dialog alertdialog "
    "alert tablist tooltip".split()
)
TAGS = {
    "nav": "navigation", "menu": "navigation", "header": "header", "footer": "footer",
    "aside": "sidebar", "dialog": "notice", "form": "controls", "button": "controls",
}  # fmt: skip
ROLE_KINDS = {"banner": "header", "contentinfo": "footer", "complementary": "sidebar"}
ADVERTISED = (
    'a[rel~="sponsored"], a[href*="//ads."], a[href*="//ad."], a[href*="//adserver."], '
    'a[href*=".doubleclick.net"], a[href*="/adclick"], a[href*="googlesyndication."]'
)
"""Links whose address says that they are paid for."""
INSIDE = frozenset("li dt dd tr td th tbody thead".split())
"""Elements beside which a mark would become a line or an item of its own."""
MAIN = "main, article, [role=main]"
TEXT = frozenset(
    "footnote footnotes endnotes admonition note tip warning topic doc example".split()
)
"""Words of an element that is text although it is an <aside> or such."""
HIDDEN = (
    '[hidden], [aria-hidden="true"], [style*="display:none"], [style*="display: none"], '
    '[style*="visibility:hidden"], [style*="visibility: hidden"]'
)
NAMED = re.compile(
    r"""\b(class|id|role)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE
)
UNNAMED = frozenset("html body main article h1 h2 h3 h4 pre code span em b i a td tr".split())
"""Elements that a class does not make chrome: highlighted code and headings bear any class."""
LINKS_TO_ITSELF = "a.headerlink, a.copiable-link, a.id_link, a.doc-anchor, a.anchor"
WORD = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
LARGEST_BESIDE_MAIN = 0.9
MOST_NAMED = 5_000
"""Elements named like chrome above which a page is hostile and is left as it is."""
MOST_VALUES = 200
"""Distinct classes and ids of chrome that are looked for."""
MOST_READ = 20
"""Text that is measured at most, in lengths of the page's."""
MOST_MEASURED = 500
"""Elements whose text is measured; a page with more that say `nav` is hostile."""


class Cut(NamedTuple):
    """An element that was taken out, and where it stood."""

    node: Any
    parent: Any
    next: Any
    kind: str


def prune(tree: Any, page: str, largest_share: float) -> list[Cut]:
    """Take chrome out of the tree of a page; returns what went, in order.

    An element that holds more than `largest_share` of the body's text, a <main>, an <article> or
    the only <h1> is no chrome, whatever it is called; where those stand elsewhere, a <nav> or an
    element named so may be the larger part of a page.
    """
    body, cuts = tree.body, []
    if body is None:
        return cuts
    for node in selected(body, HIDDEN):
        detach(node, "hidden", cuts)
    whole = len(body.text or "")
    if not whole:
        return cuts
    for node in selected(body, LINKS_TO_ITSELF):
        detach(node, "heading link", cuts)
    title = only_heading(body)
    if title is not None or body.query_selector(MAIN) is not None:
        largest_share = max(largest_share, LARGEST_BESIDE_MAIN)
    left = MOST_READ * (whole + 1000)
    found = [*selected(body, ", ".join(TAGS)), *named_elements(body, page)]
    for node in found[:MOST_MEASURED]:
        size = len(node.text or "")
        left -= size
        if left < 0:
            break  # hostile: elements inside each other that all say `nav`
        if size <= largest_share * whole and not says_text(node) and not holds_main(node, title):
            detach(node, kind_of(node), cuts)
    for node in selected(body, ADVERTISED):
        detach(node, "advertisement", cuts)
    for block in beside_text(body):
        detach(block.node, block.kind, cuts)
    return cuts


def restore(tree: Any, cuts: Sequence[Cut]) -> None:
    """Put back what was taken out, each between two marks that the written text will show."""
    for node, parent, next, kind in reversed(cuts):
        first, last = tree.create_text_node(OPEN[kind]), tree.create_text_node(CLOSE)
        place(parent, node, next)
        if node.tag in INSIDE:
            place(node, first, node.first_child)
            node.append_child(last)
        else:
            place(parent, first, node)
            place(parent, last, next)


def place(parent: Any, node: Any, next: Any) -> None:
    """Put a node into a parent before another, or at its end."""
    if next is None:
        parent.append_child(node)
    else:
        parent.insert_before(node, next)


def named_elements(body: Any, page: str) -> list[Any]:
    """Elements whose class, id or role is that of chrome.

    The distinct values are judged once and looked up together: most pages have a few dozen.
    """
    values = {(m[1].lower(), m[2] or m[3] or m[4] or "") for m in NAMED.finditer(page)}
    wanted = [
        f"[{name}={quoted(value)}]"
        for name, value in sorted(values)
        if len(value) < 300 and (value.lower() in ROLES if name == "role" else chrome_kind(value))
    ]
    found: list[Any] = []
    for at in range(0, min(len(wanted), MOST_VALUES), 50):
        found += selected(body, ", ".join(wanted[at : at + 50]))
    return [node for node in found if node.tag not in UNNAMED]


def selected(body: Any, selector: str) -> list[Any]:
    """Elements that a selector names; none if they are so many that the page is hostile."""
    found = body.query_selector_all(selector)
    # A slice: each single item that is asked for costs resiliparse a walk over all of them.
    return list(found[:]) if len(found) <= MOST_NAMED else []


def quoted(value: str) -> str:
    """A value as a string of CSS."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ") + '"'


def says_text(node: Any) -> bool:
    """Whether an element that looks like chrome is a note of the text, by class or role."""
    named = f"{node.getattr('class') or ''} {node.getattr('role') or ''}"
    return bool(TEXT.intersection(word.lower() for word in WORD.findall(named[:300])))


@lru_cache(maxsize=20_000)
def chrome_kind(named: str) -> str:
    """Which kind of chrome classes and ids name; empty if none.

    >>> chrome_kind("cookie-banner"), chrome_kind("main-with-sidebar"), chrome_kind("navBar")
    ('notice', '', 'navigation')
    """
    words = [word.lower() for word in WORD.findall(named)]
    if not KEPT.isdisjoint(words):
        return ""
    told = [KIND_OF[word] for word in words if word in KIND_OF and word not in WHOLE]
    return (told or [KIND_OF[word] for word in named.lower().split() if word in KIND_OF] or [""])[0]


def kind_of(node: Any) -> str:
    """What an element that goes is for, by tag, role, class and id."""
    if node.tag in TAGS:
        return TAGS[node.tag]
    named = (chrome_kind((node.getattr(name) or "")[:300]) for name in ("class", "id"))
    role = ROLE_KINDS.get((node.getattr("role") or "").lower(), "navigation")
    return next((kind for kind in named if kind), role)


def only_heading(body: Any) -> Any:
    """The page's <h1> if there is but one."""
    found = body.query_selector_all("h1")
    return found[0] if len(found) == 1 else None


def holds_main(node: Any, only_title: Any) -> bool:
    """Whether an element holds the page's main part or its title."""
    if only_title is not None and node.query_selector("h1") is not None:
        return True
    return node.query_selector(MAIN) is not None


def detach(node: Any, kind: str, cuts: list[Cut]) -> None:
    """Take an element out of its tree, if it is in one; its memory stays the tree's."""
    parent = node.parent
    if parent is not None:
        cuts.append(Cut(node, parent, node.next, kind))
        parent.remove_child(node)
