"""Blocks: boilerplate without telling class names, by its position and share of links.

From the body down, the child with most of the unlinked words holds the text. Its siblings are
removed if they are mostly links, if their heading says what they are (`Related stories`), or if
they follow it and hold the copyright. A page that is mostly links is a list of links on purpose and
is kept. Knows the marks around links; for classes and ids see chrome.py.
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
"""Children of an element that are inspected; a page with more is kept as it is."""
LINKED = 0.5
"""Share of a block's letters in links from which it is boilerplate. Source: generated shells."""
FEWEST_LINKS = 4
FOOTER = 1_000
"""Letters up to which a block with the copyright is a footer."""


class Block(NamedTuple):
    """An element and its letters, linked letters and links."""

    node: Any
    letters: int
    linked: int
    links: int


class Beside(NamedTuple):
    """A boilerplate element and its kind."""

    node: Any
    kind: str


def beside_text(body: Any) -> Iterator[Beside]:
    """Yield the boilerplate blocks around the text, outermost first."""
    node = body
    for depth in range(DEEPEST):
        blocks = [block(child) for child in children(node)]
        own = [sibling.letters - sibling.linked for sibling in blocks]
        if not blocks or (
            not depth and sum(own) < (1 - MOST_LINKS) * sum(b.letters for b in blocks)
        ):
            return
        most = max(range(len(own)), key=own.__getitem__)
        holds_text = own[most] > sum(own) / 2 and blocks[most].node.tag in BLOCKS
        for number, sibling in enumerate(blocks):
            if number != most or not holds_text:
                kind = kind_of(sibling, holds_text, number > most, sum(own))
                if kind:
                    yield Beside(sibling.node, kind)
        if not holds_text:
            return
        node = blocks[most].node


def children(node: Any) -> list[Any]:
    """The child elements of an element; none if they are too many."""
    elements, child = [], node.first_element_child
    while child is not None:
        elements.append(child)
        if len(elements) > MOST_CHILDREN:
            return []
        child = child.next_element_sibling
    return elements


def block(node: Any) -> Block:
    """Measure an element by the marks around its links."""
    text = node.text or ""
    links = LINK.findall(text) if START in text else []
    return Block(node, solid(text), sum(map(solid, links)), len(links))


def solid(text: str) -> int:
    """Characters except spaces and line breaks."""
    return len(text) - text.count(" ") - text.count("\n")


def kind_of(sibling: Block, is_beside: bool, is_after: bool, unlinked: int) -> str:
    """The kind of boilerplate of a block; empty if it is text."""
    node = sibling.node
    own = sibling.letters - sibling.linked
    if node.tag not in BLOCKS or not sibling.letters or own > unlinked / 3:
        return ""
    if is_beside and sibling.links >= FEWEST_LINKS and sibling.linked >= LINKED * sibling.letters:
        kind = "links beside the text"
    elif is_beside and is_after and sibling.letters <= FOOTER and COPYRIGHT.search(node.text):
        kind = "footer"
    else:
        kind = headed(node)
    return "" if kind and node.query_selector("h1, main, article") is not None else kind


def headed(node: Any) -> str:
    """The kind that an element's heading names."""
    first = node.first_element_child
    if first is None or first.tag not in HEADINGS:
        return ""
    heading = ANY.sub("", (first.text or "")[:100]).strip().lower()
    return rule_of(heading, ("heading",))[0] if 0 < len(heading) <= 60 else ""
