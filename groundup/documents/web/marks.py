"""Marks: noncharacters that go through an extractor, so that its text says what a line was.

A link's text is put between two of them in the page, and an element of chrome between two in the
tree; what is written out then shows which letters are links and which are chrome, and of what kind.
Unicode keeps U+FDD0 to U+FDEF for such use inside a program: no text may hold them.
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
OF_CHROME = re.compile("([\ufdd2-\ufdef])")
ANY = re.compile("[\ufdd0-\ufdef]")
LINK = re.compile(r"<a\b(?=[^>]{0,500}?\bhref\b)[^>]{0,5000}>|</a\s*>", re.IGNORECASE)


def mark_links(page: str) -> str:
    """The page with every link's text between START and END."""
    return LINK.sub(
        lambda tag: END + tag[0] if tag[0][1] == "/" else tag[0] + START, ANY.sub("", page)
    )
