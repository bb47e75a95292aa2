"""Chrome: the parts of a page that its site puts around every text, by the words of its markup.

Authors of templates name what they make: `nav`, `breadcrumbs`, `cookie-banner`, `sphinxsidebar`. So
an element goes if its tag, role, class or id says so, unless it holds too much of the page to be
chrome, or the title. What carries no telling name is left to the lines (links.py, lines.py).
Knows nothing of text or bytes: it takes elements out of a tree that resiliparse has parsed.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

NAMES = frozenset(
    # where one can go
    "nav navbar navbars navigation navigations navheader navfooter navpanel navmenu "
    "navlinks navlist "
    "topnav sidenav subnav mainnav globalnav localnav menu menus menubar submenu "
    "dropdown breadcrumb "
    "breadcrumbs crumbs pager pagination paginator prevnext relbar rel related "
    "sitemap skip skiplink "
    "skipnav toctree sidebar sidebars sphinxsidebar sidebarwrapper sphinxsidebarwrapper toolbar "
    "topbar tabbar hamburger permalink headerlink copiable backtotop totop tocframe "
    # who made it and who else is there
    "footer footers pagefooter sitefooter colophon masthead copyright copyrights legal imprint "
    "siteheader pageheader topheader logo logos generator contentinfo verifier built "
    # what it sells and asks
    "ad ads advert adverts advertisement advertisements advertising adsense adslot adunit banner "
    "adbanner adbox sponsor sponsors sponsored promo promos promotion promoted outbrain taboola "
    "dfp gpt cookie cookies consent gdpr ccpa newsletter subscribe subscription signup signin "
    "login logout register paywall popup popups modal overlay lightbox interstitial donate "
    # what others say of it
    "share sharing sharer social socials addthis sharethis likes comment comments commentlist "
    "disqus respond recommended recommendations trending popular mostread "
    # what one can press
    "search searchbox searchform searchbar searches languages language-switcher langs "
    "btn buttons widget widgets tooltip autocomplete srcbutton editlink editsection mwjump "
    "hidden visuallyhidden invisible noprint".split()
)
"""A class or id names chrome if one of its words is among these."""
WHOLE = frozenset(
    "aside hd ft bar left_bar right_bar toc-page next_page previous_page nav_flow id_link anchor "
    "out-of-band copy-path sub-heading bd-footer bd-header sr-only screen-reader-text jump-link "
    "page-links page-next page-previous page-up edit-link view-source extra-links doc-anchor "
    "post-meta byline-share site-header page-header top-header skip-nav back-to-top".split()
)
"""A class or id names chrome if it is one of these."""
KEPT = frozenset(
    "main content body article post entry text document maincontent bodywrapper documentwrapper "
    "bodycontent pagebody wrapper page container layout root app html admonition".split()
)
"""A word that an element of chrome does not bear: `main-with-sidebar`, `article-body`."""
ROLES = frozenset(
    "navigation search banner contentinfo complementary menu menubar toolbar dialog alertdialog "
    "alert tablist tooltip".split()
)
TAGS = "nav, header, footer, aside, menu, dialog, form, button"
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
MOST_MEASURED = 500
"""Elements whose text is measured; a page with more that say `nav` is hostile."""


def prune(tree: Any, page: str, largest_share: float) -> int:
    """Take chrome out of the tree of a page; returns how many elements went.

    An element that holds more than `largest_share` of the body's text, a <main>, an <article> or
    the only <h1> is no chrome, whatever it is called; where those stand elsewhere, a <nav> or an
    element named so may be the larger part of a page.
    """
    body = tree.body
    if body is None:
        return 0
    for node in selected(body, HIDDEN):
        detach(node)
    whole = len(body.text or "")
    if not whole:
        return 0
    removed = sum(detach(node) for node in selected(body, LINKS_TO_ITSELF))
    title = only_heading(body)
    if title is not None or body.query_selector(MAIN) is not None:
        largest_share = max(largest_share, LARGEST_BESIDE_MAIN)
    found = [*selected(body, TAGS), *named_elements(body, page)]
    for node in found[:MOST_MEASURED]:
        if says_text(node) or holds_main(node, title):
            continue
        if len(node.text or "") <= largest_share * whole:
            removed += detach(node)
    return removed


def named_elements(body: Any, page: str) -> list[Any]:
    """Elements whose class, id or role is that of chrome.

    The distinct values are judged once and looked up together: most pages have a few dozen.
    """
    values = {(m[1].lower(), m[2] or m[3] or m[4] or "") for m in NAMED.finditer(page)}
    wanted = [
        f"[{name}={quoted(value)}]"
        for name, value in sorted(values)
        if len(value) < 300 and (value.lower() in ROLES if name == "role" else names_chrome(value))
    ]
    found: list[Any] = []
    for at in range(0, min(len(wanted), MOST_MEASURED), 50):
        found += selected(body, ", ".join(wanted[at : at + 50]))
    return [node for node in found if node.tag not in UNNAMED]


def selected(body: Any, selector: str) -> Sequence[Any]:
    """Elements that a selector names; none if they are so many that the page is hostile."""
    found = body.query_selector_all(selector)
    return found[:] if len(found) <= MOST_NAMED else ()  # resiliparse iterates in square time


def quoted(value: str) -> str:
    """A value as a string of CSS."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ") + '"'


def says_text(node: Any) -> bool:
    """Whether an element that looks like chrome is a note of the text, by class or role."""
    named = f"{node.getattr('class') or ''} {node.getattr('role') or ''}"
    return bool(TEXT.intersection(word.lower() for word in WORD.findall(named[:300])))


@lru_cache(maxsize=20_000)
def names_chrome(named: str) -> bool:
    """Whether classes and ids are those of chrome.

    >>> names_chrome("cookie-banner"), names_chrome("main-with-sidebar"), names_chrome("navBar")
    (True, False, True)
    """
    words = {word.lower() for word in WORD.findall(named)}
    if words & KEPT:
        return False
    whole = named.lower().split()
    return bool(words & NAMES or WHOLE.intersection(whole) or NAMES.intersection(whole))


def only_heading(body: Any) -> Any:
    """The page's <h1> if there is but one."""
    found = body.query_selector_all("h1")
    return found[0] if len(found) == 1 else None


def holds_main(node: Any, only_title: Any) -> bool:
    """Whether an element holds the page's main part or its title."""
    if only_title is not None and node.query_selector("h1") is not None:
        return True
    return node.query_selector(MAIN) is not None


def detach(node: Any) -> int:
    """Take an element out of its tree; its memory stays the tree's. 1 if it was in one."""
    parent = node.parent
    if parent is None:
        return 0
    parent.remove_child(node)
    return 1
