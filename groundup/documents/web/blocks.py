"""Blocks: chrome that no name gives away, by where it stands and how much of it is links.

From the body down, the child with most of the words that are no links is where the text is. What
stands beside it goes if it is mostly links, if its heading says what it is (`Related stories`), or
if it follows and holds the copyright. A page that is mostly links is a list that somebody made and
is left alone. Knows the marks around links; nothing of classes and ids, see chrome.py.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .lines import rule_of
from .links import MOST_LINKS
from .marks import ANY, LINK, START

COPYRIGHT = re.compile(
    r"©|\(c\)\s*\d{4}|\bcopyright\b.{0,9}\d{4}|all rights reserved", re.IGNORECASE
)
BLOCKS = frozenset("div section ul ol table center td".split())
HEADINGS = frozenset("h2 h3 h4 h5 h6 b strong p div span".split())
DEEPEST = 20
MOST_CHILDREN = 400
"""Children of an element that are looked at; a page with more there is left as it is."""
LINKED = 0.5
"""Share of a block's letters in links from which it is no text; source: generated shells."""
FEWEST_LINKS = 4
FOOTER = 1_000
"""Letters of a block with the copyright up to which it is a footer."""


class Block(NamedTuple):
    """A child of the element that holds the text, and its letters."""

    node: Any
    letters: int
    linked: int
    links: int


class Beside(NamedTuple):
    """An element that is no text, and its kind."""

    node: Any
    kind: str


def beside_text(body: Any) -> Iterator[Beside]:
    """Yield the blocks around the text that are chrome, outermost first."""
    node = body
    for depth in range(DEEPEST):
        blocks = [block(child) for child in children(node)]
        own = [one.letters - one.linked for one in blocks]
        if not blocks or (
            not depth and sum(own) < (1 - MOST_LINKS) * sum(b.letters for b in blocks)
        ):
            return
        most = max(range(len(own)), key=own.__getitem__)
        holds_text = own[most] > sum(own) / 2 and blocks[most].node.tag in BLOCKS
        for number, one in enumerate(blocks):
            if number != most or not holds_text:
                kind = kind_of(one, holds_text, number > most, sum(own))
                if kind:
                    yield Beside(one.node, kind)
        if not holds_text:
            return
        node = blocks[most].node


def children(node: Any) -> list[Any]:
    """The elements that an element holds; none if they are too many."""
    found, child = [], node.first_element_child
    while child is not None:
        found.append(child)
        if len(found) > MOST_CHILDREN:
            return []
        child = child.next_element_sibling
    return found


def block(node: Any) -> Block:
    """An element's letters, by the marks around its links."""
    text = node.text or ""
    links = LINK.findall(text) if START in text else []
    return Block(node, solid(text), sum(map(solid, links)), len(links))


def solid(text: str) -> int:
    """Characters that are no white space, nearly."""
    return len(text) - text.count(" ") - text.count("\n")


def kind_of(one: Block, is_beside: bool, is_after: bool, whole: int) -> str:
    """Which kind of chrome a block is; empty if it is text."""
    node = one.node
    if node.tag not in BLOCKS or not one.letters or one.letters - one.linked > whole / 3:
        return ""
    if is_beside and one.links >= FEWEST_LINKS and one.linked >= LINKED * one.letters:
        kind = "links beside the text"
    elif is_beside and is_after and one.letters <= FOOTER and COPYRIGHT.search(node.text):
        kind = "footer"
    else:
        kind = headed(node)
    return "" if kind and node.query_selector("h1, main, article") is not None else kind


def headed(node: Any) -> str:
    """The kind that an element's heading tells."""
    first = node.first_element_child
    if first is None or first.tag not in HEADINGS:
        return ""
    said = ANY.sub("", (first.text or "")[:100]).strip().lower()
    return rule_of(said, ("heading",))[0] if 0 < len(said) <= 60 else ""
