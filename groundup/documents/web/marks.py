"""Marks: noncharacters that pass through an extractor and show what a line was in the page.

The text of links and code is enclosed in two of them in the page, an element of chrome in the tree.
The extracted text then shows which letters are links, code or chrome of a kind. Unicode reserves
U+FDD0 to U+FDEF for such use inside a program: no text may hold them.
"""

import re

START, END, CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
CHROME = (
    "navigation", "sidebar", "footer", "header", "advertisement", "notice", "comments", "controls",
    "heading link", "hidden", "links beside the text",
)  # fmt: skip
"""Kinds of chrome: the reasons of their edits."""
OPEN = {kind: chr(0xFDD3 + n) for n, kind in enumerate(CHROME)}
KIND = {mark: kind for kind, mark in OPEN.items()}
CODE, CODE_END, PRE, PRE_END = "\ufdec", "\ufded", "\ufdee", "\ufdef"
"""Around <code> and the like, and around <pre>, which may contain them."""
OF_PLACES = re.compile("([\ufdd2-\ufdef])")
"""Marks of chrome and of code."""
ANY = re.compile("[\ufdd0-\ufdef]")
LINK = re.compile(f"{START}([^{START}{END}]*){END}")
"""A link's text between its marks."""
TAGS = re.compile(
    r"<a\b(?=[^>]{0,500}?\bhref\b)[^>]{0,5000}>|</a\s*>"
    r"|<(?P<pre>pre)\b[^>]{0,5000}>(?:\r?\n)?|<(?P<code>code|samp|kbd|tt)\b[^>]{0,5000}>"
    r"|</(?P<end>pre|code|samp|kbd|tt)\s*>",
    re.IGNORECASE,
)


def marked_tags(page: str) -> str:
    """Enclose the text of links in START and END, and code in its own marks."""
    return TAGS.sub(with_mark, ANY.sub("", page))


def with_mark(tag: re.Match[str]) -> str:
    """A tag of a link or of code with its mark inside the element."""
    if tag["pre"] or tag["code"]:
        return tag[0] + (PRE if tag["pre"] else CODE)
    if tag["end"]:
        return (PRE_END if tag["end"].lower() == "pre" else CODE_END) + tag[0]
    return END + tag[0] if tag[0][1] == "/" else tag[0] + START
