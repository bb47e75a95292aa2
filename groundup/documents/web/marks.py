"""Marks: noncharacters that pass through an extractor and show what a line was in the page.

The text of links and code is enclosed in two of them in the page, an element of chrome in the tree.
The extracted text then shows which letters are links, code or chrome of a kind. Unicode reserves
U+FDD0 to U+FDEF for such use inside a program: no text may hold them.
"""

import re

LINK_START, LINK_END, CHROME_END = "\ufdd0", "\ufdd1", "\ufdd2"
CHROME_KINDS = (
    "navigation", "sidebar", "footer", "header", "advertisement", "notice", "comments", "controls",
    "heading link", "hidden", "links beside the text",
)  # fmt: skip
"""Kinds of chrome: the reasons of their edits."""
CHROME_START = {kind: chr(0xFDD3 + n) for n, kind in enumerate(CHROME_KINDS)}
KIND_BY_MARK = {mark: kind for kind, mark in CHROME_START.items()}
CODE_START, CODE_END, PRE_START, PRE_END = "\ufdec", "\ufded", "\ufdee", "\ufdef"
"""Around <code> and the like, and around <pre>, which may contain them."""
RANGE_MARK = re.compile("([\ufdd2-\ufdef])")
"""Marks of chrome and of code."""
ANY_MARK = re.compile("[\ufdd0-\ufdef]")
LINK_TEXT = re.compile(f"{LINK_START}([^{LINK_START}{LINK_END}]*){LINK_END}")
"""A link's text between its marks."""
MARKED_TAG = re.compile(
    r"<a\b(?=[^>]{0,500}?\bhref\b)[^>]{0,5000}>|</a\s*>"
    r"|<(?P<pre>pre)\b[^>]{0,5000}>(?:\r?\n)?|<(?P<code>code|samp|kbd|tt)\b[^>]{0,5000}>"
    r"|</(?P<end>pre|code|samp|kbd|tt)\s*>",
    re.IGNORECASE,
)


def mark_tags(page: str) -> str:
    """Enclose the text of links in START and END, and code in its own marks."""
    return MARKED_TAG.sub(_add_mark, ANY_MARK.sub("", page))


def _add_mark(tag: re.Match[str]) -> str:
    """A tag of a link or of code with its mark inside the element."""
    if tag["pre"] or tag["code"]:
        return tag[0] + (PRE_START if tag["pre"] else CODE_START)
    if tag["end"]:
        return (PRE_END if tag["end"].lower() == "pre" else CODE_END) + tag[0]
    return LINK_END + tag[0] if tag[0][1] == "/" else tag[0] + LINK_START
